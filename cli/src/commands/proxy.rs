//! `nacre proxy`: resolves what the user means and runs the client's proxy.

use std::collections::BTreeMap;

use nacre_client::proxy::{self, ProxiedFunction, ProxyConfig, ProxyListen, Resolver};
use nacre_client::{Endpoint, Trust};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::Api;
use crate::args::{ProxyArgs, TargetArgs, TrustArgs};
use crate::commands::Context;
use crate::commands::invoke::{ask_endpoints, wanted_digest};
use crate::dev::Stop;
use crate::error::CliError;
use crate::profile::{Home, Profile, ProfileDir};
use crate::trust::root_name;

#[derive(Serialize)]
struct Listening {
    listening: String,
    functions: Vec<FunctionName>,
    root: &'static str,
}

/// Listens until ctrl-C or SIGTERM; reads the policy again at SIGHUP.
pub(crate) async fn run(context: &Context, args: ProxyArgs) -> Result<(), CliError> {
    let stop = Stop::listen(args.exit_on_stdin_eof)?;
    let named = !args.names.is_empty() && args.target.digest.is_some();
    let login = context.login_unless(named && !args.target.endpoint.is_empty())?;
    let profile = login.as_ref().map(|(_, profile)| profile);
    let trust = args.trust.resolve(&context.home, profile)?;
    let hangup = signal(SignalKind::hangup())?;
    let functions = functions(&args, login.as_ref())?;
    let root = root_name(trust.roots().kind());
    let names: Vec<_> = functions
        .iter()
        .map(|function| function.name.clone())
        .collect();

    let listen: ProxyListen = args.listen.parse()?;
    let mut config = ProxyConfig::new(listen);
    config.allow_hosts = args.allow_host;
    let resolver = Endpoints::new(&args.target, profile, &functions)?;
    let proxy = proxy::bind(config, trust.clone(), functions, resolver).await?;
    let served = args.metrics.serve(proxy.metrics()).await;
    let _metrics = served.map_err(proxy::ProxyError::from)?;
    let listening = Listening {
        listening: proxy.local_addr().to_string(),
        functions: names,
        root,
    };
    context.output.result(&listening, |listening| {
        let names: Vec<_> = listening
            .functions
            .iter()
            .map(FunctionName::as_str)
            .collect();
        let (at, root) = (&listening.listening, listening.root);
        format!("listening on {at} for {} ({root})", names.join(", "))
    })?;
    let reloading = tokio::spawn(reload(
        hangup,
        trust,
        args.trust,
        context.home.clone(),
        context.profile.clone(),
    ));
    proxy.run(async move { stop.wait().await }).await;
    reloading.abort();
    Ok(())
}

/// Reads the policy again at each SIGHUP. One that cannot be read changes nothing.
async fn reload(
    mut hangup: Signal,
    trust: Trust,
    args: TrustArgs,
    home: Home,
    profile: Option<String>,
) {
    while hangup.recv().await.is_some() {
        let login = home.profile(profile.as_deref()).ok();
        match args.policy(login.as_ref().map(|(_, profile)| profile)) {
            Ok(policy) => {
                tracing::info!(sets = policy.measurements().len(), "policy read again");
                trust.replace_policy(policy);
            }
            Err(error) => {
                tracing::error!(%error, "the policy could not be read again; the one before stays")
            }
        }
    }
}

fn functions(
    args: &ProxyArgs,
    login: Option<&(ProfileDir, Profile)>,
) -> Result<Vec<ProxiedFunction>, CliError> {
    let names = match (args.names.is_empty(), login) {
        (true, Some((dir, _))) => dir.pinned()?,
        _ => args.names.clone(),
    };
    if names.is_empty() {
        let message = "no function was deployed from here: name one, with --digest";
        return Err(CliError::Usage(message.to_owned()));
    }
    if args.target.digest.is_some() && names.len() != 1 {
        let message = "--digest belongs to one function: name that one";
        return Err(CliError::Usage(message.to_owned()));
    }
    let pinned = names.into_iter().map(|name| {
        let digest = wanted_digest(&args.target, login, &name)?;
        Ok(ProxiedFunction { name, digest })
    });
    pinned.collect()
}

/// Where functions answer: named on the command line, or asked of the control plane each time.
struct Endpoints {
    named: Vec<Endpoint>,
    api: Option<Api>,
    digests: BTreeMap<FunctionName, Digest>,
}

impl Endpoints {
    fn new(
        target: &TargetArgs,
        profile: Option<&Profile>,
        functions: &[ProxiedFunction],
    ) -> Result<Self, CliError> {
        let named: Result<Vec<_>, _> = target.endpoint.iter().map(|text| text.parse()).collect();
        let named = named?;
        let api = profile.map(Api::new).transpose()?;
        let digests = functions.iter().map(|f| (f.name.clone(), f.digest));
        let digests = digests.collect();
        Ok(Self {
            named,
            api,
            digests,
        })
    }
}

impl Resolver for Endpoints {
    async fn endpoints(&self, function: &FunctionName) -> Result<Vec<Endpoint>, String> {
        let Some(api) = self.api.as_ref().filter(|_| self.named.is_empty()) else {
            return Ok(self.named.clone());
        };
        let digest = self.digests.get(function);
        let digest = *digest.ok_or_else(|| format!("{function} is not served here"))?;
        let found = ask_endpoints(api, function, digest)
            .await
            .map_err(|e| e.to_string())?;
        // A replica whose address cannot be read is none; the others still answer.
        Ok(found.iter().filter_map(|text| text.parse().ok()).collect())
    }
}
