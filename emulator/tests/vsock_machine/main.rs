//! The vsock device under a real kernel: what the guest's own sockets make of it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

mod machine;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use machine::{Machine, exchange, patient};

include!("../vsock_guest/stream.rs");

const MIB: u64 = 1 << 20;

/// One machine for all: booting it is what takes time.
#[test]
fn programs_of_host_and_guest_talk_as_over_any_socket() {
    let Some(mut machine) = Machine::boot() else {
        return;
    };
    let checks: [(&str, fn(&Machine)); 2] = [
        ("echo", what_is_sent_comes_back_and_ends),
        ("bulk", bulk_arrives_whole_both_ways),
    ];
    for (name, check) in checks {
        let began = Instant::now();
        check(&machine);
        eprintln!("{name}: {:?}", began.elapsed());
    }
    machine.stop_device().unwrap();
}

fn what_is_sent_comes_back_and_ends(machine: &Machine) {
    assert_eq!(exchange(machine.connect(1000), b"hello"), b"hello");
}

fn bulk_arrives_whole_both_ways(machine: &Machine) {
    let mut bytes = vec![0; (64 * MIB) as usize];
    Stream::default().fill(&mut bytes);
    let mut digest = Digest::default();
    digest.update(&bytes);
    let digest = format!("{} {:016x}", digest.count, digest.clone().value());
    // Host to guest.
    let answer = exchange(machine.connect(1001), &bytes);
    assert_eq!(String::from_utf8(answer).unwrap(), digest);
    // Guest to host.
    let answer = exchange(machine.connect(1002), &(64 * MIB).to_le_bytes());
    assert!(answer == bytes);
}
