use std::sync::Mutex;

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{DownReason, Slot};
use tempfile::TempDir;

use super::*;
use crate::watch::round::SlotSeen;
use crate::watch::store::{Limits, Store};

/// A contract in memory: it takes words as `UptimeOracle` does.
#[derive(Debug)]
struct Contract {
    schedule: Schedule,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    enrolled: Option<WatcherId>,
    said: BTreeMap<Epoch, Said>,
    deeds: Vec<(&'static str, Epoch)>,
    /// Fail the next deed, after it was done or instead of it.
    fail: Option<bool>,
}

impl Contract {
    fn deed(&self, name: &'static str, epoch: Epoch, said: Said) -> Result<(), ChainFailure> {
        let mut state = self.state.lock().unwrap();
        let fail = state.fail.take();
        if fail != Some(false) {
            state.deeds.push((name, epoch));
            state.said.insert(epoch, said);
        }
        match fail {
            None => Ok(()),
            Some(_) => Err(ChainFailure {
                code: "rpc-unreachable".to_owned(),
                message: "no answer".to_owned(),
                lasts: false,
            }),
        }
    }
}

#[async_trait]
impl Chain for Contract {
    fn domain(&self) -> ContractDomain {
        "31337:0x1111111111111111111111111111111111111111"
            .parse()
            .unwrap()
    }

    fn account(&self) -> EthAddress {
        EthAddress::from_bytes([0x22; 20])
    }

    async fn schedule(&self) -> Result<Schedule, ChainFailure> {
        Ok(self.schedule)
    }

    async fn enrolled(&self) -> Result<Option<WatcherId>, ChainFailure> {
        Ok(self.state.lock().unwrap().enrolled)
    }

    async fn enroll(&self, watcher: WatcherId) -> Result<(), ChainFailure> {
        self.state.lock().unwrap().enrolled = Some(watcher);
        Ok(())
    }

    async fn said(&self, epoch: Epoch) -> Result<Said, ChainFailure> {
        let state = self.state.lock().unwrap();
        Ok(state.said.get(&epoch).copied().unwrap_or(Said::Nothing))
    }

    async fn commit(&self, epoch: Epoch, seal: Word) -> Result<(), ChainFailure> {
        self.deed("commit", epoch, Said::Sealed(seal))
    }

    async fn reveal(&self, epoch: Epoch, salt: [u8; 32], root: Hash) -> Result<(), ChainFailure> {
        let said = self.state.lock().unwrap().said[&epoch];
        let id = self.state.lock().unwrap().enrolled.unwrap();
        let commitment = commitment(&self.schedule, &id, epoch, &salt, &root);
        let sealed = seal(&self.domain(), &self.account(), &salt, &commitment);
        assert_eq!(
            said,
            Said::Sealed(sealed),
            "what is revealed was committed to"
        );
        self.deed("reveal", epoch, Said::Revealed)
    }
}

/// Ten minutes are one epoch: the last is committed to now, the one before it is revealed.
fn schedule() -> Schedule {
    Schedule::new(600_000, 1, 1, 1, 4).unwrap()
}

struct Setting {
    speaker: Speaker,
    state: Arc<Mutex<State>>,
    last: Epoch,
    _folder: TempDir,
}

/// A watcher that saw a node in the last two epochs.
fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        bytes: 1 << 20,
        slots: 100,
    };
    let mut store = Store::open(folder.path(), schedule(), limits).unwrap();
    let current = schedule().epoch_of(schedule().slot_at(unix_ms()));
    for slot in [current.0 - 2, current.0 - 1] {
        let nodes = vec![(NodeId::from_random([1; 16]), Err(DownReason::Timeout))];
        let slot = Slot(slot);
        store.keep(SlotSeen { slot, nodes }).unwrap();
    }
    store.seal_before(current).unwrap();
    let state = Arc::default();
    let key = store.key().clone();
    let contract = Contract {
        schedule: schedule(),
        state: Arc::clone(&state),
    };
    Setting {
        speaker: Speaker {
            key,
            schedule: schedule(),
            chain: Box::new(contract),
            store: Shared::new(store),
            meters: Meters::new().0,
        },
        state,
        last: Epoch(current.0 - 1),
        _folder: folder,
    }
}

impl Setting {
    /// One look at every open epoch, as a process that has just started.
    async fn look(&self, heard: &mut BTreeMap<Epoch, Option<Said>>) {
        let open = self.speaker.store.lock().open_at(unix_ms());
        assert_eq!(open, [Epoch(self.last.0 - 1), self.last]);
        for epoch in open {
            self.speaker.advance(epoch, heard).await.unwrap();
        }
    }

