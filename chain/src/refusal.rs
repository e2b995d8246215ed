//! What a contract says when it refuses: its custom errors, by name.

use std::fmt;

use alloy::primitives::{Bytes, Selector};
use alloy::sol_types::{Panic, Revert, SolError as _, SolInterface};

use crate::contracts::{
    contract_directory, dev_token, digit_gate, enclave_registry, job_relay, job_subscriptions,
    node_book, operator_staking, risk_parameter, uptime_oracle,
};

/// What a contract reverted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: String,
    words: String,
    data: Bytes,
}

impl Refusal {
    /// Reads it: a custom error of one of our contracts, or of what they are built on; a reason in words; a panic.
    pub fn of(data: &[u8]) -> Self {
        let (code, words) = read(data);
        Self {
            code,
            words,
            data: data.to_vec().into(),
        }
    }

    /// The error's name in kebab case: `DeadlinePassed` is `deadline-passed`. `reverted` where there is none that we know.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The bytes that it reverted with.
    pub fn data(&self) -> &Bytes {
        &self.data
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

fn read(data: &[u8]) -> (String, String) {
    const REVERTED: &str = "reverted";
    if data.is_empty() {
        return (REVERTED.to_owned(), "it gave no reason".to_owned());
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return (REVERTED.to_owned(), revert.reason);
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return ("panic".to_owned(), panic.to_string());
    }
    let known = own::<job_relay::JobRelay::JobRelayErrors>(data)
        .or_else(|| own::<enclave_registry::EnclaveRegistry::EnclaveRegistryErrors>(data))
        .or_else(|| own::<operator_staking::OperatorStaking::OperatorStakingErrors>(data))
        .or_else(|| own::<node_book::NodeBook::NodeBookErrors>(data))
        .or_else(|| own::<uptime_oracle::UptimeOracle::UptimeOracleErrors>(data))
        .or_else(|| own::<job_subscriptions::JobSubscriptions::JobSubscriptionsErrors>(data))
        .or_else(|| own::<contract_directory::ContractDirectory::ContractDirectoryErrors>(data))
        .or_else(|| own::<digit_gate::DigitGate::DigitGateErrors>(data))
        .or_else(|| own::<risk_parameter::RiskParameter::RiskParameterErrors>(data))
        .or_else(|| own::<dev_token::DevToken::DevTokenErrors>(data));
    known.unwrap_or_else(|| {
        let selector = hex::encode(&data[..data.len().min(4)]);
        (REVERTED.to_owned(), format!("unknown error 0x{selector}"))
    })
}

/// Code and words, where it is one of these errors: `DeadlinePassed { deadline: 1764000000 }`.
fn own<E: SolInterface + fmt::Debug>(data: &[u8]) -> Option<(String, String)> {
    let selector = Selector::try_from(data.get(..4)?).ok()?;
    if !E::valid_selector(selector.0) {
        return None;
    }
    let words = format!("{:?}", E::abi_decode(data).ok()?);
    // The enum's variant has the name of the structure in it: `Variant(Structure { … })`.
    let (name, rest) = words.split_once('(')?;
    let words = rest.strip_suffix(')')?;
    Some((kebab(name), words.to_owned()))
}

/// `ERC20InsufficientBalance` is `erc20-insufficient-balance`.
fn kebab(name: &str) -> String {
    let mut code = String::with_capacity(name.len() + 8);
    let letters: Vec<_> = name.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let starts = letter.is_ascii_uppercase()
            && at > 0
            && (!letters[at - 1].is_ascii_uppercase()
                || letters.get(at + 1).is_some_and(char::is_ascii_lowercase));
        if starts {
            code.push('-');
        }
        code.push(letter.to_ascii_lowercase());
    }
    code
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, U256};
    use alloy::sol_types::SolError as _;

    use super::*;

    #[test]
    fn a_custom_error_is_named_with_its_values() {
        let deadline = U256::from(1_764_000_000_u64);
        let refusal = Refusal::of(&job_relay::JobRelay::DeadlinePassed { deadline }.abi_encode());
        assert_eq!(refusal.code(), "deadline-passed");
        assert_eq!(
            refusal.to_string(),
            "DeadlinePassed { deadline: 1764000000 }"
        );
    }

    #[test]
    fn what_the_token_says_is_named_too() {
        let error = dev_token::DevToken::ERC20InsufficientBalance {
            sender: Address::ZERO,
            balance: U256::ZERO,
            needed: U256::ONE,
        };
        assert_eq!(
            Refusal::of(&error.abi_encode()).code(),
            "erc20-insufficient-balance"
        );
    }

    #[test]
    fn reasons_panics_and_what_nobody_knows() {
        let revert = Revert {
            reason: "not today".to_owned(),
        };
        assert_eq!(Refusal::of(&revert.abi_encode()).to_string(), "not today");
        let panic = Panic {
            code: U256::from(0x11),
        };
        assert_eq!(Refusal::of(&panic.abi_encode()).code(), "panic");
        for data in [&[][..], &[1], &[1, 2, 3, 4], &[0xff; 68]] {
            assert_eq!(Refusal::of(data).code(), "reverted");
        }
        // The selector of an error of ours, and nothing behind it.
        let cut = &job_relay::JobRelay::DeadlinePassed {
            deadline: U256::ZERO,
        }
        .abi_encode()[..8];
        assert_eq!(Refusal::of(cut).code(), "reverted");
    }

    #[test]
    fn names_become_codes() {
        for (name, code) in [
            ("NoPayee", "no-payee"),
            ("ECDSAInvalidSignature", "ecdsa-invalid-signature"),
            ("IsPaused", "is-paused"),
        ] {
            assert_eq!(kebab(name), code);
        }
    }
}
