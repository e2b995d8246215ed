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
    let document = nsm.attest(identity.attestation_request(nonce)).await?;
    let times = DocumentTimes::of(&document)?;
    clock.observe(times.signed_ms, Instant::now());
    Ok((document, times))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::task::{Context, Waker};

    use aws_nitro_enclaves_nsm_api::api::{Request, Response};
    use futures_util::future::join_all;
    use nacre_emulator::socket::system_clock;
    use nacre_emulator::testing::{DevNsm, Wanted};

    use super::*;
    use crate::nsm::Nsm;

    /// A module that tells of each call and answers it when it may.
    struct Gated {
        module: DevNsm,
        called: mpsc::Sender<()>,
        gate: Receiver<bool>,
    }

    impl Nsm for Gated {
        fn call(&mut self, request: Request) -> Result<Response, NsmError> {
            let Request::Attestation { nonce, .. } = request else {
                return Err(NsmError::Stopped);
            };
            self.called.blocking_send(()).unwrap();
            if !self.gate.recv().unwrap() {
                return Err(NsmError::Timeout);
            }
            let wanted = Wanted {
                nonce: nonce.as_ref().map(|nonce| nonce.as_slice()),
                ..Wanted::default()
            };
            let document = self.module.attest(wanted, system_clock());
            Ok(Response::Attestation { document })
        }
    }

    struct Setting {
        freshness: Freshness,
        clock: Arc<AttestedClock>,
        called: mpsc::Receiver<()>,
        gate: SyncSender<bool>,
    }

    fn setting() -> Setting {
        let (called, calls) = mpsc::channel(16);
        let (gate, opened) = sync_channel(16);
        let module = Gated {
            module: DevNsm::new([[1; 48], [2; 48], [3; 48]], system_clock()),
            called,
            gate: opened,
        };
        let (identity, _keys) = Identity::generate(&[0; 256]).unwrap();
        let clock = Arc::new(AttestedClock::default());
        let nsm = NsmHandle::start(module).unwrap();
        Setting {
            freshness: Freshness::start(nsm, Arc::new(identity), Arc::clone(&clock)),
            clock,
            called: calls,
            gate,
        }
    }

    fn is_pending(future: Pin<&mut impl Future>) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        future.poll(&mut nobody).is_pending()
    }

    #[tokio::test]
    async fn who_comes_alone_goes_alone_and_the_rest_together() {
        let mut setting = setting();
        let alone = tokio::spawn({
            let freshness = setting.freshness.clone();
            async move { freshness.evidence([1; 32]).await }
        });
        setting.called.recv().await.unwrap();
        // The first call is under way: these gather.
        let crowd = (0..500u16).map(|i| {
            let mut leaf = [2; 32];
            leaf[..2].copy_from_slice(&i.to_be_bytes());
            setting.freshness.evidence(leaf)
        });
        let opened = async {
            // `join_all` has polled the whole crowd before it gets here.
            setting.gate.send(true).unwrap();
            setting.gate.send(true).unwrap();
        };
        let (crowd, ()) = tokio::join!(join_all(crowd), opened);
        assert_eq!(alone.await.unwrap().unwrap().tree_size, 1);
        let first = crowd[0].as_ref().unwrap().document.clone();
        for (evidence, index) in crowd.into_iter().zip(0..) {
            let evidence = evidence.unwrap();
            assert_eq!((evidence.tree_size, evidence.leaf_index), (500, index));
            assert_eq!(evidence.document, first);
        }
        setting.called.recv().await.unwrap();
        assert!(setting.called.try_recv().is_err(), "two calls in all");
        assert!(setting.clock.now().is_ok());
    }

    #[tokio::test]
    async fn a_call_that_fails_fails_those_who_waited_and_no_others() {
        let setting = setting();
        setting.gate.send(false).unwrap();
        let failed = setting.freshness.evidence([1; 32]).await;
        assert_eq!(failed.unwrap_err(), AttestationUnavailable);
        assert!(setting.clock.now().is_err());
        setting.gate.send(true).unwrap();
        assert!(setting.freshness.evidence([1; 32]).await.is_ok());
        assert!(setting.clock.now().is_ok());
    }

    #[tokio::test]
    async fn who_comes_while_a_call_fails_does_not_wait_for_another() {
        let mut setting = setting();
        let first = tokio::spawn({
            let freshness = setting.freshness.clone();
            async move { freshness.evidence([1; 32]).await }
        });
        setting.called.recv().await.unwrap();
        let during = setting.freshness.evidence([2; 32]);
        let fails = async { setting.gate.send(false).unwrap() };
        // The gate is shut to a second call: an answer can only be the first one's.
        let (during, ()) = tokio::join!(during, fails);
        assert_eq!(during.unwrap_err(), AttestationUnavailable);
        assert_eq!(first.await.unwrap().unwrap_err(), AttestationUnavailable);
        assert!(setting.called.try_recv().is_err(), "one call in all");
    }

    #[tokio::test]
    async fn who_went_away_is_no_leaf() {
        let mut setting = setting();
        let first = tokio::spawn({
            let freshness = setting.freshness.clone();
            async move { freshness.evidence([1; 32]).await }
        });
        setting.called.recv().await.unwrap();
        for n in 0..100 {
            let asked = std::pin::pin!(setting.freshness.evidence([n; 32]));
            // Asked, and dropped before there is an answer.
            assert!(is_pending(asked));
        }
        let stays = setting.freshness.evidence([7; 32]);
        let opened = async {
            setting.gate.send(true).unwrap();
            setting.gate.send(true).unwrap();
        };
        let (stays, ()) = tokio::join!(stays, opened);
        assert_eq!(stays.unwrap().tree_size, 1);
        assert!(first.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn no_more_wait_than_a_tree_has_leaves() {
        let mut setting = setting();
        let first = tokio::spawn({
            let freshness = setting.freshness.clone();
            async move { freshness.evidence([1; 32]).await }
        });
        setting.called.recv().await.unwrap();
        let mut waiting: Vec<_> = (0..65_536)
            .map(|_| Box::pin(setting.freshness.evidence([2; 32])))
            .collect();
        for asked in &mut waiting {
            assert!(is_pending(asked.as_mut()));
        }
        let refused = setting.freshness.evidence([3; 32]).await;
        assert_eq!(refused.unwrap_err(), AttestationUnavailable);
        setting.gate.send(true).unwrap();
        setting.gate.send(true).unwrap();
        let last = waiting.pop().unwrap().await.unwrap();
        assert_eq!((last.tree_size, last.path.len()), (65_536, 16));
        assert!(first.await.unwrap().is_ok());
    }
}
