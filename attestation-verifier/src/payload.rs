//! The payload: the claims of a document (DESIGN §4 *Payload*; AWS NSM spec §2.2, §3.2.2).

use std::collections::{BTreeMap, BTreeSet};

use crate::cbor::Reader;
use crate::error::{CborError, Field, MalformedError};
use crate::pcr::Pcr;

/// What a document says. Until it is verified, anybody may have said it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocumentClaims {
    /// The Nitro module that issued the document: instance id and enclave id.
    pub module_id: String,
    /// When the document was made, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The platform configuration registers by index; those that the document leaves out are absent.
    pub pcrs: BTreeMap<u8, Pcr>,
    /// The certificate whose key signs the document, as DER.
    pub certificate: Vec<u8>,
    /// The issuing CA certificates as DER, the root first.
    pub cabundle: Vec<Vec<u8>>,
    /// What the enclave passed as `public_key`; an empty string is not the same as none.
    pub public_key: Option<Vec<u8>>,
    /// What the enclave passed as `user_data`; an empty string, which AWS does send, is not the same as none.
    pub user_data: Option<Vec<u8>>,
    /// What the enclave passed as `nonce`; an empty string is not the same as none.
    pub nonce: Option<Vec<u8>>,
    /// Keys that this verifier does not know, in the document's order. Their values are never used.
    pub unknown_keys: Vec<String>,
}

impl DocumentClaims {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, MalformedError> {
        let mut reader = Reader::new(payload);
        let mut draft = Draft::default();
        let mut seen = BTreeSet::new();
        let entries = reader.top_map().map_err(within(Field::Payload))?;
        while more_entries(&mut reader, entries, seen.len())? {
            if seen.len() == MAX_KEYS {
                return Err(MalformedError::TooManyKeys { limit: MAX_KEYS });
            }
            let key = reader.text().map_err(within(Field::Payload))?;
            if !seen.insert(key) {
                return Err(MalformedError::DuplicateField(field_of(key)));
            }
            draft.read_value(key, &mut reader)?;
        }
        reader.finish().map_err(within(Field::Payload))?;
        draft.complete()
    }
}

/// Whether another entry of the payload's map follows.
fn more_entries(
    reader: &mut Reader<'_>,
    entries: Option<u64>,
    read: usize,
) -> Result<bool, MalformedError> {
    match entries {
        Some(entries) => Ok((read as u64) < entries),
        None => reader
            .at_break()
            .map(|ended| !ended)
            .map_err(within(Field::Payload)),
    }
}

/// Claims of which some have not been read yet.
#[derive(Default)]
struct Draft {
    module_id: Option<String>,
    digest: Option<()>,
    timestamp_ms: Option<u64>,
    pcrs: Option<BTreeMap<u8, Pcr>>,
    certificate: Option<Vec<u8>>,
    cabundle: Option<Vec<Vec<u8>>>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    unknown_keys: Vec<String>,
}

impl Draft {
    fn read_value(&mut self, key: &str, reader: &mut Reader<'_>) -> Result<(), MalformedError> {
        match field_of(key) {
            Field::ModuleId => self.module_id = Some(module_id(reader)?),
            Field::Digest => self.digest = Some(digest(reader)?),
            Field::Timestamp => self.timestamp_ms = Some(timestamp(reader)?),
            Field::Pcrs => self.pcrs = Some(pcrs(reader)?),
            Field::Certificate => self.certificate = Some(certificate(reader, Field::Certificate)?),
            Field::CaBundle => self.cabundle = Some(cabundle(reader)?),
            Field::PublicKey => self.public_key = user_field(reader, Field::PublicKey)?,
            Field::UserData => self.user_data = user_field(reader, Field::UserData)?,
            Field::Nonce => self.nonce = user_field(reader, Field::Nonce)?,
            _ if key == NITROTPM_KEY => return Err(MalformedError::NitroTpm),
            _ => self.unknown_keys.push(unknown(key, reader)?),
        }
        Ok(())
    }

    fn complete(self) -> Result<DocumentClaims, MalformedError> {
        let missing = MalformedError::MissingField;
        let claims = DocumentClaims {
            module_id: self.module_id.ok_or(missing(Field::ModuleId))?,
            timestamp_ms: self.timestamp_ms.ok_or(missing(Field::Timestamp))?,
            pcrs: self.pcrs.ok_or(missing(Field::Pcrs))?,
            certificate: self.certificate.ok_or(missing(Field::Certificate))?,
            cabundle: self.cabundle.ok_or(missing(Field::CaBundle))?,
            public_key: self.public_key,
            user_data: self.user_data,
            nonce: self.nonce,
            unknown_keys: self.unknown_keys,
        };
        self.digest.ok_or(missing(Field::Digest))?;
        Ok(claims)
    }
}

