use nacre_protocol::merkle::verify_inclusion;
use nacre_protocol::uptime::{DownReason, scores_root};

use super::*;

fn schedule() -> Schedule {
    Schedule::new(1_000, 4, 8, 2, 4).unwrap()
}

fn node(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn watcher(n: u8) -> WatcherId {
    WatcherId::from_public_key([n; 32])
}

fn account(n: u8) -> Address {
    Address::from([n; 20])
}

fn accounts() -> BTreeMap<WatcherId, Address> {
    // Not in the accounts' order.
    [1, 2, 3].map(|n| (watcher(n), account(10 - n))).into()
}

const DOWN: u8 = DownReason::Timeout as u8;

/// What a watcher says of three nodes; `outcomes` is the second's.
fn reveal(by: u8, epoch: u64, outcomes: [u8; 4]) -> PostReveal {
    let row = |n: u8, outcomes: [u8; 4]| Row {
        node: node(n),
        outcomes: outcomes.to_vec(),
        evidence_root: [n; 32],
    };
    PostReveal {
        watcher: watcher(by),
        epoch: Epoch(epoch),
        salt: [by; 32],
        rows: vec![row(1, [1; 4]), row(2, outcomes), row(3, [1; 4])],
        signature: [0; 64],
    }
}

fn shown(reveals: &[PostReveal]) -> Result<Vec<abi::EpochRows>, AccusationError> {
    evidence(&schedule(), &accounts(), reveals, node(2), Window(5))
}

#[test]
fn rows_rise_by_epoch_and_account_and_lead_to_their_roots() {
    let reveals = [
        reveal(1, 11, [DOWN; 4]),
        reveal(2, 10, [1, DOWN, 1, 0]),
        reveal(1, 10, [DOWN; 4]),
    ];
    let rows = shown(&reveals).unwrap();
    let order: Vec<(u64, Vec<Address>)> = rows
        .iter()
        .map(|epoch| {
            (
                epoch.epoch,
                epoch.rows.iter().map(|row| row.watcher).collect(),
            )
        })
        .collect();
    assert_eq!(
        order,
        [(10, vec![account(8), account(9)]), (11, vec![account(9)])]
    );
    for (row, told) in [
        (&rows[0].rows[0], &reveals[1]),
        (&rows[0].rows[1], &reveals[2]),
    ] {
        let root = scores_root(&told.rows).unwrap();
        assert_eq!(row.root, B256::from(root));
        assert_eq!(row.salt, B256::from(told.salt));
        let path: Vec<[u8; 32]> = row.path.iter().map(|hash| hash.0).collect();
        let leaf = told.rows[1].leaf();
        verify_inclusion(&leaf, row.index, row.size, &path, &root).unwrap();
    }
}

#[test]
fn who_saw_it_up_other_windows_strangers_and_repeats_are_left_out() {
    let reveals = [
        reveal(1, 10, [DOWN; 4]),
        reveal(1, 10, [1; 4]),
        reveal(2, 10, [1; 4]),
        reveal(3, 9, [DOWN; 4]),
        reveal(3, 12, [DOWN; 4]),
        reveal(4, 10, [DOWN; 4]),
    ];
    let rows = shown(&reveals).unwrap();
    assert_eq!((rows.len(), rows[0].epoch, rows[0].rows.len()), (1, 10, 1));
    assert_eq!(rows[0].rows[0].watcher, account(9));
    assert_eq!(rows[0].rows[0].outcomes.to_vec(), [DOWN; 4]);
}

#[test]
fn nothing_accuses_a_node_that_nobody_saw_down() {
    for reveals in [vec![], vec![reveal(1, 10, [1; 4]), reveal(2, 9, [DOWN; 4])]] {
        let error = shown(&reveals).unwrap_err();
        assert_eq!(error, AccusationError::Nothing(5));
    }
    let mut other = reveal(1, 10, [DOWN; 4]);
    other.rows.remove(1);
    assert_eq!(shown(&[other]).unwrap_err().code(), "nothing-to-accuse");
}

#[test]
fn a_reveal_of_other_lengths_is_refused() {
    let mut odd = reveal(1, 10, [DOWN; 4]);
    odd.rows[1].outcomes.push(DOWN);
    assert_eq!(shown(&[odd]).unwrap_err().code(), "reveal-malformed");
}
