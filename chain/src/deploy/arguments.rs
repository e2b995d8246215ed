//! What each contract's constructor is given, from the settings and the contracts before it.

use alloy::primitives::aliases::{U40, U96};
use alloy::primitives::{Address, Bytes};
use alloy::sol_types::SolConstructor as _;

use super::Run;
use crate::contracts::{
    ContractDirectory, DevToken, EnclaveRegistry, JobRelay, JobSubscriptions, NodeBook,
    OperatorStaking, UptimeOracle, enclave_registry, job_relay, node_book, operator_staking,
    uptime_oracle,
};
use crate::deployment::Name;
use crate::error::ChainError;

impl Run<'_> {
    /// The contract's code with its constructor's arguments.
    pub(super) fn init_code(&self, name: Name) -> Result<Bytes, ChainError> {
        let (code, arguments) = match name {
            Name::DevToken => (&DevToken::BYTECODE, Vec::new()),
            Name::OperatorStaking => (&OperatorStaking::BYTECODE, self.staking()),
            Name::EnclaveRegistry => (&EnclaveRegistry::BYTECODE, self.registry()),
            Name::JobRelay => (&JobRelay::BYTECODE, self.relay()),
            Name::NodeBook => (&NodeBook::BYTECODE, self.nodes()),
            Name::UptimeOracle => (&UptimeOracle::BYTECODE, self.oracle()),
            Name::JobSubscriptions => {
                let relay = self.at(Name::JobRelay);
                (
                    &JobSubscriptions::BYTECODE,
                    JobSubscriptions::constructorCall { relay }.abi_encode(),
                )
            }
            Name::ContractDirectory => (&ContractDirectory::BYTECODE, self.directory()),
        };
        Ok([code.as_ref(), &arguments].concat().into())
    }

    fn staking(&self) -> Vec<u8> {
        let of = &self.deployment.settings.staking;
        let terms = operator_staking::OperatorStaking::Terms {
            token: self.deployment.stake_token(),
            treasury: of.treasury,
            unbondDelay: of.unbond_seconds,
            bountyPpm: of.bounty_ppm,
            treasuryPpm: of.treasury_ppm,
        };
        OperatorStaking::constructorCall { terms }.abi_encode()
    }

    fn registry(&self) -> Vec<u8> {
        let of = &self.deployment.settings.registry;
        let config = enclave_registry::EnclaveRegistry::Config {
            rootId: of.root_id,
            approver: of.approver,
            revoker: of.revoker,
            approvalDelay: U40::from(of.approval_delay_seconds),
            maxAge: U40::from(of.max_age_seconds),
            keyLifetime: U40::from(of.key_lifetime_seconds),
            proof: Address::ZERO,
            images: Vec::new(),
            verifiers: Vec::new(),
        };
        EnclaveRegistry::constructorCall { config }.abi_encode()
    }

    fn relay(&self) -> Vec<u8> {
        let of = &self.deployment.settings.relay;
        let fee = |fee: &crate::settings::TokenFee| job_relay::FeeTable::TokenFee {
            token: fee.token,
            floor: U96::from(fee.floor),
            perGas: U96::from(fee.per_gas),
        };
        let config = job_relay::JobRelay::Config {
            registry: self.at(Name::EnclaveRegistry),
            curator: of.curator,
            exclusive: U40::from(of.exclusive_seconds),
            latePenalty: of.late_penalty,
            draw: job_relay::OperatorDraw::DrawConfig {
                staking: self.at(Name::OperatorStaking),
                minStake: of.min_stake,
                withholdPenalty: of.withhold_penalty,
                term: U40::from(of.term_seconds),
                revealWindow: U40::from(of.reveal_seconds),
            },
            ethFloor: U96::from(of.eth_floor),
            fees: of.fees.iter().map(fee).collect(),
        };
        JobRelay::constructorCall { config }.abi_encode()
    }

    fn nodes(&self) -> Vec<u8> {
        let of = &self.deployment.settings.nodes;
        let terms = node_book::NodeBook::Terms {
            registry: self.at(Name::EnclaveRegistry),
            staking: self.at(Name::OperatorStaking),
            minNodeStake: of.min_node_stake,
            slotMs: self.deployment.settings.uptime.slot_ms,
            noticeSlots: of.notice_slots,
            budgetSlots: of.budget_slots,
            monthSlots: of.month_slots,
        };
        NodeBook::constructorCall { terms }.abi_encode()
    }

    fn oracle(&self) -> Vec<u8> {
        let of = &self.deployment.settings.uptime;
        let setup = uptime_oracle::UptimeOracle::Setup {
            staking: self.at(Name::OperatorStaking),
            nodes: self.at(Name::NodeBook),
            minWatcherStake: of.min_watcher_stake,
            quorumStake: of.quorum_stake,
            silencePpm: of.silence_ppm,
            doublePpm: of.double_ppm,
        };
        let timetable = uptime_oracle::Timetable::Lengths {
            slotMs: of.slot_ms,
            epochSlots: of.epoch_slots,
            windowSlots: of.window_slots,
            commitSlots: of.commit_slots,
            revealSlots: of.reveal_slots,
            guardMs: of.guard_ms,
            accuseSeconds: of.accuse_seconds,
            disputeSeconds: of.dispute_seconds,
            settleSeconds: of.settle_seconds,
        };
        UptimeOracle::constructorCall { setup, timetable }.abi_encode()
    }

    fn directory(&self) -> Vec<u8> {
        let of = &self.deployment.settings.directory;
        let call = ContractDirectory::constructorCall {
            proposer: of.proposer,
            guardian: of.guardian,
            delay: U40::from(of.delay_seconds),
        };
        call.abi_encode()
    }
}
