//! The vsock device under a real kernel: what the guest's own sockets make of it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "../vsock_guest/bytes.rs"]
mod bytes;
mod machine;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use bytes::{Digest, Stream};
use machine::{Machine, exchange, patient};
use nacre_emulator::vsock::wire::{Damage, Loss, Side, Trouble, Which, WireFault};

const MIB: u64 = 1 << 20;

type Check = fn(&Machine);

/// One machine for all: booting it is what takes time.
#[test]
fn programs_of_host_and_guest_talk_as_over_any_socket() {
    let Some(machine) = Machine::boot() else {
        return;
    };
    let checks: [(&str, Check); 16] = [
        ("echo", what_is_sent_comes_back_and_ends),
        ("bulk", bulk_arrives_whole_both_ways),
        ("bulk from the guest", a_guest_that_connects_sends_in_bulk),
        (
            "host finishes first",
            a_host_that_has_finished_still_receives,
        ),
        (
            "guest finishes first",
            a_guest_that_has_finished_still_receives,
        ),
        (
            "refused by the guest",
            where_nobody_listens_in_the_guest_the_caller_is_told,
        ),
        (
            "refused by the host",
            where_nobody_listens_on_the_host_the_guest_is_told,
        ),
        ("guest closes", a_guest_that_closes_ends_both_directions),
        (
            "host closes",
            a_host_that_closes_makes_the_guests_writes_fail,
        ),
        (
            "wrong words",
            a_caller_with_wrong_words_is_closed_and_nobody_else,
        ),
        ("both addresses", the_host_answers_at_both_its_addresses),
        (
            "many",
            five_hundred_connections_at_once_carry_their_own_bytes,
        ),
        ("backlog", callers_beyond_the_backlog_wait_or_are_told),
        ("slow host", one_slow_reader_does_not_hold_up_the_others),
        ("damage", bytes_are_damaged_where_the_plan_says),
        ("loss", lost_connections_are_lost_for_both_ends),
    ];
    for (name, check) in checks {
        let began = Instant::now();
        check(&machine);
        eprintln!("{name}: {:?}", began.elapsed());
    }
    let (ended, mut left) = machine.kill();
    ended.unwrap();
    left.retain(|name| !name.starts_with("vsock_"));
    left.sort();
    assert_eq!(
        left,
        ["console", "guest", "ramdisk"],
        "the device's sockets are gone"
    );
}

#[test]
fn a_device_that_is_stopped_closes_all_connections() {
    let Some(mut machine) = Machine::boot() else {
        return;
    };
    let mut stream = machine.connect(1000);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    machine.stop_device().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(!machine.socket().exists());
}

fn what_is_sent_comes_back_and_ends(machine: &Machine) {
    assert_eq!(exchange(machine.connect(1000), b"hello"), b"hello");
    assert_eq!(exchange(machine.connect(1000), b""), b"");
}

fn pattern(length: u64) -> (Vec<u8>, String) {
    let mut bytes = vec![0; length as usize];
    Stream::default().fill(&mut bytes);
    let digest = digest(&bytes);
    (bytes, digest)
}

