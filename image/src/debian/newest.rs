//! The newest versions that the archive signs, resolved by apt with a configuration of its own.
//!
//! Nothing of the machine's package state takes part: the sources are ours, signed by Debian's
//! archive keys and no others, and nothing counts as installed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::archive::Archive;
use super::{DebianError, Lock, Package};
use crate::cache::{Cache, at, remove};
use crate::command::run;

/// Where Debian and Ubuntu install Debian's archive keys.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];
/// The lists are 10 MB a release.
const READING_LISTS: Duration = Duration::from_secs(900);
const RESOLVING: Duration = Duration::from_secs(120);

/// A lock like `lock` with the newest versions.
pub(super) fn resolve(cache: &Cache, lock: &Lock, archive: &Archive) -> Result<Lock, DebianError> {
    let keyring = KEYRINGS
        .iter()
        .find(|path| Path::new(path).is_file())
        .ok_or(DebianError::NoKeyring)?;
    let dir = cache.dir().join("apt");
    let _turn = cache.turn("apt")?;
    remove(&dir)?;
    let apt = Apt::set_up(&dir, lock, archive, keyring)?;
    cache.tell(&format!(
        "reading Debian's package lists ({})",
        lock.suites.join(", ")
    ));
    run(
        apt.command("apt-get")
            .arg("update")
            .args(["-o", "APT::Update::Error-Mode=any"]),
        READING_LISTS,
    )?;
    let chosen = apt.choose(lock)?;
    let packages = apt.look_up(lock, archive, &chosen)?;
    remove(&dir)?;
    let newer = Lock {
        packages,
        ..lock.clone()
    };
    // What the archive says goes through the same checks as a file.
    Lock::parse(&lock.name, &newer.to_toml())
}

/// An apt with nothing of this machine's but its transports and proxies.
struct Apt<'a> {
    configuration: &'a Path,
    file: std::path::PathBuf,
}

impl<'a> Apt<'a> {
    fn set_up(
        dir: &'a Path,
        lock: &Lock,
        archive: &Archive,
        keyring: &str,
    ) -> Result<Self, DebianError> {
        for folder in [
            "lists/partial",
            "cache/archives/partial",
            "etc/preferences.d",
        ] {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).map_err(at(&folder))?;
        }
        let sources: String = lock
            .suites
            .iter()
            .map(|suite| {
                format!(
                    "deb [arch=amd64 signed-by={keyring}] {} {suite} main\n",
                    archive.of_suite(suite)
                )
            })
            .collect();
        let root = dir.display();
        let configuration = format!(
            r#"Dir::State "{root}"; Dir::State::status "{root}/status"; Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "{root}/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{root}/etc/preferences.d"; Dir::Etc::trusted "/dev/null"; Dir::Etc::trustedparts "/dev/null";
APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }}; APT::Install-Recommends "false"; APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false"; Acquire::AllowInsecureRepositories "false"; Acquire::Languages "none";
Acquire::Retries "3"; Acquire::http::Timeout "60"; Acquire::https::Timeout "60";
"#
        );
        let file = dir.join("apt.conf");
        for (path, text) in [
            (&file, &configuration),
            (&dir.join("sources.list"), &sources),
            (&dir.join("status"), &String::new()),
        ] {
            fs::write(path, text).map_err(at(path))?;
        }
        Ok(Self {
            configuration: dir,
            file,
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", &self.file)
            .env("LC_ALL", "C")
            .current_dir(self.configuration);
        command
    }

    /// Names and versions of what would be installed.
    fn choose(&self, lock: &Lock) -> Result<Vec<(String, String)>, DebianError> {
        let mut command = self.command("apt-get");
        command.args(["install", "--simulate", "-qq"]);
        if let Some(suite) = &lock.prefer {
            command.args(["-t", suite]);
        }
        let printed = run(command.args(&lock.wanted), RESOLVING)?.stdout;
        let mut chosen: Vec<(String, String)> = simulated(&printed)
            .filter(|(name, _)| {
                lock.dependencies || lock.wanted.iter().any(|wanted| wanted == name)
            })
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .collect();
        chosen.sort();
        let missing = lock
            .wanted
            .iter()
            .find(|wanted| !chosen.iter().any(|(name, _)| name == *wanted));
        match missing {
            Some(name) => Err(unresolved(
                lock,
                format!("the archive does not offer {name}"),
            )),
            None => Ok(chosen),
        }
    }

    /// What the archive says of these versions.
    fn look_up(
        &self,
        lock: &Lock,
        archive: &Archive,
        chosen: &[(String, String)],
    ) -> Result<Vec<Package>, DebianError> {
        let exact = chosen
            .iter()
            .map(|(name, version)| format!("{name}={version}"));
        let shown = run(self.command("apt-cache").arg("show").args(exact), RESOLVING)?.stdout;
        let names = chosen.iter().map(|(name, _)| name);
        let offered = run(
            self.command("apt-cache").arg("madison").args(names),
            RESOLVING,
        )?
        .stdout;
        let describe = |(name, version): &(String, String)| {
            let suites = suites_of(&offered, name, version);
            let suite = lock
                .suites
                .iter()
                .find(|suite| suites.contains(&(archive.of_suite(suite), suite.as_str())));
            let suite = suite.ok_or_else(|| {
                unresolved(lock, format!("{name} {version} is in no known suite"))
            })?;
            described(&shown, name, version, suite).ok_or_else(|| {
                unresolved(
                    lock,
                    format!("the archive describes {name} {version} incompletely"),
                )
            })
        };
        chosen.iter().map(describe).collect()
    }
}

