//! A chain that the test writes, and a node that tells of it as the test wants.

use std::sync::Mutex;

use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::{Word, keccak};
use proptest::prelude::*;

use super::*;
use crate::job::{Outcome, Standing, Work};
use crate::request::tests::{contract, job};
use crate::store::Database;

const FINAL_DEPTH: u64 = 8;

#[derive(Debug, Clone)]
struct Block {
    hash: Word,
    events: Vec<JobEvent>,
}

/// Blocks from number 0 on, and how many of them the node shows.
#[derive(Debug, Default)]
struct Chain {
    blocks: Mutex<Vec<Block>>,
    lag: Mutex<usize>,
    salt: Mutex<u8>,
}

impl Chain {
    fn of(blocks: usize) -> Self {
        let chain = Self::default();
        (0..blocks).for_each(|_| chain.mine(vec![]));
        chain
    }

    fn mine(&self, events: Vec<JobEvent>) {
        let mut blocks = self.blocks.lock().unwrap();
        let parent = blocks.last().map_or([0; 32], |block| block.hash);
        let hash = keccak(&[
            &parent,
            &[*self.salt.lock().unwrap()],
            format!("{events:?}").as_bytes(),
        ]);
        blocks.push(Block { hash, events });
    }

    /// Replaces everything after `to` by other, empty blocks, as many.
    fn reorganise(&self, to: u64) {
        let gone = self.cut(to);
        (0..gone).for_each(|_| self.mine(vec![]));
    }

    /// Drops everything after `to`; what is mined next differs.
    fn cut(&self, to: u64) -> usize {
        *self.salt.lock().unwrap() += 1;
        let mut blocks = self.blocks.lock().unwrap();
        let kept = usize::try_from(to).unwrap() + 1;
        let gone = blocks.len().saturating_sub(kept);
        blocks.truncate(kept);
        gone
    }

    fn show(&self, number: u64) -> Option<(Header, Vec<JobEvent>)> {
        let blocks = self.blocks.lock().unwrap();
        let at = usize::try_from(number).unwrap();
        let block = blocks.get(at)?;
        let header = Header {
            number,
            hash: block.hash,
            parent: at
                .checked_sub(1)
                .map_or([0; 32], |before| blocks[before].hash),
            time: 1_000 + number,
        };
        Some((header, block.events.clone()))
    }
}

impl Source for Chain {
    async fn head(&self) -> Result<Header, SourceError> {
        let shown = self.blocks.lock().unwrap().len() - *self.lag.lock().unwrap();
        Ok(self.show(shown as u64 - 1).unwrap().0)
    }

    async fn header(&self, number: u64) -> Result<Option<Header>, SourceError> {
        Ok(self.show(number).map(|(header, _)| header))
    }

    async fn events_in(&self, block: &Header) -> Result<Vec<JobEvent>, SourceError> {
        match self.show(block.number) {
            Some((header, events)) if header.hash == block.hash => Ok(events),
            _ => Err(SourceError::Failed("unknown block".to_owned())),
        }
    }

    async fn events_between(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, JobEvent)>, SourceError> {
        let blocks = (from..=to).filter_map(|number| self.show(number));
        Ok(blocks
            .flat_map(|(header, events)| {
                events.into_iter().map(move |event| (header.number, event))
            })
            .collect())
    }
}

fn asked(nonce: u64) -> NewJob {
    let job = job(nonce);
    NewJob {
        id: job.id(&contract()),
        job,
        input: Some(b"input".to_vec()),
        assured: false,
    }
}

fn requested(nonce: u64) -> JobEvent {
    JobEvent::Requested(Box::new(asked(nonce)))
}

fn answered(nonce: u64) -> JobEvent {
    JobEvent::Settled(asked(nonce).id, Outcome::Answered)
}

struct Site {
    folder: tempfile::TempDir,
    store: Store,
    follower: Follower,
}

impl Site {
    async fn new() -> Self {
        Self::keeping(FINAL_DEPTH).await
    }

    async fn keeping(final_depth: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Database::Folder(folder.path().to_owned()))
            .await
            .unwrap();
        let follower = Follower {
            contract: contract(),
            first: Some(0),
            final_depth,
        };
        Self {
            folder,
            store,
            follower,
        }
    }

    async fn restart(self) -> Self {
        self.store.close().await;
        let Self {
            folder,
            store,
            follower,
        } = self;
        drop(store);
        let store = Store::open(&Database::Folder(folder.path().to_owned()))
            .await
            .unwrap();
        Self {
            folder,
            store,
            follower,
        }
    }

    /// Follows to the head.
    async fn follow(&self, chain: &Chain) -> Progress {
        let mut all = Progress::default();
        loop {
            let now = self.follower.advance(&self.store, chain).await.unwrap();
            all.taken_back += now.taken_back;
            all.head = now.head;
            if now.behind == 0 {
                return all;
            }
        }
    }

    async fn standing(&self, nonce: u64) -> Option<Standing> {
        let mut tx = self.store.read().await.unwrap();
        let row = JobRow::get(&mut tx, &asked(nonce).id).await.unwrap();
        row.map(|row| row.state.standing)
    }
}

