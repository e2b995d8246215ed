//! The root's files: made once, loaded ever after, damage named.

use std::sync::Barrier;
use std::thread;

use rand::SeedableRng as _;

use super::*;

const NOW: u64 = 1_790_000_000_000;

fn open(folder: &Path, seed: u64) -> Result<Root, StoreError> {
    load_or_create(folder, &mut StdRng::seed_from_u64(seed), NOW)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_root_is_made_once_and_loaded_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("deep/er");
    let made = open(&pki, 1).unwrap();
    assert_eq!(mode(&pki), 0o700);
    assert_eq!(mode(&pki.join("root.key")), 0o600);
    assert_eq!(fs::read(pki.join("root.der")).unwrap(), made.der());
    let pem = fs::read(pki.join("root.pem")).unwrap();
    let (label, der) = pem::decode_vec(&pem).unwrap();
    assert_eq!((label, &der[..]), ("CERTIFICATE", made.der()));
    let loaded = open(&pki, 2).unwrap();
    assert_eq!(loaded.der(), made.der());
    assert_eq!(loaded.validity(), made.validity());
    assert_eq!(fs::read_dir(&pki).unwrap().count(), 3);
}

#[test]
fn processes_that_start_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(8);
    let roots: Vec<Vec<u8>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|seed| {
                let (barrier, path) = (&barrier, folder.path());
                scope.spawn(move || {
                    barrier.wait();
                    open(path, seed).unwrap().der().to_vec()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]));
    assert_eq!(fs::read(folder.path().join("root.der")).unwrap(), roots[0]);
}

#[test]
fn missing_copies_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path(), 1).unwrap();
    fs::remove_file(folder.path().join("root.der")).unwrap();
    fs::remove_file(folder.path().join("root.pem")).unwrap();
    assert_eq!(open(folder.path(), 2).unwrap().der(), made.der());
    assert_eq!(
        fs::read(folder.path().join("root.der")).unwrap(),
        made.der()
    );
}

#[test]
fn a_missing_key_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 1).unwrap();
    fs::remove_file(folder.path().join("root.key")).unwrap();
    assert!(matches!(
        open(folder.path(), 2),
        Err(StoreError::KeyMissing { .. })
    ));
    assert!(!folder.path().join("root.key").exists());
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 1).unwrap();
    fs::set_permissions(
        folder.path().join("root.key"),
        Permissions::from_mode(0o640),
    )
    .unwrap();
    let error = open(folder.path(), 2).unwrap_err();
    assert!(matches!(error, StoreError::Exposed { mode: 0o640, .. }));
    assert!(error.to_string().contains("root.key"), "{error}");
}

#[test]
fn damage_is_named_and_nothing_is_overwritten() {
    let other = tempfile::tempdir().unwrap();
    open(other.path(), 99).unwrap();
    let other_key = fs::read_to_string(other.path().join("root.key")).unwrap();
    type Damage<'a> = Box<dyn Fn(&str) -> Vec<u8> + 'a>;
    let damages: Vec<(&str, Damage<'_>)> = vec![
        ("root.key", Box::new(|_| Vec::new())),
        (
            "root.key",
            Box::new(|text| text.as_bytes()[..text.len() / 2].to_vec()),
        ),
        (
            "root.key",
            Box::new(|text| text.replacen("MI", "MJ", 1).into_bytes()),
        ),
        ("root.key", Box::new(|_| vec![0xff; 100])),
        ("root.key", Box::new(|_| vec![b'A'; 20_000])),
        // The other root's key with this root's certificate.
        (
            "root.key",
            Box::new(|text| {
                let border = |text: &str| text.find("-----BEGIN CERTIFICATE").unwrap();
                [&other_key[..border(&other_key)], &text[border(text)..]]
                    .concat()
                    .into_bytes()
            }),
        ),
        ("root.pem", Box::new(|_| b"nothing".to_vec())),
        ("root.der", Box::new(|_| Vec::new())),
    ];
    for (case, (name, damage)) in damages.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), 1).unwrap();
        let path = folder.path().join(name);
        let damaged = damage(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
        fs::write(&path, &damaged).unwrap();
        let error = open(folder.path(), 2).unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { path: named, .. } if *named == path),
            "{case}: {error}"
        );
        assert_eq!(fs::read(&path).unwrap(), damaged, "{case}");
    }
}

#[test]
fn a_certificate_with_one_wrong_bit_is_refused() {
    let mut rng = StdRng::seed_from_u64(5);
    let root = Root::generate(&mut rng, NOW).unwrap();
    for position in (0..root.der().len()).step_by(7) {
        let mut der = root.der().to_vec();
        der[position] ^= 1;
        assert!(
            Root::from_parts(root.key().clone(), der).is_err(),
            "byte {position}"
        );
    }
}
