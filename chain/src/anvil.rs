//! A chain of one machine, for tests and `nacre dev --chain`: Foundry's anvil, which ends with whoever started it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flate2::read::GzDecoder;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use url::Url;

use crate::error::ChainError;
use crate::rpc::Rpc;
use crate::wallet::Wallet;

/// Where anvil is, where it is not on the path.
pub const PROGRAM: &str = "NACRE_ANVIL";

/// Where `npm ci` in `relay-contracts` puts it.
const IN_NODE_MODULES: &str =
    "relay-contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";

/// How long it may take to come up, reading what it loads.
const START: Duration = Duration::from_secs(60);

/// How long it may take to write down all that happened.
const STATE: Duration = Duration::from_secs(120);

/// What it says once it takes requests.
const LISTENING: &str = "Listening on ";

/// How it makes blocks, and where.
#[derive(Debug, Clone, Default)]
pub struct AnvilOptions {
    /// A block every so often; `None`: one for each transaction at once.
    pub block_time: Option<Duration>,
    /// On this port of the loopback; `None`: a free one.
    pub port: Option<u16>,
    /// What happened is kept here from one run to the next; `None`: nothing is.
    pub state: Option<PathBuf>,
    /// The chain's id; `None`: 31337.
    pub chain_id: Option<u64>,
    /// Goes on from this file, which has what [`Anvil::dump`] gave; `None`: from nothing.
    pub load: Option<PathBuf>,
    /// When it begins, Unix seconds: its clock runs on from there. `None`: now.
    pub begins: Option<u64>,
}

/// A running chain. It ends when this is dropped, or its owner dies.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: Url,
}

impl Anvil {
    /// Starts one with transactions capped as on mainnet (EIP-7825), and waits until it takes requests.
    ///
    /// # Errors
    ///
    /// `anvil-missing`: it is not installed. `anvil`: it does not come up.
    pub async fn start(options: &AnvilOptions) -> Result<Self, ChainError> {
        let program = find().ok_or(ChainError::AnvilMissing)?;
        let mut command = bound_to_us(&program);
        command
            .args([
                "--host",
                "127.0.0.1",
                "--hardfork",
                "osaka",
                "--enable-tx-gas-limit",
                "--port",
            ])
            .arg(options.port.unwrap_or(0).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A terminal's ctrl-C is its owner's alone: what happened may have to be kept first.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(time) = options.block_time {
            command
                .arg("--block-time")
                .arg(time.as_secs_f64().to_string());
        }
        if let Some(state) = &options.state {
            command.arg("--state").arg(state);
        }
        if let Some(id) = options.chain_id {
            command.arg("--chain-id").arg(id.to_string());
        }
        // Kept until it is read.
        let _unpacked = match options.load.clone() {
            Some(dump) => {
                let unpacked = tokio::task::spawn_blocking(move || unpack(&dump)).await;
                let unpacked = unpacked.map_err(|error| ChainError::Anvil(error.to_string()))??;
                command.arg("--load-state").arg(unpacked.path());
                Some(unpacked)
            }
            None => None,
        };
        if let Some(begins) = options.begins {
            command.arg("--timestamp").arg(begins.to_string());
        }
        let failed =
            |error: std::io::Error| ChainError::Anvil(format!("{}: {error}", program.display()));
        let mut child = command.spawn().map_err(failed)?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| ChainError::Anvil("it has no output".to_owned()))?;
        let address = timeout(START, listening(out)).await;
        let address = address
            .map_err(|_| ChainError::Anvil(format!("it is not up after {} s", START.as_secs())))?;
        let url = address.and_then(|address| format!("http://{address}").parse().ok());
        let url = url.ok_or_else(|| {
            ChainError::Anvil(
                "it ended at once: is its port taken, or what it loads broken?".to_owned(),
            )
        })?;
        Ok(Self { child, url })
    }

    /// Its address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How to ask it.
    pub fn rpc(&self) -> Rpc {
        Rpc::new([self.url.clone()])
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        // Where that cannot be known it has no owner any more either.
        let _ = self.child.wait().await;
    }

