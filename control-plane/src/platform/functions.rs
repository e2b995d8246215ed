//! Functions and versions.

use nacre_protocol::api::{CreateVersion, Function, Page};
use nacre_protocol::bundle::{Bundle, MAX_BUNDLE_MANIFEST};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, OrganisationName};
use nacre_protocol::manifest::{FunctionManifest, MANIFEST_FILE, MAX_MANIFEST, ManifestError};

use super::{Answer, Idempotency, OnlyIf, Platform};
use crate::error::{Error, VersionError};
use crate::store::functions::{self, NewVersion};
use crate::store::{Connection, StoreError, Transaction, blobs, commit, deployments, orders};

/// What cursors of the list are sealed for.
const LIST: &str = "functions";
/// Versions of a function that are kept beside those that deployments name.
pub(super) const MAX_VERSIONS: u32 = 100;

impl Platform {
    /// Makes a version out of blobs that the organisation put. The same digest again is the same version.
    ///
    /// Names are the platform's, not the organisation's: gateways and callers find a function by its name alone. So a name
    /// that somebody else has is refused as taken, the one thing that an organisation learns of another's functions. It is
    /// said only here, to somebody who put a whole bundle of that name; everywhere else the function is not there.
    pub(crate) async fn create_version(
        &self,
        organisation: &OrganisationName,
        request: CreateVersion,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        let now = self.clock.now_ms();
        let described = self.describe(organisation, &request.digest).await;
        let mut tx = self.store.write().await?;
        // A repetition is answered as the first time, even if the blobs have gone since.
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        let (bundle, manifest) = described?;
        check_layers(&mut tx, organisation, &request.digest, &bundle).await?;
        let name = &manifest.function.name;
        let owner = functions::organisation(&mut tx, name).await?;
        if owner.is_some_and(|owner| owner != *organisation) {
            return Err(Error::FunctionNameTaken(name.clone()));
        }
        let version = match functions::version(&mut tx, &request.digest).await? {
            Some(version) => version,
            None => {
                let new = new_version(organisation, request.digest, &bundle, &manifest);
                let version = functions::insert_version(&mut tx, &new, now).await?;
                functions::prune_versions(&mut tx, &new.function, MAX_VERSIONS).await?;
                version
            }
        };
        let answer = Answer::created(&version)?;
        Idempotency::keep(once, &mut tx, &answer, now).await?;
        commit(tx).await?;
        Ok(answer)
    }

    /// Reads the manifest and `nacre.toml`.
    pub(super) async fn describe(
        &self,
        organisation: &OrganisationName,
        digest: &Digest,
    ) -> Result<(Bundle, FunctionManifest), Error> {
        let bytes = self
            .small_blob(organisation, digest, "the manifest", MAX_BUNDLE_MANIFEST)
            .await?;
        let bundle = Bundle::from_oci_manifest(&bytes).map_err(VersionError::from)?;
        let toml = bundle
            .file(MANIFEST_FILE)
            .ok_or(Error::Internal("a bundle has a nacre.toml"))?;
        if toml.size > MAX_MANIFEST as u64 {
            return Err(VersionError::from(ManifestError::NotText).into());
        }
        let bytes = self
            .small_blob(organisation, &toml.digest, MANIFEST_FILE, MAX_MANIFEST)
            .await?;
        let manifest = FunctionManifest::from_toml(&bytes).map_err(VersionError::from)?;
        if bundle.file(&manifest.model.file).is_none() {
            return Err(VersionError::ModelMissing(manifest.model.file).into());
        }
        Ok((bundle, manifest))
    }

    async fn small_blob(
        &self,
        organisation: &OrganisationName,
        digest: &Digest,
        what: &str,
        limit: usize,
    ) -> Result<bytes::Bytes, Error> {
        let mut tx = self.store.read().await?;
        match blobs::held_size(&mut tx, digest, organisation).await? {
            None => Err(VersionError::Missing(format!("{what} ({digest})")).into()),
            Some(size) if size > limit as u64 => {
                let error = nacre_protocol::bundle::BundleError::TooLarge;
                Err(VersionError::Bundle(error).into())
            }
            Some(_) => Ok(self.objects.read_all(digest).await?),
        }
    }

