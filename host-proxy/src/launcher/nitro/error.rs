//! Why there is no Nitro Enclave, and what to do about it.

use std::time::Duration;

use rustix::io::Errno;

use super::device::Step;

/// Why there is no Nitro Enclave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NitroError {
    /// No driver, or an instance that has no enclaves.
    #[error(
        "nitro-no-device: this machine has no /dev/nitro_enclaves; start the EC2 instance with `--enclave-options Enabled=true` and load the driver (`modprobe nitro_enclaves`)"
    )]
    NoDriver,
    /// The device is not for this user.
    #[error(
        "nitro-no-permission: /dev/nitro_enclaves is not for this user; add it to the group `ne` (`usermod -aG ne USER`) and log in again"
    )]
    NoPermission,
    /// Nothing is set aside.
    #[error(
        "nitro-no-cpu-pool: no processors are set aside for enclaves; set cpu_count in /etc/nitro_enclaves/allocator.yaml, then `systemctl restart nitro-enclaves-allocator`"
    )]
    NoCpuPool,
    /// Less is set aside than asked for.
    #[error(
        "nitro-cpu-pool-too-small: {asked} processors are asked for and {pool} are set aside for enclaves; raise cpu_count in /etc/nitro_enclaves/allocator.yaml, then `systemctl restart nitro-enclaves-allocator`, or lower --cpus"
    )]
    CpuPoolTooSmall {
        /// How many are asked for.
        asked: u32,
        /// How many are set aside.
        pool: u32,
    },
    /// Part of a core.
    #[error(
        "nitro-cores-not-whole: an enclave has whole cores, and a core of this instance has {threads} processors; --cpus {asked} is no multiple of that"
    )]
    PartialCores {
        /// How many are asked for.
        asked: u32,
        /// Processors of one core.
        threads: u32,
    },
    /// Below the driver's minimum.
    #[error("nitro-memory-too-small: an enclave has at least 64 MiB, not {} MiB", mib(*.asked))]
    LittleMemory {
        /// Bytes asked for.
        asked: u64,
    },
    /// Too little for the image.
    #[error(
        "nitro-image-too-large: an image of {} MiB needs an enclave of {} MiB or more (four times its size), not {}; raise --memory",
        mib(*.image), mib(*.least), mib(*.asked)
    )]
    ImageTooLarge {
        /// Bytes asked for.
        asked: u64,
        /// The image's bytes.
        image: u64,
        /// Bytes that it needs.
        least: u64,
    },
    /// Too few huge pages.
    #[error(
        "nitro-few-huge-pages: {} MiB of huge pages are asked for and {} MiB are free; raise memory_mib in /etc/nitro_enclaves/allocator.yaml, then `systemctl restart nitro-enclaves-allocator`, or end another enclave, or lower --memory",
        mib(*.asked), mib(*.free)
    )]
    FewHugePages {
        /// Bytes asked for.
        asked: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The image does not fit where the driver wants it.
    #[error(
        "nitro-image-does-not-fit: the driver wants the image at {offset:#x}, where it ends beyond the enclave's memory; raise --memory"
    )]
    ImageDoesNotFit {
        /// Where it should begin.
        offset: u64,
    },
    /// The image could not be read, or became another one while it was.
    #[error("nitro-image-changed: the image cannot be read as it was checked: {0}")]
    ImageChanged(std::io::Error),
    /// The driver refused.
    #[error("{}: {} failed: {}", driver_code(*.step, *.errno, *.cid), .step.name(), driver_text(*.step, *.errno, *.cid))]
    Driver {
        /// Which step.
        step: Step,
        /// What it said.
        errno: Errno,
        /// The context id that was asked for, if one was.
        cid: Option<u32>,
    },
    /// The enclave's init never said that it runs.
    #[error(
        "nitro-no-heartbeat: the enclave did not say within {}s that it runs; is its image made for Nitro? `nitro-cli run-enclave --debug-mode` shows its console", .0.as_secs()
    )]
    NoHeartbeat(Duration),
    /// It ended before it said that it runs.
    #[error("nitro-ended-at-boot: the enclave ended before it said that it runs")]
    EndedAtBoot,
    /// The descriptor cannot be watched.
    #[error("nitro-not-watched: the enclave's end cannot be noticed: {0}")]
    NotWatched(std::io::Error),
}

