//! `nacre control-plane …-watcher`, `stake-node`.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::WatcherId;

use super::DatabaseArgs;
use crate::clock::Clock;
use crate::watchers;

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum WatcherCommand {
    /// Let a watcher report, or change its name and stake. It counts from the next epoch on.
    AddWatcher {
        #[command(flatten)]
        storage: DatabaseArgs,
        /// What `nacre watch` prints when it begins: 64 hexadecimal digits.
        #[arg(long)]
        id: WatcherId,
        /// Who it is.
        #[arg(long)]
        name: String,
        /// What its word weighs, micro-units.
        #[arg(long)]
        stake: u64,
    },
    /// List watchers: id, stake, added (Unix milliseconds), name.
    ListWatchers {
        #[command(flatten)]
        storage: DatabaseArgs,
    },
    /// Let a watcher's word count no more, from the next epoch on.
    RemoveWatcher {
        #[command(flatten)]
        storage: DatabaseArgs,
        /// Its id.
        #[arg(long)]
        id: WatcherId,
    },
    /// Say what stands behind a node: slashes are parts of it.
    StakeNode {
        #[command(flatten)]
        storage: DatabaseArgs,
        /// The node's id.
        #[arg(long)]
        node: NodeId,
        /// Micro-units.
        #[arg(long)]
        stake: u64,
    },
}

pub(super) async fn run(command: &WatcherCommand) -> anyhow::Result<()> {
    let clock = Clock::system();
    match command {
        WatcherCommand::AddWatcher {
            storage,
            id,
            name,
            stake,
        } => watchers::set(&storage.database()?, id, name, *stake, &clock).await?,
        WatcherCommand::ListWatchers { storage } => {
            for watcher in watchers::list(&storage.database()?).await? {
                let (stake, added) = (watcher.stake, watcher.added_ms);
                println!("{}\t{stake}\t{added}\t{}", watcher.id, watcher.name);
            }
        }
        WatcherCommand::RemoveWatcher { storage, id } => {
            watchers::remove(&storage.database()?, id, &clock).await?;
        }
        WatcherCommand::StakeNode {
            storage,
            node,
            stake,
        } => watchers::stake_node(&storage.database()?, node, *stake, &clock).await?,
    }
    Ok(())
}
