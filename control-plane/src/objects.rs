//! The object store: whole blobs under `blobs/sha256/<hex>`, in a folder or in a bucket of S3.
//!
//! An upload is invisible under its name until it is completed, on local disks (a staged file that is renamed) as in S3;
//! so the hash is known before the blob exists. What a crash cut short leaves a staged file, which a later start removes,
//! or, in S3, parts, which a rule of the bucket (`AbortIncompleteMultipartUpload`) removes.

use std::fs;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use nacre_protocol::digest::Digest;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::config::ObjectsAt;

mod jobs;

/// Bytes that are gathered before they are written: S3 takes parts of 5 MiB and more.
const PART: usize = 8 << 20;
const PREFIX: &str = "blobs/sha256";
/// How old a staged file is when no upload of another control plane can still be at it.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The blobs.
#[derive(Debug)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
}

impl Objects {
    /// Opens the bucket, or opens or makes the folder and clears what a crash left in it; of a folder that is shared,
    /// only what is old. Blocks: to be called before requests are served.
    pub(crate) fn open(at: &ObjectsAt, shared: bool) -> Result<Self, object_store::Error> {
        Ok(Self {
            store: match at {
                ObjectsAt::Folder(root) => Arc::new(folder(root, shared)?),
                ObjectsAt::S3 { bucket, prefix } => {
                    Arc::new(PrefixStore::new(s3(bucket)?, prefix.as_str()))
                }
            },
        })
    }

    /// Starts an upload. Nothing is written before there is a part's worth of bytes.
    pub(crate) fn upload(&self, digest: &Digest) -> Upload {
        Upload {
            store: Arc::clone(&self.store),
            key: key(digest),
            parts: None,
            gathered: Vec::new(),
            length: 0,
        }
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

fn folder(root: &FilePath, shared: bool) -> Result<LocalFileSystem, object_store::Error> {
    let generic = |source: io::Error| object_store::Error::Generic {
        store: "local folder",
        source: Box::new(source),
    };
    let older = if shared { ABANDONED } else { Duration::ZERO };
    for folder in [PREFIX, jobs::PREFIX].map(|prefix| root.join(prefix)) {
        fs::create_dir_all(&folder).map_err(generic)?;
        remove_staged(&folder, older).map_err(generic)?;
    }
    Ok(LocalFileSystem::new_with_prefix(root)?.with_fsync(true))
}

/// Region, credentials and endpoint are the environment's (`AWS_…`). Only a server on this machine is spoken to in the
/// clear, unless `AWS_ALLOW_HTTP` says otherwise.
fn s3(bucket: &str) -> Result<AmazonS3, object_store::Error> {
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = endpoints
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let local = endpoint.is_some_and(|url| {
        ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"]
            .iter()
            .any(|start| url.starts_with(start))
    });
    if local {
        builder.with_allow_http(true).build()
    } else {
        builder.build()
    }
}

/// Staged files are named `<name>#<number>`.
fn remove_staged(folder: &FilePath, older: Duration) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().contains('#') {
            continue;
        }
        let removed = entry.metadata().and_then(|metadata| {
            let age = metadata.modified()?.elapsed().unwrap_or_default();
            if age < older {
                return Ok(());
            }
            fs::remove_file(entry.path())
        });
        match removed {
            // Another control plane removed or completed it.
            Err(error) if shared_and_gone(&error, older) => {}
            done => done?,
        }
    }
    Ok(())
}

fn shared_and_gone(error: &io::Error, older: Duration) -> bool {
    !older.is_zero() && error.kind() == io::ErrorKind::NotFound
}

/// A blob on its way in.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    key: Path,
    /// Once there was a whole part.
    parts: Option<Box<dyn MultipartUpload>>,
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
        if self.parts.is_some() {
            self.flush().await?;
        }
        match self.parts {
            Some(mut parts) => parts.complete().await?,
            None => {
                let whole = PutPayload::from_iter(self.gathered);
                self.store.put(&self.key, whole).await?
            }
        };
        Ok(())
    }

    /// Leaves nothing behind.
    pub(crate) async fn abort(mut self) -> Result<(), object_store::Error> {
        match &mut self.parts {
            Some(parts) => parts.abort().await,
            None => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), object_store::Error> {
        if self.length == 0 {
            return Ok(());
        }
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => self
                .parts
                .insert(self.store.put_multipart(&self.key).await?),
        };
        self.length = 0;
        let part = PutPayload::from_iter(core::mem::take(&mut self.gathered));
        parts.put_part(part).await
    }
}