fn field_of(key: &str) -> Field {
    match key {
        "module_id" => Field::ModuleId,
        "digest" => Field::Digest,
        "timestamp" => Field::Timestamp,
        "pcrs" => Field::Pcrs,
        "certificate" => Field::Certificate,
        "cabundle" => Field::CaBundle,
        "public_key" => Field::PublicKey,
        "user_data" => Field::UserData,
        "nonce" => Field::Nonce,
        _ => Field::Unknown,
    }
}

fn module_id(reader: &mut Reader<'_>) -> Result<String, MalformedError> {
    let text = reader.text().map_err(within(Field::ModuleId))?;
    if !is_plain(text, MAX_MODULE_ID_BYTES) {
        return Err(MalformedError::ModuleId {
            limit: MAX_MODULE_ID_BYTES,
        });
    }
    Ok(text.to_owned())
}

fn digest(reader: &mut Reader<'_>) -> Result<(), MalformedError> {
    match reader.text().map_err(within(Field::Digest))? {
        "SHA384" => Ok(()),
        _ => Err(MalformedError::Digest),
    }
}

fn timestamp(reader: &mut Reader<'_>) -> Result<u64, MalformedError> {
    match reader.uint().map_err(within(Field::Timestamp))? {
        0 => Err(MalformedError::Timestamp),
        timestamp => Ok(timestamp),
    }
}

fn pcrs(reader: &mut Reader<'_>) -> Result<BTreeMap<u8, Pcr>, MalformedError> {
    let count = reader.map().map_err(within(Field::Pcrs))?;
    if !(1..=u64::from(PCR_INDEXES)).contains(&count) {
        return Err(MalformedError::PcrCount(count));
    }
    let mut pcrs = BTreeMap::new();
    for _ in 0..count {
        let index = reader.uint().map_err(within(Field::Pcrs))?;
        let index = match u8::try_from(index) {
            Ok(small) if small < PCR_INDEXES => small,
            _ => return Err(MalformedError::PcrIndex(index)),
        };
        let value = reader.bytes().map_err(within(Field::Pcrs))?;
        let pcr = Pcr::try_from(value).map_err(|_| MalformedError::PcrLength {
            index,
            length: value.len(),
        })?;
        if pcrs.insert(index, pcr).is_some() {
            return Err(MalformedError::DuplicatePcr(index));
        }
    }
    Ok(pcrs)
}

fn certificate(reader: &mut Reader<'_>, field: Field) -> Result<Vec<u8>, MalformedError> {
    let der = reader.bytes().map_err(within(field))?;
    if der.is_empty() || der.len() > MAX_CERTIFICATE_BYTES {
        return Err(MalformedError::CertificateLength {
            field,
            length: der.len(),
            limit: MAX_CERTIFICATE_BYTES,
        });
    }
    Ok(der.to_vec())
}

fn cabundle(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, MalformedError> {
    let count = reader.array().map_err(within(Field::CaBundle))?;
    if !(1..=MAX_BUNDLE as u64).contains(&count) {
        return Err(MalformedError::BundleCount {
            count,
            limit: MAX_BUNDLE,
        });
    }
    (0..count)
        .map(|_| certificate(reader, Field::CaBundle))
        .collect()
}

fn user_field(reader: &mut Reader<'_>, field: Field) -> Result<Option<Vec<u8>>, MalformedError> {
    let Some(value) = reader.nullable_bytes().map_err(within(field))? else {
        return Ok(None);
    };
    if value.len() > MAX_USER_FIELD_BYTES {
        return Err(MalformedError::UserFieldLength {
            field,
            length: value.len(),
            limit: MAX_USER_FIELD_BYTES,
        });
    }
    Ok(Some(value.to_vec()))
}

fn unknown(key: &str, reader: &mut Reader<'_>) -> Result<String, MalformedError> {
    if !is_plain(key, MAX_UNKNOWN_KEY_BYTES) {
        return Err(MalformedError::UnknownKey {
            limit: MAX_UNKNOWN_KEY_BYTES,
        });
    }
    reader.skip_value().map_err(within(Field::Unknown))?;
    Ok(key.to_owned())
}

/// Text that can be shown on a terminal: not empty, not too long, no control characters.
fn is_plain(text: &str, limit: usize) -> bool {
    !text.is_empty() && text.len() <= limit && !text.chars().any(char::is_control)
}

fn within(field: Field) -> impl Fn(CborError) -> MalformedError {
    move |error| MalformedError::Cbor { field, error }
}

/// The key that holds the PCRs of a NitroTPM document, in the place of `pcrs`.
const NITROTPM_KEY: &str = "nitrotpm_pcrs";

const PCR_INDEXES: u8 = 32;
pub(crate) const MAX_CERTIFICATE_BYTES: usize = 1024;
const MAX_USER_FIELD_BYTES: usize = 1024;

// AWS sets no limit to these; real documents have 9 keys, 4 certificates in the bundle and a module id of 39 bytes.
const MAX_KEYS: usize = 32;
const MAX_UNKNOWN_KEY_BYTES: usize = 64;
const MAX_MODULE_ID_BYTES: usize = 256;
const MAX_BUNDLE: usize = 8;
