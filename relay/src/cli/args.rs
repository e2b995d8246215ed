//! The arguments, and what they mean.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::value_parser;
use nacre_attestation_verifier::{Policy, RootKind, Roots};
use nacre_client::Trust;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::job::MAX_JOB_BYTES;
use nacre_telemetry::endpoint::MetricsArgs;
use nacre_telemetry::log::LogArgs;
use url::Url;

use crate::platform::Platform;
use crate::relay::Settings;
use crate::store::Database;
use crate::worth::Terms;

/// Answer contracts' requests: run them at a platform, check the enclaves' answers, and bring them to the chain.
#[derive(Debug, clap::Parser)]
#[command(name = "nacre-relay", version)]
pub struct Args {
    #[command(flatten)]
    pub(super) chain: ChainArgs,
    #[command(flatten)]
    pub(super) platform: PlatformArgs,
    #[command(flatten)]
    pub(super) storage: StorageArgs,
    #[command(flatten)]
    pub(super) worth: WorthArgs,
    /// Where its numbers are read; beside them, /healthz says whether it follows the chain.
    #[command(flatten)]
    pub(super) metrics: MetricsArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// Stop when standard input ends, so that the relay ends with the program that started it
    #[arg(long)]
    pub(super) exit_on_stdin_eof: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ChainArgs {
    /// An Ethereum node; several times: the next where one fails
    #[arg(long, value_name = "URL", required = true)]
    pub(super) rpc: Vec<Url>,
    /// How many of the nodes must agree on what is read [default: one is believed]
    #[arg(long, value_name = "N")]
    pub(super) rpc_quorum: Option<NonZeroUsize>,
    /// The JobRelay contract
    #[arg(long, value_name = "ADDRESS")]
    pub(super) contract: EthAddress,
    /// The account that pays for transactions: a file with 32 bytes in hexadecimal that nobody else can read
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// Who earns the fees [default: the account]
    #[arg(long, value_name = "ADDRESS")]
    payee: Option<EthAddress>,
    /// Whose enclaves answer through the platform; several times. With it, jobs that are another operator's alone are not
    /// run meanwhile, and one that this operator would be slashed for is answered at a loss too
    #[arg(long = "operator", value_name = "ADDRESS")]
    operators: Vec<EthAddress>,
    /// Take part in the draw: the account is an operator with stake, and enlists, starts terms and shows the links of its hash
    /// chains in time. DIR keeps the chains' secrets, for its owner alone; made if absent. To lose it costs stake. Whoever
    /// lies about the chain could have links shown too early: give several nodes, and --rpc-quorum
    #[arg(long, value_name = "DIR")]
    pub(super) operate: Option<PathBuf>,
    /// In how many blocks' depth a request is run; 1: at once
    #[arg(long, value_name = "BLOCKS", default_value_t = 2, value_parser = value_parser!(u64).range(1..=1_000))]
    confirmations: u64,
    /// In which depth nothing is reorganised any more
    #[arg(long, value_name = "BLOCKS", default_value_t = 64, value_parser = value_parser!(u64).range(1..=10_000))]
    final_depth: u64,
    /// The first block to read, on the first start [default: the latest]
    #[arg(long, value_name = "NUMBER")]
    from_block: Option<u64>,
    /// How often the node is asked for its latest block, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = value_parser!(u64).range(10..=60_000))]
    poll_ms: u64,
}

#[derive(Debug, clap::Args)]
pub(super) struct PlatformArgs {
    /// The platform's API
    #[arg(long, value_name = "URL")]
    control_plane: Url,
    /// A file with an API key of the platform's that may run jobs and see functions
    #[arg(long, value_name = "FILE")]
    api_key_file: PathBuf,
    /// Root of enclaves' evidence: `aws`, or the PEM or DER file of a development root; the registry must have the same
    #[arg(long, value_name = "aws|FILE", default_value = "aws")]
    root: String,
    /// Policy (JSON) that names the measurements of enclaves whose answers are paid for
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Jobs that are at the platform at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u16).range(1..=4_096))]
    parallel: u16,
    /// Longest input, of which the chain has the hash alone, that is fetched from the platform's object store, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = value_parser!(u64).range(1..=MAX_JOB_BYTES as u64))]
    max_input: u64,
    /// For how many blocks such an input is waited for
    #[arg(long, value_name = "BLOCKS", default_value_t = 32)]
    input_wait: u64,
}

#[derive(clap::Args)]
pub(super) struct StorageArgs {
    /// Folder for the relay's SQLite database; made if absent
    #[arg(long, value_name = "DIR", required_unless_present = "database")]
    data: Option<PathBuf>,
    /// PostgreSQL instead: postgres://USER@HOST/NAME. The password may also be in PGPASSWORD or ~/.pgpass
    #[arg(
        long,
        value_name = "postgres://…",
        env = "NACRE_RELAY_DATABASE",
        hide_env_values = true
    )]
    database: Option<String>,
}

