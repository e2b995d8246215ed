//! Nacre's own verifier under the conformance protocol: `peer-nacre portable` or `peer-nacre aws-lc`.
//!
//! One verifier with its memory of chains serves all requests of a root, as in a service.

use std::collections::HashMap;
use std::env;
use std::io;

use nacre_attestation_verifier::{
    Backend, Policy, PolicyError, ResultCode, Roots, RootsError, UnixMillis, VerificationTime,
    Verifier, VerifyError,
};
use nacre_verifier_peers::protocol::{Request, Verdict, serve};

fn main() -> io::Result<()> {
    let name = env::args().nth(1).unwrap_or_default();
    let backend = Backend::ALL.iter().find(|backend| backend.name() == name);
    let backend = *backend.ok_or_else(|| io::Error::other(format!("no backend `{name}`")))?;
    let mut verifiers = HashMap::new();
    serve(|request| match check(backend, &mut verifiers, request) {
        Ok(()) => verdict(ResultCode::Trusted, "trusted", None),
        Err(refusal) => verdict(refusal.code, refusal.rule, Some(refusal.detail)),
    })
}

fn check(
    backend: Backend,
    verifiers: &mut HashMap<Vec<u8>, Verifier>,
    request: &Request,
) -> Result<(), Refusal> {
    let policy = Policy::from_json(request.policy.get().as_bytes())?;
    if !verifiers.contains_key(&request.root) {
        let roots = Roots::development(request.root.clone())?;
        let verifier = Verifier::new(roots).with_backend(backend);
        verifiers.insert(request.root.clone(), verifier);
    }
    let now = VerificationTime::Live(UnixMillis(request.time_ms));
    let evidence = verifiers[&request.root].verify(&request.document, now)?;
    if let Some(nonce) = &request.nonce {
        evidence.require_nonce(nonce)?;
    }
    evidence.appraise(&policy)?;
    Ok(())
}

struct Refusal {
    code: ResultCode,
    rule: &'static str,
    detail: String,
}

macro_rules! refusals {
    ($($error:ty),*) => {$(
        impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self {
                    code: error.code(),
                    rule: error.rule(),
                    detail: error.to_string(),
                }
            }
        }
    )*};
}

refusals!(PolicyError, RootsError, VerifyError);

fn verdict(code: ResultCode, rule: &str, detail: Option<String>) -> Verdict {
    Verdict::Code {
        code: code.exit_status(),
        rule: Some(rule.to_owned()),
        detail,
    }
}
