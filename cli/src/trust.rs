//! From flags and profile to what is trusted.

use std::path::Path;
use std::time::Duration;

use nacre_attestation_verifier::{Measurements, Pcr, Policy, RootKind, Roots, TrustedEnclave};
use nacre_client::Trust;
use serde::Serialize;

use crate::args::TrustArgs;
use crate::error::CliError;
use crate::profile::{Home, Profile};

/// Largest policy or root file that is read.
const MAX_FILE: u64 = 1 << 20;

impl TrustArgs {
    /// Root and policy from the flags, else from the profile. No measurements is an error, never a pass.
    pub(crate) fn resolve(
        &self,
        home: &Home,
        profile: Option<&Profile>,
    ) -> Result<Trust, CliError> {
        let roots = self.roots(home, profile)?;
        let policy = self.policy(profile)?;
        Ok(Trust::new(roots, policy))
    }

    pub(crate) fn roots(&self, home: &Home, profile: Option<&Profile>) -> Result<Roots, CliError> {
        match self.root.as_deref() {
            Some("aws") => Ok(Roots::aws()),
            Some("dev") => {
                let made = home.profile(Some("dev")).ok();
                let root = made.and_then(|(_, profile)| profile.root);
                let missing = "there is no development root yet: `nacre dev` makes it";
                from_hex(&root.ok_or_else(|| CliError::Usage(missing.to_owned()))?)
            }
            Some(file) => Ok(Roots::from_pem_or_der(&read_bounded(
                file.as_ref(),
                MAX_FILE,
            )?)?),
            None => match profile.and_then(|profile| profile.root.as_deref()) {
                Some(root) => from_hex(root),
                None => Ok(Roots::aws()),
            },
        }
    }

    pub(crate) fn policy(&self, profile: Option<&Profile>) -> Result<Policy, CliError> {
        let kept = profile.and_then(|profile| profile.policy.as_ref());
        let mut policy = match (&self.policy, &self.pcr0, &self.pcr1, &self.pcr2) {
            (Some(file), ..) => Policy::from_json(&read_bounded(file, MAX_FILE)?)?,
            (None, Some(pcr0), Some(pcr1), Some(pcr2)) => {
                let set = Measurements::new(pcr(0, pcr0)?, pcr(1, pcr1)?, pcr(2, pcr2)?);
                Policy::new(vec![set])?
            }
            _ => match kept {
                Some(policy) => Policy::from_json(policy.to_string().as_bytes())?,
                None => {
                    return Err(CliError::Usage(
                        "no measurements: give --policy FILE or --pcr0, --pcr1 and --pcr2"
                            .to_owned(),
                    ));
                }
            },
        };
        if let Some(seconds) = self.max_age {
            policy = policy.with_max_age(Duration::from_secs(seconds));
        }
        if self.allow_debug {
            policy = policy.with_allow_debug(true);
        }
        Ok(policy)
    }
}

fn from_hex(root: &str) -> Result<Roots, CliError> {
    let der = hex::decode(root).map_err(anyhow::Error::from)?;
    Ok(Roots::from_pem_or_der(&der)?)
}

fn pcr(index: u8, text: &str) -> Result<Pcr, CliError> {
    let bytes = nacre_protocol::encoding::array_from_hex(text)
        .map_err(|e| CliError::Usage(format!("--pcr{index}: {e}")))?;
    Ok(Pcr(bytes))
}

/// What is printed of an enclave that was trusted.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) verdict: &'static str,
    pub(crate) result_code: u8,
    /// `AWS` or `DEVELOPMENT ROOT`.
    pub(crate) root: &'static str,
    pub(crate) module_id: String,
    pub(crate) timestamp_ms: u64,
    pub(crate) age_ms: u64,
    /// The time was given, not the clock's.
    pub(crate) archive: bool,
    pub(crate) debug: bool,
    pub(crate) pcrs: std::collections::BTreeMap<u8, String>,
    pub(crate) unknown_keys: Vec<String>,
}

impl Verdict {
    /// The verdict on a trusted enclave.
    pub(crate) fn of(enclave: &TrustedEnclave) -> Self {
        let evidence = enclave.evidence();
        let shown = |(index, pcr): (&u8, &Pcr)| {
            (!pcr.is_zero() || *index < 3).then(|| (*index, hex::encode(pcr.0)))
        };
        Self {
            verdict: "trusted",
            result_code: 0,
            root: root_name(evidence.root_kind()),
            module_id: evidence.module_id().to_owned(),
            timestamp_ms: evidence.timestamp_ms(),
            age_ms: evidence.age_ms(),
            archive: evidence.is_archive(),
            debug: enclave.is_debug(),
            pcrs: evidence.pcrs().iter().filter_map(shown).collect(),
            unknown_keys: evidence.unknown_keys().to_vec(),
        }
    }

    /// The verdict as lines.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("verdict    {} ({})", self.verdict, self.root)];
        if self.debug {
            lines.push("           DEBUG MODE: the host can read this enclave".to_owned());
        }
        lines.push(format!("module     {}", self.module_id));
        let basis = if self.archive { ", archive check" } else { "" };
        lines.push(format!(
            "age        {:.1} s{basis}",
            self.age_ms as f64 / 1000.0
        ));
        lines.extend(
            self.pcrs
                .iter()
                .map(|(index, pcr)| format!("{:<11}{pcr}", format!("PCR{index}"))),
        );
        lines.join("\n")
    }
}

/// How a root is named wherever a verdict is printed (DESIGN §3).
pub(crate) fn root_name(kind: RootKind) -> &'static str {
    match kind {
        RootKind::Aws => "AWS",
        _ => "DEVELOPMENT ROOT",
    }
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_bounded(file: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(limit + 1).read_to_end(&mut bytes))
        .map_err(CliError::file(file))?;
    if bytes.len() as u64 > limit {
        let message = format!("{} is larger than {limit} bytes", file.display());
        return Err(CliError::Usage(message));
    }
    Ok(bytes)
}
