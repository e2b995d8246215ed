//! The section `models`: inference through the platform against bare ONNX Runtime.
//!
//! Latency is measured in rounds, bare ONNX Runtime and the platform in turn, so that a noisy machine is noisy for both.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nacre_client::{AttestedConnection, Endpoint, Trust};

use super::bare::{Bare, Runtime};
use super::load::{
    Call, checking_client, sample_checked, sample_connection, sample_get, throughput,
};
use super::report;
use super::samples::Samples;
use crate::platform::{Platform, onnxruntime, repository};

const ROUNDS: usize = 20;
const CALLS_A_ROUND: usize = 200;
const CONNECTIONS: usize = 32;
const THROUGHPUT_CALLS: usize = 40_000;
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Measures and gives the section's text.
pub fn run() -> anyhow::Result<String> {
    // Latency with one thread: a client's own changes of threads are not what is measured.
    let latency = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let throughput = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let bare = Runtime::load(&onnxruntime())?;
    let platform = Platform::start()?;
    let mut rows = Vec::new();
    for case in cases()? {
        let mut subject = Subject::deploy(&bare, &platform, case)?;
        let mut row = latency.block_on(subject.latency())?;
        throughput.block_on(subject.throughput(&mut row))?;
        rows.push(row);
    }
    platform.stop()?;
    render(&mut rows)
}

/// One model with the input that the seed benchmark of this field gives it.
struct Case {
    title: &'static str,
    model: &'static str,
    input: &'static str,
    shape: Vec<u64>,
    data: Vec<f32>,
}

struct Row {
    title: &'static str,
    bare: Samples,
    platform: Samples,
    checked: Samples,
    probe: Samples,
    signed: Samples,
    bare_per_second: f64,
    per_second: f64,
    loaded: Samples,
}

/// A deployed example and the same model without a platform.
struct Subject {
    title: &'static str,
    bare: Bare,
    call: Call,
    trust: Trust,
    endpoint: Endpoint,
}

impl Subject {
    fn deploy(bare: &Runtime, platform: &Platform, case: Case) -> anyhow::Result<Self> {
        let digest = platform.deploy_example(case.model)?.parse()?;
        let example = repository().join("examples").join(case.model);
        let model = example.join("model.onnx");
        Ok(Self {
            title: case.title,
            bare: Bare::load(bare, &model, &case.shape, &case.data)?,
            call: Call::binary(case.model, digest, case.input, &case.shape, &case.data),
            trust: platform.trust()?,
            endpoint: platform.ready("node").parse()?,
        })
    }

    async fn latency(&mut self) -> anyhow::Result<Row> {
        let (endpoint, trust, call) = (&self.endpoint, &self.trust, &self.call);
        let mut connection = AttestedConnection::open(endpoint, trust, HANDSHAKE).await?;
        let client = checking_client(endpoint, trust, call.digest);
        self.bare.sample(CALLS_A_ROUND)?;
        sample_connection(&mut connection, call, CALLS_A_ROUND).await?;
        sample_checked(&client, call, CALLS_A_ROUND).await?;

        let ready = call.path.replace("/infer", "/ready");
        let mut row = Row::new(self.title);
        for _ in 0..ROUNDS {
            row.bare.extend(self.bare.sample(CALLS_A_ROUND)?);
            let platform = sample_connection(&mut connection, call, CALLS_A_ROUND).await?;
            row.platform.extend(platform);
            let probe = sample_get(&mut connection, "/healthz", CALLS_A_ROUND).await?;
            row.probe.extend(probe);
            let signed = sample_get(&mut connection, &ready, CALLS_A_ROUND).await?;
            row.signed.extend(signed);
            let checked = sample_checked(&client, call, CALLS_A_ROUND).await?;
            row.checked.extend(checked);
        }
        Ok(row)
    }

    async fn throughput(&mut self, row: &mut Row) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.bare.sample(THROUGHPUT_CALLS)?;
        row.bare_per_second = THROUGHPUT_CALLS as f64 / begun.elapsed().as_secs_f64();
        let (endpoint, trust, call) = (&self.endpoint, &self.trust, &self.call);
        let loaded = throughput(endpoint, trust, call, CONNECTIONS, THROUGHPUT_CALLS).await?;
        row.per_second = loaded.per_second;
        row.loaded = loaded.samples;
        Ok(())
    }
}

