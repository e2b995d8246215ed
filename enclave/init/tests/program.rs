//! What the program gets from init, and what init sees of its end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nacre_init::boot_file::BootFile;
use nacre_init::ending::Ending;
use nacre_init::program::run;

/// Init waits for any child of its process, so one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shell(script: &str, more: &str) -> BootFile {
    let text = format!("program /bin/sh\nargument -c\nargument {script}\n{more}");
    BootFile::parse(text.as_bytes()).unwrap()
}

#[test]
fn the_program_gets_what_the_boot_file_says_and_nothing_else() {
    let _alone = alone();
    let seen = tempfile::tempdir().unwrap();
    let at = seen.path().display();
    let script = format!(
        "cat /proc/$$/environ > {at}/environ; cat /proc/$$/cmdline > {at}/cmdline; ulimit -n > {at}/nofile; \
         cat > {at}/stdin; pwd > {at}/pwd; grep -E '^Sig(Blk|Ign)' /proc/self/status > {at}/signals"
    );
    let more = "argument name\nargument two words\nenvironment ONLY=this one\nlimit nofile 999\n";
    // This process has an environment and arguments of its own, as init has them from the kernel.
    assert!(std::env::vars_os().count() > 1);
    assert_eq!(run(&shell(&script, more)), Ok(Ending::Exited(0)));

    let seen = |name: &str| fs::read_to_string(seen.path().join(name)).unwrap();
    assert_eq!(seen("environ"), "ONLY=this one\0");
    let arguments = format!("/bin/sh\0-c\0{script}\0name\0two words\0");
    assert_eq!(seen("cmdline"), arguments);
    assert_eq!(seen("nofile"), "999\n");
    assert_eq!(seen("stdin"), "");
    assert_eq!(seen("pwd"), "/\n");
    for line in seen("signals").lines() {
        let (_, signals) = line.split_once('\t').unwrap();
        let signals = u64::from_str_radix(signals, 16).unwrap();
        // Rust programs ignore SIGPIPE. What a test's parent ignores besides, the kernel's first process does not.
        const SIGPIPE: u64 = 1 << 12;
        let wrong = if line.starts_with("SigBlk") {
            u64::MAX
        } else {
            SIGPIPE
        };
        assert_eq!(signals & wrong, 0, "{line}");
    }
}

#[test]
fn the_end_is_seen_as_it_was() {
    let _alone = alone();
    assert_eq!(run(&shell("exit 7", "")), Ok(Ending::Exited(7)));
    assert_eq!(run(&shell("kill -KILL $$", "")), Ok(Ending::Killed(9)));
    let missing = BootFile::parse(b"program /usr/bin/not-there\n").unwrap();
    assert_eq!(run(&missing).unwrap_err().code(), "program-not-started");
}

#[test]
fn orphans_are_reaped_and_do_not_end_the_program() {
    let _alone = alone();
    // As the first process, init is the parent of orphans without asking for it.
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).unwrap();
    let reaped = tempfile::tempdir().unwrap();
    let at = reaped.path().join("orphan");
    // The orphan ends first; only when it is gone from the list of processes does the program.
    let script = format!(
        "(/bin/sh -c 'echo $$ > {0}.new; mv {0}.new {0}' &); until [ -e {0} ]; do :; done; \
         while [ -e /proc/$(cat {0}) ]; do :; done; exit 5",
        at.display()
    );
    assert_eq!(run(&shell(&script, "")), Ok(Ending::Exited(5)));
}
