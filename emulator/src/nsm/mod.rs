//! The Nitro Secure Module as a pure state machine.
//!
//! [`Nsm::handle`] takes the bytes that a program would hand to `/dev/nsm` and the current
//! time, and returns the bytes that the device would answer. There is no I/O here; whoever
//! carries the bytes also provides the clock and keeps requests one at a time, as the kernel's
//! driver does with its mutex.
//!
//! Requests and responses are serde's external tagging over CBOR, as `aws-nitro-enclaves-nsm-api`
//! defines them. The rules that are not in those types come from AWS's description of the
//! attestation process and its own on-device test: 32 registers, 0–15 locked at boot, a locked
//! register can be neither extended nor locked again, locking a range is idempotent, and each of
//! `user_data`, `nonce` and `public_key` may take up to 1024 bytes (the description's rules for
//! *verifiers* name 512 for the first two, yet the hardware signs more: real documents carry 746).

mod pcr;
mod request;
mod response;

use rand::Rng as _;
use rand::rngs::StdRng;

pub use pcr::{BootPcrs, PCR_COUNT, Pcr, extended};
pub use request::{ErrorCode, Operation};

use crate::document::Document;
use crate::pki::{Chain, InstanceIdentity, IssueError, Root};
use pcr::PcrBank;
use request::{Attestation, Request};

/// The longest request the device takes, in bytes.
pub const MAX_REQUEST: usize = 0x1000;
/// The longest response the device gives, in bytes.
pub const MAX_RESPONSE: usize = 0x3000;
/// The longest `user_data`, `nonce` or `public_key`, in bytes (AWS: `user_data = bytes .size (0..1024)`).
pub const MAX_FIELD: usize = 1024;
/// How many bytes `GetRandom` answers, always.
pub const RANDOM_LEN: usize = 256;

/// What a module is told when it starts.
#[derive(Clone, Debug)]
pub struct NsmConfig {
    /// The parent instance and the enclave; they name the module and its certificates.
    pub identity: InstanceIdentity,
    /// PCR0–15 as the hypervisor set them before the enclave ran.
    pub pcrs: BootPcrs,
}

/// One emulated module: its registers, its certificates and its randomness.
#[derive(Debug)]
pub struct Nsm {
    identity: InstanceIdentity,
    pcrs: PcrBank,
    chain: Chain,
    rng: StdRng,
}

impl Nsm {
    /// Starts a module at `now_ms` (milliseconds since the Unix epoch) and mints its certificates.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be made, e.g. because `now_ms` lies outside the root's validity.
    pub fn new(
        config: NsmConfig,
        root: Root,
        mut rng: StdRng,
        now_ms: u64,
    ) -> Result<Self, IssueError> {
        let chain = Chain::mint(root, config.identity.clone(), &mut rng, now_ms)?;
        Ok(Self {
            identity: config.identity,
            pcrs: PcrBank::boot(&config.pcrs),
            chain,
            rng,
        })
    }

    /// Answers one request. Every input has an answer; bad ones get `{"Error": code}`.
    pub fn handle(&mut self, request: &[u8], now_ms: u64) -> Vec<u8> {
        self.handle_stamped(request, now_ms, now_ms)
    }

    /// The same for a module whose own clock is off: documents say `stamp_ms`, while the certificates, which are the
    /// platform's, stay those of `now_ms`.
    pub fn handle_stamped(&mut self, request: &[u8], now_ms: u64, stamp_ms: u64) -> Vec<u8> {
        let answer = self
            .answer(request, now_ms, stamp_ms)
            .unwrap_or_else(response::error);
        if answer.len() > MAX_RESPONSE {
            return response::error(ErrorCode::BufferTooSmall);
        }
        answer
    }

    /// The module's name, `i-<17 hex>-enc<16 hex>`.
    #[must_use]
    pub fn module_id(&self) -> String {
        self.identity.module_id()
    }

    /// The certificates that documents are signed with at the moment.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    fn answer(&mut self, bytes: &[u8], now_ms: u64, stamp_ms: u64) -> Result<Vec<u8>, ErrorCode> {
        if bytes.len() > MAX_REQUEST {
            return Err(ErrorCode::InputTooLarge);
        }
        match request::decode(bytes)? {
            Request::DescribeNsm => Ok(response::describe_nsm(
                &self.identity.module_id(),
                self.pcrs.locked().map(|(index, _)| index),
            )),
            Request::DescribePcr { index } => {
                let (locked, value) = self.pcrs.describe(index)?;
                Ok(response::describe_pcr(locked, value))
            }
            Request::ExtendPcr { index, data } => {
                Ok(response::extend_pcr(self.pcrs.extend(index, data)?))
            }
            Request::LockPcr { index } => {
                self.pcrs.lock(index)?;
                Ok(response::done("LockPCR"))
            }
            Request::LockPcrs { range } => {
                self.pcrs.lock_range(range)?;
                Ok(response::done("LockPCRs"))
            }
            Request::GetRandom => {
                let mut random = [0; RANDOM_LEN];
                self.rng.fill_bytes(&mut random);
                Ok(response::get_random(&random))
            }
            Request::Attestation(wanted) => self.attest(&wanted, now_ms, stamp_ms),
        }
    }

    fn attest(
        &mut self,
        wanted: &Attestation<'_>,
        now_ms: u64,
        stamp_ms: u64,
    ) -> Result<Vec<u8>, ErrorCode> {
        let fields = [wanted.user_data, wanted.nonce, wanted.public_key];
        if fields
            .into_iter()
            .flatten()
            .any(|field| field.len() > MAX_FIELD)
        {
            return Err(ErrorCode::InputTooLarge);
        }
        self.chain.refresh(&mut self.rng, now_ms).map_err(|error| {
            tracing::error!(%error, now_ms, "no certificate for this time");
            ErrorCode::InternalError
        })?;
        let document = Document {
            module_id: &self.identity.module_id(),
            timestamp_ms: stamp_ms,
            pcrs: self
                .pcrs
                .locked()
                .map(|(index, value)| (index, *value))
                .collect(),
            certificate: self.chain.leaf(),
            cabundle: self.chain.cabundle(),
            public_key: wanted.public_key,
            user_data: wanted.user_data,
            nonce: wanted.nonce,
        };
        Ok(response::attestation(&document.sign(self.chain.leaf_key())))
    }
}

/// The answer that refuses a request with `code`.
#[must_use]
pub fn error_response(code: ErrorCode) -> Vec<u8> {
    response::error(code)
}

/// The answer to `GetRandom` of a module whose entropy is gone: every byte is `byte`.
#[must_use]
pub fn constant_random_response(byte: u8) -> Vec<u8> {
    response::get_random(&[byte; RANDOM_LEN])
}

/// What a request asks for; none when it is malformed.
#[must_use]
pub fn operation(request: &[u8]) -> Option<Operation> {
    if request.len() > MAX_REQUEST {
        return None;
    }
    request::decode(request)
        .ok()
        .map(|request| request.operation())
}

#[cfg(test)]
mod tests;
