//! What a caller can cost: connections, rates; and the numbers that tell of it.

use std::time::Duration;

use tokio::task::JoinSet;

use super::setting::{Caller, Service, Subject, WORKER, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_its_rate_is_told_when_to_come_again_and_others_are_served() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |config| {
        config.desk.connection_rate.per_second = 1;
        config.desk.connection_rate.burst = 3;
    })
    .await;
    let question = question(&subject.document());
    let (mut greedy, mut modest) = (service.connect().await, service.connect().await);
    let mut statuses = Vec::new();
    let limited = loop {
        let answer = greedy.verify(&question).await;
        statuses.push(answer.status);
        if answer.status != 200 {
            break answer;
        }
    };
    assert!(statuses.len() >= 4, "{statuses:?}");
    assert_eq!(limited.refusal(), (429, "rate-limited", None));
    assert_eq!(limited.headers["retry-after"], "1");
    assert_eq!(modest.verify(&question).await.status, 200);
    let metrics = service.metrics().await;
    assert_eq!(
        metrics["nacre_verifier_rate_limited_total{scope=\"connection\"}"],
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_together_have_a_rate() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |config| {
        config.desk.rate.per_second = 1;
        config.desk.rate.burst = 4;
    })
    .await;
    let question = question(&subject.document());
    let mut callers = Vec::new();
    for _ in 0..12 {
        callers.push(service.connect().await);
    }
    let mut asked = JoinSet::new();
    for mut caller in callers {
        let question = question.clone();
        asked.spawn(async move { caller.verify(&question).await.status });
    }
    let answers = asked.join_all().await;
    let served = answers.iter().filter(|status| **status == 200).count();
    let limited = answers.iter().filter(|status| **status == 429).count();
    assert_eq!(served + limited, 12, "{answers:?}");
    assert!((4..12).contains(&served), "{answers:?}");
    let metrics = service.metrics().await;
    let counted = metrics["nacre_verifier_rate_limited_total{scope=\"all\"}"];
    assert_eq!(counted, limited as f64);
}

/// With room for two, a third waits until one has left, and is served then.
#[tokio::test(flavor = "multi_thread")]
async fn connections_have_a_limit() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |config| config.front.max_connections = 2).await;
    let question = question(&subject.document());
    let (first, mut second) = (service.connect().await, service.connect().await);
    let mut third = std::pin::pin!(service.connect());
    let early = tokio::time::timeout(Duration::from_millis(300), third.as_mut()).await;
    assert!(early.is_err(), "a third was served");
    assert_eq!(second.verify(&question).await.status, 200);
    drop(first);
    let mut third: Caller = third.await;
    assert_eq!(third.verify(&question).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    for _ in 0..3 {
        let answer = caller.verify(&question(&subject.document())).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(caller.verify(&question(b"")).await.status, 422);
    assert_eq!(caller.post("{}").await.status, 400);

    let metrics = service.metrics().await;
    for (sample, value) in [
        ("verdicts_total{result=\"0\",rule=\"trusted\"}", 3.0),
        ("verdicts_total{result=\"10\",rule=\"cbor-truncated\"}", 1.0),
        ("verify_seconds_count", 4.0),
        ("requests_total{path=\"/v1/verify\",status=\"200\"}", 3.0),
        ("requests_total{path=\"/v1/verify\",status=\"422\"}", 1.0),
        ("requests_total{path=\"/v1/verify\",status=\"400\"}", 1.0),
        (
            "requests_total{path=\"/.well-known/nacre/attestation\",status=\"200\"}",
            1.0,
        ),
        ("connections_total", 1.0),
        ("open_connections", 1.0),
        // The chain below the root has four certificates, signed for once and remembered twice.
        ("chain_cache_misses_total", 4.0),
        ("chain_cache_hits_total", 8.0),
    ] {
        let found = metrics.get(&format!("nacre_verifier_{sample}"));
        assert_eq!(found, Some(&value), "{sample}: {metrics:#?}");
    }
    drop(caller);
    let gone = async {
        let mut often = tokio::time::interval(Duration::from_millis(10));
        while service.metrics().await["nacre_verifier_open_connections"] != 0.0 {
            often.tick().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(10), gone).await;
    assert!(gone.is_ok(), "it is counted for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_in_order_while_a_caller_is_connected() {
    let mut subject = Subject::running(WORKER);
    let service = Service::start(&subject, |_| ()).await;
    let mut caller = service.connect().await;
    let answer = caller.verify(&question(&subject.document())).await;
    assert_eq!(answer.status, 200);
    let address = service.verifier.tls_address().clone();
    let ended = tokio::time::timeout(Duration::from_secs(5), service.verifier.stop()).await;
    assert!(ended.is_ok(), "an idle connection held it up");
    let soon = tokio::time::Instant::now() + Duration::from_secs(1);
    assert!(nacre_transport::connect(&address, soon).await.is_err());
}
