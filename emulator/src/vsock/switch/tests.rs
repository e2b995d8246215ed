use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use proptest::prelude::*;
use tempfile::TempDir;
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT as _};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use super::*;
use crate::vsock::packet::{HEADER_LEN, Header, Op, SHUTDOWN_BOTH, TYPE_STREAM};
use crate::vsock::queues::{Receive, Ring};
use crate::vsock::wire::{Damage, Side, Trouble, Which, WireFault};

const GUEST_CID: u64 = 16;
const MEMORY: usize = 1 << 20;
const QUEUE: u16 = 8;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
/// Where the guest's buffers are.
const BUFFERS: u64 = 0x1_0000;

/// The guest's side of one queue, without any care.
struct Driver {
    base: u64,
    queue: Queue,
    available: u16,
}

impl Driver {
    fn new(base: u64) -> Self {
        let mut queue = Queue::new(QUEUE).unwrap();
        queue.set_desc_table_address(Some(base as u32), None);
        queue.set_avail_ring_address(Some(base as u32 + 0x1000), None);
        queue.set_used_ring_address(Some(base as u32 + 0x2000), None);
        queue.set_ready(true);
        Self {
            base,
            queue,
            available: 0,
        }
    }

    fn describe(&self, memory: &GuestMemoryMmap, index: u16, descriptor: Descriptor) {
        let address = GuestAddress(self.base + 16 * u64::from(index));
        let descriptor = RawDescriptor::from(descriptor);
        memory.write_obj(descriptor, address).unwrap();
    }

    fn offer(&mut self, memory: &GuestMemoryMmap, head: u16) {
        let place = u64::from(self.available % QUEUE);
        let ring = self.base + 0x1000;
        memory
            .write_obj(head, GuestAddress(ring + 4 + 2 * place))
            .unwrap();
        self.available = self.available.wrapping_add(1);
        memory
            .write_obj(self.available, GuestAddress(ring + 2))
            .unwrap();
    }

    fn used(&self, memory: &GuestMemoryMmap) -> u16 {
        memory.read_obj(GuestAddress(self.base + 0x2002)).unwrap()
    }
}

/// A device without QEMU, and a guest that writes its queues by hand.
struct Bench {
    folder: TempDir,
    switch: Switch,
    memory: GuestMemoryMmap,
    transmit: Driver,
    receive: Driver,
    seen: u16,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("vsock");
        let listener = UnixListener::bind(&socket).unwrap();
        let plan = FaultPlan::new().unwrap();
        let switch = Switch::new(GUEST_CID, Limits::default(), socket, listener, plan).unwrap();
        Self {
            folder,
            switch,
            memory: GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap(),
            transmit: Driver::new(0x1000),
            receive: Driver::new(0x8000),
            seen: 0,
        }
    }

    fn round(&mut self) {
        self.switch.look_at_host().unwrap();
        let mut ring = Ring::new(&mut self.transmit.queue, &self.memory);
        self.switch.take_packets(&mut ring);
        ring.interrupts();
        let mut segments = Segments::default();
        let ring = Ring::new(&mut self.receive.queue, &self.memory);
        let mut receive = Receive::new(ring, &mut segments);
        self.switch.give_packets(&mut receive);
        receive.interrupts();
    }

    /// The guest sends a packet, in pieces of these lengths; the last takes the rest.
    fn send(&mut self, header: &Header, payload: &[u8], pieces: &[usize]) {
        let bytes = [&header.encode(), payload].concat();
        self.memory
            .write_slice(&bytes, GuestAddress(BUFFERS))
            .unwrap();
        let mut start = 0;
        for (index, piece) in (0..).zip(pieces) {
            let address = BUFFERS + start as u64;
            let descriptor = Descriptor::new(address, *piece as u32, NEXT, index + 1);
            self.transmit.describe(&self.memory, index, descriptor);
            start += piece;
        }
        let rest = (bytes.len() - start) as u32;
        let last = Descriptor::new(BUFFERS + start as u64, rest, 0, 0);
        self.transmit
            .describe(&self.memory, pieces.len() as u16, last);
        self.transmit.offer(&self.memory, 0);
        self.round();
    }

    /// The guest gives a buffer, and takes the packet that comes in it.
    fn receive(&mut self) -> Option<(Header, Vec<u8>)> {
        const BUFFER: u64 = 0x8_0000;
        let descriptor = Descriptor::new(BUFFER, 4096, WRITE, 0);
        if self.receive.available == self.seen {
            self.receive.describe(&self.memory, 0, descriptor);
            self.receive.offer(&self.memory, 0);
        }
        self.round();
        if self.receive.used(&self.memory) == self.seen {
            return None;
        }
        self.seen += 1;
        let mut header = [0; HEADER_LEN];
        self.memory
            .read_slice(&mut header, GuestAddress(BUFFER))
            .unwrap();
        let header = Header::decode(&header);
        let mut payload = vec![0; header.length as usize];
        self.memory
            .read_slice(&mut payload, GuestAddress(BUFFER + HEADER_LEN as u64))
            .unwrap();
        Some((header, payload))
    }

    fn packet(op: Op) -> Header {
        Header {
            source_cid: GUEST_CID,
            destination_cid: 3,
            source_port: 1024,
            destination_port: 7000,
            length: 0,
            kind: TYPE_STREAM,
            op: Ok(op),
            flags: 0,
            buffer: 1 << 16,
            forwarded: 0,
        }
    }

    /// A connection that the guest asked for, and its end on the host.
    fn connected(&mut self) -> UnixStream {
        let listener = UnixListener::bind(self.folder.path().join("vsock_7000")).unwrap();
        self.send(&Self::packet(Op::Request), &[], &[]);
        let stream = listener.accept().unwrap().0;
        let (answer, _) = self.receive().unwrap();
        assert_eq!(answer.op, Ok(Op::Response));
        stream
    }
}

