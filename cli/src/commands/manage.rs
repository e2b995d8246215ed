//! `nacre functions`, `nodes`, `delete`, `logs`: what the control plane knows.

use nacre_protocol::api::{Function, LogLine, Node};
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::FunctionName;
use nacre_protocol::manifest::ByteSize;

use crate::api::Api;
use crate::args::LogsArgs;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

/// Lists functions, or shows one.
pub(crate) async fn functions(
    context: &Context,
    name: Option<FunctionName>,
) -> Result<(), CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    let api = Api::new(&profile)?;
    let functions = match name {
        Some(name) => vec![api.function(&name).await?],
        None => api.functions().await?,
    };
    context.output.result(&functions, |functions| {
        let head = ["NAME", "VERSION", "STATE", "REPLICAS", "DIGEST"];
        table(
            &head,
            &functions.iter().map(function_row).collect::<Vec<_>>(),
        )
    })
}

/// Lists nodes.
pub(crate) async fn nodes(context: &Context) -> Result<(), CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    let nodes = Api::new(&profile)?.nodes().await?;
    context.output.result(&nodes, |nodes| {
        let head = [
            "NODE",
            "ONLINE",
            "SCORE",
            "ENDPOINT",
            "MEMORY",
            "RESERVED",
            "PROCESSORS",
            "RESERVED",
            "GIB-SECOND",
            "CPU-SECOND",
        ];
        table(&head, &nodes.iter().map(node_row).collect::<Vec<_>>())
    })
}

/// Deletes a function and forgets its digest.
pub(crate) async fn delete(context: &Context, name: &FunctionName) -> Result<(), CliError> {
    let (dir, profile) = context.home.profile(context.profile.as_deref())?;
    Api::new(&profile)?.delete_function(name).await?;
    dir.remove_pin(name)?;
    let done = serde_json::json!({ "deleted": name });
    context
        .output
        .result(&done, |_| format!("{name} is deleted"))
}

/// Prints a function's log, and goes on with `--follow`.
pub(crate) async fn logs(context: &Context, args: LogsArgs) -> Result<(), CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    let api = Api::new(&profile)?;
    let mut after = 0;
    let mut caught_up = false;
    loop {
        let lines = api
            .logs(&args.name, after, caught_up && args.follow)
            .await?;
        for line in &lines {
            after = line.id;
            context.output.result(line, log_text)?;
        }
        if lines.is_empty() {
            if !args.follow {
                return Ok(());
            }
            caught_up = true;
        }
    }
}

fn function_row(function: &Function) -> Vec<String> {
    let deployment = function.deployment.as_ref();
    let version = function
        .versions
        .iter()
        .find(|version| deployment.is_none_or(|deployment| deployment.digest == version.digest));
    let ready = deployment.map(|deployment| {
        let leases = deployment.leases.iter();
        let ready = leases
            .filter(|lease| lease.state == FunctionState::Ready && !lease.draining)
            .count();
        format!("{ready}/{}", deployment.wanted)
    });
    vec![
        function.name.to_string(),
        version.map(|v| v.version.to_string()).unwrap_or_default(),
        deployment
            .map_or("not deployed", |d| state_name(d.state))
            .to_owned(),
        ready.unwrap_or_default(),
        version.map(|v| v.digest.to_string()).unwrap_or_default(),
    ]
}

fn node_row(node: &Node) -> Vec<String> {
    vec![
        node.id.to_string(),
        online(node).to_owned(),
        node.uptime.score.map_or_else(
            || "-".to_owned(),
            |score| format!("{:.2} %", f64::from(score) / 100.0),
        ),
        node.endpoint.clone(),
        ByteSize::from_bytes(node.offer.memory_bytes).to_string(),
        ByteSize::from_bytes(node.reserved_bytes).to_string(),
        format!("{}m", node.offer.cpu_milli),
        format!("{}m", node.reserved_cpu_milli),
        node.offer.price.to_string(),
        node.offer.cpu_price.to_string(),
    ]
}

fn online(node: &Node) -> &'static str {
    match (node.online, node.uptime.unreachable_ms) {
        (true, None) => "yes",
        (true, Some(_)) => "unreachable",
        (false, _) => "no",
    }
}

fn log_text(line: &LogLine) -> String {
    let event = &line.event;
    let at = i64::try_from(event.at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = at.map_or_else(|| event.at_ms.to_string(), |at| format!("{at:.3}"));
    format!("{at} {} {}: {}", line.node, event.code, event.message)
}

fn state_name(state: FunctionState) -> &'static str {
    match state {
        FunctionState::Loading => "loading",
        FunctionState::Ready => "ready",
        FunctionState::Failed => "failed",
    }
}
