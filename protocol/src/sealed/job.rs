//! The envelope of a sealed input.

use chacha20::rand_core::Rng as _;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, single_shot_open,
    single_shot_seal_with_rng,
};
use zeroize::Zeroizing;

use super::{
    Aead, Encapsulated, JOB_INFO, Kdf, Kem, OpenError, SealError, SealingSecret, TAG,
    associated_data, key_id, public_key, random,
};
use crate::job::cbor::{Fields, encoded};
use crate::job::{JobInput, JobSyntaxError, JobTerms, MAX_JOB_BYTES};

/// Most enclaves that one job is sealed to.
pub const MAX_RECIPIENTS: usize = 64;

/// A sealed input, read from its envelope.
///
/// Deterministic CBOR, integer keys:
///
/// | key | field | type |
/// |---|---|---|
/// | 1 | version = 1 | uint |
/// | 2 | recipients, 1 to 64, ascending by the first element of each | array |
/// | 3 | encrypted [`JobInput`] with its tag | bstr |
///
/// Version 2 says in the open which key the result is sealed to, for a job that a contract asks for: whoever brings it to the
/// platform learns it from nobody else.
///
/// | key | field | type |
/// |---|---|---|
/// | 1 | version = 2 | uint |
/// | 2 | recipients, as above | array |
/// | 3 | result public key, X25519 | bstr 32 |
/// | 4 | encrypted [`JobInput`] with its tag | bstr |
///
/// Each recipient is an array of three: SHA-256 of its public key (bstr 32), HPKE's encapsulated key (bstr 32), and the
/// wrapped content key with its tag (bstr 48).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedJob<'a> {
    pub(super) recipients: Vec<Recipient>,
    pub(super) result_key: Option<[u8; 32]>,
    pub(super) ciphertext: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipient {
    pub(super) key_id: [u8; 32],
    encapsulated: [u8; 32],
    wrapped: [u8; 32 + TAG],
}

impl<'a> SealedJob<'a> {
    /// Seals an input for these terms to each of the keys in `recipients`, the result to be sealed to `result_key`; the
    /// envelope's encoding.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn seal(
        input: &JobInput<'_>,
        terms: &JobTerms,
        result_key: &[u8; 32],
        recipients: &[[u8; 32]],
        entropy: &[u8; 32],
    ) -> Result<Vec<u8>, SealError> {
        Self::seal_as(input, terms, result_key, None, recipients, entropy)
    }

    /// The same as version 2, which shows the result key.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn seal_showing_key(
        input: &JobInput<'_>,
        terms: &JobTerms,
        result_key: &[u8; 32],
        recipients: &[[u8; 32]],
        entropy: &[u8; 32],
    ) -> Result<Vec<u8>, SealError> {
        let shown = Some(*result_key);
        Self::seal_as(input, terms, result_key, shown, recipients, entropy)
    }

    fn seal_as(
        input: &JobInput<'_>,
        terms: &JobTerms,
        result_key: &[u8; 32],
        shown: Option<[u8; 32]>,
        recipients: &[[u8; 32]],
        entropy: &[u8; 32],
    ) -> Result<Vec<u8>, SealError> {
        if !(1..=MAX_RECIPIENTS).contains(&recipients.len()) {
            return Err(SealError::Recipients(recipients.len()));
        }
        let aad = associated_data(terms, result_key);
        let mut random = random(entropy);
        let mut content_key = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut *content_key);
        // To a key that does not work the enclave would refuse to seal.
        Kem::encap_with_rng(&public_key(result_key)?, None, &mut random)
            .map_err(|_| SealError::Key)?;

        let mut wrapped = Vec::with_capacity(recipients.len());
        for key in recipients {
            wrapped.push(Recipient::wrap(&content_key, key, &aad, &mut random)?);
        }
        wrapped.sort_unstable_by_key(|recipient| recipient.key_id);
        if wrapped
            .array_windows()
            .any(|[one, next]| one.key_id == next.key_id)
        {
            return Err(SealError::SameRecipientTwice);
        }
        let mut buffer = Zeroizing::new(input.encode());
        ChaCha20Poly1305::new((&*content_key).into())
            .encrypt_in_place(&Nonce::default(), &aad, &mut *buffer)
            .map_err(|_| SealError::TooLong)?;
        let sealed = SealedJob {
            recipients: wrapped,
            result_key: shown,
            ciphertext: &buffer,
        };
        let envelope = sealed.encode();
        if envelope.len() > MAX_JOB_BYTES {
            return Err(SealError::TooLong);
        }
        Ok(envelope)
    }

    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head(self.ciphertext.len());
        out.extend_from_slice(self.ciphertext);
        out
    }

    /// Reads an envelope; any byte out of place is an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, JobSyntaxError> {
        let (mut fields, version) =
            Fields::of_version("sealed job", bytes, MAX_JOB_BYTES, &[3, 4])?;
        let sealed = Self {
            recipients: Recipient::read_all(&mut fields)?,
            result_key: match version {
                1 => None,
                _ => Some(fields.array()?),
            },
            ciphertext: fields.bytes()?,
        };
        if sealed.ciphertext.len() < TAG {
            return Err(fields.wrong("its ciphertext is too short"));
        }
        fields.end(&sealed.head(0), sealed.ciphertext)?;
        Ok(sealed)
    }

    /// SHA-256 of each key that can open it.
    pub fn key_ids(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.recipients.iter().map(|recipient| &recipient.key_id)
    }

    /// The key that the result is sealed to, where the envelope says it. Whether it is the one that the input was sealed with
    /// shows when it is opened.
    pub fn result_key(&self) -> Option<[u8; 32]> {
        self.result_key
    }

    /// Bytes that opening it takes.
    pub fn opened_len(&self) -> usize {
        self.ciphertext.len()
    }

    /// Opens the input: the encoding of a [`JobInput`], if the sender was honest. The terms and the result key are those that
    /// the opener will hold to.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotARecipient`] and [`OpenError::CannotOpen`].
    pub fn open(
        &self,
        secret: &SealingSecret,
        terms: &JobTerms,
        result_key: &[u8; 32],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let id = key_id(&secret.public_key());
        let recipient = self
            .recipients
            .binary_search_by_key(&id, |recipient| recipient.key_id)
            .map_err(|_| OpenError::NotARecipient)?;
        let aad = associated_data(terms, result_key);
        let content_key = self.recipients[recipient].unwrap_key(secret, &aad)?;
        let mut buffer = Zeroizing::new(self.ciphertext.to_vec());
        ChaCha20Poly1305::new((&*content_key).into())
            .decrypt_in_place(&Nonce::default(), &aad, &mut *buffer)
            .map_err(|_| OpenError::CannotOpen)?;
        Ok(buffer)
    }

    fn head(&self, more: usize) -> Vec<u8> {
        encoded(self.recipients.len() * 128 + more, |e| {
            e.map(if self.result_key.is_some() { 4 } else { 3 })?;
            e.u8(1)?.u8(if self.result_key.is_some() { 2 } else { 1 })?;
            e.u8(2)?.array(self.recipients.len() as u64)?;
            for recipient in &self.recipients {
                e.array(3)?
                    .bytes(&recipient.key_id)?
                    .bytes(&recipient.encapsulated)?
                    .bytes(&recipient.wrapped)?;
            }
            let last = match &self.result_key {
                Some(key) => {
                    e.u8(3)?.bytes(key)?;
                    4
                }
                None => 3,
            };
            e.u8(last)?.bytes_len(self.ciphertext.len() as u64)?;
            Ok(())
        })
    }
}

