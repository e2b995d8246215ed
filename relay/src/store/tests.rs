//! What both engines must do alike. On PostgreSQL these run by `the_same_holds_on_postgresql`.

use nacre_protocol::eip712::EthAddress;
use tempfile::TempDir;

use super::*;
use crate::job::{Event, Next, Outcome, Present, Standing, Work};
use crate::outbox::{Entry, Phase};
use crate::reason::Reason;
use crate::request::tests::{contract, job};
use crate::worth::Fees;

#[path = "../../../control-plane/tests/it/postgres.rs"]
mod postgres;

#[test]
fn the_same_holds_on_postgresql() {
    postgres::rerun("the_same_holds_on_postgresql");
}

struct Place {
    _folder: TempDir,
    database: Database,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = match postgres::fresh_database() {
            Some(url) => Database::postgres(&url).unwrap(),
            None => Database::Folder(folder.path().to_owned()),
        };
        Self {
            _folder: folder,
            database,
        }
    }

    async fn open(&self) -> Store {
        Store::open(&self.database).await.unwrap()
    }
}

fn asked(nonce: u64) -> NewJob {
    let job = job(nonce);
    NewJob {
        id: job.id(&contract()),
        job,
        input: Some(vec![0, 1, 255]),
        assured: true,
    }
}

fn present() -> Present {
    Present {
        head: 9,
        now: 0,
        confirmations: 1,
        final_depth: 4,
    }
}

fn outgoing(nonce: u64) -> (Outgoing, Signed) {
    let entry = Entry {
        nonce,
        phase: Phase::Open,
        gas: 100_000,
        fees: Fees {
            max: u128::from(u64::MAX) * 4,
            tip: 7,
        },
        ceiling: 1 << 90,
        offered_at: 5,
        is_cancel: false,
    };
    let outgoing = Outgoing {
        entry,
        purpose: Purpose::Submit(asked(1).id),
        target: EthAddress::from_bytes([9; 20]),
        data: vec![1, 2, 3],
    };
    let signed = Signed {
        hash: [u8::try_from(nonce).unwrap(); 32],
        raw: vec![7; 9],
    };
    (outgoing, signed)
}

#[tokio::test]
async fn a_second_relay_is_kept_out_until_the_first_has_gone() {
    let place = Place::new();
    let first = place.open().await;
    first.still_owned().await.unwrap();
    let second = Store::open(&place.database).await.unwrap_err();
    assert!(matches!(second, StoreError::InUse), "{second}");
    first.close().await;
    drop(first);
    place.open().await.close().await;
}

#[tokio::test]
async fn a_database_stays_with_its_contract() {
    let place = Place::new();
    let store = place.open().await;
    let names = |account: &str| {
        [
            ("contract", "0x1".to_owned()),
            ("account", account.to_owned()),
        ]
    };
    store.belongs_to(&names("0x2")).await.unwrap();
    store.belongs_to(&names("0x2")).await.unwrap();
    let refused = store.belongs_to(&names("0x3")).await.unwrap_err();
    assert!(
        refused.to_string().starts_with("database-of-another: "),
        "{refused}"
    );
}

