//! What this instance has set aside for enclaves: processors and huge pages. Both are set aside by the
//! `nitro-enclaves-allocator` service, as `/etc/nitro_enclaves/allocator.yaml` says, and looked at before the driver is
//! asked, because the driver only says that something is missing.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::NitroError;

/// Smallest unit of an enclave's memory, and the least page that can back it.
pub(super) const UNIT: u64 = 2 << 20;
/// Least memory of an enclave (the driver's `NE_MIN_MEM_SIZE`).
const LEAST_MEMORY: u64 = 64 << 20;
/// AWS: an enclave has at least four times its image as memory.
const IMAGES_IN_MEMORY: u64 = 4;
/// Least memory of an enclave whose memory nobody chose.
const USUAL_MEMORY: u64 = 512 << 20;

/// Where the kernel says what there is: `/sys`, or a test's folder.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    sys: PathBuf,
}

/// Pages to map, all of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pages {
    /// Bytes of one page.
    pub(super) size: u64,
    /// How many.
    pub(super) count: u64,
}

impl Resources {
    pub(crate) fn of_this_machine() -> Self {
        Self::under(Path::new("/sys"))
    }

    pub(super) fn under(sys: &Path) -> Self {
        Self {
            sys: sys.to_owned(),
        }
    }

    /// Whether there are that many processors, and whole cores of them.
    pub(super) fn check_cpus(&self, asked: u32) -> Result<(), NitroError> {
        let pool = self.sys.join("module/nitro_enclaves/parameters/ne_cpus");
        let pool = fs::read_to_string(pool).map_err(|_| NitroError::NoDriver)?;
        let pool = count_cpus(&pool);
        if pool == 0 {
            return Err(NitroError::NoCpuPool);
        }
        if pool < asked {
            return Err(NitroError::CpuPoolTooSmall { asked, pool });
        }
        // The pool's own processors are offline, and all cores of an instance are alike: the first is asked.
        let siblings = "devices/system/cpu/cpu0/topology/thread_siblings_list";
        let siblings = fs::read_to_string(self.sys.join(siblings)).unwrap_or_default();
        let threads = count_cpus(&siblings).max(1);
        if !asked.is_multiple_of(threads) {
            return Err(NitroError::PartialCores { asked, threads });
        }
        Ok(())
    }

    /// Which pages make an enclave's memory: `asked` bytes, or what its image needs.
    pub(super) fn plan_memory(
        &self,
        asked: Option<u64>,
        image: u64,
    ) -> Result<Vec<Pages>, NitroError> {
        let least = image.saturating_mul(IMAGES_IN_MEMORY);
        let asked = asked.unwrap_or(least.max(USUAL_MEMORY));
        if asked < LEAST_MEMORY {
            return Err(NitroError::LittleMemory { asked });
        }
        if asked < least {
            return Err(NitroError::ImageTooLarge {
                asked,
                image,
                least,
            });
        }
        let free = self.free_pages();
        let total = free.iter().map(|pages| pages.size * pages.count).sum();
        plan(asked, &free).ok_or(NitroError::FewHugePages { asked, free: total })
    }

    /// Pages that nobody uses or has reserved.
    fn free_pages(&self) -> Vec<Pages> {
        let folders = fs::read_dir(self.sys.join("kernel/mm/hugepages"));
        let mut pages = Vec::new();
        for folder in folders.into_iter().flatten().flatten() {
            let number = |file: &str| {
                let text = fs::read_to_string(folder.path().join(file)).ok()?;
                text.trim().parse::<u64>().ok()
            };
            let name = folder.file_name();
            let size = (name.to_str())
                .and_then(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB"))
                .and_then(|size| size.parse::<u64>().ok()?.checked_mul(1024));
            let free = number("free_hugepages").unwrap_or(0);
            let count = free.saturating_sub(number("resv_hugepages").unwrap_or(0));
            if let Some(size) = size
                && size >= UNIT
                && size.is_power_of_two()
                && count > 0
            {
                pages.push(Pages { size, count });
            }
        }
        pages
    }
}

/// The fewest pages that make up the memory: large ones first as far as they fit, and if the small ones do not fill the
/// rest, one more of the smallest size that is left.
fn plan(asked: u64, free: &[Pages]) -> Option<Vec<Pages>> {
    let mut free = free.to_vec();
    free.sort_by_key(|pages| std::cmp::Reverse(pages.size));
    let mut rest = asked.checked_next_multiple_of(UNIT)?;
    let mut taken = Vec::new();
    for pages in &mut free {
        let count = pages.count.min(rest / pages.size);
        pages.count -= count;
        rest -= count * pages.size;
        taken.push(Pages { count, ..*pages });
    }
    if rest > 0 {
        let larger = free
            .iter()
            .rposition(|pages| pages.count > 0 && pages.size >= rest)?;
        taken[larger].count += 1;
        // With it the smaller ones are not needed.
        taken.truncate(larger + 1);
    }
    taken.retain(|pages| pages.count > 0);
    Some(taken)
}

/// How many processors a list in the kernel's form names, such as `1-3,5`.
fn count_cpus(list: &str) -> u32 {
    let mut count = 0u32;
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            let these = last
                .checked_sub(first)
                .map_or(0, |more| more.saturating_add(1));
            count = count.saturating_add(these);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn processors_are_counted_as_the_kernel_lists_them() {
        for (list, count) in [
            ("", 0),
            ("\n", 0),
            ("3\n", 1),
            ("1-3,5", 4),
            ("1,17\n", 2),
            ("3-1", 0),
            ("0-4294967295", u32::MAX),
            ("junk,2", 1),
        ] {
            assert_eq!(count_cpus(list), count, "{list:?}");
        }
    }

    const M: u64 = 1 << 20;
    const G: u64 = 1 << 30;

    fn pages(size: u64, count: u64) -> Pages {
        Pages { size, count }
    }

    #[test]
    fn memory_is_made_of_what_is_there() {
        let free = [pages(2 * M, 300), pages(G, 2)];
        assert_eq!(plan(512 * M, &free), Some(vec![pages(2 * M, 256)]));
        assert_eq!(
            plan(G + 4 * M, &free),
            Some(vec![pages(G, 1), pages(2 * M, 2)])
        );
        // Too few small ones: a large one more.
        assert_eq!(plan(700 * M, &free), Some(vec![pages(G, 1)]));
        assert_eq!(plan(1700 * M, &free), Some(vec![pages(G, 2)]));
        assert_eq!(plan(3 * G, &free), None);
        assert_eq!(plan(u64::MAX, &free), None);
        assert_eq!(plan(64 * M, &[]), None);
    }

    proptest! {
        #[test]
        fn a_plan_suffices_and_takes_nothing_that_is_not_there(
            asked in 1..(64 * G),
            counts in prop::collection::vec(0u64..2000, 3),
        ) {
            let sizes = [2 * M, 32 * M, G];
            let free: Vec<Pages> = sizes.into_iter().zip(counts).map(|(s, c)| pages(s, c)).collect();
            let total: u64 = free.iter().map(|p| p.size * p.count).sum();
            match plan(asked, &free) {
                None => prop_assert!(total < asked.next_multiple_of(UNIT)),
                Some(taken) => {
                    let sum: u64 = taken.iter().map(|p| p.size * p.count).sum();
                    prop_assert!(sum >= asked);
                    let smallest = taken.iter().map(|p| p.size).min().unwrap();
                    prop_assert!(sum - asked < smallest, "no page too many");
                    for page in &taken {
                        let there = free.iter().find(|f| f.size == page.size).unwrap();
                        prop_assert!(page.count <= there.count);
                    }
                }
            }
        }
    }
}
