//! `nacre invoke`: one call, through an attested connection, with its receipt.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nacre_client::{
    AttestedClient, CheckedResponse, ClientError, ClientOptions, Endpoint, KserveClient,
};
use nacre_protocol::api::market::{Demand, Route};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use serde::Serialize;

use crate::api::Api;
use crate::args::{InvokeArgs, TargetArgs};
use crate::commands::Context;
use crate::error::CliError;
use crate::profile::{Profile, ProfileDir, write_output};
use crate::trust::{Verdict, read_bounded};

/// How long a function that sleeps may take to wake.
const WAKE_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const WAKE_EVERY: Duration = Duration::from_millis(300);

/// Largest request body.
const MAX_INPUT: u64 = 64 << 20;

/// What `--json` prints.
#[derive(Serialize)]
struct Invoked {
    response: serde_json::Value,
    function: Digest,
    started_ms: u64,
    compute_micros: u32,
    enclave: Verdict,
}

/// Calls a function and prints its answer.
pub(crate) async fn run(context: &Context, args: InvokeArgs) -> Result<(), CliError> {
    let login =
        context.login_unless(!args.target.endpoint.is_empty() && args.target.digest.is_some())?;
    let profile = login.as_ref().map(|(_, profile)| profile);
    let trust = args.trust.resolve(&context.home, profile)?;
    let digests = wanted_digests(&args.target, login.as_ref(), &args.name)?;
    let body = read_input(&args.input)?;
    let (digest, endpoints) = find_one(&args.target, profile, &args.name, &digests).await?;

    let client = AttestedClient::new(trust, Some(digest), endpoints, ClientOptions::default());
    let enclave = client.attest().await?;
    let (answer, _) = KserveClient::new(client, args.name.as_str())
        .infer_json(body)
        .await?;
    let CheckedResponse { response, proof } = answer;
    let status = response.status().as_u16();
    let proof = proof.ok_or(ClientError::NoReceipt { status })?;

    if let Some(file) = &args.receipt {
        let json = serde_json::to_vec_pretty(&proof.file).map_err(anyhow::Error::from)?;
        write_output(file, &json)?;
    }
    if let Some(file) = &args.output {
        write_output(file, response.body())?;
    }
    let claims = &proof.receipt.receipt;
    let done = Invoked {
        response: serde_json::from_slice(response.body()).map_err(anyhow::Error::from)?,
        function: claims.function_digest,
        started_ms: claims.started_ms,
        compute_micros: claims.compute_micros,
        enclave: Verdict::of(enclave.trusted()),
    };
    if context.output.json {
        return context.output.result(&done, |_| String::new());
    }
    eprintln!(
        "attested: {} · receipt verified · {} µs in the model",
        done.enclave.root, done.compute_micros
    );
    match args.output {
        Some(_) => Ok(()),
        None => context
            .output
            .line(&String::from_utf8_lossy(response.body())),
    }
}

