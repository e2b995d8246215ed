//! `nacre deploy`: upload what the control plane lacks, order replicas, wait until they answer.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nacre_protocol::api::market::{Placement, SetCanary};
use nacre_protocol::api::{CreateDeployment, Deployment};
use nacre_protocol::bundle::{BundleFile, EMPTY_CONFIG};
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use crate::api::Api;
use crate::args::DeployArgs;
use crate::bundle_dir::BundleDir;
use crate::commands::Context;
use crate::error::CliError;
use crate::profile::{Home, Pin};

/// One read of a file that is uploaded.
const CHUNK: usize = 256 * 1024;

#[derive(Serialize)]
struct Deployed {
    function: String,
    version: u32,
    digest: Digest,
    deployment: Deployment,
}

/// Deploys a directory. The digest is computed here and recorded here: callers from this machine insist on it, whatever
/// the control plane says later.
pub(crate) async fn run(context: &Context, args: DeployArgs) -> Result<(), CliError> {
    let (dir, profile) = context.home.profile(context.profile.as_deref())?;
    let source = BundleDir::open(&args.dir)?;
    let digest = source.bundle.digest();
    let api = Api::new(&profile)?;

    upload(&api, &source, !context.output.json).await?;
    let version = api.create_version(digest).await?;
    let name = &source.manifest.function.name;
    let former = dir.pin(name)?;
    let (placed, pin) = match args.canary {
        Some(weight) => {
            let former = former.ok_or_else(|| {
                CliError::Usage(format!(
                    "{name} was not deployed from here: there is nothing to try a version beside"
                ))
            })?;
            let placed = api.set_canary(name, &SetCanary { digest, weight }).await?;
            let canary = Some(digest);
            (placed, Pin { canary, ..former })
        }
        None => {
            let order = CreateDeployment {
                function: name.clone(),
                digest,
                replicas: args.terms.replicas,
                cpu_milli: args.terms.cpu,
                max_price: args.terms.max_price,
                max_cpu_price: args.terms.max_cpu_price,
                scaling: args.terms.scaling(),
                placement: args.terms.placement(),
            };
            let placed = api.create_deployment(&order).await?;
            (placed, Pin::deployed(digest, former))
        }
    };
    dir.save_pin(name, &pin)?;
    let limit = Duration::from_secs(args.timeout);
    let deployment = wait_until_ready(&api, placed, limit).await?;

    let done = Deployed {
        function: name.to_string(),
        version: version.version,
        digest,
        deployment,
    };
    context.output.result(&done, |done| {
        let endpoints = done
            .deployment
            .leases
            .iter()
            .map(|lease| lease.endpoint.as_str());
        let endpoints = endpoints.collect::<Vec<_>>().join(", ");
        format!(
            "{} version {} is ready at {endpoints}\ndigest {}",
            done.function, done.version, done.digest
        )
    })
}

/// Deploys a directory on one node as `nacre deploy DIR` would, without a word: for `nacre dev`. Where this very version is
/// deployed already, it is only waited for.
pub(crate) async fn deploy_plainly(
    home: &Home,
    profile: &str,
    dir: &Path,
) -> Result<Digest, CliError> {
    const LIMIT: Duration = Duration::from_secs(120);
    let (folder, profile) = home.profile(Some(profile))?;
    let source = BundleDir::open(dir)?;
    let digest = source.bundle.digest();
    let api = Api::new(&profile)?;
    let name = &source.manifest.function.name;
    let known = match api.function(name).await {
        Err(CliError::Platform(problem)) if problem.status == 404 => None,
        known => known?.deployment.filter(|live| live.digest == digest),
    };
    let placed = match known {
        Some(live) => live,
        None => {
            upload(&api, &source, false).await?;
            api.create_version(digest).await?;
            let order = CreateDeployment {
                function: name.clone(),
                digest,
                replicas: 1,
                cpu_milli: 100,
                max_price: None,
                max_cpu_price: None,
                scaling: None,
                placement: Placement::default(),
            };
            api.create_deployment(&order).await?
        }
    };
    folder.save_pin(name, &Pin::deployed(digest, folder.pin(name)?))?;
    wait_until_ready(&api, placed, LIMIT).await?;
    Ok(digest)
}

/// `nacre digest`: what `deploy` would pin, computed off line.
pub(crate) fn digest(context: &Context, dir: &Path) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Computed {
        function: String,
        digest: Digest,
    }
    let source = BundleDir::open(dir)?;
    let computed = Computed {
        function: source.manifest.function.name.to_string(),
        digest: source.bundle.digest(),
    };
    context
        .output
        .result(&computed, |computed| computed.digest.to_string())
}

async fn upload(api: &Api, source: &BundleDir, show: bool) -> Result<(), CliError> {
    let progress = progress_bar(source.bundle.total_size(), show);
    for file in source.bundle.files() {
        if api.has_blob(&file.digest).await? {
            progress.inc(file.size);
        } else {
            put_file(api, source, file, &progress).await?;
        }
    }
    progress.finish_and_clear();
    put_bytes(api, EMPTY_CONFIG.to_vec()).await?;
    put_bytes(api, source.bundle.to_oci_manifest()).await
}

async fn put_file(
    api: &Api,
    source: &BundleDir,
    file: &BundleFile,
    progress: &ProgressBar,
) -> Result<(), CliError> {
    let path = source.path(file);
    let open = tokio::fs::File::open(&path)
        .await
        .map_err(CliError::file(&path))?;
    let progress = progress.clone();
    let stream = ReaderStream::with_capacity(open, CHUNK)
        .inspect_ok(move |chunk| progress.inc(chunk.len() as u64));
    let body = reqwest::Body::wrap_stream(stream);
    api.put_blob(&file.digest, file.size, body).await
}

async fn put_bytes(api: &Api, bytes: Vec<u8>) -> Result<(), CliError> {
    let (digest, length) = (Digest::of(&bytes), bytes.len() as u64);
    api.put_blob(&digest, length, bytes.into()).await
}

/// Waits until every wanted replica answers.
pub(super) async fn wait_until_ready(
    api: &Api,
    placed: Deployment,
    limit: Duration,
) -> Result<Deployment, CliError> {
    let deadline = Instant::now() + limit;
    let mut deployment = placed;
    loop {
        match deployment.state {
            FunctionState::Ready => return Ok(deployment),
            FunctionState::Failed => return Err(failed(&deployment)),
            FunctionState::Loading => {}
        }
        let poll = api.deployment(&deployment.id);
        deployment = match tokio::time::timeout_at(deadline, poll).await {
            Ok(polled) => polled?,
            Err(_) => {
                let reason = deployment
                    .reason
                    .as_deref()
                    .unwrap_or("it is still loading");
                let message = format!("not ready after {} s: {reason}", limit.as_secs());
                return Err(CliError::TimedOut(message));
            }
        };
    }
}

fn failed(deployment: &Deployment) -> CliError {
    let of_leases = deployment
        .leases
        .iter()
        .find_map(|lease| lease.error.clone());
    let reason = of_leases.or_else(|| deployment.reason.clone());
    let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
    CliError::Deployment(format!("{} failed: {reason}", deployment.function))
}

fn progress_bar(total: u64, show: bool) -> ProgressBar {
    let target = if show {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = "upload {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target).with_style(style)
}
