//! From a description of a certificate to its DER.

use der::asn1::{
    Any, BitString, GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, SetOfVec, Uint,
    UtcTime,
};
use der::{DateTime, Encode as _, Sequence};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, SubjectKeyIdentifier,
};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity as DerValidity};

use super::Key;

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const CRL_DISTRIBUTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");

/// What a certificate shall say. All fields are open, so that tests can ask for a wrong one.
#[derive(Clone, Debug)]
pub struct Template {
    /// The serial number's magnitude, big-endian.
    pub serial: Vec<u8>,
    /// Whom it names.
    pub subject: DistinguishedName,
    /// When it holds.
    pub validity: Validity,
    /// Its extensions, in order.
    pub extensions: Vec<Extension>,
}

/// Who signs a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// The issuer's subject name.
    pub name: &'a DistinguishedName,
    /// The issuer's key.
    pub key: &'a Key,
}

/// Seconds since the Unix epoch between which a certificate holds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: u64,
    /// The last second.
    pub until: u64,
}

/// A certificate that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The root holds at no such time.
    #[error("the root certificate does not cover {now}: it holds from {} until {} (seconds since 1970)", root.from, root.until)]
    OutsideRoot {
        /// The time asked for, in seconds since the Unix epoch.
        now: u64,
        /// When the root holds.
        root: Validity,
    },
    /// A value has no DER form, e.g. a year beyond 9999.
    #[error("cannot encode the certificate: {0}")]
    Encoding(#[from] der::Error),
    /// The public key has no DER form.
    #[error("cannot encode the public key: {0}")]
    PublicKey(#[from] x509_cert::spki::Error),
}

impl Template {
    /// Makes the certificate for `subject`'s public key, signed by `issuer`; returns its DER.
    ///
    /// # Errors
    ///
    /// When a value has no DER form.
    pub fn issue(&self, subject: &Key, issuer: Issuer<'_>) -> Result<Vec<u8>, IssueError> {
        let algorithm = AlgorithmIdentifierOwned {
            oid: ECDSA_WITH_SHA384,
            parameters: None,
        };
        let keys = Keys {
            subject,
            issuer: issuer.key,
        };
        let statement = Statement {
            version: 2,
            serial: Uint::new(&self.serial)?,
            signature: algorithm.clone(),
            issuer: issuer.name.to_rdns()?,
            validity: self.validity.to_der()?,
            subject: self.subject.to_rdns()?,
            key: subject.public_info()?,
            extensions: self
                .extensions
                .iter()
                .map(|extension| extension.to_der(&keys))
                .collect::<Result<_, _>>()?,
        };
        let signature = issuer.key.sign_der(&statement.to_der()?);
        let signature = BitString::from_bytes(signature.as_bytes())?;
        Ok(Signed {
            statement,
            algorithm,
            signature,
        }
        .to_der()?)
    }
}

/// X.509's `TBSCertificate` (RFC 5280 §4.1), version 3.
#[derive(Sequence)]
struct Statement {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Uint,
    signature: AlgorithmIdentifierOwned,
    issuer: Rdns,
    validity: DerValidity,
    subject: Rdns,
    key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<x509_cert::ext::Extension>,
}

#[derive(Sequence)]
struct Signed {
    statement: Statement,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

type Rdns = Vec<SetOfVec<AttributeTypeAndValue>>;

/// A distinguished name: attributes in the order they are written, one to a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName(pub Vec<(Attribute, String)>);

impl DistinguishedName {
    /// The name's DER.
    ///
    /// # Errors
    ///
    /// When a value has no DER form in its attribute's string type.
    pub fn to_der(&self) -> Result<Vec<u8>, IssueError> {
        Ok(self.to_rdns()?.to_der()?)
    }

    fn to_rdns(&self) -> der::Result<Rdns> {
        self.0
            .iter()
            .map(|(attribute, value)| {
                let attribute = AttributeTypeAndValue {
                    oid: attribute.oid(),
                    value: attribute.value(value)?,
                };
                SetOfVec::try_from(vec![attribute])
            })
            .collect()
    }
}

/// The attributes that AWS's names have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Attribute {
    Country,
    State,
    Locality,
    Organization,
    Unit,
    CommonName,
}

impl Attribute {
    fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::CommonName => "2.5.4.3",
            Self::Country => "2.5.4.6",
            Self::Locality => "2.5.4.7",
            Self::State => "2.5.4.8",
            Self::Organization => "2.5.4.10",
            Self::Unit => "2.5.4.11",
        })
    }

    /// Countries are `PrintableString`, everything else is `UTF8String`.
    fn value(self, text: &str) -> der::Result<Any> {
        let tag = if self == Self::Country {
            der::Tag::PrintableString
        } else {
            der::Tag::Utf8String
        };
        Any::new(tag, text.as_bytes())
    }
}

