//! The envelope of a sealed result.

use core::fmt;

use hpke::aead::AeadCtxS;
use hpke::{
    Deserializable as _, OpModeR, OpModeS, Serializable as _, setup_sender_with_rng,
    single_shot_open,
};
use zeroize::Zeroizing;

use super::{
    Aead, Encapsulated, Kdf, Kem, OpenError, RESULT_INFO, SealError, SealingSecret, TAG,
    associated_data, public_key, random,
};
use crate::digest::Digest;
use crate::job::cbor::{Fields, encoded};
use crate::job::{InputCommitment, JobResult, JobSyntaxError, JobTerms, MAX_JOB_BYTES};

/// A sealed result, read from its envelope.
///
/// Deterministic CBOR, integer keys:
///
/// | key | field | type |
/// |---|---|---|
/// | 1 | version = 1 | uint |
/// | 2 | HTTP status | uint |
/// | 3 | EIP-712 hash of the receipt inside ([`hash_struct`](crate::receipt::InferenceReceipt::hash_struct)) | bstr 32 |
/// | 4 | HPKE's encapsulated key | bstr 32 |
/// | 5 | encrypted [`JobResult`] with its tag | bstr |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedResult<'a> {
    /// HTTP status, as inside.
    pub status: u16,
    /// EIP-712 hash of the receipt inside.
    pub receipt_hash: [u8; 32],
    encapsulated: [u8; 32],
    ciphertext: &'a [u8],
}

/// Seals one result. Made before the work, so that a result key that does not work is refused before anything is done.
pub struct ResultSealer {
    context: AeadCtxS<Aead, Kdf, Kem>,
    encapsulated: Encapsulated,
    aad: [u8; 88],
}

impl ResultSealer {
    /// Prepares to seal the result of this job to this key.
    ///
    /// # Errors
    ///
    /// [`SealError::Key`].
    pub fn new(
        terms: &JobTerms,
        result_key: &[u8; 32],
        entropy: &[u8; 32],
    ) -> Result<Self, SealError> {
        let (encapsulated, context) = setup_sender_with_rng::<Aead, Kdf, Kem>(
            &OpModeS::Base,
            &public_key(result_key)?,
            RESULT_INFO,
            &mut random(entropy),
        )
        .map_err(|_| SealError::Key)?;
        Ok(Self {
            context,
            encapsulated,
            aad: associated_data(terms, result_key),
        })
    }

    /// Seals the result; the envelope's encoding.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLong`].
    pub fn seal(mut self, result: &JobResult<'_>) -> Result<Vec<u8>, SealError> {
        let receipt_hash = result.receipt.receipt.hash_struct();
        let aad = result_data(&self.aad, result.status, &receipt_hash);
        let plaintext = Zeroizing::new(result.encode());
        let ciphertext = self.context.seal(&plaintext, &aad);
        let ciphertext = ciphertext.map_err(|_| SealError::TooLong)?;
        let sealed = SealedResult {
            status: result.status,
            receipt_hash,
            encapsulated: self.encapsulated.to_bytes().into(),
            ciphertext: &ciphertext,
        };
        let envelope = sealed.encode();
        if envelope.len() > MAX_JOB_BYTES {
            return Err(SealError::TooLong);
        }
        Ok(envelope)
    }
}

impl fmt::Debug for ResultSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultSealer").finish_non_exhaustive()
    }
}

/// An opened result. It is the function's answer only once [`Self::verified`] says so.
#[derive(Debug)]
pub struct OpenedResult(Zeroizing<Vec<u8>>);

impl OpenedResult {
    /// The result, if its receipt proves that the holder of `receipt_key` gave exactly this answer to this input as this job.
    ///
    /// # Errors
    ///
    /// [`OpenError::Content`] and [`OpenError::Receipt`].
    pub fn verified(
        &self,
        function: &Digest,
        input: &InputCommitment,
        receipt_key: &[u8; 64],
    ) -> Result<JobResult<'_>, OpenError> {
        let result = JobResult::decode(&self.0)?;
        result.verify(function, input, receipt_key)?;
        Ok(result)
    }
}

impl<'a> SealedResult<'a> {
    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head(self.ciphertext.len());
        out.extend_from_slice(self.ciphertext);
        out
    }

    /// Reads an envelope; any byte out of place is an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, JobSyntaxError> {
        let mut fields = Fields::of("sealed job result", bytes, MAX_JOB_BYTES, 5)?;
        let sealed = Self {
            status: fields.status()?,
            receipt_hash: fields.array()?,
            encapsulated: fields.array()?,
            ciphertext: fields.bytes()?,
        };
        if sealed.ciphertext.len() < TAG {
            return Err(fields.wrong("its ciphertext is too short"));
        }
        fields.end(&sealed.head(0), sealed.ciphertext)?;
        Ok(sealed)
    }

    /// Opens the result with the private half of the job's result key.
    ///
    /// # Errors
    ///
    /// [`OpenError::CannotOpen`]; [`OpenError::Content`] and [`OpenError::Contradiction`] where whoever sealed it was no
    /// honest enclave.
    pub fn open(
        &self,
        secret: &SealingSecret,
        terms: &JobTerms,
    ) -> Result<OpenedResult, OpenError> {
        let cannot = |_| OpenError::CannotOpen;
        let aad = associated_data(terms, &secret.public_key());
        let opened = single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &secret.0,
            &Encapsulated::from_bytes(&self.encapsulated).map_err(cannot)?,
            RESULT_INFO,
            self.ciphertext,
            &result_data(&aad, self.status, &self.receipt_hash),
        );
        let opened = OpenedResult(Zeroizing::new(opened.map_err(cannot)?));
        let result = JobResult::decode(&opened.0)?;
        if result.status != self.status || result.receipt.receipt.hash_struct() != self.receipt_hash
        {
            return Err(OpenError::Contradiction);
        }
        Ok(opened)
    }

    fn head(&self, more: usize) -> Vec<u8> {
        encoded(more, |e| {
            e.map(5)?;
            e.u8(1)?.u8(1)?;
            e.u8(2)?.u16(self.status)?;
            e.u8(3)?.bytes(&self.receipt_hash)?;
            e.u8(4)?.bytes(&self.encapsulated)?;
            e.u8(5)?.bytes_len(self.ciphertext.len() as u64)?;
            Ok(())
        })
    }
}

/// The job's 88 bytes, and the 34 that the envelope says in the open.
fn result_data(job: &[u8; 88], status: u16, receipt_hash: &[u8; 32]) -> [u8; 122] {
    let mut bytes = [0; 122];
    bytes[..88].copy_from_slice(job);
    bytes[88..90].copy_from_slice(&status.to_be_bytes());
    bytes[90..].copy_from_slice(receipt_hash);
    bytes
}
