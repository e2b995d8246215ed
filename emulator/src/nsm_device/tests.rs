//! A driver in memory: chains in every shape, good and hostile.

use proptest::prelude::*;
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::MockSplitQueue;
use vm_memory::{Bytes as _, GuestAddress};

use super::*;
use crate::faults::{Faults, Timed};
use crate::socket::system_clock;
use crate::testing::DevNsm;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const REQUEST: u64 = 0x10_0000;
const ROOM: u64 = 0x20_0000;
const RANDOM: &[u8] = b"\x69GetRandom";
const RANDOM_LENGTH: u32 = 22 + 256;

/// One descriptor: address, length, flags, next.
type Part = (u64, u32, u16, u16);

struct Driver {
    memory: GuestMemoryAtomic<Memory>,
    used: Vec<(u32, u32)>,
}

/// Makes chains available, serves the queue until nothing is left in it, and looks at what came back.
fn serve(parts: &[Part], request: &[u8], faults: Faults) -> Driver {
    let memory = Memory::from_ranges(&[(GuestAddress(0), 0x40_0000)]).unwrap();
    memory.write_slice(request, GuestAddress(REQUEST)).unwrap();
    let mock = MockSplitQueue::new(&memory, 16);
    let parts: Vec<_> = parts
        .iter()
        .map(|&(address, length, flags, next)| {
            RawDescriptor::from(Descriptor::new(address, length, flags, next))
        })
        .collect();
    mock.add_desc_chains(&parts, 0).unwrap();
    let mut queue: Queue = mock.create_queue().unwrap();
    let shared = GuestMemoryAtomic::new(memory.clone());
    let guard = shared.memory();
    let mut module = FaultyNsm::new(
        DevNsm::new([[1; 48]; 3], system_clock()).into_module(),
        faults,
        system_clock,
        Duration::ZERO,
    );
    let mut requests = Requests::default();
    while let Some(request) = requests.take(&mut queue, &guard) {
        let answer = module.ask(&request.bytes);
        request.complete(&mut queue, &guard, answer.response);
    }
    let used = (0..mock.used().idx().load())
        .map(|index| {
            let element = mock.used().ring().ref_at(index.into()).unwrap().load();
            (element.id(), element.len())
        })
        .collect();
    Driver {
        memory: shared.clone(),
        used,
    }
}

impl Driver {
    fn read(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory
            .memory()
            .read_slice(&mut bytes, GuestAddress(address))
            .unwrap();
        bytes
    }
}

#[test]
fn a_request_and_its_room_apart_come_back_in_order() {
    let parts = [(REQUEST, 10, 0, 0), (ROOM, 0x3000, WRITE, 0)];
    let driver = serve(&parts, RANDOM, Faults::none());
    assert_eq!(driver.used, [(0, 0), (1, RANDOM_LENGTH)]);
    assert_eq!(
        driver.read(ROOM, 22),
        b"\xa1\x69GetRandom\xa1\x66random\x59\x01\x00"
    );
}

#[test]
fn one_chain_may_hold_both() {
    let parts = [(REQUEST, 10, NEXT, 1), (ROOM, 0x3000, WRITE, 0)];
    let driver = serve(&parts, RANDOM, Faults::none());
    assert_eq!(driver.used, [(0, RANDOM_LENGTH)]);
    assert_eq!(driver.read(ROOM, 11), b"\xa1\x69GetRandom");
}

#[test]
fn a_request_in_pieces_is_put_together() {
    let parts = [
        (REQUEST, 3, NEXT, 1),
        (REQUEST + 3, 7, NEXT, 2),
        (ROOM, 20, WRITE | NEXT, 3),
        (ROOM + 20, 0x2000, WRITE, 0),
    ];
    let driver = serve(&parts, RANDOM, Faults::none());
    assert_eq!(driver.used, [(0, RANDOM_LENGTH)]);
}

#[test]
fn too_little_room_gets_the_error_or_nothing() {
    let parts = [(REQUEST, 10, 0, 0), (ROOM, 100, WRITE, 0)];
    let driver = serve(&parts, RANDOM, Faults::none());
    assert_eq!(driver.used, [(0, 0), (1, 22)]);
    assert_eq!(driver.read(ROOM, 22), b"\xa1\x65Error\x6eBufferTooSmall");
    let parts = [(REQUEST, 10, 0, 0), (ROOM, 5, WRITE, 0)];
    let driver = serve(&parts, RANDOM, Faults::none());
    assert_eq!(driver.used, [(0, 0), (1, 0)]);
}

#[test]
fn a_long_request_is_refused_and_not_read_to_its_end() {
    let parts = [(REQUEST, 0x10_0000, 0, 0), (ROOM, 0x3000, WRITE, 0)];
    let driver = serve(&parts, RANDOM, Faults::none());
    assert_eq!(driver.used, [(0, 0), (1, 21)]);
    assert_eq!(driver.read(ROOM, 21), b"\xa1\x65Error\x6dInputTooLarge");
}

#[test]
fn chains_that_belong_to_nothing_come_back_empty() {
    // Room without a request, then a request that is abandoned for another.
    let parts = [
        (ROOM, 0x3000, WRITE, 0),
        (REQUEST, 9, 0, 0),
        (REQUEST, 10, 0, 0),
        (ROOM, 0x3000, WRITE, 0),
    ];
    let driver = serve(&parts, RANDOM, Faults::none());
    assert_eq!(driver.used, [(0, 0), (1, 0), (2, 0), (3, RANDOM_LENGTH)]);
}

#[test]
fn what_is_never_answered_still_comes_back() {
    let faults = Faults::none();
    assert!(faults.add(Timed::from_words(["nsm-silence"]).unwrap()));
    let parts = [(REQUEST, 10, 0, 0), (ROOM, 0x3000, WRITE, 0)];
    assert_eq!(serve(&parts, RANDOM, faults).used, [(0, 0), (1, 0)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any descriptors at all: loops, addresses that are no memory, lengths beyond it, flags that do not exist.
    #[test]
    fn no_chain_makes_it_panic(
        parts in proptest::collection::vec((any::<u64>(), any::<u32>(), any::<u16>(), 0u16..20), 1..16),
        near in any::<bool>(),
    ) {
        let parts: Vec<Part> = parts
            .into_iter()
            .map(|(address, length, flags, next)| match near {
                true => (address % 0x40_0000, length % 0x5000, flags & 7, next),
                false => (address, length, flags, next),
            })
            .collect();
        let driver = serve(&parts, RANDOM, Faults::none());
        // Nothing is given back twice, and nothing longer than the longest answer.
        prop_assert!(driver.used.len() <= parts.len());
        prop_assert!(driver.used.iter().all(|&(_, length)| length <= 0x3000));
    }
}