impl NitroError {
    /// A step that failed with this number.
    pub(super) fn driver(step: Step, errno: Errno, cid: Option<u32>) -> Self {
        match (step, errno) {
            (Step::Open, Errno::NOENT | Errno::NODEV | Errno::NXIO) => Self::NoDriver,
            (Step::Open, Errno::ACCESS | Errno::PERM) => Self::NoPermission,
            _ => Self::Driver { step, errno, cid },
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDriver => "nitro-no-device",
            Self::NoPermission => "nitro-no-permission",
            Self::NoCpuPool => "nitro-no-cpu-pool",
            Self::CpuPoolTooSmall { .. } => "nitro-cpu-pool-too-small",
            Self::PartialCores { .. } => "nitro-cores-not-whole",
            Self::LittleMemory { .. } => "nitro-memory-too-small",
            Self::ImageTooLarge { .. } => "nitro-image-too-large",
            Self::FewHugePages { .. } => "nitro-few-huge-pages",
            Self::ImageDoesNotFit { .. } => "nitro-image-does-not-fit",
            Self::ImageChanged(_) => "nitro-image-changed",
            Self::Driver { step, errno, cid } => driver_code(*step, *errno, *cid),
            Self::NoHeartbeat(_) => "nitro-no-heartbeat",
            Self::EndedAtBoot => "nitro-ended-at-boot",
            Self::NotWatched(_) => "nitro-not-watched",
        }
    }

    /// Whether another try must fail in the same way until a person has done something. Processors, pages and context ids
    /// may be another enclave's, which may end.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::NoDriver
                | Self::NoPermission
                | Self::NoCpuPool
                | Self::CpuPoolTooSmall { .. }
                | Self::PartialCores { .. }
                | Self::LittleMemory { .. }
                | Self::ImageTooLarge { .. }
                | Self::ImageDoesNotFit { .. }
        )
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// The driver's own error numbers (Linux, `include/uapi/linux/nitro_enclaves.h`): number, code, what to tell a person.
const DRIVER_ERRORS: [(i32, &str, &str); 20] = [
    (
        256,
        "nitro-cpu-used",
        "a processor is another enclave's already",
    ),
    (
        257,
        "nitro-cpu-not-in-pool",
        "a processor is not set aside for enclaves",
    ),
    (
        258,
        "nitro-cpu-invalid",
        "a processor's core is out of range",
    ),
    (
        259,
        "nitro-memory-size",
        "the memory is no multiple of 2 MiB",
    ),
    (
        260,
        "nitro-memory-address",
        "the memory's address is invalid",
    ),
    (
        261,
        "nitro-memory-unaligned",
        "the memory is not aligned to 2 MiB",
    ),
    (
        262,
        "nitro-memory-used",
        "the memory is an enclave's already",
    ),
    (
        263,
        "nitro-memory-not-huge",
        "the memory is not of huge pages",
    ),
    (
        264,
        "nitro-memory-other-node",
        "huge pages and processors are of different NUMA nodes; let one allocator set both aside",
    ),
    (
        265,
        "nitro-memory-too-scattered",
        "the huge pages lie in too many places; use larger ones, or reserve them at boot",
    ),
    (266, "nitro-no-memory", "the enclave was given no memory"),
    (267, "nitro-no-cpus", "the enclave was given no processor"),
    (
        268,
        "nitro-memory-too-small",
        "an enclave has at least 64 MiB",
    ),
    (
        269,
        "nitro-cores-not-whole",
        "an enclave has whole cores; give --cpus as a multiple of a core's processors",
    ),
    (
        270,
        "nitro-already-started",
        "the enclave was started already",
    ),
    (271, "nitro-cpu-invalid", "a processor does not exist"),
    (
        272,
        "nitro-cpu-pool-empty",
        "no processor of those set aside is free; end another enclave, or raise cpu_count in /etc/nitro_enclaves/allocator.yaml",
    ),
    (
        273,
        "nitro-page-size",
        "the memory's pages are smaller than 2 MiB",
    ),
    (
        274,
        "nitro-flag",
        "the driver does not know a flag; it is too old",
    ),
    (
        275,
        "nitro-cid-invalid",
        "the context id is reserved, or this instance's own; choose another with --cid",
    ),
];

