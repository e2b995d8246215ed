//! Evidence grows old while a connection lives.

use std::time::Duration;

use nacre_attestation_verifier::Policy;
use nacre_client::Trust;
use nacre_protocol::evidence::channel_leaf;
use nacre_tests::evil::{Asked, Behaviour, Enclave, FakeEnclave, HONEST, Reply, now_ms};

use crate::calls::infer;

const MAX_AGE: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(30);

/// Evidence whose document will be too old in a second.
fn aged(enclave: &Enclave, asked: &Asked) -> Reply {
    let leaf = channel_leaf(&asked.nonce, &asked.exporter);
    Reply::Evidence(enclave.evidence_for(leaf, now_ms() - 2_000))
}

fn short_lived(enclave: &Enclave) -> Trust {
    let trust = enclave.trust();
    trust.with_policy(Policy::clone(&trust.policy()).with_max_age(MAX_AGE))
}

#[tokio::test]
async fn stale_evidence_is_asked_for_again_on_the_same_connection() {
    let behaviour = Behaviour::evidence(|enclave, asked| match asked.before {
        0 => aged(enclave, asked),
        _ => Reply::Evidence(enclave.evidence(asked)),
    });
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let client = peer.client(short_lived(&peer.enclave));
    let calls = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while peer.log.evidence_requests() < 2 {
            client
                .call(infer())
                .await
                .expect("evidence is renewed before it is too old");
            ticks.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, calls)
        .await
        .expect("evidence is renewed");
    assert_eq!(peer.log.connections(), 1);
    let enclave = client.attest().await.expect("fresh evidence");
    assert!(enclave.trusted().evidence().age_ms() < 2_000);
}

#[tokio::test]
async fn a_peer_that_is_another_by_then_gets_no_further_request() {
    // The host swaps what answers for evidence: other measurements under the same root, for the same keys.
    let since_ms = now_ms() - 600_000;
    let swapped = Enclave::boot(0, since_ms, [HONEST[0], HONEST[1], [9; 48]]);
    let behaviour = Behaviour::evidence(move |enclave, asked| match asked.before {
        0 => aged(enclave, asked),
        _ => {
            let leaf = channel_leaf(&asked.nonce, &asked.exporter);
            let statement = enclave.statement.encode();
            let document =
                swapped.document(&statement, &enclave.statement.receipt_key, &leaf, now_ms());
            Reply::Evidence(nacre_protocol::evidence::Evidence {
                document,
                ..enclave.evidence_for(leaf, now_ms())
            })
        }
    });
    let peer = FakeEnclave::start(Enclave::boot(0, since_ms, HONEST), behaviour).await;
    let client = peer.client(short_lived(&peer.enclave));
    let mut answered = 0;
    let calls = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            match client.call(infer()).await {
                Ok(_) => answered += 1,
                Err(error) => return error,
            }
            ticks.tick().await;
        }
    };
    let error = tokio::time::timeout(DEADLINE, calls)
        .await
        .expect("evidence is renewed");
    assert_eq!(error.code(), "measurement-mismatch");
    assert!(answered > 0);
    peer.log.all_ended().await;
    assert_eq!(
        peer.log.calls().len(),
        answered,
        "no request after the refusal"
    );
}
