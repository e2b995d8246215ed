//! Where this machine gets Debian packages from.

use std::process::Command;
use std::time::Duration;

use super::DebianError;
use crate::command::run;

const MIRROR: &str = "NACRE_DEBIAN_MIRROR";
const SECURITY_MIRROR: &str = "NACRE_DEBIAN_SECURITY_MIRROR";
const ASKING_APT: Duration = Duration::from_secs(60);

/// The addresses of the archive and of its security suites, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archive {
    main: String,
    security: String,
}

impl Archive {
    /// `$NACRE_DEBIAN_MIRROR` (and `$NACRE_DEBIAN_SECURITY_MIRROR`), or what apt is configured for.
    pub(super) fn of_this_machine() -> Result<Self, DebianError> {
        let (main, security) = (variable(MIRROR)?, variable(SECURITY_MIRROR)?);
        if let Some(main) = main {
            return Self::new(&main, security.as_deref()).ok_or(DebianError::NoMirror);
        }
        let mut command = Command::new("apt-get");
        command.args([
            "indextargets",
            "--format",
            "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ]);
        let targets = run(command.env("LC_ALL", "C"), ASKING_APT)?.stdout;
        Self::of_targets(&targets).ok_or(DebianError::NoMirror)
    }

    /// Reads lines of origin, label and address.
    pub(super) fn of_targets(targets: &str) -> Option<Self> {
        let find = |label: &str| {
            targets.lines().find_map(|line| {
                let mut fields = line.splitn(3, '|');
                let found = fields.next() == Some("Debian") && fields.next() == Some(label);
                fields.next().filter(|_| found)
            })
        };
        Self::new(find("Debian")?, find("Debian-Security"))
    }

    fn new(main: &str, security: Option<&str>) -> Option<Self> {
        let main = main.trim_end_matches('/');
        let security = match security {
            Some(security) => security.trim_end_matches('/').to_owned(),
            // Every mirror that has both keeps them side by side.
            None => format!("{}-security", main.strip_suffix("/debian").map(|_| main)?),
        };
        Some(Self {
            main: main.to_owned(),
            security,
        })
    }

    /// The address that serves a suite.
    pub(super) fn of_suite(&self, suite: &str) -> &str {
        if suite.ends_with("-security") {
            &self.security
        } else {
            &self.main
        }
    }
}

fn variable(name: &'static str) -> Result<Option<String>, DebianError> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.to_string_lossy().into_owned();
    // It becomes part of apt's configuration.
    let plain = value
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"'\\[];{}".contains(&b));
    if plain && value.contains(":/") {
        return Ok(Some(value));
    }
    Err(DebianError::BadMirror {
        variable: name,
        value,
    })
}