#[test]
fn a_packet_in_many_pieces_is_the_same_packet() {
    let mut bench = Bench::new();
    let mut stream = bench.connected();
    let data = Header {
        length: 10,
        ..Bench::packet(Op::Data)
    };
    bench.send(&data, b"0123456789", &[]);
    bench.send(&data, b"0123456789", &[44]);
    bench.send(&data, b"0123456789", &[3, 40, 1, 2, 0, 5]);
    bench.send(&data, b"0123456789 and what is not said to be there", &[44]);
    bench.send(
        &Header {
            flags: SHUTDOWN_BOTH,
            ..Bench::packet(Op::Shutdown)
        },
        &[],
        &[],
    );
    let mut came = String::new();
    stream.read_to_string(&mut came).unwrap();
    assert_eq!(came, "0123456789".repeat(4));
    assert_eq!(bench.receive().unwrap().0.op, Ok(Op::Reset));
    assert!(bench.switch.table.is_empty());
}

#[test]
fn a_packet_that_says_it_is_longer_than_it_is_ends_its_connection() {
    for pieces in [&[][..], &[44]] {
        let mut bench = Bench::new();
        let mut stream = bench.connected();
        let data = Header {
            length: 11,
            ..Bench::packet(Op::Data)
        };
        bench.send(&data, b"0123456789", pieces);
        assert_eq!(bench.receive().unwrap().0.op, Ok(Op::Reset));
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert!(bench.switch.table.is_empty());
    }
}

#[test]
fn payload_outside_the_guests_memory_ends_its_connection() {
    let mut bench = Bench::new();
    let mut stream = bench.connected();
    let data = Header {
        length: 100,
        ..Bench::packet(Op::Data)
    };
    for (address, length) in [
        (MEMORY as u64 - 50, 100),
        (1 << 40, 100),
        (u64::MAX - 50, 100),
    ] {
        bench
            .memory
            .write_slice(&data.encode(), GuestAddress(BUFFERS))
            .unwrap();
        let head = Descriptor::new(BUFFERS, HEADER_LEN as u32, NEXT, 1);
        bench.transmit.describe(&bench.memory, 0, head);
        let outside = Descriptor::new(address, length, 0, 0);
        bench.transmit.describe(&bench.memory, 1, outside);
        bench.transmit.offer(&bench.memory, 0);
        bench.round();
        assert_eq!(bench.receive().unwrap().0.op, Ok(Op::Reset));
    }
    assert!(bench.switch.table.is_empty());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    // What lay within the memory may have gone; nothing else.
    assert!(rest.iter().all(|byte| *byte == 0) && rest.len() <= 50);
}

#[test]
fn without_room_in_the_guest_bytes_wait_on_the_host() {
    let mut bench = Bench::new();
    let mut stream = bench.connected();
    stream.set_nonblocking(true).unwrap();
    let mut wrote = 0;
    // The guest gives no buffers: the system's socket fills up, and the device takes nothing.
    for _ in 0..100 {
        while let Ok(count) = stream.write(&[7; 4096]) {
            wrote += count;
        }
        bench.round();
    }
    assert!(wrote < 1 << 20, "{wrote}");
    drop(stream);
    let (mut came, mut last) = (0, Bench::packet(Op::Data));
    while let Some((header, payload)) = bench.receive() {
        if header.op == Ok(Op::Data) {
            assert!(payload.iter().all(|byte| *byte == 7));
            came += payload.len();
            let update = Header {
                forwarded: came as u32,
                ..Bench::packet(Op::CreditUpdate)
            };
            bench.send(&update, &[], &[]);
        }
        last = header;
    }
    assert_eq!(came, wrote);
    assert_eq!((last.op, last.flags), (Ok(Op::Shutdown), SHUTDOWN_BOTH));
}

