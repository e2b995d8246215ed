//! The attacks and refusals of the manual (`src/manual`), tried on this verifier. Each test bears out one entry there.

mod binding;
mod cache;
mod chain;
mod encoding;
mod index;
mod measurements;
mod shape;
mod signature;
mod time;

use nacre_attestation_verifier::{
    Policy, ResultCode, Roots, TrustedEnclave, UnixMillis, VerificationTime, VerifyError, verify,
};

use crate::builder::{DocumentOrder, NOW_MS, own_policy};

/// A result code and the rule behind it.
type Verdict = (ResultCode, &'static str);

const TRUSTED: Verdict = (ResultCode::Trusted, "trusted");

fn verdict<T>(result: Result<T, VerifyError>) -> Verdict {
    match result {
        Ok(_) => TRUSTED,
        Err(error) => (error.code(), error.rule()),
    }
}

/// The verdict on a valid document after a change, by the policy that names its measurements.
fn after(change: impl FnOnce(&mut DocumentOrder)) -> Verdict {
    verdict(appraised(change, &own_policy()))
}

fn appraised(
    change: impl FnOnce(&mut DocumentOrder),
    policy: &Policy,
) -> Result<TrustedEnclave, VerifyError> {
    let mut order = DocumentOrder::valid();
    change(&mut order);
    order
        .verify()
        .and_then(|evidence| evidence.appraise(policy))
}

/// The verdict on a document's bytes under a root that its maker cannot choose.
fn under(roots: &Roots, document: &[u8]) -> Verdict {
    verdict(verify(
        document,
        roots,
        VerificationTime::Live(UnixMillis(NOW_MS)),
    ))
}