fn unresolved(lock: &Lock, what: String) -> DebianError {
    DebianError::Resolve {
        lock: lock.name.clone(),
        what,
    }
}

/// Lines such as `Inst libc6 (2.36-9 Debian:12/stable [amd64]) []`.
pub(super) fn simulated(printed: &str) -> impl Iterator<Item = (&str, &str)> {
    printed.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        Some((
            name,
            rest.trim_start_matches('(').split_whitespace().next()?,
        ))
    })
}

/// Addresses and suites from lines such as `libc6 | 2.36-9 | http://host/debian bookworm/main amd64 Packages`.
pub(super) fn suites_of<'a>(
    offered: &'a str,
    name: &str,
    version: &str,
) -> Vec<(&'a str, &'a str)> {
    let of_line = |line: &'a str| {
        let mut columns = line.split('|').map(str::trim);
        let found = columns.next() == Some(name) && columns.next() == Some(version);
        let mut source = columns.next().filter(|_| found)?.split_whitespace();
        Some((
            source.next()?.trim_end_matches('/'),
            source.next()?.strip_suffix("/main")?,
        ))
    };
    offered.lines().filter_map(of_line).collect()
}

/// The paragraph of that package and version in what `apt-cache show` prints.
pub(super) fn described(shown: &str, name: &str, version: &str, suite: &str) -> Option<Package> {
    fn field_of(paragraph: &str, name: &str) -> Option<String> {
        let value = paragraph
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(|value| value.trim().to_owned())
    }
    let paragraph = shown.split("\n\n").find(|paragraph| {
        field_of(paragraph, "Package").as_deref() == Some(name)
            && field_of(paragraph, "Version").as_deref() == Some(version)
    })?;
    let field = |name: &str| field_of(paragraph, name);
    // "Source: glibc (2.36-9)", only where it differs.
    let source = field("Source").unwrap_or_else(|| name.to_owned());
    let (source, source_version) = match source.split_once(" (") {
        Some((source, of)) => (source.to_owned(), of.trim_end_matches(')').to_owned()),
        None => (source, version.to_owned()),
    };
    Some(Package {
        architecture: field("Architecture")?,
        suite: suite.to_owned(),
        filename: field("Filename")?,
        size: field("Size")?.parse().ok()?,
        sha256: field("SHA256")?,
        name: name.to_owned(),
        version: version.to_owned(),
        source,
        source_version,
    })
}