/// Bits of the key usage extension, as they stand in its first octet.
pub mod usage {
    /// digitalSignature
    pub const DIGITAL_SIGNATURE: u8 = 0x80;
    /// nonRepudiation
    pub const NON_REPUDIATION: u8 = 0x40;
    /// keyCertSign
    pub const CERT_SIGN: u8 = 0x04;
    /// cRLSign
    pub const CRL_SIGN: u8 = 0x02;
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Basic constraints, critical: a CA, with at most so many CAs below it.
    Ca {
        /// How many, if bounded.
        path_len: Option<u8>,
    },
    /// Basic constraints, critical: no CA.
    NotCa,
    /// Key usage.
    KeyUsage {
        /// Whether it is marked critical.
        critical: bool,
        /// The bits, of [`usage`].
        bits: u8,
    },
    /// The identifier of the subject's key.
    SubjectKeyId,
    /// The identifier of the issuer's key.
    AuthorityKeyId,
    /// Where a revocation list would be.
    CrlAt(String),
    /// Anything else.
    Other {
        /// The extension's object identifier, dotted.
        oid: String,
        /// Whether it is marked critical.
        critical: bool,
        /// The bytes inside its octet string.
        value: Vec<u8>,
    },
}

struct Keys<'a> {
    subject: &'a Key,
    issuer: &'a Key,
}

impl Extension {
    fn to_der(&self, keys: &Keys<'_>) -> der::Result<x509_cert::ext::Extension> {
        let (extn_id, critical, value) = match self {
            Self::Ca { path_len } => (
                BASIC_CONSTRAINTS,
                true,
                BasicConstraints {
                    ca: true,
                    path_len_constraint: *path_len,
                }
                .to_der()?,
            ),
            Self::NotCa => (
                BASIC_CONSTRAINTS,
                true,
                BasicConstraints {
                    ca: false,
                    path_len_constraint: None,
                }
                .to_der()?,
            ),
            Self::KeyUsage { critical, bits } => (KEY_USAGE, *critical, key_usage(*bits)?),
            Self::SubjectKeyId => {
                let id = SubjectKeyIdentifier(OctetString::new(keys.subject.identifier())?);
                (SUBJECT_KEY_ID, false, id.to_der()?)
            }
            Self::AuthorityKeyId => {
                let id = AuthorityKeyIdentifier {
                    key_identifier: Some(OctetString::new(keys.issuer.identifier())?),
                    ..AuthorityKeyIdentifier::default()
                };
                (AUTHORITY_KEY_ID, false, id.to_der()?)
            }
            Self::CrlAt(url) => (CRL_DISTRIBUTION, false, crl_at(url)?),
            Self::Other {
                oid,
                critical,
                value,
            } => (ObjectIdentifier::new(oid)?, *critical, value.clone()),
        };
        Ok(x509_cert::ext::Extension {
            extn_id,
            critical,
            extn_value: OctetString::new(value)?,
        })
    }
}

fn key_usage(bits: u8) -> der::Result<Vec<u8>> {
    let unused = bits.trailing_zeros().min(7) as u8;
    BitString::new(unused, [bits])?.to_der()
}

fn crl_at(url: &str) -> der::Result<Vec<u8>> {
    let name = GeneralName::UniformResourceIdentifier(Ia5String::new(url)?);
    let point = DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(vec![name])),
        reasons: None,
        crl_issuer: None,
    };
    CrlDistributionPoints(vec![point]).to_der()
}

impl Validity {
    /// Whether `second` lies in it.
    #[must_use]
    pub fn covers(&self, second: u64) -> bool {
        (self.from..=self.until).contains(&second)
    }

    fn to_der(self) -> der::Result<DerValidity> {
        Ok(DerValidity::new(time(self.from)?, time(self.until)?))
    }
}

/// `UTCTime` through 2049, `GeneralizedTime` from 2050 on (RFC 5280 §4.1.2.5).
fn time(second: u64) -> der::Result<Time> {
    let moment = DateTime::from_unix_duration(std::time::Duration::from_secs(second))?;
    Ok(match UtcTime::from_date_time(moment) {
        Ok(utc) => Time::UtcTime(utc),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_date_time(moment)),
    })
}
