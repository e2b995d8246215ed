//! `nacre-bench [SECTION…]`: measures what SPECIFICATION.md promises and writes the figures there, section by section.
//! Without arguments it measures all of them but `chain`, which needs what npm brings: `make bench-chain`.

use anyhow::bail;
use nacre_tests::bench::{attested, bytes, bytes_peers, chain, enclave, gateway, models, report};
use nacre_tests::platform::repository;

/// A section's name and what measures it.
type Section = (&'static str, fn() -> anyhow::Result<String>);

const SECTIONS: [Section; 6] = [
    ("bench", models::run),
    ("attested", attested::run),
    ("bytes", bytes::run),
    ("enclave", enclave::run),
    ("gateway", gateway::run),
    (CHAIN, chain::run),
];
const CHAIN: &str = "chain";

fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some((bytes_peers::HOST_PROXY, rest)) = wanted
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return bytes_peers::host_proxy(rest);
    }
    let known = |name: &String| SECTIONS.iter().any(|(section, _)| section == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names = SECTIONS.map(|(name, _)| name).join(", ");
        bail!("{unknown} is no section: {names}");
    }
    for (name, measure) in SECTIONS {
        if (wanted.is_empty() && name != CHAIN) || wanted.iter().any(|section| section == name) {
            let text = measure()?;
            println!("{text}");
            report::write(&repository().join("SPECIFICATION.md"), name, &text)?;
        }
    }
    Ok(())
}
