//! Peers of the enclave: an HTTP client over attested TLS, and one over the control channel.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nacre_protocol::encoding::base64url;
use nacre_protocol::evidence::{EXPORTER_LABEL, Evidence, channel_leaf};
use nacre_protocol::problem::Problem;
use nacre_protocol::receipt::{RequestParts, ResponseParts, SignedReceipt};
use nacre_transport::{Address, Stream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer with its body.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The stable code, of problem details or of KServe's errors.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = self.json();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), "application/problem+json");
        self.json()
    }

    pub(crate) fn receipt(&self) -> Option<SignedReceipt> {
        let header = self.headers.get("nacre-receipt")?;
        Some(SignedReceipt::from_header(header.to_str().unwrap()).unwrap())
    }

    /// What a receipt must speak of.
    pub(crate) fn parts(&self) -> ResponseParts<'_> {
        ResponseParts {
            status: self.status,
            content_type: self.header("content-type"),
            inference_header_length: self.header("inference-header-content-length"),
            body: &self.body,
        }
    }
}

/// A request to be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn infer(model: &str, body: impl Into<Bytes>) -> Self {
        Self {
            method: "POST",
            path: format!("/v2/models/{model}/infer"),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// What a receipt must speak of; the body is the decoded one.
    pub(crate) fn parts<'a>(&'a self, body: &'a [u8]) -> RequestParts<'a> {
        let header = |name| {
            self.headers
                .iter()
                .find(|(n, _)| *n == name)
                .map_or("", |(_, v)| v)
        };
        RequestParts {
            method: self.method,
            path: &self.path,
            content_type: header("content-type"),
            inference_header_length: header("inference-header-content-length"),
            body,
        }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header("host", "enclave");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(self.body.clone())).unwrap()
    }
}

/// A connection over TLS, with what binds evidence to it.
pub(crate) struct Attested {
    sender: SendRequest<Full<Bytes>>,
    pub(crate) exporter: [u8; 32],
    pub(crate) certificate: CertificateDer<'static>,
}

impl Attested {
    pub(crate) async fn connect(address: &Address) -> Self {
        let stream = tls(address).await.unwrap();
        let connection = stream.get_ref().1;
        let exporter = connection
            .export_keying_material([0; 32], EXPORTER_LABEL, None)
            .unwrap();
        let certificate = connection.peer_certificates().unwrap()[0]
            .clone()
            .into_owned();
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self {
            sender,
            exporter,
            certificate,
        }
    }

    pub(crate) async fn send(&mut self, ask: &Ask) -> Answer {
        exchange(&mut self.sender, ask.request()).await
    }

    pub(crate) async fn attest(&mut self, nonce: &[u8; 32]) -> Answer {
        let path = format!("/.well-known/nacre/attestation?nonce={}", base64url(nonce));
        self.send(&Ask::get(&path)).await
    }

    /// Asks for evidence and checks that it is this connection's.
    pub(crate) async fn check_evidence(&mut self, nonce: [u8; 32]) -> Evidence {
        let answer = self.attest(&nonce).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let evidence: Evidence = answer.json();
        let document = DocumentFields::read(&evidence.document);
        let leaf = channel_leaf(&nonce, &self.exporter);
        evidence
            .verify_leaf(&leaf, &document.nonce.unwrap())
            .unwrap();
        evidence
    }
}

/// A connection to the control channel.
pub(crate) struct Control {
    sender: SendRequest<Full<Bytes>>,
}

impl Control {
    pub(crate) async fn connect(address: &Address) -> Self {
        let stream = open(address).await;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self { sender }
    }

    pub(crate) async fn send(
        &mut self,
        method: &'static str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let ask = Ask {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        };
        self.ask(&ask).await
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer {
        exchange(&mut self.sender, ask.request()).await
    }
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Answer {
    sender.ready().await.unwrap();
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

pub(crate) async fn open(address: &Address) -> Stream {
    let deadline = Instant::now() + std::time::Duration::from_secs(5);
    nacre_transport::connect(address, deadline).await.unwrap()
}

pub(crate) async fn tls(address: &Address) -> std::io::Result<TlsStream<Stream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("enclave.invalid").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, open(address).await)
        .await
}

/// Evidence decides, not the certificate; but the handshake's signature must be its key's.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms =
            rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// The fields of a document that these tests look at.
#[derive(Debug, Default)]
pub(crate) struct DocumentFields {
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) public_key: Option<Vec<u8>>,
    pub(crate) pcr16: Vec<u8>,
}

impl DocumentFields {
    pub(crate) fn read(document: &[u8]) -> Self {
        let mut envelope = minicbor::Decoder::new(document);
        envelope.array().unwrap();
        envelope.skip().unwrap();
        envelope.skip().unwrap();
        let mut payload = minicbor::Decoder::new(envelope.bytes().unwrap());
        assert_eq!(
            payload.map().unwrap(),
            None,
            "an indefinite map, as AWS sends it"
        );
        let mut fields = Self::default();
        while payload.datatype().unwrap() != minicbor::data::Type::Break {
            match payload.str().unwrap() {
                "nonce" => fields.nonce = bytes(&mut payload),
                "user_data" => fields.user_data = bytes(&mut payload),
                "public_key" => fields.public_key = bytes(&mut payload),
                "pcrs" => {
                    for _ in 0..payload.map().unwrap().unwrap() {
                        let index = payload.u8().unwrap();
                        let value = payload.bytes().unwrap();
                        if index == 16 {
                            fields.pcr16 = value.to_vec();
                        }
                    }
                }
                _ => payload.skip().unwrap(),
            }
        }
        fields
    }
}

fn bytes(payload: &mut minicbor::Decoder<'_>) -> Option<Vec<u8>> {
    if payload.datatype().unwrap() == minicbor::data::Type::Null {
        payload.null().unwrap();
        return None;
    }
    Some(payload.bytes().unwrap().to_vec())
}
