//! Fresh evidence for many at the price of one NSM call (DESIGN §3.2, step 3).
//!
//! An actor owns the questions to the module. While one call is under way, leaves gather; the next call takes all
//! that wait, with the root of their Merkle tree as its nonce. A leaf that comes when nothing is under way does not
//! wait for company. The same actor keeps the attested clock fed when nobody asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nacre_protocol::evidence::Evidence;
use nacre_protocol::merkle::{Hash, MAX_LEAVES, Tree};
use tokio::sync::{mpsc, oneshot};

use crate::clock::AttestedClock;
use crate::identity::Identity;
use crate::nsm::document::DocumentTimes;
use crate::nsm::{NsmError, NsmHandle};

/// The clock is fed a document at least this often.
const REFRESH: Duration = Duration::from_secs(20);
/// How soon the module is asked again after it failed.
const RETRY: Duration = Duration::from_secs(2);

/// The way to the actor. Clones share it.
#[derive(Debug, Clone)]
pub struct Freshness {
    waiting: mpsc::Sender<Waiting>,
    identity: Arc<Identity>,
}

/// No evidence: the module does not answer, or more callers wait than a tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secure module gives no attestation at the moment; try again")]
pub struct AttestationUnavailable;

#[derive(Debug)]
struct Waiting {
    leaf: Hash,
    answer: oneshot::Sender<Result<Proof, AttestationUnavailable>>,
}

/// A batch that was attested, and one leaf's place in it.
#[derive(Debug)]
struct Proof {
    batch: Arc<Batch>,
    index: u32,
}

#[derive(Debug)]
struct Batch {
    document: Vec<u8>,
    tree: Tree,
}

impl Freshness {
    /// Starts the actor; it ends with the last handle.
    pub fn start(nsm: NsmHandle, identity: Arc<Identity>, clock: Arc<AttestedClock>) -> Self {
        let (waiting, queue) = mpsc::channel(MAX_LEAVES as usize);
        let actor = Actor {
            nsm,
            identity: Arc::clone(&identity),
            clock,
        };
        tokio::spawn(actor.run(queue));
        Self { waiting, identity }
    }

    /// Evidence whose document's nonce is the root of a tree with this leaf.
    pub async fn evidence(&self, leaf: Hash) -> Result<Evidence, AttestationUnavailable> {
        let (answer, answered) = oneshot::channel();
        self.waiting
            .try_send(Waiting { leaf, answer })
            .map_err(|_| AttestationUnavailable)?;
        let proof = answered.await.map_err(|_| AttestationUnavailable)??;
        Ok(Evidence {
            document: proof.batch.document.clone(),
            statement: self.identity.encoded().to_vec(),
            leaf_index: proof.index,
            tree_size: proof.batch.tree.size(),
            path: proof
                .batch
                .tree
                .path(proof.index)
                .ok_or(AttestationUnavailable)?,
        })
    }
}

/// What came of a call to the module.
enum Called {
    /// There was nobody left to call for.
    Not,
    Answered,
    Failed,
}

struct Actor {
    nsm: NsmHandle,
    identity: Arc<Identity>,
    clock: Arc<AttestedClock>,
}

impl Actor {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        let mut gathered = Vec::new();
        let mut refresh_at = tokio::time::Instant::now() + REFRESH;
        loop {
            let arrived = tokio::select! {
                count = queue.recv_many(&mut gathered, MAX_LEAVES as usize) => count,
                () = tokio::time::sleep_until(refresh_at) => {
                    let refreshed = self.attest(None).await.is_ok();
                    if !refreshed {
                        fail_all(&mut queue);
                    }
                    refresh_at = tokio::time::Instant::now() + if refreshed { REFRESH } else { RETRY };
                    continue;
                }
            };
            if arrived == 0 {
                return;
            }
            match self.answer(&mut gathered).await {
                Called::Answered => refresh_at = tokio::time::Instant::now() + REFRESH,
                Called::Failed => fail_all(&mut queue),
                // The clock was not fed: who asks and goes away must not keep it from being.
                Called::Not => {}
            }
        }
    }

    /// Answers all that gathered with one call.
    async fn answer(&self, gathered: &mut Vec<Waiting>) -> Called {
        gathered.retain(|waiting| !waiting.answer.is_closed());
        let Some(tree) = Tree::new(gathered.iter().map(|waiting| waiting.leaf).collect()) else {
            return Called::Not;
        };
        match self.attest(Some(tree.root())).await {
            Ok(document) => {
                let batch = Arc::new(Batch { document, tree });
                for (waiting, index) in gathered.drain(..).zip(0..MAX_LEAVES) {
                    let batch = Arc::clone(&batch);
                    let _ = waiting.answer.send(Ok(Proof { batch, index }));
                }
                Called::Answered
            }
            Err(()) => {
                for waiting in gathered.drain(..) {
                    let _ = waiting.answer.send(Err(AttestationUnavailable));
                }
                Called::Failed
            }
        }
    }

    async fn attest(&self, nonce: Option<Hash>) -> Result<Vec<u8>, ()> {
        attest(&self.nsm, &self.identity, &self.clock, nonce)
            .await
            .map(|(document, _)| document)
            .map_err(|error| tracing::error!(%error, "no attestation"))
    }
}

/// Tells those who wait now. Who comes meanwhile is left for the next call.
fn fail_all(queue: &mut mpsc::Receiver<Waiting>) {
    for _ in 0..queue.len() {
        if let Ok(waiting) = queue.try_recv() {
            let _ = waiting.answer.send(Err(AttestationUnavailable));
        }
    }
}

/// Asks the module for a document of this boot and sets the clock by it.
pub(crate) async fn attest(
    nsm: &NsmHandle,
    identity: &Identity,
    clock: &AttestedClock,
    nonce: Option<Hash>,
) -> Result<(Vec<u8>, DocumentTimes), NsmError> {
    let asked = Instant::now();
    let document = nsm.attest(identity.attestation_request(nonce)).await?;
    let times = DocumentTimes::of(&document)?;
    clock.observe(times.signed_ms, asked, Instant::now());
    Ok((document, times))
}

#[cfg(test)]
#[path = "freshness_tests.rs"]
mod tests;
