//! Inputs and results of jobs: `jobs/<name>`, a name of its own for each, so that nobody comes upon one by its digest.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::Objects;

/// The folder.
pub(super) const PREFIX: &str = "jobs";

impl Objects {
    /// Writes an object, whole or not at all.
    pub(crate) async fn put_job(
        &self,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), object_store::Error> {
        self.store
            .put(&key(name), PutPayload::from_bytes(bytes))
            .await?;
        Ok(())
    }

    /// An object's bytes.
    pub(crate) async fn read_job(&self, name: &str) -> Result<Bytes, object_store::Error> {
        self.store.get(&key(name)).await?.bytes().await
    }

    /// Deletes an object; one that is not there is no error.
    pub(crate) async fn delete_job(&self, name: &str) -> Result<(), object_store::Error> {
        match self.store.delete(&key(name)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            done => done,
        }
    }
}

fn key(name: &str) -> Path {
    Path::from(format!("{PREFIX}/{name}"))
}
