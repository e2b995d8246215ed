//! An account's key, in a file that nobody else can read.

use std::fmt;
use std::io;
use std::path::Path;

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

use crate::error::ChainError;
use crate::secret;

/// An account that signs. What it shows of itself is its address.
#[derive(Clone)]
pub struct Wallet {
    signer: PrivateKeySigner,
}

impl Wallet {
    /// Reads a key: 32 bytes in hexadecimal, with or without `0x`.
    ///
    /// # Errors
    ///
    /// `key-file`: it cannot be read, others can read it, or it holds no key. No error shows what it holds.
    pub fn open(path: &Path) -> Result<Self, ChainError> {
        let key = secret::open(path)?;
        let signer = PrivateKeySigner::from_slice(&*key).ok();
        signer
            .map(|signer| Self { signer })
            .ok_or_else(|| ChainError::KeyFile {
                path: path.to_owned(),
                reason: "holds no key: 64 hexadecimal digits".to_owned(),
            })
    }

    /// Reads a key, or makes one where there is no file: written whole, for its owner alone.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; or the file cannot be made.
    pub fn open_or_create(path: &Path) -> Result<Self, ChainError> {
        match Self::create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::open(path),
            Err(error) => Err(ChainError::KeyFile {
                path: path.to_owned(),
                reason: error.to_string(),
            }),
            Ok(wallet) => Ok(wallet),
        }
    }

    /// From a development chain's well-known key; a real one has no business in a program.
    pub fn development(key: [u8; 32]) -> Option<Self> {
        PrivateKeySigner::from_bytes(&B256::from(key))
            .ok()
            .map(|signer| Self { signer })
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// What signs.
    pub fn signer(&self) -> &PrivateKeySigner {
        &self.signer
    }

    fn create(path: &Path) -> io::Result<Self> {
        // Asked for first: most of the time it is there.
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut key = Zeroizing::new([0; 32]);
        let signer = loop {
            getrandom::fill(&mut *key)?;
            // One in 2^128 is none.
            if let Ok(signer) = PrivateKeySigner::from_slice(&*key) {
                break signer;
            }
        };
        secret::create(path, &key)?;
        Ok(Self { signer })
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The first account of every development chain; its key is in the manuals.
    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ACCOUNT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_key_is_read_with_or_without_its_prefix() {
        for text in [KEY.to_owned(), format!("0x{KEY}\n")] {
            let (_folder, path) = file(&text, 0o600);
            assert_eq!(Wallet::open(&path).unwrap().address().to_string(), ACCOUNT);
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o644, 0o660] {
            let (_folder, path) = file(KEY, mode);
            let error = Wallet::open(&path).unwrap_err();
            assert_eq!(error.code(), "key-file");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let zero = "0".repeat(64);
        for text in [
            "",
            "secret words",
            &KEY[..62],
            &format!("{KEY}00"),
            &zero,
            &"f".repeat(64),
        ] {
            let (_folder, path) = file(text, 0o600);
            let error = Wallet::open(&path).unwrap_err();
            assert!(
                text.is_empty() || !error.to_string().contains(text),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = Wallet::open_or_create(&path).unwrap().address();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(Wallet::open_or_create(&path).unwrap().address(), made);
        assert_eq!(Wallet::open(&path).unwrap().address(), made);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing else is left there"
        );
    }

    #[test]
    fn a_wallet_shows_its_address_alone() {
        let (_folder, path) = file(KEY, 0o600);
        let shown = format!("{:?}", Wallet::open(&path).unwrap());
        assert_eq!(shown, format!("Wallet({ACCOUNT})"));
    }
}
