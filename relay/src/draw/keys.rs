//! The secrets of an operator's chains: a folder with a file each, which nobody else can read.
//!
//! A file is on the disk before its chain is committed to, and is never written again; a chain that was not committed to
//! after all is not used for another commitment. A lost file costs the penalty for links that are kept back.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nacre_chain::secret;
use nacre_protocol::eip712::Word;
use zeroize::Zeroizing;

use super::chain::HashChain;

/// Most chains that are kept: far more than are ever needed at once.
const MOST: usize = 64;
/// Used chains that are kept all the same: what is used up is known from a node, which may lie.
const SPARE: usize = 8;
/// What a file's name ends with.
const EXTENSION: &str = "chain";

/// Why there is no chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The folder cannot be used.
    #[error("draw-folder: {path}: {reason}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file in it cannot.
    #[error("draw-folder: {0}")]
    File(#[from] nacre_chain::error::ChainError),
    /// Too many chains were made that came to nothing.
    #[error(
        "draw-folder: {0}: {MOST} chains were made and none of them is used up: something is wrong"
    )]
    Full(PathBuf),
}

/// The chains of one account at one contract.
#[derive(Debug)]
pub struct ChainKeys {
    folder: PathBuf,
    chains: BTreeMap<u32, Arc<HashChain>>,
    /// Links that were looked for, with where they are: to look costs hashes.
    found: HashMap<Word, (u32, u32)>,
}

impl ChainKeys {
    /// Opens the folder, or makes it. Computes every chain in it.
    ///
    /// # Errors
    ///
    /// Others can read it, or something in it is no chain's.
    pub fn open(folder: &Path) -> Result<Self, KeysError> {
        let wrong = |reason: String| KeysError::Folder {
            path: folder.to_owned(),
            reason,
        };
        let failed = |error: std::io::Error| wrong(error.to_string());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let mode = std::fs::metadata(folder)
            .map_err(failed)?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            let mode = mode & 0o777;
            return Err(wrong(format!(
                "others can read it (mode {mode:03o}): chmod 700"
            )));
        }
        let mut chains = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|end| end != EXTENSION) {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str());
            let (number, length) = name
                .and_then(parse)
                .ok_or_else(|| wrong(format!("{} is no chain's name", path.display())))?;
            let chain = HashChain::new(&*secret::open(&path)?, length);
            chains.insert(number, Arc::new(chain));
        }
        let folder = folder.to_owned();
        Ok(Self {
            folder,
            chains,
            found: HashMap::new(),
        })
    }

    /// Whether this is the tip of one of them.
    pub fn has_tip(&self, tip: &Word) -> bool {
        self.chains.values().any(|chain| chain.tip() == *tip)
    }

    /// The link so many steps after this one, or after this tip. None where its chain is not here, or at its end.
    pub fn after(&mut self, link: &Word, steps: u32) -> Option<Word> {
        let (at, number) = match self.found.get(link) {
            Some(known) => *known,
            None => self.look_for(link)?,
        };
        let number = number.checked_add(steps)?;
        let next = self.chains.get(&at)?.link(number)?;
        self.found.clear();
        self.found.insert(*link, (at, number - steps));
        self.found.insert(next, (at, number));
        Some(next)
    }

    fn look_for(&self, link: &Word) -> Option<(u32, u32)> {
        self.chains
            .iter()
            .find_map(|(at, chain)| Some((*at, chain.number_of(link)?)))
    }

    /// Makes a chain that was never there, and keeps its secret on the disk.
    ///
    /// # Errors
    ///
    /// The disk does not take it.
    pub fn make(&mut self, length: u32) -> Result<Arc<HashChain>, KeysError> {
        if self.chains.len() >= MOST {
            return Err(KeysError::Full(self.folder.clone()));
        }
        let wrong = |reason: String| KeysError::Folder {
            path: self.folder.clone(),
            reason,
        };
        let number = self.chains.keys().next_back().map_or(0, |last| last + 1);
        let mut drawn = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *drawn).map_err(|error| wrong(error.to_string()))?;
        secret::create(&self.path(number, length), &drawn)
            .map_err(|error| wrong(error.to_string()))?;
        let chain = Arc::new(HashChain::new(&drawn, length));
        self.chains.insert(number, Arc::clone(&chain));
        Ok(chain)
    }

    /// Forgets chains that are older than all of these, which are all that still matter, but for a few; none where none of them
    /// is known.
    ///
    /// # Errors
    ///
    /// The disk does not let go of a file.
    pub fn forget_before(&mut self, links: &[Word]) -> Result<(), KeysError> {
        if self.chains.len() <= SPARE {
            return Ok(());
        }
        let is_used = |chain: &HashChain| links.iter().any(|link| chain.number_of(link).is_some());
        let oldest = self.chains.iter().find(|(_, chain)| is_used(chain));
        let Some(oldest) = oldest.map(|(number, _)| *number) else {
            return Ok(());
        };
        while let Some((number, chain)) = self.chains.first_key_value()
            && *number < oldest
            && self.chains.len() > SPARE
        {
            let path = self.path(*number, chain.length());
            std::fs::remove_file(&path).map_err(|error| KeysError::Folder {
                reason: error.to_string(),
                path,
            })?;
            self.chains.pop_first();
        }
        Ok(())
    }

    fn path(&self, number: u32, length: u32) -> PathBuf {
        self.folder
            .join(format!("{number:08}-{length}.{EXTENSION}"))
    }
}

