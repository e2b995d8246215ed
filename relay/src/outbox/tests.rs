use proptest::prelude::*;

use super::*;

fn entry() -> Entry {
    Entry {
        nonce: 7,
        phase: Phase::Open,
        gas: 200_000,
        fees: Fees { max: 100, tip: 10 },
        ceiling: 1_000,
        offered_at: 50,
        is_cancel: false,
    }
}

fn look() -> Look {
    Look {
        head: 51,
        final_nonces: 7,
        used_nonces: 7,
        mined: None,
        wanted: true,
        offer: Fees { max: 100, tip: 10 },
        patience: 3,
    }
}

#[test]
fn what_waits_is_sent_again_and_offers_more_after_a_while() {
    assert_eq!(entry().step(&look()), Step::Send);
    let late = Look { head: 53, ..look() };
    assert_eq!(entry().step(&late), Step::Raise(Fees { max: 113, tip: 12 }));
    let dear = Look {
        offer: Fees {
            max: 5_000,
            tip: 700,
        },
        ..late
    };
    assert_eq!(
        entry().step(&dear),
        Step::Raise(Fees {
            max: 1_000,
            tip: 700
        })
    );
    let worth = Entry {
        ceiling: 112,
        ..entry()
    };
    assert_eq!(worth.step(&late), Step::Send, "it is not worth more");
    let behind = Look {
        used_nonces: 6,
        ..late
    };
    assert_eq!(entry().step(&behind), Step::Send, "others come first");
}

#[test]
fn what_has_no_use_frees_its_nonce() {
    let unwanted = Look {
        wanted: false,
        ..look()
    };
    assert_eq!(
        entry().step(&unwanted),
        Step::Cancel(Fees { max: 113, tip: 12 })
    );
    let cancelled = Entry {
        is_cancel: true,
        ceiling: 0,
        ..entry()
    };
    assert_eq!(cancelled.step(&unwanted), Step::Send);
    let late = Look {
        head: 60,
        ..unwanted
    };
    assert_eq!(
        cancelled.step(&late),
        Step::Cancel(Fees { max: 113, tip: 12 })
    );
}

#[test]
fn a_nonce_that_is_used_up_is_ours_or_lost() {
    let used = Look {
        used_nonces: 8,
        wanted: false,
        head: 90,
        ..look()
    };
    assert_eq!(entry().step(&used), Step::Wait, "a receipt may come late");
    let mined = Look {
        mined: Some((51, false)),
        ..used
    };
    assert_eq!(
        entry().step(&mined),
        Step::Mined {
            block: 51,
            succeeded: false
        }
    );
    let others = Look {
        final_nonces: 8,
        ..used
    };
    assert_eq!(entry().step(&others), Step::Lose);
}

#[test]
fn what_was_mined_is_open_again_when_its_block_goes() {
    let mined = Entry {
        phase: Phase::Mined {
            block: 51,
            succeeded: true,
        },
        ..entry()
    };
    assert_eq!(mined.step(&look()), Step::Wait);
    assert_eq!(mined.rolled_back(51), mined);
    assert_eq!(mined.rolled_back(50).phase, Phase::Open);
}

prop_compose! {
    fn any_look()(head in 0_u64..200, used in 0_u64..12, deep in 0_u64..12, mined in prop::option::of((0_u64..200, any::<bool>())),
                  wanted: bool, max in 0_u128..1 << 70, tip in 0_u128..1 << 40) -> Look {
        Look { head, final_nonces: deep.min(used), used_nonces: used, mined, wanted, offer: Fees { max: max.max(tip), tip }, patience: 3 }
    }
}

proptest! {
    /// Every replacement is one that nodes take, and none but a freed nonce costs more than it is worth.
    #[test]
    fn replacements_are_taken_and_worth_it(looks in prop::collection::vec(any_look(), 1..40), ceiling in 100_u128..1 << 60) {
        let mut entry = Entry { ceiling, ..entry() };
        for look in looks {
            match entry.step(&look) {
                Step::Raise(fees) => {
                    prop_assert!(look.wanted || entry.is_cancel);
                    prop_assert!(!entry.is_cancel && fees.max <= ceiling);
                    prop_assert!(fees.max * 10 >= entry.fees.max * 11 && (fees.tip * 10 >= entry.fees.tip * 11 || fees.tip == fees.max));
                    prop_assert!(fees.tip <= fees.max);
                    (entry.fees, entry.offered_at) = (fees, look.head);
                }
                Step::Cancel(fees) => {
                    prop_assert!(fees.max * 10 >= entry.fees.max * 11 && fees.tip <= fees.max);
                    (entry.fees, entry.offered_at, entry.is_cancel) = (fees, look.head, true);
                }
                Step::Mined { block, succeeded } => {
                    prop_assert_eq!(look.mined, Some((block, succeeded)));
                    entry.phase = Phase::Mined { block, succeeded };
                    prop_assert_eq!(entry.step(&look), Step::Wait);
                    entry = entry.rolled_back(0);
                    if block > 0 { prop_assert_eq!(entry.phase, Phase::Open); } else { return Ok(()); }
                }
                Step::Lose => {
                    prop_assert!(look.final_nonces > entry.nonce && look.mined.is_none());
                    return Ok(());
                }
                Step::Send => prop_assert!(look.used_nonces <= entry.nonce),
                Step::Wait => prop_assert!(look.used_nonces > entry.nonce),
            }
        }
    }
}
