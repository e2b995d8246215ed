//! `nacre promote` and `nacre rollback`: another version in force.

use std::time::Duration;

use nacre_protocol::api::Deployment;
use nacre_protocol::api::market::{Promote, RollBack};
use nacre_protocol::digest::Digest;
use serde::Serialize;

use super::deploy::wait_until_ready;
use crate::api::Api;
use crate::args::RolloutArgs;
use crate::commands::Context;
use crate::error::CliError;
use crate::profile::Pin;

#[derive(Serialize)]
struct Turned {
    function: String,
    digest: Digest,
    deployment: Deployment,
}

/// Puts the version on trial in force.
pub(crate) async fn promote(context: &Context, args: RolloutArgs) -> Result<(), CliError> {
    turn(context, args, "promote", &Promote {}).await
}

/// Ends the trial, or goes back to the version before.
pub(crate) async fn roll_back(context: &Context, args: RolloutArgs) -> Result<(), CliError> {
    turn(context, args, "rollback", &RollBack::default()).await
}

/// The control plane says which version is in force then; callers from here insist on it only if it was deployed from here.
async fn turn(
    context: &Context,
    args: RolloutArgs,
    what: &str,
    body: &impl Serialize,
) -> Result<(), CliError> {
    let (dir, profile) = context.home.profile(context.profile.as_deref())?;
    let api = Api::new(&profile)?;
    let turned = api.turn(&args.name, what, body).await?;
    let pin = dir.pin(&args.name)?;
    if let Some(pin) = pin.filter(|pin| pin.all().contains(&turned.digest)) {
        dir.save_pin(&args.name, &Pin::deployed(turned.digest, Some(pin)))?;
    } else {
        eprintln!(
            "{} was not deployed from here: callers from here need --digest {}",
            args.name, turned.digest
        );
    }
    let limit = Duration::from_secs(args.timeout);
    let deployment = wait_until_ready(&api, turned, limit).await?;
    let done = Turned {
        function: args.name.to_string(),
        digest: deployment.digest,
        deployment,
    };
    context.output.result(&done, |done| {
        format!("{} answers with digest {}", done.function, done.digest)
    })
}
