//! The same bytes to every backend, with and without a memory of chains: one rule and one code.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0, even | the rest is a document |
//! | 0, odd | the rest is a forgery ([`super::forge`]) |

use std::sync::LazyLock;

use nacre_attestation_verifier::{
    Backend, ResultCode, Roots, UnixMillis, UnverifiedDocument, VerificationTime, VerifiedEvidence,
    Verifier, VerifyError,
};

use super::forge::{Forgery, NOW_MS};
use super::signed::{USUAL_ROOT, Verdict, root, time};

/// Asks every verifier about the document. The rule is that of all of them.
pub fn differential(data: &[u8]) -> Verdict {
    let Some((kind, data)) = data.split_first() else {
        return Err("too-short");
    };
    if kind.is_multiple_of(2) {
        return raw(data);
    }
    let forgery = Forgery::from_bytes(data);
    let encoded = forgery.encode();
    let roots = root(&forgery, &encoded)?;
    agree(&encoded.document, &roots, time(&forgery))
}

/// A document under the usual root, and under the one that it claims for itself at the time that it claims.
fn raw(document: &[u8]) -> Verdict {
    let usual = agree(
        document,
        &USUAL_ROOT,
        VerificationTime::Archive(UnixMillis(NOW_MS)),
    );
    match claimed(document) {
        Some((roots, at)) => agree(document, &roots, at),
        None => usual,
    }
}

/// The root and the time that a document names, if it can be read and that root is one.
pub(super) fn claimed(document: &[u8]) -> Option<(Roots, VerificationTime)> {
    let document = UnverifiedDocument::parse(document).ok()?;
    let claims = document.claims();
    let roots = Roots::development(claims.cabundle.first()?.clone()).ok()?;
    Some((
        roots,
        VerificationTime::Archive(UnixMillis(claims.timestamp_ms)),
    ))
}

fn agree(document: &[u8], roots: &Roots, at: VerificationTime) -> Verdict {
    let without = Verifier::new(roots.clone()).with_cache_capacity(0);
    let mut verdicts = vec![ask(&without, document, at)];
    for &backend in Backend::ALL {
        // Twice: what it has learnt from the first answer must not change the second.
        let learning = Verifier::new(roots.clone()).with_backend(backend);
        verdicts.push(ask(&learning, document, at));
        verdicts.push(ask(&learning, document, at));
    }
    if *roots == *USUAL_ROOT {
        // These have seen everything that was accepted before, and know the usual chain.
        verdicts.extend(
            EXPERIENCED
                .iter()
                .map(|verifier| ask(verifier, document, at)),
        );
    }
    let Some(first) = verdicts.pop() else {
        panic!("there is a backend");
    };
    assert!(
        verdicts.iter().all(|other| *other == first),
        "{first:?}, and also {verdicts:?}"
    );
    first.map(drop).map_err(|(rule, _)| rule)
}

fn ask(
    verifier: &Verifier,
    document: &[u8],
    at: VerificationTime,
) -> Result<VerifiedEvidence, (&'static str, ResultCode)> {
    let verdict = verifier.verify(document, at);
    verdict.map_err(|error: VerifyError| (error.rule(), error.code()))
}

/// Verifiers that live as long as the run: with a large memory, and the fastest with one that is too small for a chain.
static EXPERIENCED: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    let usual = Forgery::valid().encode().document;
    let verifier = |backend, capacity| {
        let verifier = Verifier::new(USUAL_ROOT.clone())
            .with_backend(backend)
            .with_cache_capacity(capacity);
        let verdict = ask(
            &verifier,
            &usual,
            VerificationTime::Archive(UnixMillis(NOW_MS)),
        );
        assert!(verdict.is_ok(), "{verdict:?}");
        verifier
    };
    let mut verifiers = vec![verifier(Backend::default(), 1)];
    verifiers.extend(Backend::ALL.iter().map(|backend| verifier(*backend, 1024)));
    verifiers
});