    fn deeds(&self) -> Vec<(&'static str, Epoch)> {
        self.state.lock().unwrap().deeds.clone()
    }

    async fn check(&self) -> Result<(), ChainFailure> {
        let Speaker { chain, key, .. } = &self.speaker;
        check(chain.as_ref(), key, &schedule()).await
    }

    /// As if this watcher had committed to the epoch before the last.
    fn committed_before(&self) {
        let epoch = Epoch(self.last.0 - 1);
        let speaker = &self.speaker;
        let rows = speaker.store.lock().sealed_rows(epoch).unwrap();
        let root = scores_root(&rows).unwrap();
        let salt = *speaker.key.epoch_secret(epoch).salt();
        let commitment = commitment(&schedule(), &speaker.key.id(), epoch, &salt, &root);
        let own = seal(
            &speaker.chain.domain(),
            &speaker.chain.account(),
            &salt,
            &commitment,
        );
        let mut state = self.state.lock().unwrap();
        state.said.insert(epoch, Said::Sealed(own));
    }
}

#[tokio::test]
async fn each_word_is_said_once_in_its_time_whoever_dies_in_between() {
    let setting = setting();
    setting.check().await.unwrap();
    setting.committed_before();
    let (before, last) = (Epoch(setting.last.0 - 1), setting.last);
    for _ in 0..3 {
        // Nothing is remembered, as after a kill.
        setting.look(&mut BTreeMap::new()).await;
    }
    assert_eq!(setting.deeds(), [("reveal", before), ("commit", last)]);
    let mut heard = BTreeMap::new();
    for _ in 0..3 {
        setting.look(&mut heard).await;
    }
    assert_eq!(setting.deeds().len(), 2);
}

#[tokio::test]
async fn what_failed_is_said_again_unless_it_was_mined_all_the_same() {
    for mined in [false, true] {
        let setting = setting();
        setting.check().await.unwrap();
        setting.state.lock().unwrap().fail = Some(mined);
        let mut heard = BTreeMap::new();
        for _ in 0..3 {
            setting.look(&mut heard).await;
        }
        assert_eq!(setting.deeds(), [("commit", setting.last)], "mined {mined}");
    }
}

#[tokio::test]
async fn an_epoch_that_was_not_committed_to_in_time_is_left_alone() {
    let setting = setting();
    setting.check().await.unwrap();
    setting.look(&mut BTreeMap::new()).await;
    let before = Epoch(setting.last.0 - 1);
    assert!(setting.deeds().iter().all(|(_, epoch)| *epoch != before));
}

#[tokio::test]
async fn what_the_account_committed_to_otherwise_is_not_revealed() {
    let setting = setting();
    setting.check().await.unwrap();
    let before = Epoch(setting.last.0 - 1);
    let other = Said::Sealed([9; 32]);
    setting.state.lock().unwrap().said.insert(before, other);
    setting.look(&mut BTreeMap::new()).await;
    assert_eq!(setting.deeds(), [("commit", setting.last)]);
}

#[tokio::test]
async fn an_account_is_enrolled_once_and_for_one_watcher() {
    let setting = setting();
    setting.check().await.unwrap();
    let own = setting.speaker.key.id();
    assert_eq!(setting.state.lock().unwrap().enrolled, Some(own));
    setting.check().await.unwrap();
    let other = WatcherId::from_public_key([9; 32]);
    setting.state.lock().unwrap().enrolled = Some(other);
    let failure = setting.check().await.unwrap_err();
    assert_eq!(failure.code, "watcher-enrolled-otherwise");
    assert!(failure.lasts);
}

#[tokio::test]
async fn a_contract_that_cuts_time_otherwise_is_refused() {
    let mut setting = setting();
    for other in [
        Schedule::new(500_000, 1, 1, 1, 4).unwrap(),
        Schedule::new(600_000, 2, 2, 1, 4).unwrap(),
        Schedule::new(600_000, 1, 1, 2, 4).unwrap(),
        Schedule::new(600_000, 1, 1, 1, 5).unwrap(),
    ] {
        let state = Arc::clone(&setting.state);
        let schedule = other;
        setting.speaker.chain = Box::new(Contract { schedule, state });
        let failure = setting.check().await.unwrap_err();
        assert_eq!(failure.code, "uptime-schedule-differs");
    }
    // The length of windows is no concern of a watcher's.
    let schedule = Schedule::new(600_000, 1, 144, 1, 4).unwrap();
    let state = Arc::clone(&setting.state);
    setting.speaker.chain = Box::new(Contract { schedule, state });
    setting.check().await.unwrap();
}
