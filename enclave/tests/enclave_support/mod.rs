//! What the enclave's tests share: an enclave beside the NSM emulator, and peers who speak to it.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a test ends where its setting fails")]

pub(crate) mod peer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use nacre_emulator::socket::{Options, Socket, system_clock};
use nacre_emulator::testing::DevNsm;
use nacre_enclave::boot::{RunningEnclave, boot};
use nacre_enclave::config::{Config, Limits};
use nacre_enclave::egress::EgressSettings;
use nacre_enclave::functions::WorkerSettings;
use nacre_enclave::nsm::{EmulatorSocket, Nsm, NsmError, NsmHandle};
use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::control::{EnclaveStatus, LoadFunction};
use nacre_protocol::digest::Digest;
use nacre_transport::Address;
use tokio::task::JoinHandle;

pub(crate) use peer::{Answer, Attested, Control};

/// An enclave, its emulator, and the folder of their sockets.
pub(crate) struct Harness {
    pub(crate) enclave: RunningEnclave,
    pub(crate) nsm: NsmSwitch,
    _emulator: Emulator,
    _directory: tempfile::TempDir,
}

/// A running emulator; ends when dropped.
pub(crate) struct Emulator(JoinHandle<std::io::Result<()>>);

impl Drop for Emulator {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts what the module is asked for, and can make it fail.
#[derive(Clone, Default)]
pub(crate) struct NsmSwitch {
    attestations: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
}

impl NsmSwitch {
    pub(crate) fn attestations(&self) -> u64 {
        self.attestations.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }
}

struct Switched(EmulatorSocket, NsmSwitch);

impl Nsm for Switched {
    fn call(&mut self, request: Request) -> Result<Response, NsmError> {
        if self.1.failing.load(Ordering::SeqCst) {
            return Err(NsmError::Refused("switched off by the test".to_owned()));
        }
        if matches!(request, Request::Attestation { .. }) {
            self.1.attestations.fetch_add(1, Ordering::SeqCst);
        }
        self.0.call(request)
    }
}

/// What a test may want otherwise.
pub(crate) struct Wanted {
    pub(crate) nsm_latency: Duration,
    pub(crate) memory: u64,
    pub(crate) limits: Limits,
    pub(crate) egress: EgressSettings,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            nsm_latency: Duration::ZERO,
            memory: 512 << 20,
            limits: Limits::default(),
            egress: EgressSettings::default(),
        }
    }
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(Wanted::default()).await
    }

    pub(crate) async fn with(wanted: Wanted) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let emulator = emulator(path("nsm"), wanted.nsm_latency);
        let nsm = NsmSwitch::default();
        let module = Switched(EmulatorSocket::new(path("nsm")), nsm.clone());
        let config = Config {
            tls: Address::Unix(path("tls")),
            control: Address::Unix(path("control")),
            memory: wanted.memory,
            workers: workers(),
            egress: wanted.egress,
            limits: wanted.limits,
        };
        let enclave = boot(NsmHandle::start(module).unwrap(), config)
            .await
            .unwrap();
        Self {
            enclave,
            nsm,
            _emulator: emulator,
            _directory: directory,
        }
    }

    pub(crate) async fn connect(&self) -> Attested {
        Attested::connect(self.enclave.tls_address()).await
    }

    pub(crate) async fn control(&self) -> Control {
        Control::connect(self.enclave.control_address()).await
    }

    pub(crate) async fn status(&self) -> EnclaveStatus {
        let answer = self.control().await.send("GET", "/v1/status", "").await;
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// Puts the function's blobs and loads it; its digest.
    pub(crate) async fn deploy(&self, function: &TestFunction) -> Digest {
        let mut control = self.control().await;
        function.put_blobs(&mut control).await;
        let answer = control.load(&function.name, function.digest()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        function.digest()
    }

    /// Stops the enclave in order.
    pub(crate) async fn stop(self) {
        self.enclave.stop().await;
    }

    pub(crate) fn receipt_key(&self) -> [u8; 64] {
        self.enclave.identity().statement().receipt_key
    }
}

/// Serves an emulated module at `path`.
pub(crate) fn emulator(path: PathBuf, latency: Duration) -> Emulator {
    let socket = Socket::bind(&path).unwrap();
    let module = DevNsm::new([[1; 48], [2; 48], [3; 48]], system_clock()).into_module();
    let options = Options {
        latency,
        ..Options::default()
    };
    Emulator(tokio::spawn(socket.serve(
        module,
        options,
        std::future::pending(),
    )))
}

fn workers() -> WorkerSettings {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let enclave = NEXT.fetch_add(1, Ordering::SeqCst) as u32;
    WorkerSettings {
        worker_bin: env!("CARGO_BIN_EXE_nacre-worker").into(),
        onnxruntime: crate::worker_support::onnxruntime(),
        max_output_bytes: 64 << 20,
        first_slot: (std::process::id() % 10_000) * 1000 + enclave * 100,
        require_full_isolation: rustix::process::geteuid().is_root(),
    }
}

/// A function's files.
#[derive(Clone)]
pub(crate) struct TestFunction {
    pub(crate) name: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl TestFunction {
    pub(crate) fn new(name: &str, model: &[u8]) -> Self {
        Self::with_limits(name, model, "64MiB", "5s")
    }

    pub(crate) fn with_limits(name: &str, model: &[u8], memory: &str, timeout: &str) -> Self {
        let manifest = format!(
            "[function]\nname = \"{name}\"\nkind = \"onnx\"\n[model]\nfile = \"model.onnx\"\n\
             [limits]\nmemory = \"{memory}\"\ntimeout = \"{timeout}\"\n"
        );
        let files = BTreeMap::from([
            ("nacre.toml".to_owned(), manifest.into_bytes()),
            ("model.onnx".to_owned(), model.to_vec()),
        ]);
        Self {
            name: name.to_owned(),
            files,
        }
    }

    pub(crate) fn bundle(&self) -> Bundle {
        let files = self.files.iter().map(|(name, bytes)| BundleFile {
            name: name.clone(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            urls: Vec::new(),
        });
        Bundle::new(files.collect()).unwrap()
    }

    pub(crate) fn digest(&self) -> Digest {
        self.bundle().digest()
    }

    pub(crate) async fn put_blobs(&self, control: &mut Control) {
        let manifest = self.bundle().to_oci_manifest();
        for blob in self.files.values().chain([&manifest]) {
            let answer = control.put_blob(Digest::of(blob), blob).await;
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        }
    }
}

impl Control {
    pub(crate) async fn put_blob(&mut self, digest: Digest, bytes: &[u8]) -> Answer {
        self.send("PUT", &format!("/v1/blobs/{digest}"), bytes.to_vec())
            .await
    }

    pub(crate) async fn load(&mut self, name: &str, digest: Digest) -> Answer {
        let body = serde_json::to_vec(&LoadFunction {
            digest,
            lease: None,
        })
        .unwrap();
        self.send("PUT", &format!("/v1/functions/{name}"), body)
            .await
    }
}
