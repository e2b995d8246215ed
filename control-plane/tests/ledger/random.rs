//! Whatever comes in whatever order, again and again, over restarts: what must hold of the ledger holds.

use std::collections::{BTreeMap, BTreeSet};

use nacre_control_plane::treasury::{Payment, pay};
use nacre_ledger::Amount;
use nacre_protocol::api::ledger::CapPeriod;
use nacre_protocol::usage::SignedUsage;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::site::{HOLD, PRICE, Signer, Site};

const SEEDS: u64 = 4;
const STEPS: u32 = 60;

/// An enclave's side: what it has signed, and what was acknowledged.
#[derive(Default)]
struct Issued {
    receipts: Vec<SignedUsage>,
    taken: BTreeSet<u64>,
}

#[tokio::test]
async fn whatever_comes_the_ledger_holds() {
    for seed in 0..SEEDS {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut site, mut nodes) = Site::start(2).await;
        let mut issued: BTreeMap<usize, Issued> = BTreeMap::new();
        for step in 0..STEPS {
            let which = random.random_range(0..nodes.len());
            match random.random_range(0..14) {
                0..=6 => {
                    use_and_bring(
                        &site,
                        &nodes[which],
                        issued.entry(which).or_default(),
                        &mut random,
                    )
                    .await
                }
                7 => {
                    let period = [CapPeriod::Day, CapPeriod::Month, CapPeriod::Ever]
                        [random.random_range(0..3)];
                    let function = random.random_bool(0.5).then_some("iris");
                    site.cap(function, period, random.random_range(0..20 * HOLD))
                        .await;
                }
                8 => {
                    let amount = Amount::from_micros(random.random_range(1..HOLD));
                    let payment = Payment::Deposit("default".parse().unwrap(), amount);
                    pay(&site.server.database, &payment, &format!("d{step}"))
                        .await
                        .unwrap();
                }
                9 => {
                    let payment = Payment::Payout(nodes[which].node.operator_id(), None);
                    // It may have earned nothing.
                    drop(pay(&site.server.database, &payment, &format!("p{step}")).await);
                }
                10 => site.server.pass(random.random_range(0..3 * 3600 * 1000)),
                // It is back, at another price, which its lease's next term has.
                11..=12 => {
                    let price = PRICE * random.random_range(0..4);
                    let cpu_price = random.random_range(0..1_000_000);
                    site.ask(&mut nodes[which], price, cpu_price).await;
                }
                _ => {
                    site.server.stop().await;
                    site.server.resume().await;
                }
            }
        }
        let report = site.audit().await;
        assert_eq!(report.findings, [], "seed {seed}");
        let taken: usize = issued.values().map(|issued| issued.taken.len()).sum();
        assert_eq!(
            report.receipts,
            u64::try_from(taken).unwrap(),
            "seed {seed}"
        );
    }
}

/// The enclave signs some more, and its host brings some of all that it ever signed, in any order.
async fn use_and_bring(site: &Site, node: &Signer, issued: &mut Issued, random: &mut StdRng) {
    let lease = site.lease(node).await;
    for _ in 0..random.random_range(0..4) {
        let seq = issued.receipts.len() as u64 + 1;
        let micros = random.random_range(0..400_000);
        issued.receipts.push(node.used(seq, lease, micros));
    }
    let mut brought = Vec::new();
    for receipt in &issued.receipts {
        if random.random_bool(0.4) {
            brought.push(*receipt);
        }
    }
    if random.random_bool(0.3) {
        brought.reverse();
    }
    issued
        .taken
        .extend(brought.iter().map(|signed| signed.receipt.seq));
    site.bring(node, &brought).await;
}
