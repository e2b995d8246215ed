//! The receiver of webhooks: keeps what it takes, and refuses one in five.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use crate::invariants::Notice;
use crate::site::Site;

#[derive(Clone)]
struct Receiver {
    site: Arc<Site>,
    calls: Arc<AtomicUsize>,
}

/// Starts it, and says where it is.
pub(crate) async fn listen(site: Arc<Site>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = Receiver {
        site,
        calls: Arc::default(),
    };
    let router = Router::new().route("/", post(receive)).with_state(receiver);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

async fn receive(State(to): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    if to.calls.fetch_add(1, Ordering::SeqCst) % 5 == 4 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let notice = Notice {
        id: header("nacre-webhook-id"),
        signature: header("nacre-webhook-signature"),
        body,
    };
    to.site.told().notices.push(notice);
    StatusCode::OK
}