    /// A page of functions, by name.
    pub(crate) async fn functions(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Page<Function>, Error> {
        let name = |text: &str| text.parse::<FunctionName>().ok();
        let after = self.cursors.open(LIST, organisation, after, name)?;
        let after = after.as_ref().map_or("", FunctionName::as_str);
        let mut tx = self.store.read().await?;
        let names = functions::names(&mut tx, organisation, after, limit + 1).await?;
        let page = self
            .cursors
            .page(LIST, organisation, names, limit, ToString::to_string);
        let mut items = Vec::with_capacity(page.items.len());
        for name in page.items {
            items.push(assemble(&mut tx, name).await?);
        }
        let next = page.next;
        Ok(Page { items, next })
    }

    /// One function.
    pub(crate) async fn function(
        &self,
        organisation: &OrganisationName,
        name: FunctionName,
    ) -> Result<Function, Error> {
        let mut tx = self.store.read().await?;
        if !functions::exists(&mut tx, &name, organisation).await? {
            return Err(Error::FunctionNotFound(name));
        }
        Ok(assemble(&mut tx, name).await?)
    }

    /// Ends the function's deployment and forgets its versions and log. Its blobs are collected later.
    pub(crate) async fn delete_function(
        &self,
        organisation: &OrganisationName,
        name: &FunctionName,
        only_if: &OnlyIf,
    ) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        if !functions::exists(&mut tx, name, organisation).await? {
            return Err(Error::FunctionNotFound(name.clone()));
        }
        check_function(&mut tx, name, only_if).await?;
        let gone = deployments::of_function(&mut tx, name).await?;
        let changed = self.withdraw(&mut tx, name, now).await?;
        functions::delete(&mut tx, name).await?;
        let changed = changed.deployments(gone).logs([name.clone()]);
        self.commit(tx, changed).await
    }
}

fn new_version(
    organisation: &OrganisationName,
    digest: Digest,
    bundle: &Bundle,
    manifest: &FunctionManifest,
) -> NewVersion {
    let layers = bundle.files().iter().map(|file| file.digest);
    let mut blobs: Vec<Digest> = layers.chain([digest]).collect();
    blobs.sort();
    blobs.dedup();
    NewVersion {
        organisation: organisation.clone(),
        function: manifest.function.name.clone(),
        digest,
        memory_bytes: manifest.limits.memory.bytes(),
        blobs,
    }
}

/// Within the transaction, so that no blob is collected between the look and the version that needs it.
async fn check_layers(
    tx: &mut Transaction,
    organisation: &OrganisationName,
    manifest: &Digest,
    bundle: &Bundle,
) -> Result<(), Error> {
    let mut missing = Vec::new();
    if blobs::held_size(tx, manifest, organisation)
        .await?
        .is_none()
    {
        missing.push(format!("the manifest ({manifest})"));
    }
    for file in bundle.files() {
        match blobs::held_size(tx, &file.digest, organisation).await? {
            None => missing.push(format!("{} ({})", file.name, file.digest)),
            Some(stored) if stored != file.size => {
                let error = VersionError::Size {
                    name: file.name.clone(),
                    stored,
                    claimed: file.size,
                };
                return Err(error.into());
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(VersionError::Missing(missing.join(", ")).into())
    }
}

/// Whether the function is what the caller takes it for, as `GET /v1/functions/{name}` shows it.
pub(super) async fn check_function(
    tx: &mut Transaction,
    name: &FunctionName,
    only_if: &OnlyIf,
) -> Result<(), Error> {
    match only_if {
        OnlyIf::Tags(_) => only_if.check(&assemble(tx, name.clone()).await?),
        OnlyIf::Always | OnlyIf::Something => Ok(()),
    }
}

async fn assemble(on: &mut Connection, name: FunctionName) -> Result<Function, StoreError> {
    Ok(Function {
        versions: functions::versions(on, &name).await?,
        deployment: deployments::live(on, &name).await?,
        canary: deployments::canary(on, &name).await?,
        routes: orders::routes(on, &name).await?,
        name,
    })
}
