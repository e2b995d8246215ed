//! The enclave program beside the NSM emulator, with its way out wherever the test wants it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::control::EventPage;
use nacre_protocol::digest::Digest;
use nacre_tests::http::{Answer, ask_socket};
use nacre_tests::platform::{binary, nacre, onnxruntime, repository};
use tempfile::TempDir;

/// The programs of one enclave; they end with this value.
pub(crate) struct Enclave {
    directory: TempDir,
    // Their standard inputs close with them, which is what they leave by.
    programs: Vec<Child>,
}

impl Enclave {
    /// Starts an enclave that may reach these destinations and trusts this root beside the web's.
    pub(crate) fn start(allowed: &str, root: &[u8]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("nacre-egress-")
            .tempdir()
            .unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("allow"), allowed).unwrap();
        std::fs::write(path("root"), root).unwrap();
        let register = "11".repeat(48);
        let mut emulator = nacre(directory.path());
        emulator.arg("nsm-emulator").arg("--exit-on-stdin-eof");
        emulator.arg("--socket").arg(path("nsm"));
        emulator.arg("--pki-dir").arg(path("pki"));
        emulator.args([
            "--pcr0", &register, "--pcr1", &register, "--pcr2", &register,
        ]);
        let emulator = ready(emulator);

        let unix = |name: &str| format!("unix:{}", path(name).display());
        let mut enclave = Command::new(binary("nacre-enclave"));
        enclave.arg("process").arg("--nsm-socket").arg(path("nsm"));
        enclave.args(["--tls", &unix("tls"), "--control", &unix("control")]);
        enclave.arg("--worker").arg(binary("nacre-worker"));
        enclave.arg("--onnxruntime").arg(onnxruntime());
        enclave.args(["--memory", "268435456", "--egress", &unix("egress")]);
        enclave.arg("--egress-allow").arg(path("allow"));
        enclave.arg("--egress-root").arg(path("root"));
        let programs = vec![ready(enclave), emulator];
        Self {
            directory,
            programs,
        }
    }

    /// Where it asks for a way out.
    pub(crate) fn egress(&self) -> PathBuf {
        self.directory.path().join("egress")
    }

    fn control(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// Puts everything of a function but its model, and loads it.
    pub(crate) fn load(&self, function: &Function) -> Answer {
        let bundle = function.bundle();
        let manifest = bundle.to_oci_manifest();
        for blob in [function.manifest.as_bytes(), &manifest] {
            let put = self.ask("PUT", &format!("/v1/blobs/{}", Digest::of(blob)), blob);
            assert!(put.status < 300, "{}", put.status);
        }
        let body = format!("{{\"digest\":\"{}\"}}", bundle.digest());
        self.ask(
            "PUT",
            &format!("/v1/functions/{}", function.name),
            body.as_bytes(),
        )
    }

    /// The last event of a function: its code, and its words.
    pub(crate) fn last_event(&self, function: &Function) -> (String, String) {
        let page = self.ask("GET", "/v1/events?after=0", b"");
        let page: EventPage = serde_json::from_slice(&page.body).unwrap();
        let mut of_it = page.events.into_iter().rev();
        let last = of_it.find(|event| event.function.as_str() == function.name);
        last.map(|event| (event.code, event.message))
            .unwrap_or_default()
    }

    pub(crate) fn has(&self, blob: &[u8]) -> bool {
        let path = format!("/v1/blobs/{}", Digest::of(blob));
        self.ask("HEAD", &path, b"").status == 200
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        ask_socket(&self.control(), method, path, body).unwrap()
    }
}

impl Drop for Enclave {
    fn drop(&mut self) {
        for program in &mut self.programs {
            drop(program.stdin.take());
            // It may have left already.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Starts a program and waits for its `ready`.
fn ready(mut command: Command) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n", "{command:?}");
    child
}

/// A function whose model has addresses.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) manifest: String,
    urls: Vec<String>,
    model: Digest,
    size: u64,
}

impl Function {
    /// One that serves `model`, to be had at these addresses.
    pub(crate) fn new(name: &str, model: &[u8], urls: &[&str]) -> Self {
        let manifest = format!(
            "[function]\nname = \"{name}\"\nkind = \"onnx\"\n[model]\nfile = \"model.onnx\"\nurls = {urls:?}\n\
             [limits]\nmemory = \"32MiB\"\ntimeout = \"5s\"\n"
        );
        Self {
            name: name.to_owned(),
            manifest,
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            model: Digest::of(model),
            size: model.len() as u64,
        }
    }

    fn bundle(&self) -> Bundle {
        let manifest = BundleFile {
            name: "nacre.toml".to_owned(),
            digest: Digest::of(self.manifest.as_bytes()),
            size: self.manifest.len() as u64,
            urls: Vec::new(),
        };
        let model = BundleFile {
            name: "model.onnx".to_owned(),
            digest: self.model,
            size: self.size,
            urls: self.urls.iter().map(|url| url.parse().unwrap()).collect(),
        };
        Bundle::new(vec![manifest, model]).unwrap()
    }
}

/// A real model.
pub(crate) fn model() -> Vec<u8> {
    let file: &Path = &repository().join("examples/lenet-mnist/model.onnx");
    std::fs::read(file).unwrap()
}