impl Row {
    fn new(title: &'static str) -> Self {
        Self {
            title,
            bare: Samples::default(),
            platform: Samples::default(),
            checked: Samples::default(),
            probe: Samples::default(),
            signed: Samples::default(),
            bare_per_second: 0.0,
            per_second: 0.0,
            loaded: Samples::default(),
        }
    }
}

fn render(rows: &mut [Row]) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "Machine: {}. Command: `make bench`. Process mode, load generator on the same machine.\n",
        report::machine()
    )?;
    writeln!(
        text,
        "Latency on one keep-alive connection, binary tensors, {} calls in {ROUNDS} alternating rounds, µs:\n",
        ROUNDS * CALLS_A_ROUND
    )?;
    writeln!(
        text,
        "| model | bare ONNX Runtime p50 / p99 | through the platform p50 / p99 | added p50 / p99 | with every receipt verified p50 / p99 |"
    )?;
    writeln!(text, "|---|---|---|---|---|")?;
    for row in rows.iter_mut() {
        let (b50, b99) = (row.bare.percentile(0.5), row.bare.percentile(0.99));
        let (p50, p99) = (row.platform.percentile(0.5), row.platform.percentile(0.99));
        let (c50, c99) = (row.checked.percentile(0.5), row.checked.percentile(0.99));
        writeln!(
            text,
            "| {} | {b50:.0} / {b99:.0} | {p50:.0} / {p99:.0} | {:.0} / {:.0} | {c50:.0} / {c99:.0} |",
            row.title,
            p50 - b50,
            p99 - b99,
        )?;
    }
    writeln!(text, "\nWhere that goes, p50 on the same connection, µs:\n")?;
    writeln!(
        text,
        "| model | `/healthz`: TLS, host proxy, router | `…/ready`: and a receipt | infer: and the worker |"
    )?;
    writeln!(text, "|---|---|---|---|")?;
    for row in rows.iter_mut() {
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} |",
            row.title,
            row.probe.percentile(0.5),
            row.signed.percentile(0.5),
            row.platform.percentile(0.5)
        )?;
    }
    writeln!(
        text,
        "\nRequests a second over attested HTTPS, {CONNECTIONS} keep-alive connections, {THROUGHPUT_CALLS} calls, a receipt with each:\n"
    )?;
    writeln!(
        text,
        "| model | bare calls/s, one thread | requests/s | p50 / p99 under load, µs |"
    )?;
    writeln!(text, "|---|---|---|---|")?;
    for row in rows.iter_mut() {
        let (l50, l99) = (row.loaded.percentile(0.5), row.loaded.percentile(0.99));
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {l50:.0} / {l99:.0} |",
            row.title, row.bare_per_second, row.per_second
        )?;
    }
    Ok(text)
}

fn cases() -> anyhow::Result<Vec<Case>> {
    let regression = sample("iris-regression", "input.json")?;
    let network = sample("iris-network", "input.json")?;
    let digit = sample("lenet-mnist", "digit.json")?;
    Ok(vec![
        Case {
            title: "Iris regression, 1 row",
            model: "iris-regression",
            input: "measurements",
            shape: vec![1, 3],
            data: regression,
        },
        Case {
            title: "Iris network, 500 rows",
            model: "iris-network",
            input: "measurements",
            shape: vec![500, 4],
            data: network.repeat(500),
        },
        Case {
            title: "LeNet, 1 digit",
            model: "lenet-mnist",
            input: "image",
            shape: vec![1, 1, 28, 28],
            data: digit,
        },
    ])
}

fn sample(model: &str, file: &str) -> anyhow::Result<Vec<f32>> {
    let file = repository().join("examples").join(model).join(file);
    let request: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let data = request["inputs"][0]["data"].as_array().context("no data")?;
    Ok(data
        .iter()
        .filter_map(|value| Some(value.as_f64()? as f32))
        .collect())
}
