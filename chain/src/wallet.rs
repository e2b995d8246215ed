//! An account's key, in a file that nobody else can read.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

use crate::error::ChainError;

/// An account that signs. What it shows of itself is its address.
#[derive(Clone)]
pub struct Wallet {
    signer: PrivateKeySigner,
}

/// 64 hexadecimal digits, `0x`, and room for an end of line.
const LONGEST: u64 = 70;

impl Wallet {
    /// Reads a key: 32 bytes in hexadecimal, with or without `0x`.
    ///
    /// # Errors
    ///
    /// `key-file`: it cannot be read, others can read it, or it holds no key. No error shows what it holds.
    pub fn open(path: &Path) -> Result<Self, ChainError> {
        let wrong = |reason: String| ChainError::KeyFile {
            path: path.to_owned(),
            reason,
        };
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        // Of the open file: the name may come to mean another one.
        let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 {
            let mode = mode & 0o777;
            return Err(wrong(format!(
                "others can read it (mode {mode:03o}): chmod 600"
            )));
        }
        let mut text = Zeroizing::new(String::new());
        let read = file.take(LONGEST + 1).read_to_string(&mut text);
        read.map_err(|_| wrong("holds no key: 64 hexadecimal digits".to_owned()))?;
        parse(&text).ok_or_else(|| wrong("holds no key: 64 hexadecimal digits".to_owned()))
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
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o600))
            .make_in(folder, |path| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
            })?;
        let text = Zeroizing::new(format!("0x{}\n", *Zeroizing::new(hex::encode(*key))));
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        // Never in the place of a key that another process made meanwhile.
        file.persist_noclobber(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()?;
        Ok(Self { signer })
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({})", self.address())
    }
}

fn parse(text: &str) -> Option<Wallet> {
    let text = text.trim();
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut *key).ok()?;
    PrivateKeySigner::from_slice(&*key)
        .ok()
        .map(|signer| Wallet { signer })
}

#[cfg(test)]
mod tests {
    use std::fs;

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
