//! Logins, what each trusts, and which digest of each function was deployed from here.
//!
//! Under `$NACRE_HOME` (default: `$XDG_CONFIG_HOME/nacre` or `~/.config/nacre`), readable by the owner alone:
//! `current`, `profiles/<name>/profile.json`, `profiles/<name>/functions/<function>.json`. Files are replaced whole, so
//! that a crash leaves the old or the new one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, JobId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// A control plane that the user logged in to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Base URL of the control plane.
    pub(crate) url: String,
    /// The API key.
    pub(crate) key: String,
    /// Root certificate in DER, hex; absent: AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<String>,
    /// The measurement policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<serde_json::Value>,
}

/// Which version of a function the user deployed: what callers from here insist on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// The function digest in force.
    pub(crate) digest: Digest,
    /// The one on trial beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) canary: Option<Digest>,
    /// The one before, which still answers while an update is under way, and which may come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Digest>,
}

impl Pin {
    /// This version is in force; `former` is what was before.
    pub(crate) fn deployed(digest: Digest, former: Option<Self>) -> Self {
        let before = former.map(|former| match former.digest == digest {
            true => former.previous,
            false => Some(former.digest),
        });
        Self {
            digest,
            canary: None,
            previous: before.flatten(),
        }
    }

    /// All that may answer.
    pub(crate) fn all(&self) -> Vec<Digest> {
        let others = [self.canary, self.previous].into_iter().flatten();
        std::iter::once(self.digest).chain(others).collect()
    }
}

/// Nacre's folder of this user.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    /// Finds the folder; makes nothing yet.
    pub(crate) fn find() -> Result<Self, CliError> {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dir = var("NACRE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(var("XDG_CONFIG_HOME")?).join("nacre")))
            .or_else(|| Some(PathBuf::from(var("HOME")?).join(".config/nacre")));
        let dir = dir.ok_or_else(|| CliError::Usage("set HOME or NACRE_HOME".to_owned()))?;
        Ok(Self { dir })
    }

    /// A folder inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The profile to use: the named one, or the current.
    pub(crate) fn profile(&self, name: Option<&str>) -> Result<(ProfileDir, Profile), CliError> {
        let dir = self.profile_dir(name)?;
        let file = dir.dir.join("profile.json");
        let profile = read_json(&file)?.ok_or_else(|| {
            CliError::Usage(format!(
                "not logged in as {:?}: run `nacre login URL`, or `nacre dev` for a platform on this machine",
                dir.name
            ))
        })?;
        Ok((dir, profile))
    }

    /// Keeps a profile and makes it the current one.
    pub(crate) fn save_profile(&self, name: &str, profile: &Profile) -> Result<(), CliError> {
        let dir = self.profile_dir(Some(name))?;
        write_json(&dir.dir.join("profile.json"), profile)?;
        write_private(&self.dir.join("current"), name.as_bytes())
    }

    fn profile_dir(&self, name: Option<&str>) -> Result<ProfileDir, CliError> {
        let current = || {
            let name = fs::read_to_string(self.dir.join("current")).ok()?;
            Some(name.trim().to_owned())
        };
        let name = name.map(str::to_owned).or_else(current);
        let name = name.unwrap_or_else(|| "default".to_owned());
        let plain = nacre_protocol::manifest::is_plain_file_name(&name);
        if !plain {
            return Err(CliError::Usage(format!("{name:?} is not a profile's name")));
        }
        let dir = self.dir.join("profiles").join(&name);
        Ok(ProfileDir { name, dir })
    }
}

/// One profile's folder.
#[derive(Debug, Clone)]
pub(crate) struct ProfileDir {
    pub(crate) name: String,
    dir: PathBuf,
}

impl ProfileDir {
    /// The version of a function that was deployed from here.
    pub(crate) fn pin(&self, function: &FunctionName) -> Result<Option<Pin>, CliError> {
        read_json(&self.pin_file(function))
    }

    /// All functions that were deployed from here.
    pub(crate) fn pinned(&self) -> Result<Vec<FunctionName>, CliError> {
        let dir = self.dir.join("functions");
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(CliError::file(&dir)(error)),
        };
        let mut names: Vec<FunctionName> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|file| file.strip_suffix(".json")?.parse().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Records what was deployed.
    pub(crate) fn save_pin(&self, function: &FunctionName, pin: &Pin) -> Result<(), CliError> {
        write_json(&self.pin_file(function), pin)
    }

    /// Forgets a function.
    pub(crate) fn remove_pin(&self, function: &FunctionName) -> Result<(), CliError> {
        let file = self.pin_file(function);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CliError::file(&file)(error))
            }
            _ => Ok(()),
        }
    }

    /// Where the ticket of a job is that was submitted from here.
    pub(crate) fn job_file(&self, job: &JobId) -> PathBuf {
        self.dir.join("jobs").join(format!("{job}.json"))
    }

    fn pin_file(&self, function: &FunctionName) -> PathBuf {
        self.dir.join("functions").join(format!("{function}.json"))
    }
}

/// Reads a JSON file; `None` where there is none.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, CliError> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::file(file)(error)),
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|e| CliError::file(file)(e.into()))
}

fn write_json<T: Serialize>(file: &Path, value: &T) -> Result<(), CliError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(anyhow::Error::from)?;
    write_private(file, &bytes)
}

/// Replaces a file whole, readable by the owner alone, its folders likewise.
pub(crate) fn write_private(file: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let parent = file.parent().unwrap_or(Path::new("."));
    make_private_dir(parent)?;
    let mut temporary = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .tempfile_in(parent)
        .map_err(CliError::file(file))?;
    let written = temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all());
    written.map_err(CliError::file(file))?;
    temporary
        .persist(file)
        .map_err(|e| CliError::file(file)(e.error))?;
    Ok(())
}

/// Makes a folder and its parents, readable by the owner alone.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), CliError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(CliError::file(dir))
}

/// Writes a file that is not secret, replacing what was there.
pub(crate) fn write_output(file: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let open = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file);
    open.and_then(|mut open| open.write_all(bytes))
        .map_err(CliError::file(file))
}
