//! Serves an [`Enclave`] under a [`Behaviour`].

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Channel, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nacre_client::{AttestedClient, ClientOptions, Endpoint, Trust};
use nacre_protocol::encoding::array_from_base64url;
use nacre_protocol::evidence::EXPORTER_LABEL;
use nacre_protocol::{ATTESTATION_PATH, SALT_HEADER};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::behaviour::{Asked, Behaviour, Call, Reply};
use super::enclave::{Enclave, TlsIdentity, function};
use super::log::Log;

/// A fake enclave that listens on loopback. It ends with this value.
#[derive(Debug)]
pub struct FakeEnclave {
    /// Its secrets.
    pub enclave: Arc<Enclave>,
    /// What it was sent.
    pub log: Arc<Log>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl FakeEnclave {
    /// Listens on a free port.
    pub async fn start(enclave: Enclave, behaviour: Behaviour) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), enclave, behaviour).await
    }

    /// Listens on this address, such as another's that was stopped.
    pub async fn start_at(address: SocketAddr, enclave: Enclave, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (enclave, log) = (Arc::new(enclave), Arc::new(Log::default()));
        let peer = Arc::new(Peer {
            enclave: Arc::clone(&enclave),
            log: Arc::clone(&log),
            behaviour,
        });
        let serving = tokio::spawn(serve(listener, peer));
        Self {
            enclave,
            log,
            address,
            serving,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for clients.
    pub fn endpoint(&self) -> Endpoint {
        self.address.to_string().parse().unwrap()
    }

    /// A client of [`function`] that knows only this peer.
    pub fn client(&self, trust: Trust) -> AttestedClient {
        let options = ClientOptions::default();
        AttestedClient::new(trust, Some(function()), vec![self.endpoint()], options)
    }

    /// Dies: the listener and all connections close at once.
    pub async fn stop(mut self) {
        self.serving.abort();
        // It was aborted: there is no other result.
        let _ = (&mut self.serving).await;
        self.log.all_ended().await;
    }
}

impl Drop for FakeEnclave {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Peer {
    enclave: Arc<Enclave>,
    log: Arc<Log>,
    behaviour: Behaviour,
}

/// TLS 1.3 with this key, as an enclave speaks it.
pub(super) fn server_config(identity: &TlsIdentity) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], key)
        .unwrap();
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

async fn serve(listener: TcpListener, peer: Arc<Peer>) {
    let acceptor = TlsAcceptor::from(server_config(&peer.enclave.tls));
    // Ends with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((tcp, _)) = listener.accept() => {
                connections.spawn(connection(tcp, acceptor.clone(), Arc::clone(&peer)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(tcp: TcpStream, acceptor: TlsAcceptor, peer: Arc<Peer>) {
    let _open = peer.log.opened();
    tcp.set_nodelay(true).unwrap();
    let Ok(tls) = acceptor.accept(tcp).await else {
        return;
    };
    let exporter = tls
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, Some(b""))
        .unwrap();
    let recorded = peer.log.record(tls);
    let service = service_fn(|request| answer(&peer, exporter, request));
    // However it ends: the test looks at what came.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(recorded), service)
        .await;
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    peer: &Peer,
    exporter: [u8; 32],
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    if request.uri().path() == ATTESTATION_PATH {
        let nonce = request
            .uri()
            .query()
            .and_then(|query| query.strip_prefix("nonce="));
        let nonce = array_from_base64url(nonce.unwrap_or_default()).unwrap();
        let asked = Asked {
            nonce,
            exporter,
            before: peer.log.asked(),
        };
        return Ok(evidence((peer.behaviour.on_evidence)(&peer.enclave, &asked)).await);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| {
        head.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    };
    let call = Call {
        method: head.method.to_string(),
        path: head.uri.path_and_query().unwrap().to_string(),
        decoded: decoded(header(CONTENT_ENCODING.as_str()), &body),
        salt: array_from_base64url(header(SALT_HEADER)).unwrap(),
        headers: head.headers.clone(),
        body,
    };
    peer.log.called(&call);
    Ok((peer.behaviour.on_call)(&peer.enclave, &call).map(|body| Full::new(body).boxed()))
}

async fn evidence(reply: Reply) -> Response<Body> {
    match reply {
        Reply::Evidence(evidence) => {
            let json = serde_json::to_vec(&evidence).unwrap();
            let response = Response::builder().header(CONTENT_TYPE, "application/json");
            response.body(Full::from(json).boxed()).unwrap()
        }
        Reply::Response(response) => response.map(|body| Full::new(body).boxed()),
        Reply::Endless(bytes) => {
            let (mut sender, body) = Channel::new(4);
            tokio::spawn(async move {
                let chunk = Bytes::from_static(&[b' '; 4096]);
                for _ in 0..bytes / chunk.len() {
                    // The client may have left, which is the point.
                    if sender.send_data(chunk.clone()).await.is_err() {
                        return;
                    }
                }
            });
            Response::new(body.boxed())
        }
        Reply::Silence => std::future::pending().await,
    }
}

fn decoded(encoding: &str, body: &Bytes) -> Bytes {
    let mut decoded = Vec::new();
    match encoding {
        "" => return body.clone(),
        "gzip" => GzDecoder::new(&body[..]).read_to_end(&mut decoded).unwrap(),
        "deflate" => ZlibDecoder::new(&body[..])
            .read_to_end(&mut decoded)
            .unwrap(),
        other => panic!("the proxy lets no {other} through"),
    };
    decoded.into()
}