fn known(errno: Errno) -> Option<&'static (i32, &'static str, &'static str)> {
    let number = errno.raw_os_error();
    DRIVER_ERRORS.iter().find(|(known, ..)| *known == number)
}

fn driver_code(step: Step, errno: Errno, cid: Option<u32>) -> &'static str {
    match (known(errno), step, cid) {
        (Some((_, code, _)), ..) => code,
        (None, Step::Start, Some(_)) => "nitro-cid-refused",
        (None, Step::MapMemory, _) => "nitro-huge-pages-not-mapped",
        _ => "nitro-driver",
    }
}

fn driver_text(step: Step, errno: Errno, cid: Option<u32>) -> String {
    match (known(errno), step, cid) {
        (Some((_, _, text)), ..) => (*text).to_owned(),
        // The driver hands the hypervisor's answer on; which number it has for a context id in use is not written
        // anywhere.
        (None, Step::Start, Some(cid)) => format!(
            "{errno}; perhaps another enclave has the context id {cid} (`nitro-cli describe-enclaves`): choose another, or leave --cid out"
        ),
        (None, Step::MapMemory, _) => {
            format!("{errno}; another process may have taken the huge pages meanwhile")
        }
        _ => errno.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_own_numbers_are_told_apart() {
        let code = |step, number, cid| {
            NitroError::driver(step, Errno::from_raw_os_error(number), cid).code()
        };
        assert_eq!(code(Step::AddVcpu, 272, None), "nitro-cpu-pool-empty");
        assert_eq!(code(Step::Start, 269, Some(20)), "nitro-cores-not-whole");
        assert_eq!(code(Step::Start, 275, Some(20)), "nitro-cid-invalid");
        assert_eq!(code(Step::Start, 22, Some(20)), "nitro-cid-refused");
        assert_eq!(code(Step::Start, 22, None), "nitro-driver");
        assert_eq!(code(Step::Open, 2, None), "nitro-no-device");
        assert_eq!(code(Step::Open, 13, None), "nitro-no-permission");
        assert_eq!(code(Step::CreateVm, 13, None), "nitro-driver");
        let numbers: Vec<i32> = DRIVER_ERRORS.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, (256..=275).collect::<Vec<_>>());
    }

    /// What `nacre` prints first is what scripts look for.
    #[test]
    fn every_message_begins_with_its_code() {
        for error in [
            NitroError::NoDriver,
            NitroError::NoPermission,
            NitroError::NoCpuPool,
            NitroError::CpuPoolTooSmall { asked: 4, pool: 2 },
            NitroError::PartialCores {
                asked: 3,
                threads: 2,
            },
            NitroError::LittleMemory { asked: 1 },
            NitroError::ImageTooLarge {
                asked: 1,
                image: 2,
                least: 8,
            },
            NitroError::FewHugePages { asked: 2, free: 1 },
            NitroError::ImageDoesNotFit { offset: 8 },
            NitroError::driver(Step::Start, Errno::INVAL, Some(20)),
            NitroError::driver(Step::MapMemory, Errno::NOMEM, None),
            NitroError::NoHeartbeat(Duration::from_secs(120)),
            NitroError::EndedAtBoot,
        ] {
            let text = error.to_string();
            assert!(text.starts_with(&format!("{}: ", error.code())), "{text}");
        }
    }
}
