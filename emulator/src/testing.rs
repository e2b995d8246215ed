//! Documents for tests: signed ones for any content and time, and forged ones.
//!
//! [`DevNsm`] is a module in memory with a root of its own; the same seed gives the same keys.
//! [`ChainPlan`] is a chain of certificates before it is issued: change what shall be wrong, then
//! issue it, and sign a [`Document`](crate::document::Document) with its leaf's key.

#![expect(
    clippy::expect_used,
    reason = "tests want a panic where a document cannot be made"
)]

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::cbor;
use crate::nsm::{BootPcrs, Nsm, NsmConfig, Pcr};
use crate::pki::{
    DistinguishedName, InstanceIdentity, Issuer, Key, Root, Template, Validity, levels,
};

/// What a document shall carry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Any data.
    pub user_data: Option<&'a [u8]>,
    /// A nonce.
    pub nonce: Option<&'a [u8]>,
    /// A public key.
    pub public_key: Option<&'a [u8]>,
}

/// An emulated module in memory.
#[derive(Debug)]
pub struct DevNsm(Nsm);

impl DevNsm {
    /// A module that runs an image of these PCR0–2, with a root made at `now_ms`.
    #[must_use]
    pub fn new(measurements: [Pcr; 3], now_ms: u64) -> Self {
        Self::seeded(0, measurements, now_ms)
    }

    /// The same with keys drawn from `seed`: another seed is another root.
    #[must_use]
    pub fn seeded(seed: u64, measurements: [Pcr; 3], now_ms: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let root = Root::generate(&mut rng, now_ms).expect("the time is a date");
        let identity = InstanceIdentity::random(&mut rng, now_ms);
        let pcrs = BootPcrs::of_image(measurements).with_instance(identity.instance_id());
        let config = NsmConfig { identity, pcrs };
        Self(Nsm::new(config, root, rng, now_ms).expect("the root covers the time it was made"))
    }

    /// The root's DER, which a verifier shall trust.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        self.0.chain().root().der()
    }

    /// The module itself.
    pub fn module(&mut self) -> &mut Nsm {
        &mut self.0
    }

    /// Gives the module away, e.g. to serve it on a socket.
    #[must_use]
    pub fn into_module(self) -> Nsm {
        self.0
    }

    /// A document with this content, made at `now_ms`.
    #[must_use]
    pub fn attest(&mut self, wanted: Wanted<'_>, now_ms: u64) -> Vec<u8> {
        let request = cbor::to_vec(|w| {
            w.map(1)?.str("Attestation")?.map(3)?;
            for (name, value) in [
                ("user_data", wanted.user_data),
                ("nonce", wanted.nonce),
                ("public_key", wanted.public_key),
            ] {
                w.str(name)?;
                match value {
                    Some(bytes) => w.bytes(bytes)?,
                    None => w.null()?,
                };
            }
            Ok(())
        });
        self.field("Attestation", "document", &request, now_ms)
    }

    /// Extends a register and returns its new value.
    pub fn extend(&mut self, index: u8, data: &[u8]) -> Pcr {
        let request = cbor::to_vec(|w| {
            w.map(1)?
                .str("ExtendPCR")?
                .map(2)?
                .str("index")?
                .u8(index)?
                .str("data")?
                .bytes(data)?
                .ok()
        });
        self.field("ExtendPCR", "data", &request, 0)
            .try_into()
            .expect("a register has 48 bytes")
    }

    /// Locks a register.
    pub fn lock(&mut self, index: u8) {
        let request = cbor::to_vec(|w| {
            w.map(1)?
                .str("LockPCR")?
                .map(1)?
                .str("index")?
                .u8(index)?
                .ok()
        });
        assert_eq!(
            self.0.handle(&request, 0),
            b"\x67LockPCR",
            "the register can be locked"
        );
    }

    /// Sends a request and takes the one byte string out of the answer `{operation: {field: bytes}}`.
    fn field(&mut self, operation: &str, field: &str, request: &[u8], now_ms: u64) -> Vec<u8> {
        let answer = self.0.handle(request, now_ms);
        let mut input = minicbor::Decoder::new(&answer);
        let mut read = || {
            input.map()?;
            let named = input.str()? == operation;
            input.map()?;
            let named = input.str()? == field && named;
            Ok::<_, minicbor::decode::Error>((named, input.bytes()?.to_vec()))
        };
        match read() {
            Ok((true, value)) => value,
            _ => panic!("the module refused {operation}: {}", hex::encode(&answer)),
        }
    }
}

/// A chain of certificates before it is issued, root first.
#[derive(Clone, Debug)]
pub struct ChainPlan {
    /// The levels, root first, leaf last.
    pub levels: Vec<LevelPlan>,
}

/// One certificate of a [`ChainPlan`].
#[derive(Clone, Debug)]
pub struct LevelPlan {
    /// What it says.
    pub template: Template,
    /// Its key.
    pub key: Key,
    /// The issuer it names, if not the level above.
    pub issuer_name: Option<DistinguishedName>,
    /// The key that signs it, if not the level above's.
    pub signer: Option<Key>,
}

impl ChainPlan {
    /// A correct chain for a module that starts at `now_ms`, all of it issued then.
    #[must_use]
    pub fn correct(seed: u64, now_ms: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        let now = now_ms / 1000;
        let identity = InstanceIdentity::random(rng, now_ms);
        let validity = |span: levels::Span| Validity {
            from: now - span.back,
            until: now + span.ahead,
        };
        let keys: Vec<Key> = (0..5).map(|_| Key::generate(rng)).collect();
        let templates = [
            levels::root(rng, validity(levels::ROOT)),
            levels::regional(rng, validity(levels::REGIONAL), &keys[0]),
            levels::zonal(rng, validity(levels::ZONAL), &keys[1]),
            levels::instance(rng, validity(levels::INSTANCE), &identity),
            levels::leaf(&identity, validity(levels::LEAF), now),
        ];
        let levels = templates
            .into_iter()
            .zip(keys)
            .map(|(template, key)| LevelPlan {
                template,
                key,
                issuer_name: None,
                signer: None,
            })
            .collect();
        Self { levels }
    }

    /// Issues all certificates, root first.
    #[must_use]
    pub fn issue(&self) -> Vec<Vec<u8>> {
        (0..self.levels.len())
            .map(|depth| {
                let level = &self.levels[depth];
                let above = &self.levels[depth.saturating_sub(1)];
                let issuer = Issuer {
                    name: level
                        .issuer_name
                        .as_ref()
                        .unwrap_or(&above.template.subject),
                    key: level.signer.as_ref().unwrap_or(&above.key),
                };
                level
                    .template
                    .issue(&level.key, issuer)
                    .expect("the plan has a DER form")
            })
            .collect()
    }

    /// The key that signs documents.
    #[must_use]
    pub fn leaf_key(&self) -> &Key {
        &self.levels[self.levels.len() - 1].key
    }
}

/// A key drawn from a seed, to sign with where another should.
#[must_use]
pub fn key(seed: u64) -> Key {
    Key::generate(&mut StdRng::seed_from_u64(seed))
}
