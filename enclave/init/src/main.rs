//! `/init`: see the library's documentation.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;

use nacre_init::boot_file::{self, BootFile};
use nacre_init::ending::Ending;
use nacre_init::manifest::{self, Manifest};
use nacre_init::refusal::Refusal;
use nacre_init::{loopback, mounts, parent, program, randomness, rootfs};
use rustix::process::getpid;
use rustix::system::{RebootCommand, reboot};

fn main() -> ExitCode {
    // Anywhere else, what follows would restart somebody's machine.
    if !getpid().is_init() {
        say("not-init: this program is the first process of an enclave and nothing else");
        return ExitCode::FAILURE;
    }
    let ending =
        catch_unwind(run).unwrap_or_else(|_| Err(Refusal::new("init-panicked", "see the console")));
    let ending = ending.unwrap_or_else(Ending::Refused);
    say(&ending.to_string());
    if let Err(error) = parent::tell(&ending) {
        say(&format!("the parent was not told: {error}"));
    }
    let _ = reboot(RebootCommand::Restart);
    // Without the right to restart, the end of the first process ends all others.
    ExitCode::FAILURE
}

fn run() -> Result<Ending, Refusal> {
    let manifest = read(manifest::PATH, manifest::MAX_BYTES)?;
    rootfs::check(Path::new("/"), &Manifest::parse(&manifest)?)?;
    let boot = BootFile::parse(&read(boot_file::PATH, boot_file::MAX_BYTES)?)?;
    mounts::mount_all()?;
    loopback::up()?;
    randomness::seed()?;
    if boot.heartbeat {
        match parent::heartbeat() {
            Ok(()) => say("heartbeat answered"),
            Err(error) => say(&format!("heartbeat not answered: {error}")),
        }
    }
    program::run(&boot)
}

/// A file of the image, bounded before its length is known to be right.
fn read(path: &str, at_most: usize) -> Result<Vec<u8>, Refusal> {
    let unreadable = |error| Refusal::new("rootfs-unreadable", format!("{path}: {error}"));
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(at_most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// One line on the console, for whoever debugs; in production nobody can read it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "init: {line}");
}
