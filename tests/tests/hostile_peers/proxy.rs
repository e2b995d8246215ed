//! A proxy under test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nacre_client::proxy::{ProxiedFunction, Proxy, ProxyConfig, ProxyListen, Resolver, bind};
use nacre_client::{Endpoint, Trust};
use nacre_protocol::ids::FunctionName;
use nacre_tests::evil::{Behaviour, Enclave, FakeEnclave, function};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::calls::infer;

/// How long a test waits for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Where functions are said to run; counts how often that was asked.
#[derive(Debug)]
pub(crate) struct Places {
    answer: Mutex<Result<Vec<Endpoint>, String>>,
    asked: watch::Sender<usize>,
}

impl Places {
    pub(crate) fn new(answer: Result<Vec<Endpoint>, String>) -> Arc<Self> {
        let (answer, asked) = (Mutex::new(answer), watch::Sender::new(0));
        Arc::new(Self { answer, asked })
    }

    pub(crate) fn set(&self, answer: Result<Vec<Endpoint>, String>) {
        *self.answer.lock().expect("no panic") = answer;
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    pub(crate) async fn asked_more_than(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        let more = tokio::time::timeout(DEADLINE, asked.wait_for(|asked| *asked > times)).await;
        more.expect("the proxy asks where the function is")
            .expect("it lives");
    }
}

struct Directory(Arc<Places>);

impl Resolver for Directory {
    async fn endpoints(&self, _: &FunctionName) -> Result<Vec<Endpoint>, String> {
        self.0.asked.send_modify(|asked| *asked += 1);
        self.0.answer.lock().expect("no panic").clone()
    }
}

/// An enclave that does nothing wrong.
pub(crate) async fn honest() -> FakeEnclave {
    FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await
}

/// A proxy that runs, until this value is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) listen: ProxyListen,
    pub(crate) places: Arc<Places>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

pub(crate) fn echo() -> Vec<ProxiedFunction> {
    functions(&["echo"])
}

pub(crate) fn functions(names: &[&str]) -> Vec<ProxiedFunction> {
    let function = |name: &&str| ProxiedFunction {
        name: name.parse().expect("a name"),
        digest: function(),
    };
    names.iter().map(function).collect()
}

pub(crate) fn on_loopback() -> ProxyConfig {
    ProxyConfig::new("127.0.0.1:0".parse().expect("loopback"))
}

impl Running {
    /// A proxy for `echo` at one peer.
    pub(crate) async fn before(peer: &FakeEnclave) -> Self {
        Self::with(on_loopback(), peer, echo()).await
    }

    /// A proxy for functions that all run at one peer, which is trusted.
    pub(crate) async fn with(
        config: ProxyConfig,
        peer: &FakeEnclave,
        functions: Vec<ProxiedFunction>,
    ) -> Self {
        let places = Places::new(Ok(vec![peer.endpoint()]));
        Self::start(config, peer.enclave.trust(), functions, places).await
    }

    pub(crate) async fn start(
        config: ProxyConfig,
        trust: Trust,
        functions: Vec<ProxiedFunction>,
        places: Arc<Places>,
    ) -> Self {
        let directory = Directory(Arc::clone(&places));
        let proxy: Proxy = bind(config, trust, functions, directory)
            .await
            .expect("a proxy");
        let listen = proxy.local_addr().clone();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(proxy.run(async {
            // Dropping the sender is a stop too.
            let _ = stopped.await;
        }));
        Self {
            listen,
            places,
            stop,
            task,
        }
    }

    /// Stops it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("it stops")
            .expect("no panic");
    }

    /// Sends a request, on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        let answer = async {
            match &self.listen {
                ProxyListen::Tcp(address) => {
                    send(TcpStream::connect(address).await.expect("a proxy"), request).await
                }
                ProxyListen::Unix(path) => {
                    send(UnixStream::connect(path).await.expect("a proxy"), request).await
                }
            }
        };
        tokio::time::timeout(DEADLINE, answer)
            .await
            .expect("an answer in time")
    }

    pub(crate) async fn infer(&self) -> Response<Bytes> {
        self.send(infer()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(Request::get(path).body(Bytes::new()).expect("a request"))
            .await
    }

    /// A connection for bytes that no client library sends.
    pub(crate) async fn tcp(&self) -> TcpStream {
        let ProxyListen::Tcp(address) = &self.listen else {
            panic!("this proxy listens on a Unix socket");
        };
        TcpStream::connect(address).await.expect("a proxy")
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: Request<Bytes>,
) -> Response<Bytes> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    // Whether the connection ends well shows in the answer.
    tokio::spawn(connection);
    let headers = request.headers_mut();
    if !headers.contains_key(header::HOST) {
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let answer = sender
        .send_request(request.map(Full::new))
        .await
        .expect("an answer");
    let (head, body) = answer.into_parts();
    Response::from_parts(
        head,
        body.collect().await.expect("a whole answer").to_bytes(),
    )
}

/// The `code` of an answer in KServe's error shape.
pub(crate) fn code(answer: &Response<Bytes>) -> String {
    let body: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert!(body["error"].is_string(), "KServe's shape: {body}");
    body["code"].as_str().expect("a code").to_owned()
}
