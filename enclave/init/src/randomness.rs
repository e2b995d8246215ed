//! Randomness before anything that needs it.
//!
//! An enclave has no disk, no interrupts of its own and no history: what the kernel gathers at boot may be known to the
//! host. So the secure module seeds the kernel's pool before the program, and with it any key, exists: the kernel must have
//! chosen the module's driver as its hardware source, the module must answer, its answers must not be those of a broken or
//! absent source, and they go into the pool with credit. The kernel mixes; nothing here can take entropy away.

use std::fs::{self, File};

use crate::refusal::Refusal;
use crate::sys;

/// The kernel's choice of a hardware source.
const CURRENT_SOURCE: &str = "/sys/class/misc/hw_random/rng_current";
/// The secure module's driver, by its name among the sources.
const SOURCE: &str = "nsm-hwrng";
/// The module's device.
const DEVICE: &str = "/dev/nsm";
/// The kernel's pool.
const POOL: &str = "/dev/random";

/// The request in CBOR: one text, `"GetRandom"`.
const REQUEST: &[u8] = b"\x69GetRandom";
/// The response up to its bytes: `{"GetRandom": {"random": …}}`. The kernel's own driver compares the same bytes.
const RESPONSE: &[u8] = b"\xa1\x69GetRandom\xa1\x66random";
/// Largest response (the driver's limit).
const MAX_RESPONSE: usize = 12_288;

/// Fewest bytes of an answer; real modules give 256.
const FEWEST: usize = 64;
/// Most times that one value may come in the first 256 bytes of an answer. By chance, 24 of 256 bytes are alike
/// once in 2^70 boots.
const MOST_ALIKE: usize = 23;

/// Seeds the kernel's pool from the secure module.
///
/// # Errors
///
/// `nsm-unavailable`; `rng-not-nsm`; `nsm-random-malformed` and `nsm-random-constant`; `rng-not-seeded`.
pub fn seed() -> Result<(), Refusal> {
    let device = File::options()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|error| Refusal::new("nsm-unavailable", format!("{DEVICE}: {error}")))?;
    let source = fs::read_to_string(CURRENT_SOURCE).unwrap_or_default();
    if source.trim_end() != SOURCE {
        let text = format!("the kernel's source is {source:?} and not {SOURCE}");
        return Err(Refusal::new("rng-not-nsm", text));
    }
    let (first, second) = (ask(&device)?, ask(&device)?);
    judge(&first, &second)?;
    let failed = |error| Refusal::new("rng-not-seeded", format!("{POOL}: {error}"));
    let pool = File::options().write(true).open(POOL).map_err(failed)?;
    for answer in [&first, &second] {
        sys::add_entropy(&pool, answer).map_err(failed)?;
    }
    Ok(())
}

fn ask(device: &File) -> Result<Vec<u8>, Refusal> {
    let mut response = vec![0; MAX_RESPONSE];
    let length = sys::nsm_call(device, REQUEST, &mut response)
        .map_err(|error| Refusal::new("nsm-unavailable", format!("GetRandom: {error}")))?;
    let bytes = random_bytes(response.get(..length).unwrap_or_default())
        .ok_or_else(|| Refusal::new("nsm-random-malformed", "not an answer to GetRandom"))?;
    Ok(bytes.to_vec())
}

/// The byte string that ends the response.
fn random_bytes(response: &[u8]) -> Option<&[u8]> {
    let (length, bytes) = match response.strip_prefix(RESPONSE)? {
        [0x58, length, bytes @ ..] => (usize::from(*length), bytes),
        [0x59, high, low, bytes @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), bytes),
        _ => return None,
    };
    (bytes.len() == length).then_some(bytes)
}

/// Tells a source that is stuck from one that works. No test can tell more of so few bytes.
fn judge(first: &[u8], second: &[u8]) -> Result<(), Refusal> {
    for answer in [first, second] {
        if answer.len() < FEWEST {
            let text = format!("{} bytes, fewer than {FEWEST}", answer.len());
            return Err(Refusal::new("nsm-random-malformed", text));
        }
        let mut seen = [0usize; 256];
        for byte in answer.iter().take(256) {
            seen[usize::from(*byte)] += 1;
        }
        if seen.iter().any(|count| *count > MOST_ALIKE) {
            return Err(Refusal::new(
                "nsm-random-constant",
                "one byte comes too often",
            ));
        }
    }
    if first == second {
        return Err(Refusal::new("nsm-random-constant", "two answers are alike"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(head: &[u8], bytes: &[u8]) -> Vec<u8> {
        [RESPONSE, head, bytes].concat()
    }

    #[test]
    fn both_forms_of_a_length_are_read_and_nothing_may_follow() {
        let short = [7; 200];
        assert_eq!(
            random_bytes(&response(&[0x58, 200], &short)),
            Some(&short[..])
        );
        let long = [7; 256];
        assert_eq!(
            random_bytes(&response(&[0x59, 1, 0], &long)),
            Some(&long[..])
        );
        assert_eq!(random_bytes(&response(&[0x59, 1, 0], &[7; 257])), None);
        assert_eq!(random_bytes(&response(&[0x59, 1, 0], &[7; 255])), None);
        assert_eq!(random_bytes(b"\xa1\x65Error\x6dInternalError"), None);
    }

    /// Every byte once: stuck answers are told from different ones, but a counter looks as random as any.
    fn counter() -> Vec<u8> {
        (0..=255).collect()
    }

    #[test]
    fn a_stuck_source_is_refused() {
        let mut other = counter();
        other.reverse();
        assert_eq!(judge(&counter(), &other), Ok(()));
        let code = |first: &[u8], second: &[u8]| judge(first, second).unwrap_err().code();
        assert_eq!(code(&[0; 256], &[1; 256]), "nsm-random-constant");
        assert_eq!(code(&counter(), &[0x5a; 256]), "nsm-random-constant");
        let pattern: Vec<u8> = [1, 2, 3, 4, 5, 6, 7, 8].repeat(32);
        assert_eq!(code(&pattern, &counter()), "nsm-random-constant");
        assert_eq!(code(&counter(), &counter()), "nsm-random-constant");
        assert_eq!(code(&counter()[..63], &counter()), "nsm-random-malformed");
        assert_eq!(code(&[], &[]), "nsm-random-malformed");
    }

    proptest! {
        #[test]
        fn what_is_random_passes(first in prop::array::uniform32(any::<u64>()), second in prop::array::uniform32(any::<u64>())) {
            // Shrunk cases are not random; this holds for whatever has no value too often.
            let bytes = |words: [u64; 32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
            let (first, second) = (bytes(first), bytes(second));
            let alike = |answer: &[u8]| (0..=255u8).map(|value| answer.iter().filter(|byte| **byte == value).count()).max();
            prop_assume!(alike(&first) <= Some(MOST_ALIKE) && alike(&second) <= Some(MOST_ALIKE) && first != second);
            prop_assert_eq!(judge(&first, &second), Ok(()));
        }

        #[test]
        fn arbitrary_answers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = random_bytes(&bytes);
            let _ = random_bytes(&response(&[], &bytes));
        }
    }
}
