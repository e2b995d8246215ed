//! `nacre incidents`: what nodes did that honest ones do not, and the scores that it leaves them.

use nacre_protocol::api::incidents::{Conduct, Incident};
use nacre_protocol::ids::NodeId;

use crate::api::Api;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

/// Lists incidents, the latest first, of all nodes or of one.
pub(crate) async fn incidents(context: &Context, node: Option<NodeId>) -> Result<(), CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    let incidents = Api::new(&profile)?.incidents(node.as_ref()).await?;
    context.output.result(&incidents, |incidents| {
        let head = ["WHEN", "NODE", "WHAT", "POINTS", "JOB"];
        table(&head, &incidents.iter().map(row).collect::<Vec<_>>())
    })
}

/// Lists nodes with their scores.
pub(crate) async fn scores(context: &Context, node: Option<NodeId>) -> Result<(), CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    let mut conduct = Api::new(&profile)?.conduct().await?;
    conduct.retain(|of| node.is_none_or(|node| of.node == node));
    context.output.result(&conduct, |conduct| {
        let row = |of: &Conduct| {
            vec![
                of.node.to_string(),
                of.score.to_string(),
                of.incidents.to_string(),
            ]
        };
        let rows: Vec<_> = conduct.iter().map(row).collect();
        table(&["NODE", "SCORE", "INCIDENTS"], &rows)
    })
}

fn row(incident: &Incident) -> Vec<String> {
    let at = i64::try_from(incident.at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    vec![
        at.map_or_else(|| incident.at_ms.to_string(), |at| format!("{at:.3}")),
        incident.node.to_string(),
        incident.code.clone(),
        incident.points.to_string(),
        incident.job.map(|job| job.to_string()).unwrap_or_default(),
    ]
}