impl Recipient {
    fn wrap(
        content_key: &Zeroizing<[u8; 32]>,
        key: &[u8; 32],
        aad: &[u8],
        random: &mut chacha20::ChaCha20Rng,
    ) -> Result<Self, SealError> {
        let (encapsulated, wrapped) = single_shot_seal_with_rng::<Aead, Kdf, Kem>(
            &OpModeS::Base,
            &public_key(key)?,
            JOB_INFO,
            &**content_key,
            aad,
            random,
        )
        .map_err(|_| SealError::Key)?;
        Ok(Self {
            key_id: key_id(key),
            encapsulated: encapsulated.to_bytes().into(),
            wrapped: wrapped.try_into().map_err(|_| SealError::Key)?,
        })
    }

    fn unwrap_key(
        &self,
        secret: &SealingSecret,
        aad: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let cannot = |_| OpenError::CannotOpen;
        let encapsulated = Encapsulated::from_bytes(&self.encapsulated).map_err(cannot)?;
        let opened = single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &secret.0,
            &encapsulated,
            JOB_INFO,
            &self.wrapped,
            aad,
        );
        let opened = Zeroizing::new(opened.map_err(cannot)?);
        let mut key = Zeroizing::new([0; 32]);
        // A wrapped key has 48 bytes, of which 16 are the tag.
        key.copy_from_slice(&opened);
        Ok(key)
    }

    fn read_all(fields: &mut Fields<'_>) -> Result<Vec<Self>, JobSyntaxError> {
        let count = fields.value()?.array().ok().flatten();
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| (1..=MAX_RECIPIENTS).contains(count));
        let count = count.ok_or_else(|| fields.wrong("its recipients are not 1 to 64"))?;
        let mut recipients: Vec<Self> = Vec::with_capacity(count);
        for _ in 0..count {
            let recipient = fields.item(|d| {
                (d.array().ok()? == Some(3)).then_some(())?;
                Some(Self {
                    key_id: d.bytes().ok()?.try_into().ok()?,
                    encapsulated: d.bytes().ok()?.try_into().ok()?,
                    wrapped: d.bytes().ok()?.try_into().ok()?,
                })
            });
            let recipient = recipient.ok_or_else(|| fields.wrong("a recipient is none"))?;
            if recipients
                .last()
                .is_some_and(|last| last.key_id >= recipient.key_id)
            {
                return Err(fields.wrong("its recipients are not in order"));
            }
            recipients.push(recipient);
        }
        Ok(recipients)
    }
}
