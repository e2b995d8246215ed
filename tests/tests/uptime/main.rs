//! Watchers as separate processes, a real enclave behind wires that fail, and a control plane that takes their word.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use anyhow::Context as _;
use nacre_protocol::ids::{BootId, NodeId};
use nacre_protocol::uptime::Schedule;
use nacre_tests::platform::Platform;

mod agree;
mod killed;
mod many;
mod moved;
mod realm;
mod reported;
mod settled;
mod stub;
mod watcher;

/// Long enough for a debug build on a busy machine to answer within a try.
const SLOT_MS: u32 = 2_000;
const EPOCH_SLOTS: u16 = 2;
/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(90);

fn schedule() -> Schedule {
    Schedule::new(SLOT_MS, EPOCH_SLOTS, 10, 2, 12).unwrap()
}

fn node(at: u8) -> NodeId {
    NodeId::from_random([at; 16])
}

/// The platform's one node: address and boot.
fn real_node(platform: &Platform) -> anyhow::Result<(String, BootId)> {
    let nodes = platform.json(&["nodes"])?;
    let boot = nodes[0]["boot_id"].as_str().context("no boot id")?;
    Ok((platform.ready("node").to_owned(), boot.parse()?))
}
