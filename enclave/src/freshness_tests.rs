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
