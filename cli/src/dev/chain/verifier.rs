//! The verifier of a development chain: the service of `nacre-verifier`, under this folder's root.
//!
//! The program `nacre-verifier` believes the root that it was built with and no other, so it would refuse every development
//! document. This is another program with the same library, and says so by its measurements: they are of `nacre` itself and of
//! the root that it is told to believe. Its secure module is an emulated one of its own.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use nacre_attestation_verifier::{Measurements, Pcr, Policy, Roots};
use nacre_client::{Endpoint, Trust};
use nacre_emulator::nsm::{BootPcrs, Nsm, NsmConfig, extended};
use nacre_emulator::pki::InstanceIdentity;
use nacre_emulator::socket::{Options, Socket, system_clock};
use nacre_enclave::nsm::{EmulatorSocket, NsmHandle};
use nacre_protocol::eip712::EthAddress;
use nacre_transport::MAX_UNIX_PATH;
use nacre_verifier::server::{Config, RunningVerifier, boot};
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use sha2::{Digest as _, Sha384};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::super::{Layout, development_root};
use crate::error::CliError;
use crate::profile::write_private;

/// What every measured content begins with.
const LABEL: &[u8] = b"nacre/dev-verifier/v1";

/// A verifier at work.
pub(super) struct DevVerifier {
    running: RunningVerifier,
    module: JoinHandle<io::Result<()>>,
    measurements: Measurements,
    contact: Contact,
    policy: PathBuf,
    _folder: Option<TempDir>,
}

/// How it is reached, and what proves that it is it.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    pub(super) endpoint: Endpoint,
    pub(super) trust: Trust,
}

impl DevVerifier {
    /// Boots one that believes documents under `roots`.
    pub(super) async fn start(layout: &Layout, roots: Roots) -> Result<Self, CliError> {
        let root = development_root(layout)?;
        let own_root = Roots::development(root.der().to_vec())?;
        let believed = roots.der().to_vec();
        let nacre = std::env::current_exe()?;
        let measured = tokio::task::spawn_blocking(move || measure(&nacre, &believed));
        let pcrs = measured.await.context("measuring nacre")??;
        let [pcr0, pcr1, pcr2] = pcrs.map(Pcr);
        let measurements = Measurements::new(pcr0, pcr1, pcr2);
        let policy = Policy::new(vec![measurements.clone()])?;
        let policy_file = layout.chain().join("verifier-policy.json");
        write_private(&policy_file, policy.to_json().as_bytes())?;

        let now_ms = system_clock();
        let mut rng =
            StdRng::try_from_rng(&mut SysRng).context("the system gives no randomness")?;
        let identity = InstanceIdentity::random(&mut rng, now_ms);
        let pcrs = BootPcrs::of_image(pcrs).with_instance(identity.instance_id());
        let module = Nsm::new(NsmConfig { identity, pcrs }, root, rng, now_ms);
        let module = module.context("the verifier's secure module")?;
        let (folder, path) = place(layout)?;
        let socket = Socket::bind(&path).context("the verifier's secure module")?;
        let module = tokio::spawn(socket.serve(module, Options::default(), std::future::pending()));

        let address = "tcp://127.0.0.1:0".parse().map_err(anyhow::Error::from)?;
        let nsm = NsmHandle::start(EmulatorSocket::new(path))?;
        let running = boot(nsm, Config::new(address, roots)).await;
        let running = running.context("the verifier")?;
        let address = running.tls_address().to_string();
        let endpoint = address.strip_prefix("tcp://").unwrap_or(&address).parse()?;
        Ok(Self {
            running,
            module,
            measurements,
            contact: Contact {
                endpoint,
                trust: Trust::new(own_root, policy),
            },
            policy: policy_file,
            _folder: folder,
        })
    }

    /// How it is reached.
    pub(super) fn contact(&self) -> Contact {
        self.contact.clone()
    }

    /// Its address, as `host:port`.
    pub(super) fn endpoint(&self) -> String {
        self.contact.endpoint.to_string()
    }

    /// A policy that names it alone.
    pub(super) fn policy_file(&self) -> PathBuf {
        self.policy.clone()
    }

    pub(super) fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// Whose signature a registry takes.
    pub(super) fn signer(&self) -> EthAddress {
        self.running.signer()
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        // Callers here keep no connection; one of somebody else's is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.running.stop()).await;
        self.module.abort();
    }
}

/// Where the module listens: in the data folder, whose next owner takes a dead socket's place; where that path is longer than a
/// socket's can be, in a folder that goes with this process.
fn place(layout: &Layout) -> Result<(Option<TempDir>, PathBuf), CliError> {
    let path = layout.chain().join("verifier-nsm");
    if path.as_os_str().len() <= MAX_UNIX_PATH {
        return Ok((None, path));
    }
    let folder = tempfile::Builder::new().prefix("nacre-").tempdir()?;
    let path = folder.path().join("nsm");
    Ok((Some(folder), path))
}

/// PCR0 is of program and root, PCR1 of the program, PCR2 of the root.
fn measure(program: &Path, root: &[u8]) -> Result<[[u8; 48]; 3], CliError> {
    let mut file = File::open(program).map_err(CliError::file(program))?;
    let mut hash = Sha384::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CliError::file(program)(error)),
        }
    }
    let program = hash.finalize();
    let register = |parts: &[&[u8]]| {
        let mut hash = Sha384::new_with_prefix(LABEL);
        parts.iter().for_each(|part| hash.update(part));
        extended(&[0; 48], &hash.finalize())
    };
    Ok([
        register(&[&program, root]),
        register(&[&program]),
        register(&[root]),
    ])
}
