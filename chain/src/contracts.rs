//! The contracts as Rust sees them: one module each, made from the interface and bytecode that
//! `relay-contracts/tools/export.mjs` keeps in `chain/contracts`.
//!
//! A module each, because several contracts know the same structures (`IJobRelay::Request`), and each binding brings
//! its own copy of them.

/// Binds one contract: `$module::$name`.
macro_rules! bind {
    ($(#[$doc:meta])* $module:ident, $name:ident, $file:literal) => {
        $(#[$doc])*
        pub mod $module {
            #![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
            alloy::sol!(
                #[sol(rpc, all_derives)]
                $name,
                $file
            );
        }
        pub use $module::$name;
    };
}

bind!(
    /// Which receipt keys live in enclaves of approved images, and for which operator they work.
    enclave_registry,
    EnclaveRegistry,
    "contracts/EnclaveRegistry.json"
);
bind!(
    /// Operators' and watchers' stake.
    operator_staking,
    OperatorStaking,
    "contracts/OperatorStaking.json"
);
bind!(
    /// Nodes, the stake behind them and their drains.
    node_book,
    NodeBook,
    "contracts/NodeBook.json"
);
bind!(
    /// From watchers' words to stake.
    uptime_oracle,
    UptimeOracle,
    "contracts/UptimeOracle.json"
);
bind!(
    /// Asks, is answered, pays.
    job_relay,
    JobRelay,
    "contracts/JobRelay.json"
);
bind!(
    /// Jobs at regular times, paid in advance.
    job_subscriptions,
    JobSubscriptions,
    "contracts/JobSubscriptions.json"
);
bind!(
    /// Where the present version of each contract is.
    contract_directory,
    ContractDirectory,
    "contracts/ContractDirectory.json"
);
bind!(
    /// An example: pays a prize to who draws the wanted digit.
    digit_gate,
    DigitGate,
    "contracts/DigitGate.json"
);
bind!(
    /// An example: a parameter that a model adjusts, within bounds and with a delay.
    risk_parameter,
    RiskParameter,
    "contracts/RiskParameter.json"
);
bind!(
    /// What development networks stake: anybody mints.
    dev_token,
    DevToken,
    "contracts/DevToken.json"
);