/// Without the URL, which may hold a password.
impl core::fmt::Debug for StorageArgs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StorageArgs")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct WorthArgs {
    /// The fee must be this many percent of what gas is likely to cost; below 100 is at a loss
    #[arg(long, value_name = "PERCENT", default_value_t = 110)]
    margin_percent: u32,
    /// Most that a gas may cost, wei
    #[arg(long, value_name = "WEI", default_value_t = 500_000_000_000)]
    max_fee_per_gas: u128,
    /// Most that is spent on gas in an hour, wei
    #[arg(long, value_name = "WEI", default_value_t = 1_000_000_000_000_000_000)]
    max_hourly_cost: u128,
    /// Most gas for a callback
    #[arg(long, value_name = "GAS", default_value_t = 10_000_000)]
    max_callback_gas: u32,
    /// Least seconds until its deadline for a job to be run
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    least_time: u64,
    /// A token that fees are taken in, with the least fee in its base units; several times
    #[arg(long = "take-token", value_name = "ADDRESS=FEE")]
    tokens: Vec<TokenFee>,
    /// After how many blocks a transaction that waits offers more
    #[arg(long, value_name = "BLOCKS", default_value_t = 3, value_parser = value_parser!(u64).range(1..=1_000))]
    patience: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TokenFee(EthAddress, u128);

impl FromStr for TokenFee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (token, fee) = text.split_once('=').ok_or("ADDRESS=FEE")?;
        let token = token.parse().map_err(|error| format!("{error}"))?;
        Ok(Self(
            token,
            fee.parse().map_err(|_| "the fee is a whole number")?,
        ))
    }
}

impl Args {
    pub(super) fn settings(&self, account: EthAddress) -> Settings {
        let worth = &self.worth;
        let tokens: BTreeMap<_, _> = worth
            .tokens
            .iter()
            .map(|TokenFee(t, fee)| (*t, *fee))
            .collect();
        let own = self.chain.operate.is_some().then_some(account);
        Settings {
            confirmations: self.chain.confirmations,
            final_depth: self.chain.final_depth.max(self.chain.confirmations),
            first: self.chain.from_block,
            poll: Duration::from_millis(self.chain.poll_ms),
            parallel: self.platform.parallel.into(),
            payee: self.chain.payee.unwrap_or(account),
            operators: self.chain.operators.iter().copied().chain(own).collect(),
            max_input: usize::try_from(self.platform.max_input).unwrap_or(MAX_JOB_BYTES),
            input_wait: self.platform.input_wait,
            terms: Terms {
                margin_percent: worth.margin_percent,
                max_fee: worth.max_fee_per_gas,
                max_callback_gas: worth.max_callback_gas,
                least_time: worth.least_time,
                tokens,
            },
            hourly: worth.max_hourly_cost,
            patience: worth.patience,
        }
    }
}

impl PlatformArgs {
    pub(super) fn platform(&self) -> anyhow::Result<Platform> {
        let key = read(&self.api_key_file)?;
        let key = String::from_utf8(key).ok().map(|key| key.trim().to_owned());
        let key = key.filter(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()));
        let key =
            key.with_context(|| format!("{} holds no API key", self.api_key_file.display()))?;
        Ok(Platform::new(&self.control_plane, key)?)
    }

    pub(super) fn trust(&self) -> anyhow::Result<Trust> {
        let roots = match self.root.as_str() {
            "aws" => Roots::aws(),
            file => Roots::from_pem_or_der(&read(Path::new(file))?)
                .with_context(|| format!("in {file}"))?,
        };
        if roots.kind() == RootKind::Development {
            tracing::warn!("DEVELOPMENT ROOT: answers prove nothing to anybody else");
        }
        let policy = Policy::from_json(&read(&self.policy)?);
        let policy = policy.with_context(|| format!("in {}", self.policy.display()))?;
        Ok(Trust::new(roots, policy))
    }
}

impl StorageArgs {
    pub(super) fn database(&self) -> anyhow::Result<Database> {
        match (&self.database, &self.data) {
            (Some(url), _) => Ok(Database::postgres(url)?),
            (None, Some(data)) => Ok(Database::Folder(data.clone())),
            (None, None) => bail!("--data is missing"),
        }
    }
}

/// Roots, policies and keys are small files.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    const LIMIT: u64 = 1 << 20;
    let cannot = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(cannot)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .with_context(cannot)?;
    ensure!(
        bytes.len() as u64 <= LIMIT,
        "{} is longer than 1 MiB",
        path.display()
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn parse(more: &[&str]) -> Result<Args, clap::Error> {
        let words = [
            "nacre-relay",
            "--rpc",
            "http://127.0.0.1:8545",
            "--contract",
            "0x1111111111111111111111111111111111111111",
            "--key",
            "k",
            "--control-plane",
            "http://127.0.0.1:8080",
            "--api-key-file",
            "a",
            "--policy",
            "p",
        ];
        Args::try_parse_from([&words[..], more].concat())
    }

    #[test]
    fn what_is_not_said_is_safe() {
        let account = EthAddress::from_bytes([7; 20]);
        let settings = parse(&["--data", "d"]).unwrap().settings(account);
        assert_eq!(settings.payee, account);
        assert!(settings.terms.margin_percent > 100, "at no loss");
        assert!(settings.confirmations > 1 && settings.final_depth >= settings.confirmations);
        assert!(settings.terms.tokens.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let token = "0x2222222222222222222222222222222222222222";
        assert!(parse(&[]).is_err(), "nowhere to keep anything");
        for wrong in [
            &["--confirmations", "0"][..],
            &["--poll-ms", "1"],
            &["--take-token", token],
            &["--take-token", &format!("{token}=-1")],
            &["--rpc-quorum", "0"],
            &["--operator", "0x1"],
        ] {
            assert!(
                parse(&[&["--data", "d"], wrong].concat()).is_err(),
                "{wrong:?}"
            );
        }
        let taken = parse(&["--data", "d", "--take-token", &format!("{token}=5")]).unwrap();
        assert_eq!(
            taken
                .settings(EthAddress::from_bytes([0; 20]))
                .terms
                .tokens
                .len(),
            1
        );
    }
}