#[tokio::test]
async fn a_job_is_kept_with_everything_that_happened_to_it() {
    let store = Place::new().open_forgotten().await;
    let id = asked(1).id;
    let mut tx = store.write().await.unwrap();
    JobRow::requested(&mut tx, &asked(1), 5, 10).await.unwrap();
    let events = [
        (Event::Laid, Work::Laid),
        (Event::Proven, Work::Proven),
        (Event::Sent(3), Work::Sending(3)),
        (
            Event::Unsent {
                nonce: 3,
                reverted: true,
            },
            Work::Proven,
        ),
        (
            Event::Dropped(Reason::KeyNotRegistered),
            Work::Dropped(Reason::KeyNotRegistered),
        ),
    ];
    for (event, work) in events {
        JobRow::on(&mut tx, &id, event, 11).await.unwrap();
        let row = JobRow::get(&mut tx, &id).await.unwrap().unwrap();
        assert_eq!(row.state.work, work);
        assert_eq!(row.asked, asked(1));
    }
    JobRow::on(&mut tx, &id, Event::Settled(6, Outcome::Cancelled), 12)
        .await
        .unwrap();
    let row = JobRow::get(&mut tx, &id).await.unwrap().unwrap();
    assert_eq!(row.state.reverts, 1);
    let outcome = Outcome::Cancelled;
    let expected = Standing::Settled {
        requested: 5,
        block: 6,
        outcome,
    };
    assert_eq!(row.state.standing, expected);
    assert_eq!(
        JobRow::on(&mut tx, &asked(2).id, Event::Laid, 0)
            .await
            .unwrap(),
        None
    );
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn only_what_is_due_is_looked_at_and_a_change_makes_it_due() {
    let store = Place::new().open_forgotten().await;
    let mut tx = store.write().await.unwrap();
    for nonce in 0..3 {
        JobRow::requested(&mut tx, &asked(nonce), nonce, 0)
            .await
            .unwrap();
    }
    JobRow::wait_until(&mut tx, &asked(0).id, 100)
        .await
        .unwrap();
    JobRow::finish(&mut tx, &asked(1).id).await.unwrap();
    async fn due(tx: &mut Transaction, now: u64) -> Vec<u64> {
        let rows = JobRow::due(tx, now, &present(), 10).await.unwrap();
        rows.iter().map(|row| row.asked.job.nonce).collect()
    }
    assert_eq!(due(&mut tx, 99).await, [2]);
    assert_eq!(due(&mut tx, 100).await, [2, 0]);
    JobRow::on(&mut tx, &asked(0).id, Event::Laid, 50)
        .await
        .unwrap();
    assert_eq!(due(&mut tx, 99).await, [0, 2]);
    let census = JobRow::census(&mut tx).await.unwrap();
    let mut census: Vec<_> = census.iter().map(|(what, n)| (what.as_str(), *n)).collect();
    census.sort_unstable();
    assert_eq!(census, [("fresh", 2), ("laid", 1)]);
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn what_only_waits_is_not_looked_at_until_it_is_over() {
    let store = Place::new().open_forgotten().await;
    let mut tx = store.write().await.unwrap();
    for nonce in 0..2 {
        JobRow::requested(&mut tx, &asked(nonce), 1, 0)
            .await
            .unwrap();
    }
    JobRow::on(
        &mut tx,
        &asked(0).id,
        Event::Dropped(Reason::FeeBelowCost),
        0,
    )
    .await
    .unwrap();
    JobRow::on(
        &mut tx,
        &asked(1).id,
        Event::Settled(9, Outcome::Answered),
        0,
    )
    .await
    .unwrap();
    let deadline = asked(0).job.request.deadline;
    for (head, now, expected) in [
        (9, deadline, 0),
        (11, deadline, 0),
        (12, deadline, 1),
        (12, deadline + 1, 2),
    ] {
        let present = Present {
            head,
            now,
            ..present()
        };
        let due = JobRow::due(&mut tx, 0, &present, 10).await.unwrap();
        assert_eq!(due.len(), expected, "at {head}, {now}");
        for row in due {
            assert_eq!(row.state.next(&present, deadline), Next::Finish);
        }
    }
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn an_answer_is_replaced_and_forgotten_with_its_job() {
    let store = Place::new().open_forgotten().await;
    let mut tx = store.write().await.unwrap();
    JobRow::requested(&mut tx, &asked(1), 5, 0).await.unwrap();
    let id = asked(1).id;
    let mut answer = Answer {
        status: 0,
        executed_ms: 7,
        payee: EthAddress::from_bytes([1; 20]),
        signer: EthAddress::from_bytes([2; 20]),
        output: vec![],
        signature: vec![3; 65],
    };
    for output in [vec![1_u8], vec![0; 70_000]] {
        answer.output = output;
        answer.keep(&mut tx, &id).await.unwrap();
        assert_eq!(
            Answer::of(&mut tx, &id).await.unwrap(),
            Some(answer.clone())
        );
    }
    JobRow::finish(&mut tx, &id).await.unwrap();
    assert_eq!(Answer::of(&mut tx, &id).await.unwrap(), None);
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn a_nonce_is_kept_with_all_that_was_signed_for_it() {
    let place = Place::new();
    let store = place.open().await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(Outgoing::next_nonce(&mut tx, 4).await.unwrap(), 4);
    let (four, signed) = outgoing(4);
    four.keep(&mut tx, &signed, 10).await.unwrap();
    assert_eq!(Outgoing::next_nonce(&mut tx, 4).await.unwrap(), 5);
    assert_eq!(Outgoing::next_nonce(&mut tx, 9).await.unwrap(), 9);
    let mut raised = four.entry;
    raised.fees.max += 1;
    let dearer = Signed {
        hash: [99; 32],
        raw: vec![1],
    };
    Outgoing::replaced(&mut tx, &raised, &dearer).await.unwrap();
    commit(tx).await.unwrap();
    store.close().await;
    drop(store);

    let store = place.open().await;
    let mut tx = store.write().await.unwrap();
    let open = Outgoing::open(&mut tx).await.unwrap();
    assert_eq!(
        open,
        [Outgoing {
            entry: raised,
            ..four.clone()
        }]
    );
    assert_eq!(
        Signed::of(&mut tx, 4).await.unwrap(),
        [dearer, signed.clone()]
    );
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(
        four.keep(&mut tx, &signed, 10).await.is_err(),
        "a nonce is used once"
    );
}

#[tokio::test]
async fn what_was_mined_is_open_again_after_a_reorganisation_and_final_after_a_while() {
    let store = Place::new().open_forgotten().await;
    let mut tx = store.write().await.unwrap();
    for nonce in [4, 5] {
        let (outgoing, signed) = outgoing(nonce);
        outgoing.keep(&mut tx, &signed, 10).await.unwrap();
        let phase = Phase::Mined {
            block: nonce + 10,
            succeeded: true,
        };
        Outgoing::became(&mut tx, nonce, phase, Some(21))
            .await
            .unwrap();
    }
    let open = |open: Vec<Outgoing>| open.iter().map(|o| o.entry.nonce).collect::<Vec<_>>();
    assert_eq!(open(Outgoing::open(&mut tx).await.unwrap()), [0_u64; 0]);
    let reserve = outgoing(5).0.entry.reserve();
    assert_eq!(Outgoing::spent_since(&mut tx, 0, None).await.unwrap(), 42);
    BlockRef::roll_back(&mut tx, 14, 0).await.unwrap();
    assert_eq!(open(Outgoing::open(&mut tx).await.unwrap()), [5]);
    assert_eq!(
        Outgoing::spent_since(&mut tx, 0, None).await.unwrap(),
        21 + reserve
    );
    assert_eq!(
        Outgoing::spent_since(&mut tx, 0, Some(5)).await.unwrap(),
        21
    );
    assert_eq!(
        Outgoing::spent_since(&mut tx, 11, None).await.unwrap(),
        reserve,
        "what is open may cost yet"
    );
    Outgoing::settle_until(&mut tx, 14).await.unwrap();
    assert_eq!(Signed::of(&mut tx, 4).await.unwrap(), []);
    BlockRef::roll_back(&mut tx, 0, 0).await.unwrap();
    assert_eq!(
        open(Outgoing::open(&mut tx).await.unwrap()),
        [5],
        "what is final stays"
    );
    assert_eq!(Outgoing::next_nonce(&mut tx, 0).await.unwrap(), 6);
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn going_back_tells_every_job_that_it_concerns() {
    let store = Place::new().open_forgotten().await;
    let mut tx = store.write().await.unwrap();
    for number in 1..=6 {
        let block = BlockRef {
            number,
            hash: [number as u8; 32],
            time: number,
        };
        block.push(&mut tx).await.unwrap();
        JobRow::requested(&mut tx, &asked(number), number, 0)
            .await
            .unwrap();
    }
    JobRow::on(
        &mut tx,
        &asked(2).id,
        Event::Settled(5, Outcome::Answered),
        0,
    )
    .await
    .unwrap();
    JobRow::finish(&mut tx, &asked(2).id).await.unwrap();
    BlockRef::roll_back(&mut tx, 4, 0).await.unwrap();
    assert_eq!(BlockRef::head(&mut tx).await.unwrap().unwrap().number, 4);
    let mut standings = Vec::new();
    for nonce in 1..=6 {
        let row = JobRow::get(&mut tx, &asked(nonce).id)
            .await
            .unwrap()
            .unwrap();
        standings.push(row.state.standing.requested());
        assert_eq!(row.state.standing.settled(), None);
    }
    assert_eq!(standings, [Some(1), Some(2), Some(3), Some(4), None, None]);
    let due = JobRow::due(&mut tx, 0, &present(), 10).await.unwrap();
    assert_eq!(due.len(), 6, "one that was done is not any more");
    assert!(
        due.iter()
            .any(|row| row.state.next(&present(), 9) == Next::LayIn)
    );
    BlockRef::forget_before(&mut tx, 3).await.unwrap();
    let kept = BlockRef::tail(&mut tx).await.unwrap();
    assert_eq!(
        kept.iter().map(|block| block.number).collect::<Vec<_>>(),
        [4, 3]
    );
    commit(tx).await.unwrap();
}

impl Place {
    /// A store whose folder lives as long as the process: for tests that open it once.
    async fn open_forgotten(self) -> Store {
        let store = self.open().await;
        std::mem::forget(self._folder);
        store
    }
}
