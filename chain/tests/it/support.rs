//! A chain, accounts on it, and nodes that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use nacre_chain::account::{Account, Patience};
use nacre_chain::anvil::{self, Anvil, AnvilOptions};
use nacre_chain::rpc::{Rpc, connect};
use nacre_chain::settings::{AWS_ROOT_ID, Settings};
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

/// A chain that makes a block for each transaction at once; `None` where anvil is missing.
pub(crate) async fn chain() -> Option<Anvil> {
    if anvil::find().is_none() {
        eprintln!("left out: anvil is missing (make contracts)");
        return None;
    }
    Some(Anvil::start(&AnvilOptions::default()).await.unwrap())
}

pub(crate) fn patience(within: Duration) -> Patience {
    Patience {
        confirmations: 1,
        within,
        every: Duration::from_millis(20),
    }
}

/// One of the chain's rich accounts, by way of these nodes.
pub(crate) async fn account(
    rpc: &Rpc,
    index: usize,
    within: Duration,
) -> Result<Account, nacre_chain::error::ChainError> {
    let wallet = anvil::account(index).unwrap();
    let provider = connect(rpc, Some(&wallet))?;
    Account::new(provider, wallet, patience(within)).await
}

pub(crate) fn settings() -> Settings {
    let [owner, second] = [0, 1].map(|index| anvil::account(index).unwrap().address());
    Settings::development(owner, second, AWS_ROOT_ID)
}

/// How a node fails its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not.
    None,
    /// It answers as many requests, hands the next one on and loses the answer, and then nothing any more.
    DiesAfter(usize),
    /// It takes requests and says nothing.
    Stalls,
    /// It answers without end.
    Endless,
    /// It says that nothing is anywhere.
    Lies,
    /// It has had enough.
    Limits,
    /// It answers another question.
    Confused,
}

/// A node in front of the chain's that fails.
pub(crate) struct Faulty {
    pub(crate) url: Url,
    served: Arc<Node>,
}

struct Node {
    fault: Fault,
    behind: Url,
    client: reqwest::Client,
    asked: AtomicUsize,
}

impl Faulty {
    pub(crate) async fn start(behind: &Url, fault: Fault) -> Self {
        let served = Arc::new(Node {
            fault,
            behind: behind.clone(),
            client: reqwest::Client::new(),
            asked: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&served));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, served }
    }

    /// How many requests it was sent.
    pub(crate) fn asked(&self) -> usize {
        self.served.asked.load(Ordering::SeqCst)
    }
}

async fn answer(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let before = node.asked.fetch_add(1, Ordering::SeqCst);
    let mut request: Value = serde_json::from_slice(&body).unwrap();
    let id = request["id"].clone();
    let error = |code: i64, message: &str| {
        let error = serde_json::json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
        axum::Json(error).into_response()
    };
    match node.fault {
        Fault::DiesAfter(count) if before > count => {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        Fault::Stalls => std::future::pending().await,
        Fault::Limits => return error(-32005, "too many requests"),
        Fault::Endless => {
            let endless = futures_util::stream::repeat_with(|| {
                Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096]))
            });
            return axum::body::Body::from_stream(endless).into_response();
        }
        _ => {}
    }
    if node.fault == Fault::Confused {
        request["id"] = Value::from(u32::MAX);
    }
    let answer = node
        .client
        .post(node.behind.clone())
        .json(&request)
        .send()
        .await
        .unwrap();
    let mut answer: Value = answer.json().await.unwrap();
    match node.fault {
        Fault::DiesAfter(count) if before == count => {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        Fault::Lies => {
            let method = request["method"].as_str().unwrap();
            match method {
                "eth_getCode" => answer["result"] = Value::from("0x"),
                "eth_blockNumber" => answer["result"] = Value::from("0xffffff"),
                "eth_getBalance" => answer["result"] = Value::from("0x0"),
                _ => {}
            }
        }
        _ => {}
    }
    axum::Json(answer).into_response()
}
