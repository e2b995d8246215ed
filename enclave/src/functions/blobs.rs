//! Blobs in memory, by their digest. The host sends them, so each is hashed as it arrives, and bytes of a wrong hash
//! are dropped before anything looks at them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nacre_protocol::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::memory::{InsufficientMemory, MemoryBudget, Reservation};

/// A blob that no function came to use may be dropped after this time, when memory is short.
const UNUSED: Duration = Duration::from_secs(300);

/// The store.
#[derive(Debug)]
pub struct BlobStore {
    budget: MemoryBudget,
    blobs: Mutex<HashMap<Digest, Stored>>,
}

/// A blob whose bytes have the digest they are stored under.
#[derive(Debug)]
pub struct Blob {
    digest: Digest,
    bytes: Bytes,
    _memory: Reservation,
}

#[derive(Debug)]
struct Stored {
    blob: Arc<Blob>,
    since: Instant,
}

/// A blob that is arriving. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    digest: Digest,
    size: u64,
    bytes: Vec<u8>,
    hasher: Sha256,
    memory: Reservation,
}

/// Why a blob was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// No room.
    #[error("the enclave has no memory for the blob: {0}")]
    Memory(#[from] InsufficientMemory),
    /// More or fewer bytes came than were announced.
    #[error("the blob was announced with {announced} bytes, and {came} came")]
    Length {
        /// Bytes announced.
        announced: u64,
        /// Bytes that came.
        came: u64,
    },
    /// The bytes are others than their name says.
    #[error("the bytes have the digest {actual}, not {named}")]
    Digest {
        /// Digest in the request.
        named: Digest,
        /// Digest of the bytes.
        actual: Digest,
    },
}

impl BlobError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Memory(_) => "insufficient-memory",
            Self::Length { .. } => "body-incomplete",
            Self::Digest { .. } => "digest-mismatch",
        }
    }
}

impl Blob {
    /// The digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl BlobStore {
    /// An empty store that takes its memory from `budget`.
    pub fn new(budget: MemoryBudget) -> Self {
        Self {
            budget,
            blobs: Mutex::default(),
        }
    }

    /// The blob, if it is here.
    pub fn get(&self, digest: &Digest) -> Option<Arc<Blob>> {
        self.lock()
            .get(digest)
            .map(|stored| Arc::clone(&stored.blob))
    }

    /// Makes room for a blob of `size` bytes. Blobs that nothing has used for a while give way.
    pub fn begin(&self, digest: Digest, size: u64) -> Result<Upload, BlobError> {
        let memory = self.budget.reserve(size).or_else(|_| {
            self.drop_unused(Instant::now());
            self.budget.reserve(size)
        })?;
        Ok(Upload {
            digest,
            size,
            bytes: Vec::new(),
            hasher: Sha256::new(),
            memory,
        })
    }

    /// Stores what has arrived whole and with the right digest.
    pub fn finish(&self, upload: Upload) -> Result<(), BlobError> {
        let blob = Arc::new(upload.into_blob()?);
        let since = Instant::now();
        self.lock().insert(blob.digest, Stored { blob, since });
        Ok(())
    }

    /// Drops those of `candidates` that are not `in_use`.
    pub(super) fn release(&self, candidates: &[Digest], in_use: &HashSet<Digest>) {
        let mut blobs = self.lock();
        for digest in candidates.iter().filter(|digest| !in_use.contains(digest)) {
            blobs.remove(digest);
        }
    }

    /// A function holds its blobs, so one that only the store holds is unused.
    fn drop_unused(&self, now: Instant) {
        self.lock().retain(|_, stored| {
            Arc::strong_count(&stored.blob) > 1
                || now.saturating_duration_since(stored.since) < UNUSED
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Stored>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Takes the next bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        let came = self.bytes.len() as u64 + chunk.len() as u64;
        if came > self.size {
            return Err(self.wrong_length(came));
        }
        if self.bytes.is_empty() {
            // The budget has admitted the size, so the whole is asked for at once and not copied as it grows.
            let _ = self
                .bytes
                .try_reserve_exact(usize::try_from(self.size).unwrap_or_default());
        }
        self.hasher.update(chunk);
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn into_blob(self) -> Result<Blob, BlobError> {
        let came = self.bytes.len() as u64;
        if came != self.size {
            return Err(self.wrong_length(came));
        }
        let actual = Digest::from_bytes(self.hasher.finalize().into());
        if actual != self.digest {
            let named = self.digest;
            return Err(BlobError::Digest { named, actual });
        }
        Ok(Blob {
            digest: actual,
            bytes: self.bytes.into(),
            _memory: self.memory,
        })
    }

    fn wrong_length(&self, came: u64) -> BlobError {
        BlobError::Length {
            announced: self.size,
            came,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &BlobStore, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::of(bytes);
        let mut upload = store.begin(digest, bytes.len() as u64)?;
        for chunk in bytes.chunks(3) {
            upload.write(chunk)?;
        }
        store.finish(upload)?;
        Ok(digest)
    }

    #[test]
    fn keeps_only_what_has_its_digest() {
        let store = BlobStore::new(MemoryBudget::new(100));
        let digest = put(&store, b"0123456789").unwrap();
        assert_eq!(store.get(&digest).unwrap().bytes(), "0123456789");

        let mut wrong = store.begin(Digest::of(b"other"), 3).unwrap();
        wrong.write(b"abc").unwrap();
        assert!(matches!(store.finish(wrong), Err(BlobError::Digest { .. })));
        assert!(store.get(&Digest::of(b"other")).is_none());
        assert!(store.get(&Digest::of(b"abc")).is_none());
    }

    #[test]
    fn length_is_held_to() {
        let store = BlobStore::new(MemoryBudget::new(100));
        let mut long = store.begin(Digest::of(b"ab"), 2).unwrap();
        assert!(matches!(
            long.write(b"abc"),
            Err(BlobError::Length {
                announced: 2,
                came: 3
            })
        ));
        let mut short = store.begin(Digest::of(b"ab"), 2).unwrap();
        short.write(b"a").unwrap();
        assert!(matches!(
            store.finish(short),
            Err(BlobError::Length {
                announced: 2,
                came: 1
            })
        ));
    }

    #[test]
    fn an_upload_that_is_left_gives_its_memory_back() {
        let store = BlobStore::new(MemoryBudget::new(100));
        let mut half = store.begin(Digest::of(b"x"), 100).unwrap();
        half.write(b"half").unwrap();
        assert!(matches!(put(&store, b"small"), Err(BlobError::Memory(_))));
        drop(half);
        put(&store, b"small").unwrap();
    }

    #[test]
    fn only_unused_blobs_give_way() {
        let store = BlobStore::new(MemoryBudget::new(100));
        let used = put(&store, &[1; 30]).unwrap();
        let unused = put(&store, &[2; 30]).unwrap();
        let holder = store.get(&used).unwrap();
        store.drop_unused(Instant::now());
        assert!(
            store.get(&unused).is_some(),
            "it may be waiting for its function"
        );
        store.drop_unused(Instant::now() + UNUSED);
        assert!(store.get(&unused).is_none());
        assert!(store.get(&used).is_some());
        drop(holder);
    }
}
