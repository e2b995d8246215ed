use std::sync::Arc;

use k256::ecdsa::SigningKey;

use super::*;

const BOOT: BootId = BootId::from_random([2; 16]);
/// Long enough to wait for what does not come.
const SHORT: Duration = Duration::from_millis(20);

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn lease(number: u16) -> Option<LeaseId> {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Some(LeaseId::from_random(bytes))
}

fn used(micros: u64) -> Used {
    Used {
        compute_micros: micros,
        bytes_in: 10,
        bytes_out: 1,
    }
}

/// Signs what is due, as the meter does.
fn round(ledger: &mut Ledger, now: Instant) -> Vec<UsageReceipt> {
    let due = ledger.take_due(now, BOOT);
    let signed = due.iter().map(|receipt| receipt.sign(&key()));
    ledger.issued.extend(signed);
    due
}

fn clock() -> AttestedClock {
    let clock = AttestedClock::default();
    let now = std::time::Instant::now();
    clock.observe(1_700_000_000_000, now, now);
    clock
}

fn meter() -> Arc<UsageMeter> {
    Arc::new(UsageMeter::new(BOOT, Receipts::start(key()).unwrap()))
}

#[test]
fn sums_are_by_lease_and_caller() {
    let (mut ledger, start) = (Ledger::default(), Instant::now());
    ledger.add((lease(1), ANONYMOUS), used(5));
    ledger.add((lease(1), [1; 32]), used(7));
    ledger.add((lease(1), ANONYMOUS), used(6));
    ledger.add((lease(2), ANONYMOUS), used(8));
    let sums: Vec<_> = round(&mut ledger, start)
        .into_iter()
        .map(|r| (r.seq, r.lease, r.caller, r.compute_micros, r.bytes_in))
        .collect();
    assert_eq!(
        sums,
        [
            (1, lease(1), ANONYMOUS, 11, 20),
            (2, lease(1), [1; 32], 7, 10),
            (3, lease(2), ANONYMOUS, 8, 10),
        ]
    );
    assert_eq!(ledger.next_round(), None);
}

#[test]
fn rounds_keep_their_distance() {
    let (mut ledger, start) = (Ledger::default(), Instant::now());
    ledger.add((None, ANONYMOUS), used(1));
    assert_eq!(round(&mut ledger, start).len(), 1);
    ledger.add((None, ANONYMOUS), used(2));
    ledger.add((None, ANONYMOUS), used(3));
    assert_eq!(ledger.next_round(), Some(start + INTERVAL));
    let early = start + INTERVAL - Duration::from_millis(1);
    assert_eq!(round(&mut ledger, early), []);
    let due = round(&mut ledger, start + INTERVAL);
    assert_eq!((due.len(), due[0].seq, due[0].compute_micros), (1, 2, 5));
}

#[test]
fn without_room_sums_grow_and_nothing_is_lost() {
    let (mut ledger, mut now) = (Ledger::default(), Instant::now());
    let leases = 300;
    for number in 0..leases {
        ledger.add((lease(number), ANONYMOUS), used(1));
    }
    assert_eq!(round(&mut ledger, now).len(), MAX_ISSUED);
    for number in 0..leases {
        ledger.add((lease(number), ANONYMOUS), used(10));
    }
    now += INTERVAL;
    assert_eq!(round(&mut ledger, now), [], "there is no room");
    assert_eq!(ledger.next_round(), None, "so there is nothing to wait for");

    let (mut micros, mut next) = (0, 1);
    for _ in 0..10 {
        let page = ledger.after(next - 1);
        for signed in &page {
            assert_eq!(signed.receipt.seq, next);
            next += 1;
            micros += signed.receipt.compute_micros;
        }
        ledger.acknowledge(next - 1).unwrap();
        now += INTERVAL;
        round(&mut ledger, now);
    }
    assert_eq!(micros, u32::from(leases) * 11);
}

#[test]
fn what_is_acknowledged_is_forgotten_and_only_what_was_issued_can_be() {
    let (mut ledger, start) = (Ledger::default(), Instant::now());
    assert!(ledger.acknowledge(1).is_err());
    assert_eq!(ledger.acknowledge(0), Ok(()));
    for number in 1..=3 {
        ledger.add((lease(number), ANONYMOUS), used(1));
    }
    round(&mut ledger, start);
    let issued = 3;
    assert_eq!(ledger.acknowledge(4), Err(NotIssued { through: 4, issued }));
    ledger.acknowledge(2).unwrap();
    let left: Vec<_> = ledger.after(0).iter().map(|s| s.receipt.seq).collect();
    assert_eq!(left, [3]);
    ledger.acknowledge(3).unwrap();
    assert_eq!(ledger.acknowledge(3), Ok(()), "again is no error");
    assert!(ledger.acknowledge(4).is_err());
}

