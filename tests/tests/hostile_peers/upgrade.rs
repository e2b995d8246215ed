//! A new image replaces an old one while callers call.

use std::time::Duration;

use nacre_attestation_verifier::{Measurements, Pcr, Policy, UnixSeconds};
use nacre_client::{AttestedClient, ClientOptions, Trust};
use nacre_tests::evil::{Behaviour, Enclave, FakeEnclave, HONEST, function, now_ms};

use crate::calls::infer;
use crate::proxy::{DEADLINE, Places, Running, echo, on_loopback};

/// The measurements of the image that comes.
const NEXT: [[u8; 48]; 3] = [[0x11; 48], [0x12; 48], [0x13; 48]];

/// Two enclaves under one root: of the image that goes and of the one that comes.
struct Rollout {
    old: FakeEnclave,
    new: FakeEnclave,
}

impl Rollout {
    async fn start() -> Self {
        let since_ms = now_ms() - 600_000;
        let boot = |measurements| Enclave::boot(0, since_ms, measurements);
        Self {
            old: FakeEnclave::start(boot(HONEST), Behaviour::honest()).await,
            new: FakeEnclave::start(boot(NEXT), Behaviour::honest()).await,
        }
    }

    fn trust(&self, sets: Vec<Measurements>) -> Trust {
        let policy = Policy::new(sets).expect("a policy");
        self.old.enclave.trust().with_policy(policy)
    }

    fn endpoints(&self) -> Vec<nacre_client::Endpoint> {
        vec![self.old.endpoint(), self.new.endpoint()]
    }

    fn calls(&self) -> (usize, usize) {
        (self.old.log.calls().len(), self.new.log.calls().len())
    }
}

fn set(pcrs: [[u8; 48]; 3]) -> Measurements {
    let [pcr0, pcr1, pcr2] = pcrs.map(Pcr);
    Measurements::new(pcr0, pcr1, pcr2)
}

/// A policy in which the old image is trusted to the end of this second, and the new one from the next.
fn hand_over() -> (Vec<Measurements>, u64) {
    let last = now_ms() / 1000 + 1;
    let old = Measurements {
        not_after: Some(UnixSeconds(last)),
        ..set(HONEST)
    };
    let new = Measurements {
        not_before: Some(UnixSeconds(last + 1)),
        ..set(NEXT)
    };
    (vec![old, new], (last + 1) * 1000)
}

#[tokio::test]
async fn the_client_moves_over_by_itself_and_no_call_fails() {
    let rollout = Rollout::start().await;
    let (sets, handed_over_ms) = hand_over();
    let client = AttestedClient::new(
        rollout.trust(sets),
        Some(function()),
        rollout.endpoints(),
        ClientOptions::default(),
    );
    let mut before = 0;
    let calls = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while rollout.new.log.calls().is_empty() {
            let at_ms = now_ms();
            client.call(infer()).await.expect("one of them is trusted");
            if at_ms < handed_over_ms {
                before = rollout.old.log.calls().len();
            }
            ticks.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, calls)
        .await
        .expect("the new image answers");
    assert!(before > 0, "the old image answered in its time");
    assert!(
        now_ms() >= handed_over_ms,
        "the new one not before its time"
    );
    let (old, new) = rollout.calls();
    for _ in 0..5 {
        client
            .call(infer())
            .await
            .expect("the new image is trusted");
    }
    assert_eq!(
        rollout.calls(),
        (old, new + 5),
        "the old one is asked no more"
    );
}

#[tokio::test]
async fn the_proxy_moves_over_by_itself_and_no_call_fails() {
    let rollout = Rollout::start().await;
    let (sets, handed_over_ms) = hand_over();
    let places = Places::new(Ok(rollout.endpoints()));
    let proxy = Running::start(on_loopback(), rollout.trust(sets), echo(), places).await;
    let calls = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while rollout.new.log.calls().is_empty() {
            assert_eq!(proxy.infer().await.status(), 200);
            ticks.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, calls)
        .await
        .expect("the new image answers");
    assert!(now_ms() >= handed_over_ms);
    assert!(rollout.calls().0 > 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_replaced_policy_holds_from_the_next_call_on() {
    let rollout = Rollout::start().await;
    let trust = rollout.trust(vec![set(HONEST)]);
    let client = AttestedClient::new(
        trust.clone(),
        Some(function()),
        rollout.endpoints(),
        ClientOptions::default(),
    );
    client
        .call(infer())
        .await
        .expect("the old image is trusted");
    trust.replace_policy(Policy::new(vec![set(NEXT)]).expect("a policy"));
    client
        .call(infer())
        .await
        .expect("the new image is trusted");
    assert_eq!(rollout.calls(), (1, 1));
    trust.replace_policy(Policy::new(vec![set([[0x21; 48]; 3])]).expect("a policy"));
    let refused = client.call(infer()).await.expect_err("neither is trusted");
    assert_eq!(refused.code(), "measurement-mismatch");
    assert_eq!(rollout.calls(), (1, 1));
}