fn settled(requested: u64, block: u64) -> Standing {
    let outcome = Outcome::Answered;
    Standing::Settled {
        requested,
        block,
        outcome,
    }
}

#[tokio::test]
async fn events_are_found_far_back_and_at_the_head() {
    let chain = Chain::of(1);
    chain.mine(vec![requested(1)]);
    (0..2_500).for_each(|_| chain.mine(vec![]));
    chain.mine(vec![answered(1), requested(2)]);
    let site = Site::new().await;
    let progress = site.follow(&chain).await;
    assert_eq!(progress.head.unwrap().number, 2_502);
    assert_eq!(site.standing(1).await, Some(settled(1, 2_502)));
    assert_eq!(site.standing(2).await, Some(Standing::Requested(2_502)));
}

#[tokio::test]
async fn a_reorganisation_takes_back_what_happened_in_its_blocks() {
    let chain = Chain::of(3);
    chain.mine(vec![requested(1)]);
    chain.mine(vec![answered(1), requested(2)]);
    let site = Site::new().await;
    site.follow(&chain).await;
    assert_eq!(site.standing(1).await, Some(settled(3, 4)));

    chain.reorganise(3);
    chain.mine(vec![requested(2)]);
    let progress = site.follow(&chain).await;
    assert_eq!(progress.taken_back, 1);
    assert_eq!(site.standing(1).await, Some(Standing::Requested(3)));
    assert_eq!(site.standing(2).await, Some(Standing::Requested(5)));

    chain.reorganise(2);
    site.follow(&chain).await;
    assert_eq!(site.standing(1).await, Some(Standing::Absent));
    assert_eq!(site.standing(2).await, Some(Standing::Absent));
}

#[tokio::test]
async fn a_node_that_lags_is_waited_for() {
    let chain = Chain::of(3);
    chain.mine(vec![requested(1)]);
    let site = Site::new().await;
    let head = site.follow(&chain).await.head;
    *chain.lag.lock().unwrap() = 3;
    let progress = site.follow(&chain).await;
    assert_eq!((progress.taken_back, progress.head), (0, head));
    assert_eq!(site.standing(1).await, Some(Standing::Requested(3)));
    *chain.lag.lock().unwrap() = 0;
    chain.mine(vec![answered(1)]);
    site.follow(&chain).await;
    assert_eq!(site.standing(1).await, Some(settled(3, 4)));
}

#[tokio::test]
async fn a_shorter_chain_is_believed_when_it_shows_another_block() {
    let chain = Chain::of(6);
    chain.mine(vec![requested(1)]);
    let site = Site::new().await;
    site.follow(&chain).await;
    chain.cut(3);
    assert_eq!(
        site.follow(&chain).await.taken_back,
        0,
        "it may be a node that lags"
    );
    chain.mine(vec![requested(1)]);
    assert_eq!(site.follow(&chain).await.taken_back, 3);
    assert_eq!(site.standing(1).await, Some(Standing::Requested(4)));
}

#[tokio::test]
async fn a_reorganisation_while_nobody_looked_is_found_after_a_restart() {
    let chain = Chain::of(3);
    chain.mine(vec![requested(1)]);
    let site = Site::new().await;
    site.follow(&chain).await;
    let site = site.restart().await;
    chain.reorganise(2);
    (0..3).for_each(|_| chain.mine(vec![]));
    site.follow(&chain).await;
    assert_eq!(site.standing(1).await, Some(Standing::Absent));
}

#[tokio::test]
async fn deeper_than_blocks_are_kept_it_goes_on_from_the_lowest() {
    let chain = Chain::of(1);
    (0..30).for_each(|nonce| chain.mine(vec![requested(nonce)]));
    let site = Site::new().await;
    site.follow(&chain).await;
    chain.reorganise(2);
    chain.mine(vec![requested(90)]);
    let progress = site.follow(&chain).await;
    assert_eq!(progress.head.unwrap().number, 31);
    assert_eq!(site.standing(90).await, Some(Standing::Requested(31)));
    assert_eq!(site.standing(29).await, Some(Standing::Absent));
}

