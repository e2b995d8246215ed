//! The list of all rules, for whoever counts them: documentation, tests, other implementations.

use super::ResultCode::{self, Binding, Chain, Malformed, Measurements, Signature, Time, Usage};

/// Every rule's name and the result code that breaking it has.
pub const RULES: &[(&str, ResultCode)] = &[
    ("document-too-long", Malformed),
    ("nitrotpm-document", Malformed),
    ("duplicate-key", Malformed),
    ("too-many-keys", Malformed),
    ("unknown-key-shape", Malformed),
    ("missing-key", Malformed),
    ("module-id", Malformed),
    ("digest-algorithm", Malformed),
    ("timestamp-zero", Malformed),
    ("pcr-count", Malformed),
    ("pcr-index", Malformed),
    ("pcr-length", Malformed),
    ("duplicate-pcr", Malformed),
    ("cabundle-count", Malformed),
    ("certificate-length", Malformed),
    ("user-field-length", Malformed),
    ("envelope-elements", Malformed),
    ("protected-header", Malformed),
    ("unprotected-header", Malformed),
    ("signature-length", Malformed),
    ("cbor-truncated", Malformed),
    ("cbor-trailing-bytes", Malformed),
    ("cbor-type", Malformed),
    ("cbor-break", Malformed),
    ("cbor-chunked-string", Malformed),
    ("cbor-indefinite-length", Malformed),
    ("cbor-not-shortest", Malformed),
    ("cbor-reserved", Malformed),
    ("cbor-utf8", Malformed),
    ("cbor-depth", Malformed),
    ("cbor-count", Malformed),
    ("untrusted-root", Chain),
    ("certificate-der", Chain),
    ("certificate-trailing-bytes", Chain),
    ("certificate-version", Chain),
    ("certificate-serial-number", Chain),
    ("certificate-signature-algorithm", Chain),
    ("certificate-signature-encoding", Chain),
    ("certificate-name", Chain),
    ("certificate-validity-encoding", Chain),
    ("certificate-public-key-algorithm", Chain),
    ("certificate-public-key-point", Chain),
    ("certificate-unique-identifier", Chain),
    ("certificate-duplicate-extension", Chain),
    ("certificate-critical-extension", Chain),
    ("certificate-not-yet-valid", Chain),
    ("certificate-expired", Chain),
    ("certificate-not-ca", Chain),
    ("certificate-basic-constraints-critical", Chain),
    ("certificate-key-cert-sign", Chain),
    ("certificate-path-length", Chain),
    ("leaf-is-ca", Chain),
    ("leaf-path-length", Chain),
    ("leaf-digital-signature", Chain),
    ("certificate-repeated", Chain),
    ("certificate-issuer", Chain),
    ("certificate-signature", Chain),
    ("signature-range", Signature),
    ("signature-invalid", Signature),
    ("document-too-old", Time),
    ("document-from-future", Time),
    ("pcr-missing", Measurements),
    ("pcr-partly-zero", Measurements),
    ("debug-enclave", Measurements),
    ("measurement-mismatch", Measurements),
    ("measurement-not-yet-valid", Measurements),
    ("measurement-expired", Measurements),
    ("nonce-mismatch", Binding),
    ("user-data-mismatch", Binding),
    ("public-key-mismatch", Binding),
    ("policy-no-measurements", Usage),
    ("policy-too-many-measurements", Usage),
    ("policy-pcr-index", Usage),
    ("policy-window", Usage),
    ("policy-json", Usage),
    ("policy-too-long", Usage),
    ("root-too-long", Usage),
    ("root-pem", Usage),
    ("root-certificate", Usage),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The sources in which a rule gets its name.
    const SOURCES: &[&str] = &[
        include_str!("malformed.rs"),
        include_str!("chain.rs"),
        include_str!("certificate.rs"),
        include_str!("refused.rs"),
        include_str!("../policy.rs"),
        include_str!("../roots.rs"),
    ];

    #[test]
    fn the_list_is_complete_and_names_nothing_twice() {
        let names: Vec<_> = SOURCES
            .iter()
            .flat_map(|source| source.split("fn rule(").skip(1))
            .filter_map(|after| after.split("\n    }\n").next())
            .flat_map(str::lines)
            .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
            .collect();
        let listed: BTreeSet<_> = RULES.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, names.iter().copied().collect());
        assert_eq!((names.len(), RULES.len()), (listed.len(), listed.len()));
    }
}
