//! One trace from the command that was typed, through the control plane, to the node that loads the function.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use nacre_tests::platform::wait_for;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::DEADLINE;
use super::collector::Seen;
use super::site::Site;

/// What a span may say of itself.
const FIELDS: [&str; 3] = [
    "http.request.method",
    "http.route",
    "http.response.status_code",
];

pub(crate) fn link(site: &Site) -> anyhow::Result<()> {
    let whole = || {
        let spans = site.collector.spans().ok()?;
        let came = |service: &str, name: &str| {
            spans
                .iter()
                .any(|seen| seen.service == service && seen.span.name == name)
        };
        let (node, typed) = (
            came("nacre-node", "load function"),
            came("nacre", "nacre deploy"),
        );
        (node && typed).then_some(spans)
    };
    let spans = wait_for("the trace is whole", DEADLINE, whole);
    let spans = match spans {
        Ok(spans) => spans,
        Err(error) => {
            let seen = site.collector.spans()?;
            let names: BTreeSet<_> = seen.iter().map(|s| (&s.service, &s.span.name)).collect();
            return Err(error.context(format!("{names:?}")));
        }
    };
    let one = |service: &str, name: &str| -> anyhow::Result<&Span> {
        let found = spans
            .iter()
            .find(|seen| seen.service == service && seen.span.name == name);
        Ok(&found
            .with_context(|| format!("no {name} of {service}"))?
            .span)
    };
    let typed = one("nacre", "nacre deploy")?;
    ensure!(
        typed.parent_span_id.is_empty(),
        "a command is where a trace begins"
    );
    let ordered = one("nacre-control-plane", "POST /v1/deployments")?;
    ensure!(ordered.trace_id == typed.trace_id, "another trace");
    ensure!(
        ordered.parent_span_id == typed.span_id,
        "the command asked for it"
    );
    let loaded = one("nacre-node", "load function")?;
    ensure!(loaded.trace_id == typed.trace_id, "another trace");
    ensure!(
        loaded.parent_span_id == ordered.span_id,
        "the order caused it"
    );
    // What the node then asks the control plane for is a part of it as well.
    let fetched = spans.iter().any(|seen| {
        seen.service == "nacre-control-plane"
            && seen.span.name == "GET /v1/blobs/{digest}"
            && seen.span.parent_span_id == loaded.span_id
    });
    ensure!(
        fetched,
        "the node's blobs are fetched in no span of its own"
    );
    says_little(&spans)
}

/// That no span says more of itself than it may.
pub(crate) fn says_little(spans: &[Seen]) -> anyhow::Result<()> {
    for seen in spans {
        let fields = seen.span.attributes.iter().map(|pair| pair.key.as_str());
        let strange: Vec<_> = fields.filter(|field| !FIELDS.contains(field)).collect();
        ensure!(strange.is_empty(), "{} says {strange:?}", seen.span.name);
        ensure!(
            seen.span.events.is_empty(),
            "{} carries log lines",
            seen.span.name
        );
    }
    Ok(())
}
