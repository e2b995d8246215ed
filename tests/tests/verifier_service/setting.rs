//! An enclave to be verified, a service that verifies it, and a client that has verified the service.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use k256::ecdsa::SigningKey;
use nacre_attestation_verifier::{Measurements, Pcr, Policy, Roots};
use nacre_client::{AttestedConnection, Endpoint, Trust};
use nacre_emulator::socket::{Options, Socket, system_clock};
use nacre_emulator::testing::{DevNsm, Wanted};
use nacre_enclave::nsm::{EmulatorSocket, NsmHandle};
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::encoding::base64url;
use nacre_transport::Address;
use nacre_verifier::server::{Config, RunningVerifier, boot};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The image that the service claims to be.
const VERIFIER: [[u8; 48]; 3] = [[0x51; 48], [0x52; 48], [0x53; 48]];
/// The image of the enclave that is verified.
pub(crate) const WORKER: [[u8; 48]; 3] = [[1; 48], [2; 48], [3; 48]];
pub(crate) const USER_DATA: [u8; 32] = [5; 32];
pub(crate) const OPERATOR: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
pub(crate) const CONTRACT: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";

/// A running service that believes the subject's root.
pub(crate) struct Service {
    pub(crate) verifier: RunningVerifier,
    trust: Trust,
    _module: Module,
}

impl Service {
    /// Starts one on loopback, with a free port for callers and a socket for metrics.
    pub(crate) async fn start(subject: &Subject, change: impl FnOnce(&mut Config)) -> Self {
        let nsm = DevNsm::seeded(2, VERIFIER, system_clock());
        let root = nsm.root_der().to_vec();
        let module = Module::serve(nsm);
        let roots = Roots::development(subject.0.root_der().to_vec()).unwrap();
        let mut config = Config::new("tcp://127.0.0.1:0".parse().unwrap(), roots);
        config.metrics = Some(Address::Unix(module.home.path().join("metrics")));
        change(&mut config);
        let handle = NsmHandle::start(EmulatorSocket::new(module.socket())).unwrap();
        Self {
            verifier: boot(handle, config).await.unwrap(),
            trust: trust(&root),
            _module: module,
        }
    }

    /// A connection whose other end proved to be this very service.
    pub(crate) async fn connect(&self) -> Caller {
        Caller::connect(self.verifier.tls_address(), &self.trust).await
    }

    /// The samples that Prometheus reads.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, f64> {
        let Some(Address::Unix(path)) = self.verifier.metrics_address() else {
            panic!("metrics are on a socket");
        };
        let path = path.clone();
        let read = move || nacre_tests::http::ask_socket(&path, "GET", "/metrics", b"");
        let answer = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
        samples(&String::from_utf8(answer.body).unwrap())
    }
}

/// The lines of a text exposition that are samples.
pub(crate) fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    samples
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// What a caller must trust to take this for a verifier: its root, its image, and PCR16 as DESIGN has it, a zero register
/// extended once with the hash of the words.
pub(crate) fn trust(root: &[u8]) -> Trust {
    let node = Sha384::new()
        .chain_update([0; 48])
        .chain_update(Sha256::digest(b"nacre/verifier/v1"));
    let [pcr0, pcr1, pcr2] = VERIFIER.map(Pcr);
    let mut measurements = Measurements::new(pcr0, pcr1, pcr2);
    measurements.extra = BTreeMap::from([(16, Pcr(node.finalize().into()))]);
    Trust::new(
        Roots::development(root.to_vec()).unwrap(),
        Policy::new(vec![measurements]).unwrap(),
    )
}

/// A module on a socket; ends when dropped.
pub(crate) struct Module {
    home: TempDir,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Module {
    /// Serves a module in a folder of its own.
    pub(crate) fn serve(nsm: DevNsm) -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = Socket::bind(&home.path().join("nsm")).unwrap();
        let never = std::future::pending();
        let serving = tokio::spawn(socket.serve(nsm.into_module(), Options::default(), never));
        Self { home, serving }
    }

    /// One that claims to run the verifier's image; and its root.
    pub(crate) fn of_a_verifier() -> (Self, Vec<u8>) {
        let nsm = DevNsm::seeded(2, VERIFIER, system_clock());
        let root = nsm.root_der().to_vec();
        (Self::serve(nsm), root)
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.home.path().join("nsm")
    }

    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The enclave that is verified.
pub(crate) struct Subject(pub(crate) DevNsm);

impl Subject {
    pub(crate) fn running(image: [[u8; 48]; 3]) -> Self {
        Self(DevNsm::seeded(1, image, system_clock()))
    }

    pub(crate) fn receipt_key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    /// Another document of the same kind, made now.
    pub(crate) fn document(&mut self) -> Vec<u8> {
        self.document_at(system_clock())
    }

    pub(crate) fn document_at(&mut self, made_ms: u64) -> Vec<u8> {
        let point = Self::receipt_key().verifying_key().to_sec1_point(false);
        let wanted = Wanted {
            user_data: Some(&USER_DATA),
            nonce: Some(b"fresh"),
            public_key: Some(&point.as_bytes()[1..]),
        };
        self.0.attest(wanted, made_ms)
    }

    pub(crate) fn address() -> EthAddress {
        EthAddress::of_key(Self::receipt_key().verifying_key())
    }
}

/// What a relayer asks.
pub(crate) fn question(document: &[u8]) -> Value {
    json!({
        "document": base64url(document),
        "operator": OPERATOR,
        "chainId": 42161,
        "verifyingContract": CONTRACT,
    })
}

/// A client of the service.
pub(crate) struct Caller {
    pub(crate) connection: AttestedConnection,
}

/// An answer with its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The three by which a program decides.
    pub(crate) fn refusal(&self) -> (u16, &str, Option<u64>) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], self.status);
        let code = self.body["code"].as_str().unwrap();
        (self.status, code, self.body["result"].as_u64())
    }
}

impl Caller {
    pub(crate) async fn connect(address: &Address, trust: &Trust) -> Self {
        let endpoint = address.to_string();
        let endpoint: Endpoint = endpoint.strip_prefix("tcp://").unwrap().parse().unwrap();
        let limit = Duration::from_secs(10);
        let connection = AttestedConnection::open(&endpoint, trust, limit).await;
        Self {
            connection: connection.unwrap(),
        }
    }

    pub(crate) async fn verify(&mut self, question: &Value) -> Answer {
        self.post(question.to_string()).await
    }

    pub(crate) async fn post(&mut self, body: impl Into<Bytes>) -> Answer {
        let request = Request::post("/v1/verify").header("content-type", "application/json");
        self.send(request.body(Full::new(body.into())).unwrap())
            .await
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let answer = self.connection.send(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }
}
