use nacre_control_plane::{Config, Rate, keys};
use reqwest::{Method, StatusCode};

use crate::support::{Server, refused};

/// One a minute would be slower than any test: what is taken at once is all there is.
fn slow(config: &mut Config) {
    config.rates.per_token = Some(Rate {
        per_second: 1,
        burst: 3,
    });
}

fn few_strangers(config: &mut Config) {
    config.rates.per_address = Some(Rate {
        per_second: 1,
        burst: 3,
    });
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let server = Server::tuned(slow).await;
    let other = keys::create(&server.database, "other").await.unwrap();
    let ask = || server.request(Method::GET, "/v1/functions");
    let mut limited = None;
    for _ in 0..50 {
        let response = ask().send().await.unwrap();
        if response.status() != StatusCode::OK {
            limited = Some(response);
            break;
        }
    }
    let response = limited.expect("fifty requests take less than fifty seconds");
    let after: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&after));
    crate::support::problem(response, 429, "rate-limited").await;
    let others = server
        .anonymous(Method::GET, "/v1/functions")
        .bearer_auth(&other.key);
    assert_eq!(others.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_address_without_a_token_is_held_down_before_anything_is_looked_at() {
    let server = Server::tuned(few_strangers).await;
    // With a valid token nothing counts against the address.
    for _ in 0..20 {
        let response = server
            .request(Method::GET, "/v1/functions")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    let ask = || server.anonymous(Method::GET, "/v1/functions");
    for _ in 0..3 {
        refused(ask(), 401, "unauthenticated").await;
    }
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(ask().send().await.unwrap().status().as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}
