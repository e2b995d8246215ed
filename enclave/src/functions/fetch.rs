//! Files that the enclave fetches by itself.
//!
//! A bundle may say where its files can be had (`[model] urls`). What is not in the store yet is fetched from there
//! through [`Egress`], if the image's allow-list has the place, and goes into the store like a blob that the host puts:
//! hashed as it arrives, and dropped if the hash is wrong. Whatever cannot be fetched is missing as before, and the host
//! is told so.

use nacre_protocol::bundle::BundleFile;
use nacre_protocol::egress::FileUrl;
use nacre_protocol::ids::FunctionName;

use super::{BlobError, Functions};
use crate::egress::EgressError;

/// Why a file did not come from an address.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl FetchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Egress(error) => error.code(),
            Self::Blob(error) => error.code(),
        }
    }
}

impl Functions {
    /// Fetches those of the files that are missing and have an address, as far as that is possible.
    pub(super) async fn fetch_missing(&self, name: &FunctionName, files: &[BundleFile]) {
        for file in files {
            let mut urls = file.urls.iter();
            while self.blobs.get(&file.digest).is_none()
                && let Some(url) = urls.next()
            {
                // What the image does not allow was never meant to be fetched here: nothing went wrong.
                if self.egress.check(url.destination()).is_err() {
                    continue;
                }
                match self.fetch(file, url).await {
                    Ok(()) => {
                        self.events
                            .push(name, "fetched", &format!("{} from {url}", file.name))
                    }
                    Err(error) => {
                        let why = format!("{} from {url}: {}: {error}", file.name, error.code());
                        self.events.push(name, "fetch-failed", &why);
                    }
                }
            }
        }
    }

    async fn fetch(&self, file: &BundleFile, url: &FileUrl) -> Result<(), FetchError> {
        let mut upload = self.blobs.begin(file.digest, file.size)?;
        let arriving = self.egress.fetch(url, file.size, |chunk| {
            // The fetch gives no more than the size, so only memory could be in the way, and that is reserved.
            upload
                .write(chunk)
                .map_err(|error| EgressError::NotTheFile(error.to_string()))
        });
        arriving.await?;
        Ok(self.blobs.finish(upload)?)
    }
}