    /// All that happened: accounts, code, blocks, receipts. Of use as [`AnvilOptions::load`].
    ///
    /// # Errors
    ///
    /// `anvil`: it does not answer.
    pub async fn dump(&self) -> Result<Vec<u8>, ChainError> {
        let state = self.ask("anvil_dumpState", json!([])).await?;
        let digits = state.as_str().and_then(|text| text.strip_prefix("0x"));
        let bytes = digits.and_then(|digits| hex::decode(digits).ok());
        bytes.ok_or_else(|| ChainError::Anvil("its state is none".to_owned()))
    }

    /// From now on one block every so many seconds, instead of one for each transaction.
    ///
    /// # Errors
    ///
    /// `anvil`: it does not answer.
    pub async fn mine_every(&self, seconds: u64) -> Result<(), ChainError> {
        self.ask("evm_setAutomine", json!([false])).await?;
        self.ask("evm_setIntervalMining", json!([seconds])).await?;
        Ok(())
    }

    /// One request that only anvil knows. Not over [`Rpc`], whose answers are bounded as strangers' are.
    async fn ask(&self, method: &str, params: Value) -> Result<Value, ChainError> {
        let failed = |error: reqwest::Error| ChainError::Anvil(format!("{method}: {error}"));
        let client = Client::builder().no_proxy().timeout(STATE).build();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = client.map_err(failed)?.post(self.url.clone()).json(&body);
        let mut answer: Value = async { request.send().await?.json().await }
            .await
            .map_err(failed)?;
        match answer.get("error") {
            Some(error) => Err(ChainError::Anvil(format!("{method}: {error}"))),
            None => Ok(answer["result"].take()),
        }
    }

    /// Ends it, and waits until it has.
    pub async fn stop(mut self) {
        // A process that is gone already is what is wanted.
        let _ = self.child.kill().await;
    }
}

/// What was dumped is packed; what is loaded is not.
fn unpack(dump: &Path) -> Result<NamedTempFile, ChainError> {
    let unpacked = || -> std::io::Result<NamedTempFile> {
        let folder = dump.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".anvil-")
            .tempfile_in(folder)?;
        std::io::copy(&mut GzDecoder::new(File::open(dump)?), &mut file)?;
        Ok(file)
    };
    unpacked().map_err(|error| ChainError::Anvil(format!("{}: {error}", dump.display())))
}

/// One of the ten accounts that every anvil gives 10,000 ETH; their keys are in the manuals. `None` beyond the first five.
pub fn account(index: usize) -> Option<Wallet> {
    const KEYS: [&str; 5] = [
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    ];
    let mut key = [0; 32];
    hex::decode_to_slice(KEYS.get(index)?, &mut key).ok()?;
    Wallet::development(key)
}

/// Where the program is: as named in `NACRE_ANVIL`, in `relay-contracts` of this folder, of this program's or of one above
/// either, or on the path.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(PROGRAM) {
        return Some(named.into()).filter(|path: &PathBuf| path.is_file());
    }
    let places = [std::env::current_dir(), std::env::current_exe()];
    let places: Vec<_> = places.into_iter().flatten().collect();
    let above = places.iter().flat_map(|place| place.ancestors());
    above
        .map(|folder| folder.join(IN_NODE_MODULES))
        .chain(on_path("anvil"))
        .find(|path| path.is_file())
}

fn on_path(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.into_iter().map(move |folder| folder.join(program))
}

/// The program so that it dies with us however we do, where util-linux can see to that.
fn bound_to_us(program: &Path) -> Command {
    match on_path("setpriv").find(|path| path.is_file()) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The address that it says it listens on; `None` where it ends first. What it says later is read and dropped.
async fn listening(out: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> Option<String> {
    let mut out = BufReader::new(out);
    let mut line = String::new();
    loop {
        line.clear();
        // Its greeting is some lines of keys.
        if (&mut out).take(1 << 16).read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some(address) = line.strip_prefix(LISTENING) {
            let address = address.trim().to_owned();
            tokio::spawn(async move { tokio::io::copy(&mut out, &mut tokio::io::sink()).await });
            return Some(address);
        }
    }
}
