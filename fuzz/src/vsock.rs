//! The emulator's vsock device: packets of a guest that keeps no rules, and conversations of one that does.

use nacre_emulator::vsock::connection::Input;
use nacre_emulator::vsock::packet::{HEADER_LEN, Header, MAX_PAYLOAD, Op};
use nacre_emulator::vsock::table::{Limits, Routed, Table};
use nacre_emulator::vsock::world::{Event, World};

/// A byte says who asks for the connection and how its bytes go, then each pair of bytes is an event and its count. Whatever both sides do,
/// no byte is lost, doubled or changed, ends are where they were made, and nothing is left over.
pub fn vsock_conversation(data: &[u8]) -> Result<(), &'static str> {
    let (first, events) = data.split_first().ok_or("nobody")?;
    let (by_host, straight) = match first {
        0 => (false, true),
        1 => (true, true),
        2 => (false, false),
        3 => (true, false),
        _ => return Err("nobody"),
    };
    let holds = |step: Result<(), nacre_emulator::vsock::world::Broken>| {
        if let Err(broken) = step {
            panic!("{broken:?}");
        }
    };
    let mut world = match World::open(by_host, straight) {
        Ok(world) => world,
        Err(broken) => panic!("{broken:?}"),
    };
    for pair in events.chunks(2).take(2000) {
        let [event, count] = *pair else {
            return Err("half-an-event");
        };
        holds(world.step(match event {
            0 => Event::GuestWrites(count),
            1 => Event::GuestReads(count),
            2 => Event::GuestEndsWriting,
            3 => Event::GuestEndsReading,
            4 => Event::GuestCloses,
            5 => Event::GuestResets,
            6 => Event::HostWrites(count),
            7 => Event::HostReads(count),
            8 => Event::HostEndsWriting,
            9 => Event::HostEndsReading,
            10 => Event::HostCloses,
            11 => Event::HostBreaksOff,
            12 => Event::Deliver(count),
            _ => return Err("event"),
        }));
    }
    holds(world.finish());
    Ok(())
}

const GUEST_CID: u64 = 16;
const LIMITS: Limits = Limits {
    connections: 8,
    wide_connections: 2,
    wide: 4096,
    narrow: 64,
    resets: 16,
};

/// Headers of packets, one after the other, each with as many bytes of payload as the device would let it have. The
/// host grants every second connection and takes nothing; the guest takes every packet.
pub fn vsock_packets(data: &[u8]) -> Result<(), &'static str> {
    let mut table = Table::new(GUEST_CID, LIMITS);
    let mut granted = false;
    let mut opened = 0;
    let mut rest = data;
    for now in 0..4096 {
        let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() else {
            break;
        };
        rest = after;
        let header = Header::decode(header);
        if header.op == Ok(Op::Data) && header.length as usize > MAX_PAYLOAD {
            return Err("length");
        }
        match table.guest_packet(now, &header) {
            Routed::Nowhere => {}
            Routed::Wanted(token) => {
                granted = !granted;
                if let Some(connection) = table.get(token) {
                    if granted {
                        connection.host_accepted();
                        opened += 1;
                    } else {
                        connection.reset();
                    }
                }
                table.touch(now, token);
            }
            Routed::To(token, input) => {
                if let Some(connection) = table.get(token)
                    && input == Input::Payload
                {
                    connection.payload(now, &vec![0; header.length as usize]);
                    // What was promised is all that is held.
                    let held = connection.for_host(now).len();
                    assert!(held <= LIMITS.wide as usize);
                }
                table.touch(now, token);
            }
        }
        for token in table.tokens() {
            let over = table.get(token).is_some_and(|connection| {
                connection.over_for_guest().is_some() && !connection.lingers()
            });
            if over {
                table.remove(token);
            }
        }
        assert!(table.len() <= LIMITS.connections);
        take_all(&mut table, now, &header);
    }
    if !rest.is_empty() {
        return Err("half-a-header");
    }
    if opened == 0 {
        Err("unconnected")
    } else {
        Ok(())
    }
}

/// The guest takes what there is for it; each packet is an answer to the one that it just sent.
fn take_all(table: &mut Table, now: u64, said: &Header) {
    while table.has_packets() {
        let packet = match table.next_reset() {
            Some(reset) => {
                assert_eq!(reset.op, Ok(Op::Reset));
                assert_ne!(said.op, Ok(Op::Reset), "a reset is never answered by one");
                reset
            }
            None => {
                let Some(token) = table.next_turn() else {
                    return;
                };
                let packet = table
                    .get(token)
                    .and_then(|connection| connection.next_packet(now, 4096));
                table.touch(now, token);
                let Some(packet) = packet else {
                    continue;
                };
                assert_ne!(packet.op, Ok(Op::Data), "the host sent nothing");
                packet
            }
        };
        assert_eq!(packet.destination_cid, GUEST_CID);
        assert_eq!(packet.destination_port, said.source_port);
        assert_eq!(packet.source_port, said.destination_port);
    }
}
