//! From a digest to a function that serves.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use nacre_protocol::bundle::{Bundle, BundleError, BundleFile};
use nacre_protocol::control::{FunctionLoad, FunctionState, FunctionStatus};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, LeaseId};
use nacre_protocol::manifest::{FunctionManifest, MANIFEST_FILE, ManifestError};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use super::blobs::Blob;
use super::function::{Function, Statistics};
use super::memory::InsufficientMemory;
use super::{Functions, MAX_FUNCTIONS, Pending};
use crate::workers::{FunctionRunner, WorkerConfig, WorkerError};

/// Most calls that wait for a function's worker.
const MAX_QUEUE: usize = 256;
/// Longest time a worker may take to load its model.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a function does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A blob has not been put, or is no longer there.
    #[error("the blob {0} is not in the enclave; put it first")]
    BlobMissing(Digest),
    /// The digest's blob is not a bundle's manifest.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A blob has another length than the bundle says.
    #[error("the bundle says that {file:?} has {stated} bytes; its blob has {actual}")]
    FileSize {
        /// Name of the file.
        file: String,
        /// Length in the bundle.
        stated: u64,
        /// Length of the blob.
        actual: u64,
    },
    /// `nacre.toml` does not describe a function.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest names a file that the bundle does not have.
    #[error("[model] file {0:?} is not in the bundle")]
    ModelMissing(String),
    /// The bundle and the manifest say different things about where the model can be fetched.
    #[error("[model] urls are not those of the bundle")]
    Urls,
    /// The manifest names classes of an output that the model does not have.
    #[error("[labels] {0:?} is no output of the model")]
    Labels(String),
    /// The manifest is another function's.
    #[error("the bundle is the function `{actual}`'s, not `{wanted}`'s")]
    Name {
        /// Name in the request.
        wanted: FunctionName,
        /// Name in the manifest.
        actual: FunctionName,
    },
    /// No room for its worker.
    #[error("the enclave has no memory for the function: {0}")]
    Memory(#[from] InsufficientMemory),
    /// [`MAX_FUNCTIONS`] are there already.
    #[error("the enclave runs at most {MAX_FUNCTIONS} functions")]
    TooMany,
    /// The worker did not start, or did not take the model.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The task that loaded it ended early.
    #[error("loading was interrupted")]
    Interrupted,
}

impl LoadError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BlobMissing(_) => "blob-missing",
            Self::Bundle(_) => "bundle-invalid",
            Self::FileSize { .. } => "file-size-mismatch",
            Self::Manifest(_) => "manifest-invalid",
            Self::ModelMissing(_) => "model-missing",
            Self::Urls => "urls-mismatch",
            Self::Labels(_) => "labels-mismatch",
            Self::Name { .. } => "function-name-mismatch",
            Self::Memory(_) => "insufficient-memory",
            Self::TooMany => "too-many-functions",
            Self::Worker(error) => error.code(),
            Self::Interrupted => "interrupted",
        }
    }

    /// HTTP status on the control channel.
    pub fn status(&self) -> u16 {
        match self {
            Self::BlobMissing(_) => 409,
            Self::Memory(_) | Self::TooMany => 507,
            Self::Interrupted
            | Self::Worker(WorkerError::WorkerUnavailable { .. } | WorkerError::Isolation { .. }) => {
                503
            }
            _ => 422,
        }
    }
}

impl Functions {
    /// Loads the function with this digest under this name, and returns when it serves. The load goes on when the
    /// caller stops waiting. Putting what serves already changes nothing but its lease.
    pub async fn load(
        self: &Arc<Self>,
        name: FunctionName,
        digest: Digest,
        lease: Option<LeaseId>,
    ) -> Result<FunctionStatus, LoadError> {
        let this = Arc::clone(self);
        let load = tokio::spawn(async move { this.load_in_turn(name, digest, lease).await });
        load.await.map_err(|_| LoadError::Interrupted)?
    }

    async fn load_in_turn(
        &self,
        name: FunctionName,
        digest: Digest,
        lease: Option<LeaseId>,
    ) -> Result<FunctionStatus, LoadError> {
        let _turn = self.turn(&name).await?;
        let serving = self
            .read()
            .get(&name)
            .and_then(|place| place.serving.clone());
        let new = serving
            .as_ref()
            .is_none_or(|function| function.digest != digest);
        let outcome = if new {
            self.set_pending(
                &name,
                Some(Pending {
                    digest,
                    failure: None,
                }),
            );
            self.start(&name, digest, lease).await
        } else {
            serving.inspect(|function| function.set_lease(lease));
            Ok(None)
        };
        match outcome {
            Ok(function) => {
                self.serve(&name, function);
                Ok(FunctionStatus {
                    name,
                    digest,
                    state: FunctionState::Ready,
                    lease,
                    error: None,
                    load: FunctionLoad::default(),
                })
            }
            Err(error) => {
                let failure = format!("{}: {error}", error.code());
                // A missing blob is a question to the host, who hears it in the answer.
                if !matches!(error, LoadError::BlobMissing(_)) {
                    self.events.push(&name, "load-failed", &failure);
                }
                let failure = Some(failure);
                self.set_pending(&name, Some(Pending { digest, failure }));
                Err(error)
            }
        }
    }

