//! Writing responses.
//!
//! Maps are definite and their keys stand shortest first, which is the order the device uses.
//! The kernel's driver compares the head of the `GetRandom` answer byte by byte, so this is
//! more than taste.

use super::{ErrorCode, PCR_COUNT, Pcr, RANDOM_LEN};
use crate::cbor::{self, Writer};

pub(super) fn describe_nsm(module_id: &str, locked: impl Iterator<Item = u8>) -> Vec<u8> {
    let locked: Vec<u8> = locked.collect();
    cbor::to_vec(|w| {
        tagged(w, "DescribeNSM")?.map(7)?;
        w.str("digest")?.str("SHA384")?;
        w.str("max_pcrs")?.u64(PCR_COUNT as u64)?;
        w.str("module_id")?.str(module_id)?;
        w.str("locked_pcrs")?.array(locked.len() as u64)?;
        for index in &locked {
            w.u8(*index)?;
        }
        w.str("version_major")?.u8(1)?;
        w.str("version_minor")?.u8(0)?;
        w.str("version_patch")?.u8(0)?.ok()
    })
}

pub(super) fn describe_pcr(locked: bool, value: &Pcr) -> Vec<u8> {
    cbor::to_vec(|w| {
        tagged(w, "DescribePCR")?.map(2)?;
        w.str("data")?.bytes(value)?.str("lock")?.bool(locked)?.ok()
    })
}

pub(super) fn extend_pcr(value: &Pcr) -> Vec<u8> {
    one_field("ExtendPCR", "data", value)
}

pub(super) fn get_random(random: &[u8; RANDOM_LEN]) -> Vec<u8> {
    one_field("GetRandom", "random", random)
}

pub(super) fn attestation(document: &[u8]) -> Vec<u8> {
    one_field("Attestation", "document", document)
}

/// The answer of an operation that returns nothing: its name as text.
pub(super) fn done(operation: &str) -> Vec<u8> {
    cbor::to_vec(|w| w.str(operation)?.ok())
}

pub(super) fn error(code: ErrorCode) -> Vec<u8> {
    cbor::to_vec(|w| tagged(w, "Error")?.str(code.as_str())?.ok())
}

fn one_field(operation: &str, field: &str, value: &[u8]) -> Vec<u8> {
    cbor::to_vec(|w| tagged(w, operation)?.map(1)?.str(field)?.bytes(value)?.ok())
}

fn tagged<'a, 'b>(
    w: &'a mut Writer<'b>,
    operation: &str,
) -> Result<&'a mut Writer<'b>, minicbor::encode::Error<std::convert::Infallible>> {
    w.map(1)?.str(operation)
}