#[test]
fn a_sum_beyond_the_receipts_field_takes_several() {
    let (mut ledger, start) = (Ledger::default(), Instant::now());
    let long = u64::from(u32::MAX) * 2 + 5;
    ledger.add((lease(1), ANONYMOUS), used(long));
    let due = round(&mut ledger, start);
    let micros: u64 = due.iter().map(|r| u64::from(r.compute_micros)).sum();
    let bytes: u64 = due.iter().map(|r| r.bytes_in).sum();
    assert_eq!((micros, bytes, due.len()), (long, 10, 3));
    assert!(due.iter().zip(1..).all(|(receipt, seq)| receipt.seq == seq));
}

#[test]
fn accounts_beyond_the_limit_are_added_up_as_nobodys() {
    let mut ledger = Ledger::default();
    for number in 0..MAX_OPEN + 10 {
        let number = u16::try_from(number).unwrap();
        ledger.add((lease(number), ANONYMOUS), used(1));
    }
    assert!(ledger.open.len() <= MAX_OPEN + 1);
    let micros: u64 = ledger.open.values().map(|used| used.compute_micros).sum();
    assert_eq!(micros, MAX_OPEN as u64 + 10);
}

#[tokio::test]
async fn who_waits_gets_the_next_usage() {
    let (meter, clock) = (meter(), Arc::new(clock()));
    assert_eq!(meter.page(0, SHORT, &clock).await, []);
    let waiting = tokio::spawn({
        let (meter, clock) = (Arc::clone(&meter), Arc::clone(&clock));
        async move { meter.page(0, Duration::from_secs(60), &clock).await }
    });
    tokio::task::yield_now().await;
    meter.record(lease(1), ANONYMOUS, used(1));
    assert_eq!(waiting.await.unwrap().len(), 1);
    // The next round is an interval away, and waited for.
    meter.record(lease(1), ANONYMOUS, used(2));
    let page = meter.page(1, Duration::from_secs(60), &clock).await;
    assert_eq!((page.len(), page[0].receipt.seq), (1, 2));
}

#[tokio::test]
async fn without_attested_time_nothing_is_signed() {
    let (meter, none) = (meter(), AttestedClock::default());
    meter.record(None, ANONYMOUS, used(1));
    assert_eq!(meter.page(0, SHORT, &none).await, []);
    assert_eq!(meter.page(0, Duration::ZERO, &clock()).await.len(), 1);
}

/// Many record while several hosts' requests sign and acknowledge: numbers rise by one, and the sums are those recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_have_no_gap_however_many_record_and_ask() {
    const RECORDERS: u16 = 8;
    const EACH: u64 = 2_000;
    let (meter, clock) = (meter(), Arc::new(clock()));
    let recorders = (0..RECORDERS).map(|number| {
        let meter = Arc::clone(&meter);
        tokio::spawn(async move {
            for _ in 0..EACH {
                meter.record(lease(number % 3), ANONYMOUS, used(1));
                tokio::task::yield_now().await;
            }
        })
    });
    let recorders: Vec<_> = recorders.collect();
    // Others who ask disturb nothing.
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let (meter, clock) = (Arc::clone(&meter), Arc::clone(&clock));
            tokio::spawn(async move {
                for _ in 0..50 {
                    meter.page(0, Duration::ZERO, &clock).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let total = u64::from(RECORDERS) * EACH;
    let (mut micros, mut bytes, mut last) = (0, 0, 0);
    while micros < total {
        let page = meter.page(last, Duration::from_secs(30), &clock).await;
        assert!(!page.is_empty(), "{micros} of {total} arrived");
        for signed in page {
            let receipt = signed.receipt;
            assert_eq!(receipt.seq, last + 1);
            last = receipt.seq;
            micros += u64::from(receipt.compute_micros);
            bytes += receipt.bytes_in;
        }
        meter.acknowledge(last).unwrap();
    }
    assert_eq!((micros, bytes), (total, total * 10));
    for task in recorders.into_iter().chain(askers) {
        task.await.unwrap();
    }
    assert_eq!(meter.page(last, Duration::ZERO, &clock).await, []);
}