    /// The right to change what this name stands for; makes a place for a new name.
    async fn turn(&self, name: &FunctionName) -> Result<OwnedMutexGuard<()>, LoadError> {
        loop {
            let turn: Arc<Mutex<()>> = {
                let mut places = self.write();
                if places.len() >= MAX_FUNCTIONS && !places.contains_key(name) {
                    return Err(LoadError::TooMany);
                }
                Arc::clone(&places.entry(name.clone()).or_default().turn)
            };
            let guard = Arc::clone(&turn).lock_owned().await;
            // While this waited, the place may have been deleted, and made anew with another turn.
            let same = |place: &super::Place| Arc::ptr_eq(&place.turn, &turn);
            if self.read().get(name).is_some_and(same) {
                return Ok(guard);
            }
        }
    }

    async fn start(
        &self,
        name: &FunctionName,
        digest: Digest,
        lease: Option<LeaseId>,
    ) -> Result<Option<Function>, LoadError> {
        let described = self.describe(name, digest)?;
        self.fetch_missing(name, described.bundle.files()).await;
        let (model, blobs) = self.gather(&described)?;
        let limits = &described.manifest.limits;
        let memory = self.budget.reserve(limits.memory.bytes())?;
        let uid = self.uids.take();
        let config = WorkerConfig {
            memory_bytes: limits.memory.bytes(),
            load_timeout: LOAD_TIMEOUT,
            infer_timeout: limits.timeout.duration(),
            max_queue: MAX_QUEUE,
            max_output_bytes: self.settings.max_output_bytes,
            require_full_isolation: self.settings.require_full_isolation,
            ..WorkerConfig::new(
                &self.settings.worker_bin,
                &self.settings.onnxruntime,
                uid.number(),
            )
        };
        let model = model.bytes().clone();
        let runner =
            FunctionRunner::start(name.as_str(), config, model, self.worker_events.clone()).await?;
        let labels = described.manifest.labels;
        let has = |output: &String| runner.spec().outputs.iter().any(|o| o.name == *output);
        if let Some(output) = labels.keys().find(|output| !has(output)) {
            return Err(LoadError::Labels(output.clone()));
        }
        Ok(Some(Function {
            name: name.clone(),
            digest,
            version: digest.to_hex(),
            runner,
            labels: Arc::new(labels),
            statistics: Statistics::default(),
            lease: RwLock::new(lease),
            jobs: Semaphore::new(1),
            blobs,
            _memory: memory,
            _uid: uid,
        }))
    }

    /// Reads what the host must have put: the bundle's manifest and its `nacre.toml`.
    fn describe(&self, name: &FunctionName, digest: Digest) -> Result<Described, LoadError> {
        let oci = self.blob(digest)?;
        let bundle = Bundle::from_oci_manifest(oci.bytes())?;
        let toml = bundle.file(MANIFEST_FILE).ok_or(BundleError::NoManifest)?;
        let toml = self.file(toml)?;
        let manifest = FunctionManifest::from_toml(toml.bytes())?;
        if manifest.function.name != *name {
            return Err(LoadError::Name {
                wanted: name.clone(),
                actual: manifest.function.name,
            });
        }
        let model = &manifest.model;
        let Some(file) = bundle.file(&model.file) else {
            return Err(LoadError::ModelMissing(model.file.clone()));
        };
        if file.urls != model.urls {
            return Err(LoadError::Urls);
        }
        Ok(Described {
            model: file.clone(),
            oci,
            bundle,
            manifest,
        })
    }

    /// The model's blob; and all blobs, so that they stay: the OCI manifest's, and the files' in their order.
    fn gather(&self, described: &Described) -> Result<(Arc<Blob>, Vec<Arc<Blob>>), LoadError> {
        let mut blobs = vec![Arc::clone(&described.oci)];
        for file in described.bundle.files() {
            blobs.push(self.file(file)?);
        }
        Ok((self.file(&described.model)?, blobs))
    }

    fn blob(&self, digest: Digest) -> Result<Arc<Blob>, LoadError> {
        let found = self.blobs.get(&digest);
        found.ok_or(LoadError::BlobMissing(digest))
    }

    fn file(&self, file: &BundleFile) -> Result<Arc<Blob>, LoadError> {
        let found = self.blob(file.digest)?;
        let (stated, actual) = (file.size, found.bytes().len() as u64);
        if stated == actual {
            return Ok(found);
        }
        Err(LoadError::FileSize {
            file: file.name.clone(),
            stated,
            actual,
        })
    }

    /// Puts a new function into its place, and clears what was pending.
    fn serve(&self, name: &FunctionName, function: Option<Function>) {
        let new = function.map(Arc::new);
        let old = {
            let mut places = self.write();
            let place = places.entry(name.clone()).or_default();
            place.pending = None;
            match &new {
                Some(function) => place.serving.replace(Arc::clone(function)),
                None => None,
            }
        };
        if let Some(new) = new {
            self.events
                .push(name, "ready", &format!("{} serves", new.digest));
        }
        self.release_blobs(old.as_deref());
    }

    fn set_pending(&self, name: &FunctionName, pending: Option<Pending>) {
        self.write().entry(name.clone()).or_default().pending = pending;
    }
}

/// What a digest stands for, read and checked; its files may be still to come.
struct Described {
    oci: Arc<Blob>,
    bundle: Bundle,
    manifest: FunctionManifest,
    model: BundleFile,
}
