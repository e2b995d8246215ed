//! For whom the enclave works on chain, and where.

use anyhow::ensure;
use clap::Args;
use nacre_protocol::api::chain::MAX_REGISTRIES;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::verified_enclave::ContractDomain;

use crate::agent::ChainOffer;

/// Options of a node that works for smart contracts, too.
#[derive(Debug, Clone, Default, Args)]
pub struct ChainArgs {
    /// The operator's Ethereum address: the enclave agrees to work for it at each --chain-registry, and the control plane
    /// shows this, with a fresh document, to whoever registers keys
    #[arg(long, value_name = "0x…", requires = "chain_registry")]
    pub operator_address: Option<EthAddress>,
    /// A registry of receipt keys (EnclaveRegistry), as `chain id:address`. May be given up to 16 times
    #[arg(long, value_name = "CHAIN:0x…", requires = "operator_address")]
    pub chain_registry: Vec<ContractDomain>,
}

impl ChainArgs {
    /// What the enclave's receipt key is offered for, if for anything.
    pub(super) fn offer(&self) -> anyhow::Result<Option<ChainOffer>> {
        let Some(operator) = self.operator_address else {
            return Ok(None);
        };
        ensure!(
            operator.as_bytes() != &[0; 20],
            "--operator-address is nobody's: the zero address"
        );
        let mut registries: Vec<ContractDomain> = Vec::new();
        for registry in &self.chain_registry {
            if !registries.contains(registry) {
                registries.push(*registry);
            }
        }
        ensure!(
            registries.len() <= MAX_REGISTRIES,
            "--chain-registry: at most {MAX_REGISTRIES}"
        );
        Ok(Some(ChainOffer {
            operator,
            registries,
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Node {
        #[command(flatten)]
        chain: ChainArgs,
    }

    fn parse(words: &[&str]) -> Result<ChainArgs, clap::Error> {
        Node::try_parse_from([&["node"], words].concat()).map(|node| node.chain)
    }

    const OPERATOR: &str = "0x2222222222222222222222222222222222222222";
    const REGISTRY: &str = "31337:0x1111111111111111111111111111111111111111";

    #[test]
    fn an_operator_and_registries_come_together() {
        assert_eq!(parse(&[]).unwrap().offer().unwrap(), None);
        assert!(parse(&["--operator-address", OPERATOR]).is_err());
        assert!(parse(&["--chain-registry", REGISTRY]).is_err());
        let operator = ["--operator-address", OPERATOR];
        let twice = ["--chain-registry", REGISTRY, "--chain-registry", REGISTRY];
        let offer = parse(&[&operator[..], &twice].concat()).unwrap().offer();
        let offer = offer.unwrap().unwrap();
        assert_eq!(offer.registries, [REGISTRY.parse().unwrap()]);
        assert_eq!(offer.operator, OPERATOR.parse().unwrap());
    }

    #[test]
    fn nobody_and_nowhere_are_refused() {
        let with = |operator: &str, registry: &str| {
            parse(&["--operator-address", operator, "--chain-registry", registry])
        };
        assert!(with("0x22", REGISTRY).is_err());
        assert!(with(OPERATOR, "0x1111111111111111111111111111111111111111").is_err());
        let nobody = format!("0x{}", "0".repeat(40));
        assert!(with(&nobody, REGISTRY).unwrap().offer().is_err());
        let many: Vec<String> = (1..=17)
            .map(|chain| format!("--chain-registry={chain}:{OPERATOR}"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let parsed = parse(&[&["--operator-address", OPERATOR][..], &many].concat());
        assert!(parsed.unwrap().offer().is_err());
    }
}