#[test]
fn a_half_open_connection_says_nothing_to_anybody() {
    let mut bench = Bench::new();
    let mut stream = bench.connected();
    stream.set_nonblocking(true).unwrap();
    let connections = Which { port: Some(7000) };
    let trouble = Trouble::HalfOpen;
    let fault = WireFault {
        connections,
        trouble,
    };
    bench.switch.plan.set(vec![fault]);
    bench.round();
    let data = Header {
        length: 5,
        ..Bench::packet(Op::Data)
    };
    bench.send(&data, b"hello", &[]);
    stream.write_all(b"anybody?").unwrap();
    assert_eq!(bench.receive(), None);
    let nothing = stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    // Neither end hears of the other's end, and lifting the fault does not bring the dead back.
    bench.switch.plan.set(vec![]);
    drop(stream);
    assert_eq!(bench.receive(), None);
    assert_eq!(bench.switch.table.len(), 1);
    bench.send(&Bench::packet(Op::Reset), &[], &[]);
    assert!(bench.switch.table.is_empty());
}

#[test]
fn delays_reorder_connections_but_never_the_bytes_of_one() {
    let mut bench = Bench::new();
    let mut stream = bench.connected();
    let connections = Which::default();
    let damage = Damage::Delay {
        by: 1000,
        jitter: 20_000,
        seed: 7,
    };
    let towards = Some(Side::Guest);
    let trouble = Trouble::Bytes { towards, damage };
    let fault = WireFault {
        connections,
        trouble,
    };
    bench.switch.plan.set(vec![fault]);
    let mut came = Vec::new();
    for number in 0..20 {
        stream.write_all(&[number; 3]).unwrap();
        bench.round();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while came.len() < 60 && std::time::Instant::now() < deadline {
        bench.switch.before_waiting().unwrap();
        if let Some((header, payload)) = bench.receive() {
            assert_eq!(header.op, Ok(Op::Data));
            came.extend(payload);
        }
    }
    let sent: Vec<u8> = (0..20).flat_map(|number| [number; 3]).collect();
    assert_eq!(came, sent);
}

fn any_descriptor() -> impl Strategy<Value = (u64, u32, u16, u16)> {
    let address = prop_oneof![
        0..MEMORY as u64 + 100,
        Just(0x1000_u64),
        Just(BUFFERS),
        any::<u64>(),
    ];
    let length = prop_oneof![0_u32..200, Just(44), any::<u32>()];
    let flags = prop_oneof![0_u16..8, any::<u16>()];
    (address, length, flags, 0..QUEUE + 2)
}

proptest! {
    #[test]
    fn no_queue_that_a_guest_can_write_stops_the_device(
        tables in proptest::array::uniform2(proptest::collection::vec(any_descriptor(), usize::from(QUEUE))),
        heads in proptest::collection::vec((any::<bool>(), 0..QUEUE + 3), 0..20),
        jump in prop_oneof![Just(0_u16), any::<u16>()],
        header in proptest::collection::vec(any::<u8>(), HEADER_LEN),
    ) {
        let mut bench = Bench::new();
        bench.memory.write_slice(&header, GuestAddress(BUFFERS)).unwrap();
        for (driver, table) in [&bench.transmit, &bench.receive].into_iter().zip(&tables) {
            for (index, (address, length, flags, next)) in (0..).zip(table) {
                driver.describe(&bench.memory, index, Descriptor::new(*address, *length, *flags, *next));
            }
        }
        for (transmit, head) in heads {
            let driver = if transmit { &mut bench.transmit } else { &mut bench.receive };
            driver.offer(&bench.memory, head);
            bench.round();
        }
        bench.transmit.available = bench.transmit.available.wrapping_add(jump);
        bench.transmit.offer(&bench.memory, 0);
        bench.receive.available = bench.receive.available.wrapping_add(jump);
        bench.receive.offer(&bench.memory, 0);
        bench.round();
        prop_assert!(bench.switch.table.len() <= bench.switch.table.limit());
    }
}
