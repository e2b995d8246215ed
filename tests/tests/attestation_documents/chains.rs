//! Chains that do not lead from the trusted root to the signer.

use std::time::Duration;

use nacre_attestation_verifier::{ResultCode, Roots};
use nacre_emulator::pki::{Extension, usage};
use nacre_emulator::testing::{ChainPlan, key};

use crate::case::{Case, HOUR, NOW, Setting, policy};
use crate::cbor::{array, bytes};
use crate::forge::unknown_extension;

pub(crate) fn bad_chains() -> Vec<Case> {
    use ResultCode::Chain;
    let setting = Setting::new();
    let plain = setting.sign(&setting.payload());
    let other = Setting::of(ChainPlan::correct(2, NOW));
    let patient = policy().with_max_age(Duration::from_secs(30 * 24 * 3600));
    let changed = |name, change: fn(&mut ChainPlan)| {
        let setting = Setting::changed(change);
        setting.case(name, Chain, setting.sign(&setting.payload()))
    };
    let bundle = |name, pick: &[usize]| {
        let certificates: Vec<_> = pick
            .iter()
            .map(|depth| bytes(&setting.certificates[*depth]))
            .collect();
        setting.with(name, Chain, "cabundle", array(&certificates))
    };
    let bit = |name, depth: usize, place: fn(usize) -> usize| {
        let mut certificates = setting.certificates.clone();
        let place = place(certificates[depth].len());
        certificates[depth][place] ^= 1;
        let bundle: Vec<_> = certificates[..4].iter().map(|der| bytes(der)).collect();
        let payload = setting
            .payload()
            .set("certificate", bytes(&certificates[4]))
            .set("cabundle", array(&bundle));
        setting.case(name, Chain, setting.sign(&payload))
    };
    vec![
        setting
            .case("another root is trusted", Chain, plain.clone())
            .trusting(other.roots()),
        setting
            .case("AWS's root is trusted", Chain, plain.clone())
            .trusting(Roots::aws()),
        setting.with(
            "another chain's leaf",
            Chain,
            "certificate",
            bytes(&other.certificates[4]),
        ),
        setting
            .case("leaf expired", Chain, plain.clone())
            .at(NOW + 3 * HOUR + 1000)
            .under(patient.clone()),
        setting
            .case("leaf not yet valid", Chain, plain.clone())
            .at(NOW - 4000)
            .under(patient.clone()),
        setting
            .case("everything expired", Chain, plain)
            .at(NOW + 21 * 24 * HOUR)
            .under(patient),
        changed("instance certificate expired", |plan| {
            plan.levels[3].template.validity.until = NOW / 1000 - 1
        }),
        changed("zonal certificate expired", |plan| {
            plan.levels[2].template.validity.until = NOW / 1000 - 1
        }),
        changed("regional certificate not yet valid", |plan| {
            plan.levels[1].template.validity.from = NOW / 1000 + 1
        }),
        bundle("no root", &[1, 2, 3]),
        bundle("root alone", &[0]),
        bundle("a level missing", &[0, 1, 3]),
        bundle("a level twice", &[0, 1, 2, 2, 3]),
        bundle("leaf first", &[3, 2, 1, 0]),
        bundle("two levels swapped", &[0, 2, 1, 3]),
        bit("wrong bit in the regional signature", 1, |length| {
            length - 1
        }),
        bit("wrong bit in the instance's key", 3, |length| length - 250),
        bit("wrong bit in the leaf's serial", 4, |_| 20),
        bit("wrong bit in the leaf's signature", 4, |length| length - 1),
        setting.with(
            "bytes after the leaf certificate",
            Chain,
            "certificate",
            bytes(&[&setting.certificates[4][..], &[0]].concat()),
        ),
        changed("signed by a stranger", |plan| {
            plan.levels[2].signer = Some(key(77))
        }),
        changed("leaf signed by the zonal key", |plan| {
            plan.levels[4].signer = Some(plan.levels[2].key.clone())
        }),
        changed("another issuer's name", |plan| {
            plan.levels[3].issuer_name = Some(plan.levels[0].template.subject.clone());
        }),
        changed("leaf is a CA", |plan| {
            plan.levels[4].template.extensions[0] = Extension::Ca { path_len: None }
        }),
        changed("leaf may not sign", |plan| {
            plan.levels[4].template.extensions[1] = Extension::KeyUsage {
                critical: false,
                bits: usage::NON_REPUDIATION,
            };
        }),
        changed("leaf without key usage", |plan| {
            plan.levels[4].template.extensions.truncate(1);
        }),
        changed("instance is no CA", |plan| {
            plan.levels[3].template.extensions[0] = Extension::NotCa
        }),
        changed("instance may not certify", |plan| {
            plan.levels[3].template.extensions[1] = Extension::KeyUsage {
                critical: true,
                bits: usage::DIGITAL_SIGNATURE,
            };
        }),
        changed("instance without constraints", |plan| {
            plan.levels[3].template.extensions.remove(0);
        }),
        changed("path longer than the regional CA allows", |plan| {
            plan.levels[1].template.extensions[0] = Extension::Ca { path_len: Some(1) };
        }),
        changed("unknown critical extension", |plan| {
            plan.levels[3]
                .template
                .extensions
                .push(unknown_extension(true));
        }),
        changed("extension twice", |plan| {
            let extension = plan.levels[3].template.extensions[0].clone();
            plan.levels[3].template.extensions.push(extension);
        }),
    ]
}
