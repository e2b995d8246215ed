//! Seeds of the vsock device.

use super::Seeds;

pub(super) fn add(seeds: &mut Seeds) {
    conversation(seeds);
    packets(seeds);
}

fn conversation(seeds: &mut Seeds) {
    const DELIVER: [u8; 2] = [12, 7];
    let talk = |opener: u8, events: &[[u8; 2]]| [&[opener], events.concat().as_slice()].concat();
    seeds.add_all(
        "vsock_conversation",
        [
            ("ok-nothing", talk(0, &[])),
            (
                "ok-both-write",
                talk(1, &[[0, 5], [6, 30], DELIVER, [7, 9], [1, 9], DELIVER]),
            ),
            (
                "ok-guest-half-closes",
                talk(1, &[[0, 5], [2, 0], [6, 20], DELIVER, [1, 9], [8, 0]]),
            ),
            (
                "ok-host-half-closes",
                talk(0, &[[6, 5], [8, 0], DELIVER, [0, 8], [7, 3], [4, 0]]),
            ),
            (
                "ok-both-close",
                talk(0, &[[6, 5], [0, 5], [10, 0], [4, 0], DELIVER]),
            ),
            (
                "ok-guest-resets-late",
                talk(1, &[[0, 8], [4, 0], [5, 0], [7, 8]]),
            ),
            (
                "ok-host-breaks-off",
                talk(0, &[[0, 8], [6, 3], [11, 0], DELIVER]),
            ),
            (
                "ok-nobody-reads",
                talk(1, &[[3, 0], [9, 0], [0, 8], [6, 8], DELIVER]),
            ),
            (
                "ok-held",
                talk(3, &[[0, 8], [6, 40], [8, 0], DELIVER, [1, 9], DELIVER]),
            ),
            ("refused-nobody", talk(4, &[])),
            ("refused-event", talk(0, &[[13, 0]])),
            ("refused-half-an-event", vec![0, 6]),
        ],
    );
}

fn packets(seeds: &mut Seeds) {
    const REQUEST: u16 = 1;
    const RESET: u16 = 3;
    const SHUTDOWN: u16 = 4;
    const DATA: u16 = 5;
    const CREDIT_REQUEST: u16 = 7;
    let from = |cid: u64, port: u32, op: u16, length: u32, flags: u32| {
        let mut packet = Vec::new();
        packet.extend(cid.to_le_bytes());
        packet.extend(3_u64.to_le_bytes());
        packet.extend(port.to_le_bytes());
        packet.extend(9000_u32.to_le_bytes());
        packet.extend(length.to_le_bytes());
        packet.extend(1_u16.to_le_bytes());
        packet.extend(op.to_le_bytes());
        packet.extend(flags.to_le_bytes());
        packet.extend(u32::MAX.to_le_bytes());
        packet.extend(0_u32.to_le_bytes());
        packet
    };
    let packet = |port, op, length, flags| from(16, port, op, length, flags);
    let request = |port| packet(port, REQUEST, 0, 0);
    let many: Vec<_> = (0..20).map(request).collect();
    seeds.add_all(
        "vsock_packets",
        [
            ("ok-request", request(1)),
            ("ok-twice", [request(1), request(1)].concat()),
            ("ok-many", many.concat()),
            ("ok-data", [request(1), packet(1, DATA, 4096, 0)].concat()),
            (
                "ok-too-much",
                [request(1), packet(1, DATA, 4097, 0)].concat(),
            ),
            (
                "ok-closed",
                [request(1), packet(1, DATA, 9, 0), packet(1, SHUTDOWN, 0, 3)].concat(),
            ),
            (
                "ok-data-after-the-end",
                [request(1), packet(1, SHUTDOWN, 0, 2), packet(1, DATA, 1, 0)].concat(),
            ),
            (
                "ok-credit",
                [request(1), packet(1, CREDIT_REQUEST, 0, 0)].concat(),
            ),
            (
                "ok-reset",
                [request(1), packet(1, RESET, 0, 0), request(1)].concat(),
            ),
            ("ok-unknown-op", [request(1), packet(1, 99, 0, 0)].concat()),
            ("refused-unconnected.data", packet(1, DATA, 5, 0)),
            (
                "refused-unconnected.another-guest",
                from(17, 1, REQUEST, 0, 0),
            ),
            ("refused-length", packet(1, DATA, 65537, 0)),
            ("refused-half-a-header", [request(1), vec![0; 43]].concat()),
        ],
    );
}
