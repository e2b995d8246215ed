use super::archive::Archive;
use super::newest::{described, simulated, suites_of};
use super::*;

fn package() -> Package {
    Package {
        name: "tiny".to_owned(),
        version: "1:2.0-3+deb12u1".to_owned(),
        architecture: "amd64".to_owned(),
        suite: "bookworm".to_owned(),
        source: "tiny".to_owned(),
        source_version: "2.0-3".to_owned(),
        filename: "pool/main/t/tiny/tiny_2.0-3+deb12u1_amd64.deb".to_owned(),
        size: 5,
        // printf hello | sha256sum
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned(),
    }
}

fn lock() -> Lock {
    Lock {
        name: "test".to_owned(),
        suites: vec!["bookworm".to_owned()],
        prefer: None,
        wanted: vec!["tiny".to_owned()],
        dependencies: false,
        packages: vec![package()],
    }
}

#[test]
fn every_lock_has_what_it_asks_for() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in ["kernel", "toolchain", "rust", "userland", "qemu"] {
        let lock = Lock::of_workspace(workspace, name).unwrap();
        for wanted in &lock.wanted {
            assert!(lock.package(wanted).is_some(), "{name} lacks {wanted}");
        }
        assert!(
            lock.dependencies || lock.packages.len() == lock.wanted.len(),
            "{name} has more than it asks for"
        );
    }
}

#[test]
fn a_lock_survives_being_written_and_read() {
    assert_eq!(Lock::parse("test", &lock().to_toml()).unwrap(), lock());
}

#[test]
fn a_lock_cannot_point_outside_of_the_archive_or_the_cache() {
    let changes: [fn(&mut Package); 6] = [
        |package| package.filename = "pool/../../etc/passwd".to_owned(),
        |package| package.filename = "http://elsewhere/x.deb".to_owned(),
        |package| package.filename = "pool/x.deb\" SHA256:0".to_owned(),
        |package| package.sha256 = "../../escape".to_owned(),
        |package| package.size = 1 << 40,
        |package| package.name = "two words".to_owned(),
    ];
    for change in changes {
        let mut bad = lock();
        change(&mut bad.packages[0]);
        let error = Lock::parse("test", &bad.to_toml()).unwrap_err();
        assert_eq!(
            error.code(),
            "debian-lock-malformed",
            "{:?}",
            bad.packages[0]
        );
    }
}

#[test]
fn a_package_of_another_size_or_content_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deb");
    for (content, right) in [("hello", true), ("hellp", false), ("hello!", false)] {
        std::fs::write(&file, content).unwrap();
        let checked = fetch::check(&package(), &file);
        assert_eq!(
            checked.as_ref().map_err(DebianError::code).err(),
            (!right).then_some("debian-package-mismatch")
        );
    }
}

#[test]
fn what_is_in_the_cache_needs_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path()).unwrap();
    std::fs::create_dir(dir.path().join("packages")).unwrap();
    let file = cache
        .dir()
        .join("packages")
        .join(format!("{}.deb", package().sha256));
    std::fs::write(&file, "hello").unwrap();
    let files = fetch::all(&cache, &lock(), || panic!("the archive is asked for")).unwrap();
    assert_eq!(files, [file]);
}

#[test]
fn the_mirror_is_the_one_of_debian_among_others() {
    let targets = "Docker|Docker CE|https://x.example/linux/debian/\n\
                   Debian|Debian-Security|http://m.example/debian-security/\n\
                   Debian|Debian|http://m.example/debian/\n";
    let archive = Archive::of_targets(targets).unwrap();
    assert_eq!(
        archive.of_suite("trixie-backports"),
        "http://m.example/debian"
    );
    assert_eq!(
        archive.of_suite("bookworm-security"),
        "http://m.example/debian-security"
    );
}

#[test]
fn a_machine_without_a_debian_mirror_is_told_what_to_set() {
    let ubuntu = "Ubuntu|Ubuntu|http://u.example/ubuntu/\n";
    assert_eq!(Archive::of_targets(ubuntu), None);
    let error = DebianError::NoMirror;
    assert!(error.to_string().contains("NACRE_DEBIAN_MIRROR"));
}

#[test]
fn what_apt_prints_is_read() {
    let printed = "NOTE: This is only a simulation!\nInst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []\nConf libc6 (…)\n";
    assert_eq!(
        simulated(printed).collect::<Vec<_>>(),
        [("libc6", "2.36-9+deb12u14")]
    );
    let offered = " libc6 | 2.41-1 | http://m/debian trixie/main amd64 Packages\n libc6 | 2.36-9 | http://m/debian bookworm/main amd64 Packages\n";
    assert_eq!(
        suites_of(offered, "libc6", "2.36-9"),
        [("http://m/debian", "bookworm")]
    );
    let shown = "Package: libc6\nVersion: 1\nSize: 1\n\nPackage: libc6\nSource: glibc (2.36-8)\nVersion: 2.36-9\nArchitecture: amd64\nFilename: pool/main/g/glibc/l.deb\nSize: 7\nSHA256: ab\nDescription: x\n";
    let package = described(shown, "libc6", "2.36-9", "bookworm").unwrap();
    assert_eq!(
        (package.source.as_str(), package.source_version.as_str()),
        ("glibc", "2.36-8")
    );
    assert_eq!((package.size, package.suite.as_str()), (7, "bookworm"));
}

#[test]
fn what_was_taken_instead_stays_taken_only_after_it_has_passed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path()).unwrap();
    let replaced = |sha256: &str| {
        let mut newer = lock();
        newer.packages[0].sha256 = sha256.repeat(64);
        newer
    };
    let fetched = |old: Lock, newer: Lock| Fetched {
        files: Vec::new(),
        lock: newer,
        instead_of: Some(old),
    };
    assert_eq!(current(&cache, &lock()).unwrap(), lock());
    fetched(lock(), replaced("a")).passed(&cache).unwrap();
    assert_eq!(current(&cache, &lock()).unwrap(), replaced("a"));
    fetched(replaced("a"), replaced("b"))
        .passed(&cache)
        .unwrap();
    assert_eq!(current(&cache, &lock()).unwrap(), replaced("b"));
    assert_eq!(current(&cache, &replaced("c")).unwrap(), replaced("c"));
}
