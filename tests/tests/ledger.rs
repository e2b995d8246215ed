//! Money through a whole platform: what a real enclave's calls prove is what is invoiced, whatever is killed in between, and a
//! cap stops work before it is passed.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, describe, nacre, wait_for};
use nacre_tests::processes::{Part, signal};
use rustix::process::Signal;
use serde_json::Value;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};

/// A unit per GiB-second: a millisecond of the function's 64 MiB costs 62.5 micro-units.
const PRICE: &str = "1000000";
/// Half a unit per CPU-second: a millisecond of the processor that it computes on costs 500.
const CPU_PRICE: &str = "500000";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_invoice_is_what_the_calls_own_receipts_say_whatever_was_killed() -> anyhow::Result<()> {
    let site = Site::start()?;
    let mut used = Used::default();
    for _ in 0..5 {
        site.call(&mut used)?;
    }
    // Nobody takes usage now; the enclave keeps it.
    let control_plane = site.platform.pid_of(Part::ControlPlane)?;
    signal(control_plane, Signal::STOP)?;
    for _ in 0..5 {
        site.call(&mut used)?;
    }
    signal(control_plane, Signal::KILL)?;
    for _ in 0..5 {
        site.call(&mut used)?;
    }
    site.is_invoiced(&used)?;
    // What is booked is the control plane's: the node and its enclave may go.
    signal(site.platform.pid_of(Part::Node)?, Signal::KILL)?;
    site.answers_again(&mut used)?;
    for _ in 0..5 {
        site.call(&mut used)?;
    }
    site.is_invoiced(&used)?;
    site.is_paid_out()?;
    site.audit(&site.data(), 0)?;

    let copy = tempfile::tempdir()?;
    let to = copy.path().join("nacre.db");
    run(&site.data(), &format!("VACUUM INTO '{}'", to.display()))?;
    let said = site.audit(copy.path(), 0)?;
    ensure!(said.ends_with("all holds\n"), "{said}");
    run(
        copy.path(),
        "UPDATE ledger_postings SET amount = amount - 1 WHERE entry = 2",
    )?;
    let said = site.audit(copy.path(), 1)?;
    for code in ["ledger-balance: ", "usage-booked: "] {
        ensure!(said.lines().any(|line| line.starts_with(code)), "{said}");
    }
    Ok(())
}

#[test]
fn a_cap_stops_calls_and_jobs_before_it_is_passed() -> anyhow::Result<()> {
    let site = Site::start()?;
    let mut used = Used::default();
    site.call(&mut used)?;
    site.is_invoiced(&used)?;
    let balance = site.platform.json(&["balance"])?;
    let committed = number(&balance, "owed")? + number(&balance, "held")?;
    ensure!(number(&balance, "held")? > 0, "{balance}");
    // Room for a few calls more.
    let limit = committed + 100;
    let units = format!("{}.{:06}", limit / 1_000_000, limit % 1_000_000);
    site.platform.json(&["cap", "set", &units])?;
    let stopped = wait_for("the cap stops it", PATIENCE, || {
        // It may be stopped already.
        let _ = site.call(&mut Used::default());
        let balance = site.platform.json(&["balance"]).ok()?;
        (!balance["stopped"].as_array()?.is_empty()).then_some(balance)
    })?;
    ensure!(number(&stopped, "owed")? <= limit, "{stopped}");
    let reason = stopped["stopped"][0]["reason"].as_str().unwrap_or_default();
    ensure!(reason.starts_with("spending-cap: "), "{stopped}");
    wait_for("the enclave drops it", PATIENCE, || {
        let status = site.platform.enclave_status().ok()?;
        status.functions.is_empty().then_some(())
    })?;
    let (status, problem) = site.lay_in_a_job()?;
    let code = problem["code"].as_str();
    ensure!(
        (status, code) == (402, Some("spending-cap-reached")),
        "{problem}"
    );

    // With more room it comes back by itself.
    site.platform.json(&["cap", "set", "1000"])?;
    site.answers_again(&mut used)?;
    site.audit(&site.data(), 0).map(drop)
}

struct Site {
    platform: Platform,
    example: Example,
    digest: String,
}

/// What calls say of themselves.
#[derive(Debug, Default, PartialEq, Eq)]
struct Used {
    micros: u64,
    bytes: u64,
}

impl Site {
    fn start() -> anyhow::Result<Self> {
        let platform = Platform::start_with(&["--price", PRICE, "--cpu-price", CPU_PRICE])?;
        let example = Example::load("iris-network")?;
        let digest = platform.deploy_example(&example.name)?;
        Ok(Self {
            platform,
            example,
            digest,
        })
    }

    /// Calls the function, whose receipt is checked, without asking the control plane where it is.
    fn call(&self, used: &mut Used) -> anyhow::Result<()> {
        let body = self.platform.home().join("answer");
        let input = self.example.request_file.display().to_string();
        let said = self.platform.json(&[
            "invoke",
            &self.example.name,
            "--endpoint",
            self.platform.ready("node"),
            "--input",
            &input,
            "--output",
            &body.display().to_string(),
        ])?;
        let answer = std::fs::read(&body)?;
        self.example.check_body(&answer)?;
        used.micros += u64::try_from(number(&said, "compute_micros")?)?;
        used.bytes += (self.example.request.len() + answer.len()) as u64;
        Ok(())
    }