impl Context {
    /// The login, which is not needed where the command's flags already say everything that it would.
    pub(crate) fn login_unless(
        &self,
        complete: bool,
    ) -> Result<Option<(ProfileDir, Profile)>, CliError> {
        match self.home.profile(self.profile.as_deref()) {
            Ok(login) => Ok(Some(login)),
            Err(_) if complete => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The digest that must answer: named, or recorded when the function was deployed from here. Never the control plane's
/// word.
pub(crate) fn wanted_digest(
    target: &TargetArgs,
    login: Option<&(ProfileDir, Profile)>,
    name: &FunctionName,
) -> Result<Digest, CliError> {
    Ok(wanted_digests(target, login, name)?[0])
}

/// The same, with those that may answer beside it: the version on trial, and the one before while an update is under way.
fn wanted_digests(
    target: &TargetArgs,
    login: Option<&(ProfileDir, Profile)>,
    name: &FunctionName,
) -> Result<Vec<Digest>, CliError> {
    if let Some(digest) = target.digest {
        return Ok(vec![digest]);
    }
    let pin = match login {
        Some((dir, _)) => dir.pin(name)?,
        None => None,
    };
    pin.map(|pin| pin.all()).ok_or_else(|| {
        CliError::Usage(format!(
            "{name} was not deployed from here: say which digest must answer with --digest \
             (its author prints it with `nacre digest DIR`)"
        ))
    })
}

/// Where a version of the function answers: named, or asked of the control plane.
pub(crate) async fn find_endpoints(
    target: &TargetArgs,
    profile: Option<&Profile>,
    name: &FunctionName,
    digest: Digest,
) -> Result<Vec<Endpoint>, CliError> {
    let (_, endpoints) = find_one(target, profile, name, &[digest]).await?;
    Ok(endpoints)
}

/// Of these versions one that answers, drawn by the weights of the function's routes, with where it does.
async fn find_one(
    target: &TargetArgs,
    profile: Option<&Profile>,
    name: &FunctionName,
    digests: &[Digest],
) -> Result<(Digest, Vec<Endpoint>), CliError> {
    let (digest, named) = match (target.endpoint.is_empty(), profile) {
        (false, _) => (digests[0], target.endpoint.clone()),
        (true, Some(profile)) => ask_one(&Api::new(profile)?, name, digests).await?,
        (true, None) => (digests[0], vec![]),
    };
    let parsed: Result<Vec<_>, ClientError> = named.iter().map(|text| text.parse()).collect();
    Ok((digest, parsed?))
}

/// The endpoints of a version's replicas that are ready.
pub(crate) async fn ask_endpoints(
    api: &Api,
    name: &FunctionName,
    digest: Digest,
) -> Result<Vec<String>, CliError> {
    Ok(ask_one(api, name, &[digest]).await?.1)
}

/// A function that sleeps is woken, and waited for.
async fn ask_one(
    api: &Api,
    name: &FunctionName,
    digests: &[Digest],
) -> Result<(Digest, Vec<String>), CliError> {
    let began = Instant::now();
    let mut tick = tokio::time::interval(WAKE_EVERY);
    let mut draw = [0; 4];
    getrandom::fill(&mut draw).map_err(anyhow::Error::from)?;
    loop {
        let function = api.function(name).await?;
        if let Some(route) = drawn(&function.routes, digests, u32::from_le_bytes(draw)) {
            let nodes = route.nodes.iter().map(|node| node.endpoint.clone());
            return Ok((route.digest, nodes.collect()));
        }
        // Another version answers. Whether it really is another, its enclave says: the control plane is not asked to be believed.
        let others = function.routes.iter().flat_map(|route| &route.nodes);
        let others: Vec<_> = others.map(|node| node.endpoint.clone()).collect();
        if !others.is_empty() {
            return Ok((digests[0], others));
        }
        let live = function.deployment.as_ref();
        let sleeps = live.is_some_and(|live| live.scaling.is_some());
        if !sleeps || began.elapsed() > WAKE_WITHIN {
            return Ok((digests[0], vec![]));
        }
        let demand = Demand {
            source: format!("nacre-{}", std::process::id()),
            waiting: 1,
            oldest_wait_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        api.demand(name, &demand).await?;
        tick.tick().await;
    }
}

/// A route to one of these versions that has nodes, drawn by weight; one without weight only where none has any.
fn drawn<'a>(routes: &'a [Route], digests: &[Digest], draw: u32) -> Option<&'a Route> {
    let mut may: Vec<_> = routes
        .iter()
        .filter(|route| digests.contains(&route.digest) && !route.nodes.is_empty())
        .collect();
    if may.iter().any(|route| route.weight > 0) {
        may.retain(|route| route.weight > 0);
    }
    let all: u32 = may.iter().map(|route| route.weight).sum();
    let mut left = draw.checked_rem(all).unwrap_or_default();
    for route in &may {
        match left.checked_sub(route.weight) {
            Some(rest) => left = rest,
            None => return Some(route),
        }
    }
    may.first().copied()
}

pub(crate) fn read_input(input: &str) -> Result<Bytes, CliError> {
    let inline = input.trim_start().starts_with('{');
    let bytes = match input {
        "-" => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .take(MAX_INPUT + 1)
                .read_to_end(&mut bytes)?;
            bytes
        }
        json if inline => json.as_bytes().to_vec(),
        file => read_bounded(Path::new(file), MAX_INPUT)?,
    };
    if bytes.len() as u64 > MAX_INPUT {
        return Err(CliError::Usage(
            "the input is larger than 64 MiB".to_owned(),
        ));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use nacre_protocol::api::market::RouteNode;
    use nacre_protocol::ids::{DeploymentId, NodeId};

    use super::*;

    fn route(n: u8, weight: u32, nodes: usize) -> Route {
        let node = RouteNode {
            node: NodeId::from_random([n; 16]),
            endpoint: "127.0.0.1:1".to_owned(),
        };
        Route {
            digest: Digest::of(&[n]),
            deployment: DeploymentId::from_random([n; 16]),
            weight,
            nodes: vec![node; nodes],
        }
    }

    #[test]
    fn versions_are_drawn_by_weight_among_those_that_may_answer() {
        let routes = [route(1, 9000, 2), route(2, 1000, 1), route(3, 0, 1)];
        let both = [Digest::of(&[1]), Digest::of(&[2])];
        let count = |digests: &[Digest]| {
            let mut counts = [0; 4];
            for draw in 0..10_000 {
                let n = drawn(&routes, digests, draw).map_or(0, |found| {
                    1 + routes.iter().position(|route| route == found).unwrap()
                });
                counts[n] += 1;
            }
            counts
        };
        assert_eq!(count(&both), [0, 9000, 1000, 0]);
        assert_eq!(count(&both[1..]), [0, 0, 10_000, 0]);
        // Whatever the control plane says, nothing but what is insisted on.
        assert_eq!(count(&[Digest::of(&[9])]), [10_000, 0, 0, 0]);
        // Cut off from the control plane alone, perhaps.
        assert_eq!(count(&[Digest::of(&[3])]), [0, 0, 0, 10_000]);
        assert_eq!(drawn(&[route(1, 0, 0)], &both, 5), None);
    }
}
