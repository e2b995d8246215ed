//! The section `enclave`: the image that production runs, booted in an emulated machine. These figures are reported; what
//! is promised of inference is measured in process mode.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedConnection, Endpoint, Trust};
use tokio::runtime::Runtime;

use super::report;
use super::samples::Samples;
use crate::image::{built_image, word};
use crate::platform::{Platform, describe};

/// Boots, each of a whole platform.
const BOOTS: usize = 5;
/// Sizes that are tried for the memory floor, MiB, from the largest on.
const SIZES: [u32; 5] = [320, 256, 224, 192, 160];
/// Longest wait for an attested connection.
const PATIENCE: Duration = Duration::from_secs(30);
const MODEL: &str = "iris-network";

/// Measures, and gives the text for SPECIFICATION.md.
///
/// # Errors
///
/// Where there is no image, or it does not boot.
pub fn run() -> anyhow::Result<String> {
    let image = built_image().context("there is no enclave image: run `make image`")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut boots = Boots::default();
    for _ in 0..BOOTS {
        boots.measure(&image, &runtime)?;
    }
    let floor = SIZES
        .into_iter()
        .take_while(|mib| holds_models(&image, *mib));
    let floor = floor
        .last()
        .context("the models do not even fit in the largest enclave")?;
    let size = std::fs::metadata(&image)?.len();
    let mut text = format!(
        "Machine: {}. Command: `make bench`. QEMU without KVM, 2 virtual processors, 512 MiB.\n\n",
        report::machine()
    );
    text += "| what | bound | measured | |\n|---|---|---|---|\n";
    let megabytes = size as f64 / 1e6;
    row(
        &mut text,
        "image, MB",
        Some((90.0, megabytes <= 90.0)),
        &format!("{megabytes:.1}"),
    )?;
    let ready = seconds(&mut boots.attested);
    row(
        &mut text,
        "boot to the first attested connection, s, median",
        Some((5.0, ready <= 5.0)),
        &format!("{ready:.2}"),
    )?;
    let answered = seconds(&mut boots.answered);
    row(
        &mut text,
        "of which until the enclave answers its host",
        None,
        &format!("{answered:.2}"),
    )?;
    let deployed = seconds(&mut boots.deployed);
    row(
        &mut text,
        "a model deployed, s, median",
        None,
        &format!("{deployed:.2}"),
    )?;
    let first = seconds(&mut boots.first);
    row(
        &mut text,
        "first inference with a fresh attested connection, s, median",
        None,
        &format!("{first:.2}"),
    )?;
    let second = seconds(&mut boots.second);
    row(
        &mut text,
        "second inference, likewise",
        None,
        &format!("{second:.2}"),
    )?;
    row(
        &mut text,
        "smallest enclave that holds iris and LeNet, MiB",
        Some((256.0, floor <= 256)),
        &floor.to_string(),
    )?;
    for (name, figure, unit) in vsock()? {
        let bound =
            (unit == "MB/s").then(|| (100.0, figure.parse().is_ok_and(|rate: f64| rate >= 100.0)));
        row(
            &mut text,
            &format!("vsock, {}, {unit}", name.replace('_', " ")),
            bound,
            &figure,
        )?;
    }
    Ok(text)
}

fn row(
    text: &mut String,
    what: &str,
    bound: Option<(f64, bool)>,
    measured: &str,
) -> anyhow::Result<()> {
    let (bound, verdict) = match bound {
        Some((bound, true)) => (bound.to_string(), "met"),
        Some((bound, false)) => (bound.to_string(), "MISSED"),
        None => (String::new(), ""),
    };
    Ok(writeln!(
        text,
        "| {what} | {bound} | {measured} | {verdict} |"
    )?)
}

fn seconds(samples: &mut Samples) -> f64 {
    samples.percentile(0.5) / 1e6
}

#[derive(Default)]
struct Boots {
    answered: Samples,
    attested: Samples,
    deployed: Samples,
    first: Samples,
    second: Samples,
}

impl Boots {
    fn measure(&mut self, image: &Path, runtime: &Runtime) -> anyhow::Result<()> {
        let platform = start(image, 512)?;
        let answered: u64 = platform
            .ready_number("enclave_ready_ms")
            .context("no boot time")?;
        let answered = Duration::from_millis(answered);
        self.answered.push(answered);
        let endpoint: Endpoint = platform.ready("node").parse()?;
        let trust: Trust = platform.trust()?;
        let begun = Instant::now();
        runtime.block_on(AttestedConnection::open(&endpoint, &trust, PATIENCE))?;
        self.attested.push(answered + begun.elapsed());
        let begun = Instant::now();
        platform.deploy_example(MODEL)?;
        self.deployed.push(begun.elapsed());
        for samples in [&mut self.first, &mut self.second] {
            let begun = Instant::now();
            invoke(&platform, MODEL)?;
            samples.push(begun.elapsed());
        }
        platform.stop()
    }
}

fn start(image: &Path, mib: u32) -> anyhow::Result<Platform> {
    let (eif, memory) = (word(image), format!("{mib}MiB"));
    Platform::start_with(&["--enclave", "emulator", "--eif", &eif, "--memory", &memory])
}

fn invoke(platform: &Platform, model: &str) -> anyhow::Result<()> {
    let example = crate::examples::Example::load(model)?;
    let input = word(&example.request_file);
    let answer = platform.json(&["invoke", model, "--input", &input])?;
    example.check(&answer["response"])
}

/// Whether an enclave of this size boots and answers for both models.
fn holds_models(image: &Path, mib: u32) -> bool {
    let both = || {
        let platform = start(image, mib)?;
        for model in [MODEL, "lenet-mnist"] {
            platform.deploy_example(model)?;
            invoke(&platform, model)?;
        }
        anyhow::Ok(())
    };
    both().is_ok()
}

/// What the vsock device's own measurement prints: name, figure, unit.
fn vsock() -> anyhow::Result<Vec<(String, String, String)>> {
    let program = crate::platform::binary("nacre").with_file_name("examples/vsock_bench");
    let output = Command::new(&program)
        .output()
        .with_context(|| word(&program))?;
    ensure!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8(output.stdout)?;
    let words = text
        .lines()
        .map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let rows = words.filter_map(|words| match words.as_slice() {
        [name, figure, unit] => Some((name.clone(), figure.clone(), unit.clone())),
        _ => None,
    });
    let rows: Vec<_> = rows.collect();
    ensure!(!rows.is_empty(), "it measured nothing: {text}");
    Ok(rows)
}