    /// Lays a job in by the API itself; says what that answers.
    fn lay_in_a_job(&self) -> anyhow::Result<(u16, Value)> {
        let profile = self.platform.home().join("profiles/dev/profile.json");
        let profile: Value = serde_json::from_slice(&std::fs::read(profile)?)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let job = serde_json::json!({
            "id": "job_00000000000000000000000000000001",
            "function": self.example.name,
            "digest": self.digest,
            "deadline_ms": u64::try_from(now.as_millis())? + 60_000,
            "input": {"form": "plain", "body": "e30"},
        });
        let url = format!("{}/v1/jobs", self.platform.ready("control_plane"));
        let http = reqwest::Client::builder().no_proxy().build()?;
        let request = http
            .post(url)
            .bearer_auth(profile["key"].as_str().context("no key")?)
            .json(&job);
        tokio::runtime::Runtime::new()?.block_on(async {
            let response = request.timeout(PATIENCE).send().await?;
            let status = response.status().as_u16();
            Ok((status, response.json().await?))
        })
    }

    /// Waits until a call is answered.
    fn answers_again(&self, used: &mut Used) -> anyhow::Result<()> {
        wait_for("it answers again", PATIENCE, || self.call(used).ok())
    }

    /// Waits until this much is on the month's invoice; more would be an error at once.
    fn is_invoiced(&self, used: &Used) -> anyhow::Result<()> {
        let mut latest = Used::default();
        let invoiced = wait_for("all of it is invoiced", PATIENCE, || {
            let usage = self.platform.json(&["usage"]).ok()?;
            let lines = usage["lines"].as_array()?;
            let sum = |field: &str| lines.iter().filter_map(|line| line[field].as_u64()).sum();
            latest = Used {
                micros: sum("compute_micros"),
                bytes: sum("bytes"),
            };
            (latest.micros >= used.micros && latest.bytes >= used.bytes).then_some(usage)
        });
        let invoice = invoiced.with_context(|| format!("{latest:?}, not {used:?}"))?;
        ensure!(latest == *used, "{latest:?}, not {used:?}");
        let lines = invoice["lines"].as_array().context("no lines")?;
        let amounts = lines.iter().filter_map(|line| line["amount"].as_i64());
        let total: i64 = amounts.sum();
        ensure!(number(&invoice, "total")? == total, "{invoice}");
        // Each receipt is rounded up to a whole micro-unit.
        let exact = i64::try_from(used.micros * 9 / 16)?;
        let receipts = lines.iter().filter_map(|line| line["receipts"].as_i64());
        let most = exact + 1 + receipts.sum::<i64>();
        ensure!((exact..=most).contains(&total), "{total}, not {exact}");
        let balance = self.platform.json(&["balance"])?;
        ensure!(number(&balance, "owed")? == total, "{balance}");
        Ok(())
    }

    /// A node that nobody's key registered is its operator's alone until that gives it to an organisation.
    fn is_claimed(&self) -> anyhow::Result<()> {
        run(&self.data(), "UPDATE nodes SET organisation = NULL")?;
        ensure!(self.platform.json(&["payout", "ask"]).is_err());
        let data = Path::new(self.platform.ready("data"));
        let mut claim = nacre(self.platform.home());
        claim.args(["node", "claim", "--control-plane"]);
        claim.arg(self.platform.ready("control_plane"));
        claim.arg("--data").arg(data.join("node"));
        claim.arg("--api-key-file").arg(data.join("api-key"));
        let claimed = claim.output()?;
        ensure!(claimed.status.success(), "{}", describe(&claimed));
        Ok(())
    }

    /// The operator asks for all that its node earned, and is paid it.
    fn is_paid_out(&self) -> anyhow::Result<()> {
        self.is_claimed()?;
        let owed = number(&self.platform.json(&["balance"])?, "owed")?;
        let asked = self.platform.json(&["payout", "ask"])?;
        ensure!(number(&asked, "amount")? == owed, "{asked}, of {owed}");
        let mut admin = nacre(self.platform.home());
        let id = asked["id"].as_str().context("no id")?;
        let paid = admin
            .args(["admin", "payout", "--reference", "r1", "--id", id, "--data"])
            .arg(self.data())
            .output()?;
        ensure!(paid.status.success(), "{}", describe(&paid));
        let listed = self.platform.json(&["payout", "list"])?;
        let one = &listed[0];
        ensure!(one["id"] == id && one["state"] == "paid", "{listed}");
        let left = self.platform.json(&["payout", "balance"])?;
        let (earned, paid) = (number(&left[0], "earned")?, number(&left[0], "paid")?);
        ensure!((earned, paid) == (0, owed), "{left}");
        Ok(())
    }

    fn data(&self) -> std::path::PathBuf {
        Path::new(self.platform.ready("data")).join("control-plane")
    }

    /// Audits a database; says what it printed.
    fn audit(&self, data: &Path, exit: i32) -> anyhow::Result<String> {
        let mut command = nacre(self.platform.home());
        let output = command
            .args(["admin", "audit", "--data"])
            .arg(data)
            .output()?;
        ensure!(output.status.code() == Some(exit), "{}", describe(&output));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn number(value: &Value, field: &str) -> anyhow::Result<i64> {
    value[field]
        .as_i64()
        .with_context(|| format!("{field}: {value}"))
}

/// Runs a statement on a database, which another process may use.
fn run(data: &Path, sql: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        install_default_drivers();
        let url = format!("sqlite://{}/nacre.db", data.display());
        let options: AnyConnectOptions = url.parse()?;
        let pool = AnyPoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await?;
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&pool)
            .await?;
        pool.close().await;
        Ok(())
    })
}
