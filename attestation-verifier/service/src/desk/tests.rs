use http_body_util::BodyExt as _;
use k256::ecdsa::SigningKey;
use nacre_attestation_verifier::{Roots, Verifier};
use nacre_emulator::testing::{DevNsm, Wanted};
use nacre_enclave::identity::Identity;
use nacre_protocol::encoding::base64url;
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_700_000_000_000;

struct Setting {
    desk: Arc<Desk>,
    body: Vec<u8>,
}

/// A desk whose clock stands at [`NOW`], and a body that it signs for.
fn setting(limits: DeskLimits) -> Setting {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let wanted = Wanted {
        user_data: Some(&[5; 32]),
        nonce: None,
        public_key: Some(&point.as_bytes()[1..]),
    };
    let mut nsm = DevNsm::new([[1; 48], [2; 48], [3; 48]], NOW);
    let body = json!({
        "document": base64url(&nsm.attest(wanted, NOW)),
        "operator": "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
        "chainId": 1,
        "verifyingContract": "0x0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c",
    });
    let roots = Roots::development(nsm.root_der().to_vec()).unwrap();
    let judge = Arc::new(Judge::new(Verifier::new(roots)));
    let metrics = Arc::new(Metrics::new(&judge));
    let clock = AttestedClock::default();
    clock.observe(NOW, Instant::now(), Instant::now());
    let (_, keys) = Identity::generate(&[0; 32]).unwrap();
    let key = keys.into_receipt_key();
    Setting {
        desk: Arc::new(Desk::new(judge, key, Arc::new(clock), metrics, limits)),
        body: body.to_string().into_bytes(),
    }
}

impl Setting {
    async fn verify(&self) -> (u16, Value) {
        read(self.desk.verify(&self.body).await).await
    }

    fn counted(&self, line: &str) -> bool {
        let text = self.desk.metrics.encode();
        text.lines().any(|counted| counted == line)
    }
}

async fn read(answer: Answer) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn nothing_is_signed_without_attested_time() {
    let mut setting = setting(DeskLimits::default());
    assert_eq!(setting.verify().await.0, 200);
    Arc::get_mut(&mut setting.desk).unwrap().clock = Arc::default();
    let (status, problem) = setting.verify().await;
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("clock-unavailable"))
    );
    assert_eq!(problem.get("signature"), None);
    assert_eq!(problem.get("result"), None, "nothing was judged");
}

#[tokio::test]
async fn who_finds_no_place_in_the_queue_is_sent_away_at_once() {
    let setting = setting(DeskLimits {
        workers: 1,
        queue: 1,
        ..DeskLimits::default()
    });
    let taken = Arc::clone(&setting.desk.places).try_acquire_many_owned(2);
    let (status, problem) = setting.verify().await;
    assert_eq!((status, &problem["code"]), (503, &json!("overloaded")));
    assert!(setting.counted("nacre_verifier_overloaded_total 1"));
    drop(taken);
    assert_eq!(setting.verify().await.0, 200);
}

#[tokio::test]
async fn who_waits_for_too_long_is_sent_away_and_gives_back_the_place() {
    let setting = setting(DeskLimits {
        workers: 1,
        queue: 1,
        wait: Duration::from_millis(20),
        ..DeskLimits::default()
    });
    let busy = Arc::clone(&setting.desk.workers).try_acquire_owned();
    let (status, problem) = setting.verify().await;
    assert_eq!((status, &problem["code"]), (503, &json!("overloaded")));
    assert_eq!(setting.desk.places.available_permits(), 2);
    drop(busy);
    assert_eq!(setting.verify().await.0, 200);
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_no_place_taken() {
    let setting = setting(DeskLimits {
        workers: 1,
        queue: 1,
        ..DeskLimits::default()
    });
    let busy = Arc::clone(&setting.desk.workers).try_acquire_owned();
    let given_up = tokio::time::timeout(Duration::from_millis(20), setting.verify()).await;
    assert!(given_up.is_err());
    assert_eq!(setting.desk.places.available_permits(), 2);
    drop(busy);
    assert_eq!(setting.verify().await.0, 200);
}

#[tokio::test]
async fn a_connection_that_asks_too_often_does_not_stop_another() {
    let setting = setting(DeskLimits {
        connection_rate: Rate {
            per_second: 1,
            burst: 2,
        },
        ..DeskLimits::default()
    });
    let (one, other) = (setting.desk.visitor(), setting.desk.visitor());
    let headers = HeaderMap::from_iter([(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    )]);
    let turned_away = |visitor| setting.desk.turned_away(visitor, &Method::POST, &headers);
    assert!(turned_away(&one).is_none() && turned_away(&one).is_none());
    let refused = turned_away(&one).unwrap();
    assert_eq!(refused.headers()[RETRY_AFTER], "1");
    let (status, problem) = read(refused).await;
    assert_eq!((status, &problem["code"]), (429, &json!("rate-limited")));
    assert!(turned_away(&other).is_none());
    assert!(setting.counted("nacre_verifier_rate_limited_total{scope=\"connection\"} 1"));
    assert!(setting.counted("nacre_verifier_open_connections 2"));
    drop((one, other));
    assert!(setting.counted("nacre_verifier_open_connections 0"));
}

#[tokio::test]
async fn all_connections_together_have_a_rate() {
    let setting = setting(DeskLimits {
        rate: Rate {
            per_second: 1,
            burst: 1,
        },
        ..DeskLimits::default()
    });
    let headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let ask = || {
        let visitor = setting.desk.visitor();
        let answer = setting.desk.turned_away(&visitor, &Method::POST, &headers);
        answer.map(|answer| answer.status().as_u16())
    };
    assert_eq!((ask(), ask()), (None, Some(429)));
    assert!(setting.counted("nacre_verifier_rate_limited_total{scope=\"all\"} 1"));
}
