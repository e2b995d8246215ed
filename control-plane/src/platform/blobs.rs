//! Blobs: put, asked for, collected.
//!
//! Invariant: a row in the database means a whole object in the store. An object is published before its row and
//! deleted after it, both under the blob's guard, which all control planes of the database heed; what a crash leaves
//! between the two is an object without a row, which the next start of any of them deletes. A blob that no version has is collected once nobody put it or asked for it for the grace period, so
//! that a client may take "it is there" for an answer and make its version at leisure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::OrganisationName;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{Platform, Principal};
use crate::error::{Error, UploadError};
use crate::store::{blobs, commit};

/// After which silence an upload is given up.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// A body as it arrives.
pub(crate) trait Incoming:
    Stream<Item = Result<Bytes, UploadError>> + Send + Unpin + 'static
{
}
impl<S: Stream<Item = Result<Bytes, UploadError>> + Send + Unpin + 'static> Incoming for S {}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is stored now.
    Stored,
    /// It was there before.
    Known,
}

/// A stored blob.
pub(crate) struct BlobBody {
    /// Its length.
    pub size: u64,
    /// Its bytes.
    pub bytes: BoxStream<'static, Result<Bytes, object_store::Error>>,
}

impl Platform {
    /// Stores the bytes under their digest. An organisation that has not sent them before sends them now, whoever else did:
    /// whether somebody else has them is nobody's to ask, and to know a digest is not to have the bytes.
    pub(crate) async fn put_blob(
        self: Arc<Self>,
        organisation: OrganisationName,
        digest: Digest,
        declared: Option<u64>,
        mut body: impl Incoming,
    ) -> Result<Put, Error> {
        let limit = self.max_blob_bytes;
        if declared.is_some_and(|length| length > limit) {
            return Err(UploadError::TooLarge(limit).into());
        }
        if self.want_blob(&digest, &organisation).await?.is_some() {
            // Read to its end all the same: closing on a client in mid-sentence would look like a failure to it.
            let mut length = 0;
            while let Some(bytes) = next(&mut body).await? {
                length = within(limit, length, &bytes)?;
            }
            return Ok(Put::Known);
        }
        let mut upload = self.objects.upload(&digest);
        let (mut hash, mut length) = (Sha256::new(), 0);
        let received = loop {
            match next(&mut body).await {
                Ok(None) => break matches(&digest, hash),
                Err(error) => break Err(error),
                Ok(Some(bytes)) => match within(limit, length, &bytes) {
                    Err(error) => break Err(error),
                    Ok(total) => {
                        length = total;
                        hash.update(&bytes);
                        upload.write(bytes).await?;
                    }
                },
            }
        };
        if let Err(error) = received {
            upload.abort().await?;
            return Err(error.into());
        }
        // From here on a caller who goes away changes nothing.
        let publish = async move {
            let _guard = self.store.guard(&digest).await?;
            upload.publish().await?;
            let mut tx = self.store.write().await?;
            let now = self.clock.now_ms();
            blobs::insert(&mut tx, &digest, &organisation, length, now).await?;
            commit(tx).await?;
            Ok(Put::Stored)
        };
        let published = tokio::spawn(publish).await;
        published.map_err(|_| Error::Internal("storing a blob broke off"))?
    }

    /// The blob's size if the asker has it; the grace period starts anew for somebody who asks with an API key.
    pub(crate) async fn blob_size(
        &self,
        digest: &Digest,
        principal: &Principal,
    ) -> Result<u64, Error> {
        let size = match principal {
            Principal::Key(key) => self.want_blob(digest, &key.organisation).await?,
            Principal::Gateway(_) => {
                return Err(Error::Forbidden(
                    "a gateway carries bytes and needs no blobs",
                ));
            }
            Principal::Node(node) => {
                let mut tx = self.store.read().await?;
                if !blobs::is_leased_to(&mut tx, digest, node).await? {
                    return Err(Error::Forbidden(
                        "a node gets only blobs of the functions leased to it",
                    ));
                }
                blobs::size(&mut tx, digest).await?
            }
        };
        size.ok_or(Error::BlobNotFound(*digest))
    }

