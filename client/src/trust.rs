//! What the caller trusts: a root and a policy.

use std::sync::{Arc, PoisonError, RwLock};

use nacre_attestation_verifier::{Policy, Roots, Verifier};

/// Where documents must chain to, and which measurements may answer.
///
/// Clones share what they trust: a policy that is replaced is replaced for every client that was given a clone, and
/// certificates that one of them verified are known to all.
#[derive(Debug, Clone)]
pub struct Trust {
    verifier: Arc<Verifier>,
    policy: Arc<RwLock<Arc<Policy>>>,
}

impl Trust {
    /// Trust in enclaves under this root that satisfy this policy.
    pub fn new(roots: Roots, policy: Policy) -> Self {
        Self {
            verifier: Arc::new(Verifier::new(roots).with_document_memory(DOCUMENTS)),
            policy: Arc::new(RwLock::new(Arc::new(policy))),
        }
    }

    /// The same root with a policy of its own, which [`Self::replace_policy`] on `self` does not reach.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            policy: Arc::new(RwLock::new(Arc::new(policy))),
        }
    }

    /// Judges by this policy from now on. Connections that were attested under the one before are attested again
    /// before their next request; a request that was sent already is not called back.
    pub fn replace_policy(&self, policy: Policy) {
        let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(policy);
    }

    /// The trusted root.
    pub fn roots(&self) -> &Roots {
        self.verifier.roots()
    }

    /// The policy of this moment.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What verifies documents against the root.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

/// How many documents are remembered: connections that are opened at one moment get the same one.
const DOCUMENTS: usize = 64;