#[tokio::test]
async fn an_event_that_is_not_what_its_id_says_is_passed_over() {
    let chain = Chain::of(1);
    let mut dearer = asked(1);
    dearer.job.request.fee += 1;
    let mut other = asked(2);
    other.input = Some(b"other".to_vec());
    chain.mine(vec![
        JobEvent::Requested(Box::new(dearer)),
        JobEvent::Requested(Box::new(other)),
        requested(3),
    ]);
    let site = Site::new().await;
    site.follow(&chain).await;
    assert_eq!(site.standing(1).await, None);
    assert_eq!(site.standing(2).await, None);
    assert_eq!(site.standing(3).await, Some(Standing::Requested(1)));
}

#[tokio::test]
async fn an_answer_outlives_a_reorganisation() {
    let chain = Chain::of(3);
    chain.mine(vec![requested(1)]);
    let site = Site::new().await;
    site.follow(&chain).await;
    let id = asked(1).id;
    let mut tx = site.store.write().await.unwrap();
    for event in [Event::Laid, Event::Proven] {
        JobRow::on(&mut tx, &id, event, 0).await.unwrap();
    }
    commit(tx).await.unwrap();
    chain.reorganise(2);
    site.follow(&chain).await;
    chain.mine(vec![requested(1)]);
    site.follow(&chain).await;
    let mut tx = site.store.read().await.unwrap();
    let row = JobRow::get(&mut tx, &id).await.unwrap().unwrap();
    assert_eq!(row.state.work, Work::Proven);
    assert_eq!(
        row.asked,
        NewJob {
            input: Some(b"input".to_vec()),
            ..asked(1)
        }
    );
    assert_eq!(row.asked.job.request.input_hash, Digest::of(b"input"));
}

/// What a chain is made to do.
#[derive(Debug, Clone)]
enum Deed {
    Mine(Option<u64>),
    Answer(u64),
    Reorganise(u64),
    Cut(u64),
    Lag(usize),
    Look,
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => prop::option::of(0_u64..6).prop_map(Deed::Mine),
        2 => (0_u64..6).prop_map(Deed::Answer),
        1 => (1_u64..6).prop_map(Deed::Reorganise),
        1 => (1_u64..4).prop_map(Deed::Cut),
        1 => (0_usize..3).prop_map(Deed::Lag),
        4 => Just(Deed::Look),
        1 => Just(Deed::Restart),
    ]
}

/// What the contract itself would say of a job, from the blocks that there are.
fn truth(chain: &Chain, nonce: u64) -> Option<Standing> {
    let blocks = chain.blocks.lock().unwrap();
    let mut standing = None;
    for (number, block) in (0_u64..).zip(blocks.iter()) {
        for event in &block.events {
            match event {
                JobEvent::Requested(new) if **new == asked(nonce) => {
                    standing = Some(Standing::Requested(number))
                }
                JobEvent::Settled(id, _) if *id == asked(nonce).id => {
                    if let Some(Standing::Requested(requested)) = standing {
                        standing = Some(settled(requested, number));
                    }
                }
                _ => {}
            }
        }
    }
    standing
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the chain did in between, what is kept in the end is what the chain says.
    #[test]
    fn what_is_kept_is_what_the_chain_says(deeds in prop::collection::vec(deed(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let chain = Chain::of(10);
            // Nothing that happens here is deeper than this.
            let mut site = Site::keeping(64).await;
            for deed in deeds {
                let height = chain.blocks.lock().unwrap().len() as u64 - 1;
                let open = |nonce| matches!(truth(&chain, nonce), Some(Standing::Requested(_)));
                match deed {
                    Deed::Mine(Some(nonce)) if truth(&chain, nonce).is_none() => chain.mine(vec![requested(nonce)]),
                    Deed::Answer(nonce) if open(nonce) => chain.mine(vec![answered(nonce)]),
                    Deed::Mine(_) | Deed::Answer(_) => chain.mine(vec![]),
                    Deed::Reorganise(depth) => chain.reorganise(height - depth.min(height)),
                    Deed::Cut(depth) if height > depth + 8 => { chain.cut(height - depth); }
                    Deed::Cut(_) => {}
                    Deed::Lag(by) => *chain.lag.lock().unwrap() = by,
                    Deed::Look => { site.follow(&chain).await; }
                    Deed::Restart => site = site.restart().await,
                }
            }
            *chain.lag.lock().unwrap() = 0;
            // A chain that was cut has grown past everything that was seen of it.
            (0..8).for_each(|_| chain.mine(vec![]));
            site.follow(&chain).await;
            for nonce in 0..6 {
                let kept = site.standing(nonce).await.filter(|standing| *standing != Standing::Absent);
                assert_eq!(kept, truth(&chain, nonce), "job {nonce}");
            }
        });
    }
}
