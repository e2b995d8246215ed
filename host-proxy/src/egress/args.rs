//! The command line's words for egress.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use nacre_transport::Address;

use super::{Allowed, Egress, EgressLimits, EgressPolicy};

/// What an operator says about the enclave's way out.
#[derive(Debug, Clone, Default, Args)]
pub struct EgressArgs {
    /// Where enclaves may reach out to through this host: a name with its port, or `any`. Repeatable; nothing by default
    #[arg(long, value_name = "NAME:PORT|any")]
    pub egress: Vec<Allowed>,
    /// Let names lead to private networks and to this machine itself. Link-local addresses and the instance's metadata
    /// stay out of reach
    #[arg(long)]
    pub egress_allow_private: bool,
    /// Process mode: the enclave's own allow-list, which in an image is measured
    #[arg(long, value_name = "FILE")]
    pub egress_allow: Option<PathBuf>,
    /// Process mode: another root that the enclave takes for TLS to the outside, a certificate in DER
    #[arg(long, value_name = "FILE")]
    pub egress_root: Option<PathBuf>,
}

impl EgressArgs {
    /// The proxy that does as they say.
    pub fn proxy(&self) -> Egress {
        let policy = EgressPolicy::new(self.egress.iter().cloned(), self.egress_allow_private);
        Egress::new(policy, EgressLimits::default())
    }

    /// The same with absolute paths, for a child that runs in another folder.
    ///
    /// # Errors
    ///
    /// Where there is no current folder.
    pub fn absolute(&self) -> std::io::Result<Self> {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        Ok(Self {
            egress_allow: absolute(&self.egress_allow)?,
            egress_root: absolute(&self.egress_root)?,
            ..self.clone()
        })
    }

    /// What an enclave program in process mode is told, if its proxy listens there.
    pub fn for_process(&self, proxy: &Address) -> Vec<OsString> {
        let mut words = vec!["--egress".into(), proxy.to_string().into()];
        let files = [
            ("--egress-allow", &self.egress_allow),
            ("--egress-root", &self.egress_root),
        ];
        for (word, file) in files {
            if let Some(file) = file {
                words.extend([word.into(), file.into()]);
            }
        }
        words
    }

    /// The words that say the same again, for a child process.
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        for allowed in &self.egress {
            words.extend(["--egress".into(), allowed.to_string().into()]);
        }
        if self.egress_allow_private {
            words.push("--egress-allow-private".into());
        }
        for (word, file) in [
            ("--egress-allow", &self.egress_allow),
            ("--egress-root", &self.egress_root),
        ] {
            if let Some(file) = file {
                words.extend([word.into(), file.into()]);
            }
        }
        words
    }
}
