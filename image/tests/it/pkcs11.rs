//! Signing with a key in a token: SoftHSM, where it is installed.

use std::fs;
use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use nacre_image::eif::Eif;
use nacre_image::sign::pkcs11::TokenKey;
use nacre_image::sign::{KeyFile, SigningCertificate, sign_file};
use p384::pkcs8::DecodePrivateKey as _;

use crate::signing::key_and_certificate;
use crate::support::Parts;

const PIN: &str = "1234";

/// Debian's places, or another by the environment.
fn softhsm() -> Option<PathBuf> {
    let places = [
        std::env::var("NACRE_SOFTHSM").unwrap_or_default(),
        "/usr/lib/softhsm/libsofthsm2.so".to_owned(),
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so".to_owned(),
    ];
    places
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

#[test]
fn a_token_signs_as_a_file_does() {
    let Some(module) = softhsm() else {
        eprintln!(
            "left out: SoftHSM is not installed (Debian: softhsm2; or NACRE_SOFTHSM=libsofthsm2.so)"
        );
        return;
    };
    let tokens = Path::new(env!("CARGO_TARGET_TMPDIR")).join("softhsm-tokens");
    if std::env::var_os("SOFTHSM2_CONF").is_none() {
        // The module reads its configuration from the environment, which only a new process can be given safely.
        return in_a_process_with_tokens_in(&tokens);
    }
    let (key, pem, _) = key_and_certificate("builder");
    put_into_token(&module, &key);
    let certificate = || SigningCertificate::from_pem(pem.as_bytes()).unwrap();
    let open = |token: &str, label: &str, pin: &str| {
        TokenKey::open(&module, token, label, pin.to_owned(), certificate())
    };

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.eif");
    let (unsigned, _) = Parts::small().write(None);
    fs::write(&path, &unsigned).unwrap();
    let wrong = |result: Result<TokenKey, _>, words: &str| {
        let error: nacre_image::sign::SignError = result.err().unwrap();
        assert_eq!(error.code(), "sign-pkcs11");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("4321"), "the PIN is in {error}");
    };
    wrong(
        open("other", "image-key", PIN),
        "0 tokens labelled \"other\"",
    );
    wrong(
        open("nacre", "other", PIN),
        "0 elliptic-curve private keys labelled \"other\"",
    );
    wrong(open("nacre", "image-key", "4321"), "PIN");

    let token = open("nacre", "image-key", PIN).unwrap();
    let by_token = sign_file(&path, &token, &path).unwrap();
    let by_file = Parts::small()
        .write(Some(&KeyFile::from_pem(&key, certificate()).unwrap()))
        .1;
    assert_eq!(by_token, by_file);
    let eif = Eif::open(fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(eif.signer().unwrap().subject(), "CN=builder");
}

fn in_a_process_with_tokens_in(tokens: &Path) {
    let _ = fs::remove_dir_all(tokens);
    fs::create_dir_all(tokens).unwrap();
    let configuration = tokens.join("softhsm2.conf");
    fs::write(
        &configuration,
        format!("directories.tokendir = {}\n", tokens.display()),
    )
    .unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "pkcs11::a_token_signs_as_a_file_does",
            "--nocapture",
        ])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// Makes a token named `nacre` and imports the key as `image-key`.
fn put_into_token(module: &Path, pem: &str) {
    let library = Pkcs11::new(module).unwrap();
    library
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .unwrap();
    let slot = library.get_slots_with_token().unwrap()[0];
    let officer = AuthPin::from("officer".to_owned());
    library.init_token(slot, &officer, "nacre").unwrap();
    let slots = library.get_slots_with_token().unwrap();
    let named = |slot: &&_| library.get_token_info(**slot).unwrap().label() == "nacre";
    let session = library
        .open_rw_session(*slots.iter().find(named).unwrap())
        .unwrap();
    session.login(UserType::So, Some(&officer)).unwrap();
    session.init_pin(&AuthPin::from(PIN.to_owned())).unwrap();
    session.logout().unwrap();
    session
        .login(UserType::User, Some(&AuthPin::from(PIN.to_owned())))
        .unwrap();
    let secret = p384::SecretKey::from_pkcs8_pem(pem).unwrap();
    // secp384r1, as PKCS#11 takes a curve: the DER of its object identifier.
    let curve = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    session
        .create_object(&[
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::Label(b"image-key".to_vec()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sign(true),
            Attribute::EcParams(curve.to_vec()),
            Attribute::Value(secret.to_bytes().to_vec()),
        ])
        .unwrap();
    drop(session);
    library.finalize().unwrap();
}
