//! A key in a PKCS#11 token, which never leaves it: a smart card, a hardware security module, SoftHSM.

use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use crate::sign::error::SignError;
use crate::sign::{Signer, SigningCertificate};

/// A P-384 private key in a token, and an open session with it.
pub struct TokenKey {
    session: Session,
    key: ObjectHandle,
    certificate: SigningCertificate,
}

impl TokenKey {
    /// Loads the module (a shared library: it runs in this process, so it is one that is trusted), logs in to the token
    /// of this label and finds the private key of that label.
    ///
    /// # Errors
    ///
    /// [`SignError::Pkcs11`], also where a label names none or several.
    pub fn open(
        module: &Path,
        token: &str,
        key: &str,
        pin: String,
        certificate: SigningCertificate,
    ) -> Result<Self, SignError> {
        let library =
            Pkcs11::new(module).map_err(|error| failed("cannot load the module", error))?;
        library
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(|error| failed("the module does not start", error))?;
        let slot = find_token(&library, token)?;
        let session = library
            .open_ro_session(slot)
            .map_err(|error| failed("the token opens no session", error))?;
        session
            .login(UserType::User, Some(&AuthPin::from(pin)))
            .map_err(|error| failed("the token does not take the PIN", error))?;
        let wanted = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::Label(key.as_bytes().to_vec()),
        ];
        let found = session
            .find_objects(&wanted)
            .map_err(|error| failed("the token does not list its keys", error))?;
        let key = only("elliptic-curve private keys", key, found)?;
        Ok(Self {
            session,
            key,
            certificate,
        })
    }
}

impl Signer for TokenKey {
    fn certificate(&self) -> &SigningCertificate {
        &self.certificate
    }

    fn sign_digest(&self, digest: &[u8; 48]) -> Result<[u8; 96], SignError> {
        let signature = self
            .session
            .sign(&Mechanism::Ecdsa, self.key, digest)
            .map_err(|error| failed("the token does not sign", error))?;
        let length = signature.len();
        signature.try_into().map_err(|_| {
            let reason = format!("the token's signature has {length} bytes, not P-384's 96");
            SignError::Pkcs11(reason)
        })
    }
}

fn find_token(library: &Pkcs11, label: &str) -> Result<Slot, SignError> {
    let slots = library
        .get_slots_with_token()
        .map_err(|error| failed("the module does not list its tokens", error))?;
    let mut found = Vec::new();
    for slot in slots {
        let token = library
            .get_token_info(slot)
            .map_err(|error| failed("the module does not describe a token", error))?;
        if token.label() == label {
            found.push(slot);
        }
    }
    only("tokens", label, found)
}

fn only<T>(what: &str, label: &str, mut found: Vec<T>) -> Result<T, SignError> {
    let count = found.len();
    match found.pop() {
        Some(one) if count == 1 => Ok(one),
        _ => Err(SignError::Pkcs11(format!(
            "there are {count} {what} labelled {label:?}"
        ))),
    }
}

fn failed(what: &str, error: cryptoki::error::Error) -> SignError {
    SignError::Pkcs11(format!("{what}: {error}"))
}
