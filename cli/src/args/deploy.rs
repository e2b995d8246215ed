//! What `nacre deploy` and the commands around it take.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use nacre_protocol::api::market::{Placement, Scaling};
use nacre_protocol::ids::FunctionName;
use nacre_protocol::manifest::Timeout;

/// `nacre deploy`
#[derive(Debug, ClapArgs)]
pub(crate) struct DeployArgs {
    /// The directory with nacre.toml.
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) terms: TermsArgs,
    /// Put this version on trial beside the one in force, with this part of the requests in percent (0.01 to 99.99),
    /// under the terms of that one. `nacre promote` puts it in force, `nacre rollback` ends the trial.
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "TermsArgs")]
    pub(crate) canary: Option<u32>,
    /// How long to wait until it answers, seconds.
    #[arg(long, default_value_t = 120)]
    pub(crate) timeout: u64,
}

/// How many replicas, where, and at what price.
#[derive(Debug, ClapArgs)]
pub(crate) struct TermsArgs {
    /// On how many nodes; with --max-replicas the fewest, and 0 lets it sleep.
    #[arg(long, default_value_t = 1)]
    pub(crate) replicas: u32,
    /// On how many nodes at most: replicas come and go with the load.
    #[arg(long, value_name = "N")]
    pub(crate) max_replicas: Option<u32>,
    /// Requests at once that one replica should carry [default: 8].
    #[arg(long, value_name = "N", requires = "max_replicas")]
    pub(crate) target_in_flight: Option<u32>,
    /// A request that waits longer asks for one replica more [default: 1s].
    #[arg(long, value_name = "TIME", requires = "max_replicas")]
    pub(crate) max_queue: Option<Timeout>,
    /// How long there must be less to do before replicas go [default: 60s].
    #[arg(long, value_name = "TIME", requires = "max_replicas")]
    pub(crate) stable: Option<Timeout>,
    /// With --replicas 0: how long no request must come before the last replica goes [default: 300s].
    #[arg(long, value_name = "TIME", requires = "max_replicas")]
    pub(crate) idle: Option<Timeout>,
    /// What each replica shall have of its node's processors: as 250m, thousandths of one, 1m to 1000m.
    #[arg(long, value_name = "MILLI", value_parser = milli, default_value = "100m")]
    pub(crate) cpu: u32,
    /// The most to pay for memory, micro-units per GiB-second.
    #[arg(long)]
    pub(crate) max_price: Option<u64>,
    /// The most to pay for processors, micro-units per CPU-second.
    #[arg(long)]
    pub(crate) max_cpu_price: Option<u64>,
    /// Only on nodes of this region; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Vec<String>,
    /// Most replicas with one operator.
    #[arg(long, value_name = "N")]
    pub(crate) max_per_operator: Option<u32>,
    /// Only on nodes with at least this uptime score, percent.
    #[arg(long, value_name = "PERCENT", value_parser = score, default_value = "0")]
    pub(crate) min_score: u32,
    /// Higher goes first where capacity is short, 0 to 255.
    #[arg(long, default_value_t = 0)]
    pub(crate) priority: u8,
}

impl TermsArgs {
    /// When replicas come and go.
    pub(crate) fn scaling(&self) -> Option<Scaling> {
        let usual = Scaling::up_to(self.max_replicas?);
        let ms = |time: Option<Timeout>, usual: u64| {
            time.map_or(usual, |time| {
                u64::try_from(time.duration().as_millis()).unwrap_or(u64::MAX)
            })
        };
        Some(Scaling {
            target_in_flight: self.target_in_flight.unwrap_or(usual.target_in_flight),
            max_queue_ms: ms(self.max_queue, usual.max_queue_ms),
            stable_ms: ms(self.stable, usual.stable_ms),
            idle_ms: ms(self.idle, usual.idle_ms),
            ..usual
        })
    }

    /// Where they run.
    pub(crate) fn placement(&self) -> Placement {
        Placement {
            regions: self.region.clone(),
            max_per_operator: self.max_per_operator,
            min_score: self.min_score,
            priority: self.priority,
        }
    }
}

/// `nacre promote` and `nacre rollback`
#[derive(Debug, ClapArgs)]
pub(crate) struct RolloutArgs {
    /// The function.
    pub(crate) name: FunctionName,
    /// How long to wait until it answers, seconds.
    #[arg(long, default_value_t = 120)]
    pub(crate) timeout: u64,
}

/// Thousandths of a processor, with their unit.
fn milli(text: &str) -> Result<u32, String> {
    let digits = text
        .strip_suffix('m')
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|milli| (1..=1000).contains(milli))
        .ok_or_else(|| "thousandths of a processor, 1m to 1000m".to_owned())
}

/// Part of the requests, hundredths of a percent.
fn percent(text: &str) -> Result<u32, String> {
    let parts = score(text)?;
    match parts {
        1..10_000 => Ok(parts),
        _ => Err("0.01 to 99.99".to_owned()),
    }
}

/// A percentage with at most two decimals, in hundredths.
fn score(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let plain = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(part) || whole.is_empty() || whole.len() > 3 || part.len() > 2 {
        return Err("a percentage with at most two decimals".to_owned());
    }
    let hundredths: u32 = format!("{whole}{part:0<2}")
        .parse()
        .map_err(|_| "a percentage".to_owned())?;
    (hundredths <= 10_000)
        .then_some(hundredths)
        .ok_or_else(|| "at most 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_said_in_thousandths() {
        for (text, thousandths) in [("1m", 1), ("250m", 250), ("1000m", 1000)] {
            assert_eq!(milli(text), Ok(thousandths), "{text}");
        }
        for wrong in ["0m", "1001m", "1", "0.5", "m", "-1m", "+1m", "99999999999m"] {
            assert!(milli(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn percentages_are_hundredths_of_a_percent() {
        for (text, hundredths) in [("10", 1000), ("0.5%", 50), ("99.99", 9999), ("7.25%", 725)] {
            assert_eq!(percent(text), Ok(hundredths), "{text}");
        }
        for wrong in ["0", "100", "-1", "1.234", "ten", "", ".5", "1e1", "0x1"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        assert_eq!(score("100"), Ok(10_000));
    }
}
