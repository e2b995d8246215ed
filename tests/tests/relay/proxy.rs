//! An Ethereum node that lies, stalls, or is behind: a proxy before the one that there is.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::net::Net;

/// How a node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Honest,
    /// Every hexadecimal word of every answer is another one; transactions are thrown away.
    Lies,
    /// It takes requests and never answers.
    Stalls,
    /// As it was when this block was the latest; it knows its own transactions all the same.
    Behind(u64),
}

/// A proxy, until the chain ends.
pub(crate) struct Proxy {
    pub(crate) url: String,
    mode: Arc<Mutex<Mode>>,
}

impl Proxy {
    pub(crate) fn before(net: &Net, mode: Mode) -> anyhow::Result<Self> {
        let mode = Arc::new(Mutex::new(mode));
        let listener = net.runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let (node, present) = (net.url().clone(), Arc::clone(&mode));
        net.runtime.spawn(async move {
            let client = reqwest::Client::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (client, node, mode) = (client.clone(), node.clone(), Arc::clone(&present));
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(&client, &node, &mode, request));
                    let served =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ = served.await;
                });
            }
        });
        Ok(Self { url, mode })
    }

    pub(crate) fn becomes(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

async fn answer(
    client: &reqwest::Client,
    node: &Url,
    mode: &Mutex<Mode>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mode = *mode.lock().unwrap();
    let body = request.into_body().collect().await;
    let asked: Option<Value> = body
        .ok()
        .and_then(|b| serde_json::from_slice(&b.to_bytes()).ok());
    let mut asked = asked.unwrap_or_default();
    let method = asked["method"].as_str().unwrap_or_default().to_owned();
    match mode {
        Mode::Stalls => std::future::pending().await,
        Mode::Lies if method == "eth_sendRawTransaction" => {
            asked["method"] = json!("eth_blockNumber")
        }
        Mode::Behind(block) => put_back(&mut asked["params"], &json!(format!("{block:#x}"))),
        _ => {}
    }
    let sent = client.post(node.clone()).json(&asked).send().await;
    let mut said: Value = match sent {
        Ok(said) => said.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    };
    match mode {
        Mode::Lies => twist(&mut said["result"]),
        Mode::Behind(block) if method == "eth_blockNumber" => {
            said["result"] = json!(format!("{block:#x}"));
        }
        // It has no later block.
        Mode::Behind(block) if method == "eth_getBlockByNumber" => {
            let number = said["result"]["number"].as_str().unwrap_or("0x0");
            let number = u64::from_str_radix(number.trim_start_matches("0x"), 16);
            if number.is_ok_and(|number| number > block) {
                said["result"] = Value::Null;
            }
        }
        _ => {}
    }
    Ok(Response::new(Full::new(said.to_string().into())))
}

/// The latest block is this one.
fn put_back(params: &mut Value, block: &Value) {
    for param in params.as_array_mut().into_iter().flatten() {
        if *param == "latest" || *param == "pending" {
            *param = block.clone();
        }
    }
}

fn twist(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("0x") && text.len() > 2 => {
            let last = if text.ends_with('0') { '1' } else { '0' };
            text.pop();
            text.push(last);
        }
        Value::Array(values) => values.iter_mut().for_each(twist),
        Value::Object(fields) => fields.values_mut().for_each(twist),
        _ => {}
    }
}