    /// The blob.
    pub(crate) async fn blob(
        &self,
        digest: &Digest,
        principal: &Principal,
    ) -> Result<BlobBody, Error> {
        let size = self.blob_size(digest, principal).await?;
        let bytes = self.objects.read(digest).await?;
        Ok(BlobBody { size, bytes })
    }

    /// Deletes blobs that no version has and nobody wanted within the grace period. Says how many.
    pub(crate) async fn collect_blobs(&self) -> Result<usize, Error> {
        let grace = u64::try_from(self.blob_grace.as_millis()).unwrap_or(u64::MAX);
        let before = self.clock.now_ms().saturating_sub(grace);
        let mut tx = self.store.write_alone().await?;
        blobs::forget_holders(&mut tx, before).await?;
        commit(tx).await?;
        let mut collected = 0;
        loop {
            let mut tx = self.store.read().await?;
            let unused = blobs::unused(&mut tx, before).await?;
            drop(tx);
            if unused.is_empty() {
                return Ok(collected);
            }
            for digest in &unused {
                let _guard = self.store.guard(digest).await?;
                let mut tx = self.store.write().await?;
                let forgotten = blobs::forget_unused(&mut tx, digest, before).await?;
                commit(tx).await?;
                if forgotten {
                    self.objects.delete(digest).await?;
                    collected += 1;
                }
            }
        }
    }

    /// Deletes objects without a row, which a crash left. Others may upload meanwhile: under the guard, an object without
    /// a row is nobody's.
    pub(super) async fn remove_orphans(&self) -> Result<(), Error> {
        for digest in self.objects.list().await? {
            if self.has_row(&digest).await? {
                continue;
            }
            let _guard = self.store.guard(&digest).await?;
            if !self.has_row(&digest).await? {
                self.objects.delete(&digest).await?;
            }
        }
        Ok(())
    }

    async fn has_row(&self, digest: &Digest) -> Result<bool, Error> {
        let mut tx = self.store.read().await?;
        Ok(blobs::size(&mut tx, digest).await?.is_some())
    }

    async fn want_blob(
        &self,
        digest: &Digest,
        organisation: &OrganisationName,
    ) -> Result<Option<u64>, Error> {
        let now = self.clock.now_ms();
        let grace = u64::try_from(self.blob_grace.as_millis()).unwrap_or(u64::MAX);
        let mut tx = self.store.read().await?;
        let size = blobs::held_size(&mut tx, digest, organisation).await?;
        let since = now.saturating_sub(grace / 2);
        let stale = blobs::is_stale(&mut tx, digest, organisation, since).await?;
        drop(tx);
        if size.is_none() || !stale {
            return Ok(size);
        }
        let mut tx = self.store.write().await?;
        blobs::touch(&mut tx, digest, organisation, now).await?;
        // It may have been collected since it was read.
        let size = blobs::held_size(&mut tx, digest, organisation).await?;
        commit(tx).await?;
        Ok(size)
    }
}

pub(super) async fn next(body: &mut impl Incoming) -> Result<Option<Bytes>, UploadError> {
    let next = timeout(STALL, body.next()).await;
    next.map_err(|_| UploadError::Stalled(STALL.as_secs()))?
        .transpose()
}

pub(super) fn within(limit: u64, length: u64, bytes: &Bytes) -> Result<u64, UploadError> {
    let total = length.saturating_add(bytes.len() as u64);
    if total > limit {
        Err(UploadError::TooLarge(limit))
    } else {
        Ok(total)
    }
}

fn matches(expected: &Digest, hash: Sha256) -> Result<(), UploadError> {
    let got = Digest::from_bytes(hash.finalize().into());
    if got == *expected {
        Ok(())
    } else {
        Err(UploadError::Mismatch {
            expected: *expected,
            got,
        })
    }
}
