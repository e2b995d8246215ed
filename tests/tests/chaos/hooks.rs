//! The receiver of webhooks: keeps what it takes, and refuses one in five.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::caller::Caller;
use crate::invariants::Notice;

/// Of so many calls one is refused.
const REFUSED: usize = 5;

/// Takes what is posted, for as long as the runtime runs.
pub(crate) async fn listen(listener: TcpListener, caller: Arc<Caller>) {
    let calls = Arc::<AtomicUsize>::default();
    while let Ok((stream, _)) = listener.accept().await {
        let (caller, calls) = (Arc::clone(&caller), Arc::clone(&calls));
        let service = service_fn(move |request| {
            let turn = calls.fetch_add(1, Ordering::SeqCst);
            receive(Arc::clone(&caller), turn, request)
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // Whoever posts may die in the middle of it.
        tokio::spawn(async move { drop(serving.await) });
    }
}

async fn receive(
    caller: Arc<Caller>,
    turn: usize,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        Ok(response)
    };
    if turn % REFUSED == REFUSED - 1 {
        return answer(StatusCode::SERVICE_UNAVAILABLE);
    }
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (id, signature) = (
        header("nacre-webhook-id"),
        header("nacre-webhook-signature"),
    );
    // What did not come whole was not taken.
    let Ok(body) = body.collect().await else {
        return answer(StatusCode::BAD_REQUEST);
    };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    caller.told().notices.push(Notice {
        id,
        signature,
        body,
    });
    answer(StatusCode::OK)
}
