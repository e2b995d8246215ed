//! Verifiers: the service under an emulated module, and what the registry is told of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, B256};
use anyhow::Context as _;
use nacre_attestation_verifier::Roots;
use nacre_chain::account::call_to;
use nacre_chain::contracts::EnclaveRegistry;
use nacre_chain::contracts::enclave_registry::ImageList;
use nacre_emulator::socket::{Options, Socket, system_clock};
use nacre_emulator::testing::DevNsm;
use nacre_enclave::nsm::{EmulatorSocket, NsmHandle};
use nacre_verifier::server::{Config, RunningVerifier, boot};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384};

use crate::site::{Site, roots};

/// The image that verifiers claim to be.
const VERIFIER: [[u8; 48]; 3] = [[0x51; 48], [0x52; 48], [0x53; 48]];
/// `ImageKind`.
const WORKERS: u8 = 1;
const VERIFIERS: u8 = 2;

/// A verifier's service, and what its callers trust: the policy, with the root beside it.
pub(crate) struct Verifier {
    service: RunningVerifier,
    pub(crate) policy: PathBuf,
    _home: tempfile::TempDir,
}

impl Verifier {
    /// `host:port`.
    pub(crate) fn endpoint(&self) -> String {
        let address = self.service.tls_address().to_string();
        address.trim_start_matches("tcp://").to_owned()
    }

    fn signer(&self) -> Address {
        Address::from(*self.service.signer().as_bytes())
    }
}

impl Site {
    /// A verifier that believes the platform's root, or only its own.
    pub(crate) fn verifier(&self, believes: bool) -> anyhow::Result<Verifier> {
        let home = tempfile::tempdir()?;
        let seed = if believes { 2 } else { 3 };
        let nsm = DevNsm::seeded(seed, VERIFIER, system_clock());
        let policy = home.path().join("policy.json");
        std::fs::write(policy.with_file_name("root.der"), nsm.root_der())?;
        std::fs::write(&policy, policy_of_verifiers().to_string())?;
        let roots = match believes {
            true => roots(&self.platform)?,
            false => Roots::development(nsm.root_der().to_vec())?,
        };
        let socket = home.path().join("nsm");
        let service = self.runtime.block_on(async {
            let bound = Socket::bind(&socket)?;
            let never = std::future::pending();
            tokio::spawn(bound.serve(nsm.into_module(), Options::default(), never));
            let handle = NsmHandle::start(EmulatorSocket::new(socket))?;
            let config = Config::new("tcp://127.0.0.1:0".parse()?, roots);
            anyhow::Ok(boot(handle, config).await?)
        })?;
        Ok(Verifier {
            service,
            policy,
            _home: home,
        })
    }

    /// Names the verifiers' image, and this one.
    pub(crate) fn approve_verifier(&self, verifier: &Verifier) -> anyhow::Result<()> {
        let key = verifier.signer();
        self.propose(&VERIFIER, VERIFIERS)?;
        let proposed = EnclaveRegistry::proposeVerifierCall {
            key,
            imageId: B256::from_slice(&Sha256::digest(VERIFIER.concat())),
            expiresAt: U40::from(4_000_000_000_u64),
        };
        self.send(&self.owner, call_to(self.registry(), &proposed))?;
        let enrolled = EnclaveRegistry::enrolVerifierCall { key };
        self.send(&self.owner, call_to(self.registry(), &enrolled))
    }

    /// Names the image that the platform's nodes run.
    pub(crate) fn approve_workers(&self) -> anyhow::Result<()> {
        let policy: Value = serde_json::from_slice(&std::fs::read(self.platform.ready("policy"))?)?;
        let set = &policy["measurements"][0];
        let pcr = |name: &str| -> anyhow::Result<[u8; 48]> {
            let digits = set[name].as_str().context("no measurement")?;
            hex::decode(digits)?.try_into().ok().context("not 48 bytes")
        };
        self.propose(&[pcr("pcr0")?, pcr("pcr1")?, pcr("pcr2")?], WORKERS)
    }

    fn propose(&self, image: &[[u8; 48]; 3], kind: u8) -> anyhow::Result<()> {
        let [pcr0, pcr1, pcr2] = image.map(|pcr| pcr.to_vec().into());
        let measurements = ImageList::Measurements { pcr0, pcr1, pcr2 };
        let named = EnclaveRegistry::proposeImageCall { measurements, kind };
        self.send(&self.owner, call_to(self.registry(), &named))
    }

    pub(crate) fn revoke_verifier(&self, verifier: &Verifier) -> anyhow::Result<()> {
        let key = verifier.signer();
        let revoked = EnclaveRegistry::revokeKeyCall { key };
        self.send(&self.second, call_to(self.registry(), &revoked))
    }
}

/// PCR16 of a verifier is a zero register extended once with the hash of its words.
fn policy_of_verifiers() -> Value {
    let node = Sha384::new()
        .chain_update([0; 48])
        .chain_update(Sha256::digest(b"nacre/verifier/v1"));
    let [pcr0, pcr1, pcr2] = VERIFIER.map(hex::encode);
    let mut set: BTreeMap<&str, String> = BTreeMap::new();
    set.extend([("pcr0", pcr0), ("pcr1", pcr1), ("pcr2", pcr2)]);
    set.insert("pcr16", hex::encode(node.finalize()));
    json!({ "measurements": [set] })
}