fn digest(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.update(bytes);
    digest.to_string()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn bulk_arrives_whole_both_ways(machine: &Machine) {
    let (bytes, digest) = pattern(64 * MIB);
    assert_eq!(text(exchange(machine.connect(1001), &bytes)), digest);
    let answer = exchange(machine.connect(1002), &(64 * MIB).to_le_bytes());
    assert!(answer == bytes);
}

fn a_guest_that_connects_sends_in_bulk(machine: &Machine) {
    let (bytes, _) = pattern(16 * MIB + 5);
    let listener = machine.listen(2100);
    let mut orders = machine.orders();
    orders.give(&format!("push 3 2100 {}", bytes.len()));
    let mut stream = machine.accepted(&listener);
    let mut came = Vec::new();
    stream.read_to_end(&mut came).unwrap();
    assert!(came == bytes);
    stream.write_all(b"thanks").unwrap();
    drop(stream);
    assert_eq!(orders.answer(), digest(b"thanks"));
}

fn a_host_that_has_finished_still_receives(machine: &Machine) {
    let mut stream = machine.connect(1002);
    stream.write_all(&(3 * MIB).to_le_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer == pattern(3 * MIB).0);
}

fn a_guest_that_has_finished_still_receives(machine: &Machine) {
    let report = machine.listen(2003);
    let (bytes, digest) = pattern(5 * MIB);
    let mut stream = machine.connect(1003);
    let mut first = Vec::new();
    stream.read_to_end(&mut first).unwrap();
    assert_eq!(first, b"first");
    stream.write_all(&bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    machine.accepted(&report).read_to_string(&mut said).unwrap();
    assert_eq!(said, digest);
}

fn where_nobody_listens_in_the_guest_the_caller_is_told(machine: &Machine) {
    let began = Instant::now();
    assert!(machine.try_connect(4444).is_none());
    assert!(
        began.elapsed().as_millis() < 500,
        "at once, as nobody ever listened there"
    );
}

fn where_nobody_listens_on_the_host_the_guest_is_told(machine: &Machine) {
    let mut orders = machine.orders();
    assert_eq!(orders.ask("connect 3 4444"), "ConnectionReset");
    assert_eq!(orders.ask("connect 2 4444"), "ConnectionReset");
    // Nobody has that address.
    assert_ne!(orders.ask("connect 77 2000"), "connected");
}

fn a_guest_that_closes_ends_both_directions(machine: &Machine) {
    let mut stream = machine.connect(1004);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // The guest's close and these bytes may cross; then they are thrown away.
    let error = std::iter::repeat_with(|| stream.write_all(&[0; 4096])).find_map(Result::err);
    let kind = error.unwrap().kind();
    assert!(
        matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{kind}"
    );
}

fn a_host_that_closes_makes_the_guests_writes_fail(machine: &Machine) {
    let listener = machine.listen(2101);
    let mut orders = machine.orders();
    orders.give("write-until-error 3 2101");
    let mut stream = machine.accepted(&listener);
    stream.read_exact(&mut [0; 100_000]).unwrap();
    drop(stream);
    let ended = orders.answer();
    assert!(
        ["BrokenPipe", "ConnectionReset"].contains(&&*ended),
        "{ended}"
    );
}

fn a_caller_with_wrong_words_is_closed_and_nobody_else(machine: &Machine) {
    let mut good = machine.connect(1000);
    for wrong in [
        &b"CONNECT x\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT 1000000000000\n",
        b"\n",
    ] {
        let mut stream = patient(UnixStream::connect(machine.socket()).unwrap());
        stream.write_all(wrong).unwrap();
        assert_eq!(
            stream.read(&mut [0]).unwrap_or(0),
            0,
            "{}",
            wrong.escape_ascii()
        );
    }
    // In two pieces, and with the first bytes right behind.
    let mut stream = patient(UnixStream::connect(machine.socket()).unwrap());
    stream.write_all(b"CONN").unwrap();
    good.write_all(b"x").unwrap();
    good.read_exact(&mut [0]).unwrap();
    stream.write_all(b"ECT 1000\nearly").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("OK ") && answer.ends_with("\nearly"),
        "{answer}"
    );
}

fn the_host_answers_at_both_its_addresses(machine: &Machine) {
    let listener = machine.listen(2102);
    for cid in [2, 3] {
        let mut orders = machine.orders();
        orders.give(&format!("push {cid} 2102 8"));
        let answer = exchange(machine.accepted(&listener), b"");
        assert_eq!(answer, pattern(8).0);
        assert_eq!(orders.answer(), digest(b""));
    }
}

fn five_hundred_connections_at_once_carry_their_own_bytes(machine: &Machine) {
    let mut streams: Vec<_> = (0..500).map(|_| machine.connect(1000)).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream
            .write_all(format!("{number:03}").repeat(100).as_bytes())
            .unwrap();
    }
    for (number, stream) in streams.into_iter().enumerate().rev() {
        let echo = exchange(stream, b"!");
        assert_eq!(text(echo), format!("{number:03}").repeat(100) + "!");
    }
}

