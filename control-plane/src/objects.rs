//! The object store: whole blobs under `blobs/sha256/<hex>`.
//!
//! A multipart upload is invisible under its name until it is completed, on local disks (a staged file that is renamed)
//! as in S3; so the hash is known before the blob exists. A local upload that a crash cut short leaves its staged file,
//! which is removed at the next start.

use std::fs;
use std::io;
use std::path::Path as FilePath;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use nacre_protocol::digest::Digest;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::sync::{Mutex, MutexGuard};

/// Bytes that are gathered before they are written: S3 takes parts of 5 MiB and more.
const PART: usize = 8 << 20;
const PREFIX: &str = "blobs/sha256";

/// The blobs.
#[derive(Debug)]
pub(crate) struct Objects {
    store: LocalFileSystem,
    /// Held while an object and its row appear or disappear together.
    publishing: Mutex<()>,
}

impl Objects {
    /// Opens or makes the folder of blobs within the data folder, and clears what a crash left in it. Blocks: to be
    /// called before requests are served.
    pub(crate) fn open(data: &FilePath) -> Result<Self, object_store::Error> {
        let root = data.join("objects");
        let generic = |source: io::Error| object_store::Error::Generic {
            store: "local folder",
            source: Box::new(source),
        };
        fs::create_dir_all(root.join(PREFIX)).map_err(generic)?;
        remove_staged(&root.join(PREFIX)).map_err(generic)?;
        Ok(Self {
            store: LocalFileSystem::new_with_prefix(&root)?.with_fsync(true),
            publishing: Mutex::new(()),
        })
    }

    /// Starts an upload. Dropped, it leaves nothing.
    pub(crate) async fn upload(&self, digest: &Digest) -> Result<Upload, object_store::Error> {
        Ok(Upload {
            inner: self.store.put_multipart(&key(digest)).await?,
            gathered: Vec::new(),
            length: 0,
        })
    }

    /// Keeps everybody else from publishing or deleting.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().await
    }

    /// The blob's bytes, bit by bit.
    pub(crate) async fn read(
        &self,
        digest: &Digest,
    ) -> Result<BoxStream<'static, Result<Bytes, object_store::Error>>, object_store::Error> {
        Ok(self.store.get(&key(digest)).await?.into_stream())
    }

    /// A small blob's bytes.
    pub(crate) async fn read_all(&self, digest: &Digest) -> Result<Bytes, object_store::Error> {
        self.store.get(&key(digest)).await?.bytes().await
    }

    /// Deletes a blob; one that is not there is no error.
    pub(crate) async fn delete(&self, digest: &Digest) -> Result<(), object_store::Error> {
        match self.store.delete(&key(digest)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    /// Every blob that is there.
    pub(crate) async fn list(&self) -> Result<Vec<Digest>, object_store::Error> {
        let all = self.store.list(Some(&Path::from(PREFIX)));
        all.try_filter_map(|object| async move {
            let name = object.location.filename().unwrap_or_default();
            Ok(format!("sha256:{name}").parse::<Digest>().ok())
        })
        .try_collect()
        .await
    }
}

fn key(digest: &Digest) -> Path {
    Path::from(format!("{PREFIX}/{}", digest.to_hex()))
}

/// Staged files are named `<name>#<number>`.
fn remove_staged(folder: &FilePath) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains('#') {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A blob on its way in.
pub(crate) struct Upload {
    inner: Box<dyn MultipartUpload>,
    gathered: Vec<Bytes>,
    length: usize,
}

impl Upload {
    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), object_store::Error> {
        self.length += bytes.len();
        self.gathered.push(bytes);
        if self.length >= PART {
            self.flush().await?;
        }
        Ok(())
    }

    /// Makes the blob appear under its name.
    pub(crate) async fn publish(mut self) -> Result<(), object_store::Error> {
        self.flush().await?;
        self.inner.complete().await?;
        Ok(())
    }

    /// Leaves nothing behind.
    pub(crate) async fn abort(mut self) -> Result<(), object_store::Error> {
        self.inner.abort().await
    }

    async fn flush(&mut self) -> Result<(), object_store::Error> {
        if self.length > 0 {
            self.length = 0;
            let part = PutPayload::from_iter(core::mem::take(&mut self.gathered));
            self.inner.put_part(part).await?;
        }
        Ok(())
    }
}
