//! What a host can do to a caller's connection.

use anyhow::ensure;
use nacre_tests::hostile_wire::{Change, Fault, HostileWire, Overheard, Way};
use nacre_tests::traffic::Outcome;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::site::Site;

/// Places of each way that are tried, spread over the whole conversation.
const PLACES: usize = 8;

const CHANGES: [Change; 7] = [
    Change::Flip,
    Change::Drop(7),
    Change::Duplicate(64),
    Change::Swap(16),
    Change::Inject(32),
    Change::Truncate,
    Change::Cut,
];

/// Every change, at places all over the conversation, in both directions.
#[test]
fn whatever_is_done_to_the_bytes_no_answer_is_wrong() -> anyhow::Result<()> {
    let site = Site::start()?;
    let wire = site.runtime.block_on(HostileWire::start(site.node()?))?;
    let normal = conversation(&site, &wire)?;
    let mut failed = 0;
    for (way, length) in [
        (Way::In, normal.inward.len()),
        (Way::Out, normal.outward.len()),
    ] {
        for place in 0..PLACES {
            let change = CHANGES[place % CHANGES.len()];
            // Neither the first nor the last byte is left out.
            let at = place * (length - 1) / (PLACES - 1);
            for change in [change, CHANGES[(place + 3) % CHANGES.len()]] {
                let fault = Fault { way, at, change };
                wire.set(Some(fault));
                match site.call(wire.address())? {
                    Outcome::Wrong(what) => anyhow::bail!("{fault:?}: {what}"),
                    Outcome::Failed(_) => failed += 1,
                    // Only what comes after the answer can be changed without harm.
                    Outcome::Right => ensure!(
                        at > length / 2,
                        "{fault:?} went unnoticed in {length} bytes"
                    ),
                }
            }
        }
    }
    ensure!(failed > 2 * PLACES, "only {failed} calls were disturbed");
    wire.set(None);
    ensure!(site.call(wire.address())? == Outcome::Right);
    site.serves_as_before()
}

/// The host sees lengths and times. Nothing of request, answer or receipt is among what it sees.
#[test]
fn the_host_reads_no_plaintext() -> anyhow::Result<()> {
    let site = Site::start()?;
    let wire = site.runtime.block_on(HostileWire::start(site.node()?))?;
    let heard = conversation(&site, &wire)?;
    let secrets = [
        &site.example.request[..],
        b"/v2/models/",
        b"nacre-receipt",
        b"probabilities",
    ];
    for secret in secrets {
        let shown = &secret[..secret.len().min(16)];
        for bytes in [&heard.inward, &heard.outward] {
            let found = bytes.windows(shown.len()).any(|window| window == shown);
            ensure!(!found, "{:?} in the clear", String::from_utf8_lossy(shown));
        }
    }
    Ok(())
}

/// The host sends the enclave, once more, every byte that a caller sent: no request is run for it.
#[test]
fn a_replayed_conversation_runs_nothing() -> anyhow::Result<()> {
    let site = Site::start()?;
    let wire = site.runtime.block_on(HostileWire::start(site.node()?))?;
    let heard = conversation(&site, &wire)?;
    let before = site.platform.enclave_status()?.counters;
    for _ in 0..8 {
        let answer = site.runtime.block_on(replay(site.node()?, &heard.inward))?;
        // The enclave's own first message, and an alert: RFC 8446 §6, record type 21.
        ensure!(answer.first() == Some(&22), "no handshake: {answer:?}");
    }
    let after = site.platform.enclave_status()?.counters;
    ensure!(
        (after.requests, after.receipts, after.connections)
            == (before.requests, before.receipts, before.connections),
        "{before:?}, {after:?}"
    );
    site.serves_as_before()
}

/// One undisturbed call, as the host sees it.
fn conversation(site: &Site, wire: &HostileWire) -> anyhow::Result<Overheard> {
    wire.take_overheard();
    ensure!(site.call(wire.address())? == Outcome::Right, "undisturbed");
    let ended = || {
        let heard = wire.take_overheard();
        heard.into_iter().max_by_key(|heard| heard.inward.len())
    };
    nacre_tests::platform::wait_for(
        "the connection ends",
        std::time::Duration::from_secs(20),
        ended,
    )
}

async fn replay(node: std::net::SocketAddr, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(node).await?;
    let mut answer = Vec::new();
    // The enclave may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut answer).await;
    Ok(answer)
}