/// `{number}-{length}`.
fn parse(name: &str) -> Option<(u32, u32)> {
    let (number, length) = name.split_once('-')?;
    let length = length.parse().ok().filter(|length| *length > 0)?;
    Some((number.parse().ok()?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_there_again_after_a_restart_and_every_chain_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("draw");
        let mut keys = ChainKeys::open(&folder).unwrap();
        let chains: Vec<_> = (0..3).map(|_| keys.make(50).unwrap()).collect();
        drop(keys);
        let mut keys = ChainKeys::open(&folder).unwrap();
        for chain in &chains {
            assert!(keys.has_tip(&chain.tip()));
            for (from, steps) in [(0, 1), (1, 3), (4, 0), (30, 20)] {
                let link = chain.link(from).unwrap();
                assert_eq!(keys.after(&link, steps), chain.link(from + steps));
            }
            assert_eq!(keys.after(&chain.tip(), 51), None, "it is at its end");
        }
        assert_eq!(keys.after(&[1; 32], 1), None);
        let another = keys.make(50).unwrap();
        assert!(chains.iter().all(|chain| chain.tip() != another.tip()));
        for file in std::fs::read_dir(&folder).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_used_up_is_forgotten_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("draw");
        let mut keys = ChainKeys::open(&folder).unwrap();
        let chains: Vec<_> = (0..SPARE + 3).map(|_| keys.make(20).unwrap()).collect();
        keys.forget_before(&[[9; 32]]).unwrap();
        assert!(chains.iter().all(|chain| keys.has_tip(&chain.tip())));
        keys.forget_before(&[chains[4].tip(), chains[2].link(7).unwrap()])
            .unwrap();
        let keys = ChainKeys::open(&folder).unwrap();
        for (at, chain) in chains.iter().enumerate() {
            assert_eq!(keys.has_tip(&chain.tip()), at >= 2, "{at}");
        }
        let mut keys = keys;
        keys.forget_before(&[chains[SPARE + 2].tip()]).unwrap();
        assert_eq!(keys.chains.len(), SPARE, "some are spared in any case");
    }

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let refused = ChainKeys::open(folder.path()).unwrap_err().to_string();
        assert!(
            refused.starts_with("draw-folder: ") && refused.contains("chmod 700"),
            "{refused}"
        );
    }

    #[test]
    fn a_foreign_file_is_refused_rather_than_taken_for_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("draw");
        ChainKeys::open(&folder).unwrap();
        for (name, text) in [
            ("x.chain", "00"),
            ("00000001-5.chain", "no secret"),
            ("1-0.chain", "00"),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(ChainKeys::open(&folder).is_err(), "{name}");
            std::fs::remove_file(&path).unwrap();
        }
    }
}
