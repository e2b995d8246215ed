//! `nacre invoke`: one call, through an attested connection, with its receipt.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use nacre_client::{
    AttestedClient, CheckedResponse, ClientError, ClientOptions, Endpoint, KserveClient,
};
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use serde::Serialize;

use crate::api::Api;
use crate::args::{InvokeArgs, TargetArgs};
use crate::commands::Context;
use crate::error::CliError;
use crate::profile::{Profile, ProfileDir, write_output};
use crate::trust::{Verdict, read_bounded};

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
    let digest = wanted_digest(&args.target, login.as_ref(), &args.name)?;
    let body = read_input(&args.input)?;
    let endpoints = find_endpoints(&args.target, profile, &args.name).await?;

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
    if let Some(digest) = target.digest {
        return Ok(digest);
    }
    let pin = match login {
        Some((dir, _)) => dir.pin(name)?,
        None => None,
    };
    pin.map(|pin| pin.digest).ok_or_else(|| {
        CliError::Usage(format!(
            "{name} was not deployed from here: say which digest must answer with --digest \
             (its author prints it with `nacre digest DIR`)"
        ))
    })
}

/// Where the function answers: named, or asked of the control plane.
pub(crate) async fn find_endpoints(
    target: &TargetArgs,
    profile: Option<&Profile>,
    name: &FunctionName,
) -> Result<Vec<Endpoint>, CliError> {
    let named: Vec<String> = match (target.endpoint.is_empty(), profile) {
        (false, _) => target.endpoint.clone(),
        (true, Some(profile)) => ask_endpoints(&Api::new(profile)?, name).await?,
        (true, None) => vec![],
    };
    let parsed: Result<Vec<_>, ClientError> = named.iter().map(|text| text.parse()).collect();
    Ok(parsed?)
}

/// The endpoints of the function's replicas that are ready.
pub(crate) async fn ask_endpoints(api: &Api, name: &FunctionName) -> Result<Vec<String>, CliError> {
    let function = api.function(name).await?;
    let leases = function
        .deployment
        .map(|deployment| deployment.leases)
        .unwrap_or_default();
    let ready = leases
        .into_iter()
        .filter(|lease| lease.state == FunctionState::Ready);
    Ok(ready.map(|lease| lease.endpoint).collect())
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
