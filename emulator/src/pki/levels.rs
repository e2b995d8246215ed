//! What the certificate of each level looks like.
//!
//! Lifetimes are AWS's as seen from the moment of issue: regional certificates reach back an
//! hour and ahead twenty days, zonal ones live about six days, instance ones a day, leaves from
//! three seconds before to three hours after.

use rand::Rng as _;
use rand::rngs::StdRng;

use super::Key;
use super::certificate::{Attribute, DistinguishedName, Extension, Template, Validity, usage};
use super::identity::InstanceIdentity;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Thirty years with their leap days, as AWS counts them: 10,958 days.
const THIRTY_YEARS: u64 = 10_958 * DAY;

/// How far a level's validity reaches back and ahead from its issue, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Before the moment of issue.
    pub back: u64,
    /// After it.
    pub ahead: u64,
}

/// The root's span.
pub const ROOT: Span = Span {
    back: HOUR,
    ahead: THIRTY_YEARS,
};
/// The regional certificate's span.
pub const REGIONAL: Span = Span {
    back: HOUR,
    ahead: 20 * DAY,
};
/// The zonal certificate's span.
pub const ZONAL: Span = Span {
    back: HOUR,
    ahead: 6 * DAY - HOUR,
};
/// The instance certificate's span.
pub const INSTANCE: Span = Span {
    back: MINUTE,
    ahead: DAY - MINUTE,
};
/// The leaf's span.
pub const LEAF: Span = Span {
    back: 3,
    ahead: 3 * HOUR,
};

/// The suffix of every name below the root.
const DOMAIN: &str = "local-1.nacre-dev";

/// The root's name. Its unit is what a reader of a verdict shall see.
#[must_use]
pub fn root_name() -> DistinguishedName {
    let unit = (Attribute::Unit, "DEVELOPMENT ROOT".to_owned());
    let name = (Attribute::CommonName, "nacre-dev.nitro-enclaves".to_owned());
    DistinguishedName(vec![country(), organization(), unit, name])
}

/// The root, self-signed.
#[must_use]
pub fn root(rng: &mut StdRng, validity: Validity) -> Template {
    Template {
        serial: serial::<16>(rng),
        subject: root_name(),
        validity,
        extensions: vec![
            Extension::Ca { path_len: None },
            Extension::SubjectKeyId,
            ca_usage(),
        ],
    }
}

/// The regional CA, below the root.
#[must_use]
pub fn regional(rng: &mut StdRng, validity: Validity, issuer: &Key) -> Template {
    let name = (
        Attribute::CommonName,
        format!("{}.{DOMAIN}.nitro-enclaves", hex::encode(random::<8>(rng))),
    );
    Template {
        serial: serial::<16>(rng),
        subject: DistinguishedName(vec![country(), organization(), unit(), name]),
        validity,
        extensions: acm_ca(2, issuer),
    }
}

/// The zonal CA, below the regional one.
#[must_use]
pub fn zonal(rng: &mut StdRng, validity: Validity, issuer: &Key) -> Template {
    let name = (
        Attribute::CommonName,
        format!(
            "{}.zonal.{DOMAIN}.nitro-enclaves",
            hex::encode(random::<8>(rng))
        ),
    );
    let place = [
        (Attribute::State, "XX".to_owned()),
        (Attribute::Locality, "Nowhere".to_owned()),
    ];
    let [state, locality] = place;
    Template {
        serial: serial::<16>(rng),
        subject: DistinguishedName(vec![
            name,
            unit(),
            organization(),
            country(),
            state,
            locality,
        ]),
        validity,
        extensions: acm_ca(1, issuer),
    }
}

/// The parent instance's CA, below the zonal one.
#[must_use]
pub fn instance(rng: &mut StdRng, validity: Validity, identity: &InstanceIdentity) -> Template {
    Template {
        serial: serial::<20>(rng),
        subject: on_instance(format!(
            "{}.{DOMAIN}.nitro-enclaves",
            identity.instance_id()
        )),
        validity,
        extensions: vec![
            Extension::Ca { path_len: Some(0) },
            Extension::KeyUsage {
                critical: true,
                bits: usage::CERT_SIGN,
            },
            Extension::SubjectKeyId,
            Extension::AuthorityKeyId,
        ],
    }
}

/// The certificate that signs documents. Its serial is the enclave's number and the second of issue.
#[must_use]
pub fn leaf(identity: &InstanceIdentity, validity: Validity, issued: u64) -> Template {
    Template {
        serial: [identity.enclave(), issued.to_be_bytes()].concat(),
        subject: on_instance(format!("{}.{DOMAIN}", identity.module_id())),
        validity,
        extensions: vec![
            Extension::NotCa,
            Extension::KeyUsage {
                critical: false,
                bits: usage::DIGITAL_SIGNATURE | usage::NON_REPUDIATION,
            },
        ],
    }
}

/// The extensions of the two levels that AWS issues from its private CA service.
fn acm_ca(path_len: u8, issuer: &Key) -> Vec<Extension> {
    vec![
        Extension::Ca {
            path_len: Some(path_len),
        },
        Extension::AuthorityKeyId,
        Extension::SubjectKeyId,
        ca_usage(),
        Extension::CrlAt(crl_of(issuer)),
    ]
}

fn ca_usage() -> Extension {
    Extension::KeyUsage {
        critical: true,
        bits: usage::DIGITAL_SIGNATURE | usage::CERT_SIGN | usage::CRL_SIGN,
    }
}

/// A place for the issuer's revocation list, in a domain that cannot exist (RFC 2606).
fn crl_of(issuer: &Key) -> String {
    let id = hex::encode(issuer.identifier());
    let (a, b, c, d, e) = (&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..32]);
    format!("http://crl-local-1-nacre-dev-nitro-enclaves.invalid/crl/{a}-{b}-{c}-{d}-{e}.crl")
}

fn on_instance(common_name: String) -> DistinguishedName {
    DistinguishedName(vec![
        country(),
        (Attribute::State, "Nowhere".to_owned()),
        (Attribute::Locality, "Nowhere".to_owned()),
        organization(),
        unit(),
        (Attribute::CommonName, common_name),
    ])
}

fn country() -> (Attribute, String) {
    (Attribute::Country, "XX".to_owned())
}

fn organization() -> (Attribute, String) {
    (Attribute::Organization, "Nacre".to_owned())
}

fn unit() -> (Attribute, String) {
    (Attribute::Unit, "DEVELOPMENT".to_owned())
}

/// A random serial of `N` bytes; its DER is one byte longer when the first bit is set.
fn serial<const N: usize>(rng: &mut StdRng) -> Vec<u8> {
    let mut serial = random::<N>(rng);
    if serial[0] == 0 {
        serial[0] = 1;
    }
    serial.to_vec()
}

fn random<const N: usize>(rng: &mut StdRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}