fn callers_beyond_the_backlog_wait_or_are_told(machine: &Machine) {
    let mut orders = machine.orders();
    assert_eq!(orders.ask("backlog 1006 8"), "listening");
    // The guest's kernel takes a few without its program; the others are refused, after they were tried for a while.
    let began = Instant::now();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = patient(UnixStream::connect(machine.socket()).unwrap());
            stream.write_all(b"CONNECT 1006\n").unwrap();
            stream
        })
        .collect();
    let mut accepted = Vec::new();
    for mut stream in callers {
        if stream.read(&mut [0; 64]).unwrap() > 0 {
            accepted.push(stream);
        }
    }
    assert!((8..=9).contains(&accepted.len()), "{}", accepted.len());
    assert!(began.elapsed().as_secs() < 5);
    // With a program that accepts late, those who are tried again get in.
    let late: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = patient(UnixStream::connect(machine.socket()).unwrap());
            stream.write_all(b"CONNECT 1006\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(orders.ask("accept"), "accepting");
    for mut stream in late {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(
            said.starts_with("OK ") && said.ends_with("\nhello"),
            "{said:?}"
        );
    }
    for mut stream in accepted {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");
    }
}

fn one_slow_reader_does_not_hold_up_the_others(machine: &Machine) {
    let mut slow = machine.connect(1002);
    slow.write_all(&(8 * MIB).to_le_bytes()).unwrap();
    slow.read_exact(&mut [0; 1000]).unwrap();
    // It reads no more for now, while others do.
    assert_eq!(exchange(machine.connect(1000), b"others"), b"others");
    assert!(exchange(machine.connect(1002), &(2 * MIB).to_le_bytes()) == pattern(2 * MIB).0);
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(rest == pattern(8 * MIB).0[1000..]);
}

fn bytes_are_damaged_where_the_plan_says(machine: &Machine) {
    let plan = |port, towards, damage| {
        machine.faults().set(vec![WireFault {
            connections: Which { port: Some(port) },
            trouble: Trouble::Bytes { towards, damage },
        }]);
    };
    let (host, guest) = (Some(Side::Host), Some(Side::Guest));
    plan(1000, guest, Damage::Flip { at: 1, mask: 1 });
    assert_eq!(exchange(machine.connect(1000), b"hello"), b"hdllo");
    // Other services are as they were.
    assert_eq!(
        text(exchange(machine.connect(1001), b"hello")),
        digest(b"hello")
    );
    plan(1000, host, Damage::Drop { at: 0, length: 2 });
    assert_eq!(exchange(machine.connect(1000), b"hello"), b"llo");
    plan(1000, host, Damage::Repeat { at: 1, length: 3 });
    assert_eq!(exchange(machine.connect(1000), b"hello"), b"hellello");
    plan(1000, guest, Damage::Cut { at: 4 });
    assert_eq!(exchange(machine.connect(1000), b"hello"), b"hell");
    machine.faults().set(Vec::new());
    assert_eq!(exchange(machine.connect(1000), b"hello"), b"hello");
}

fn lost_connections_are_lost_for_both_ends(machine: &Machine) {
    let listener = machine.listen(2103);
    let mut orders = machine.orders();
    orders.give("push 3 2103 0");
    let mut stream = machine.accepted(&listener);
    let which = Which { port: Some(2103) };
    machine.faults().lose(Loss::All(which));
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    let answer = orders.answer();
    assert!(answer.starts_with("0 "), "{answer}");
}
