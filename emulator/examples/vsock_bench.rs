//! Measures the vsock device under a real kernel: `cargo run --release -p nacre-emulator --example vsock_bench`.
//!
//! One row a line, `name value unit`. The guest runs on an emulated processor, so the figures say what the device and
//! the guest's kernel do together.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot be set up has failed"
)]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/vsock_machine/machine.rs"]
mod machine;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::Instant;

use machine::Machine;

const BULK: u64 = 256 << 20;
const ROUNDS: usize = 5000;
const CONNECTIONS: u32 = 1000;
const AT_ONCE: usize = 1500;

fn main() {
    // Both ends of every connection are in this process.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, files).unwrap();
    let Some(machine) = Machine::boot() else {
        return;
    };
    // The first bytes warm the guest up.
    to_guest(&machine, BULK / 16);
    from_guest(&machine, BULK / 16);
    println!("host_to_guest {:.0} MB/s", to_guest(&machine, BULK));
    println!("guest_to_host {:.0} MB/s", from_guest(&machine, BULK));
    let mut times = ping_pong(&machine);
    times.sort_unstable();
    println!("ping_pong_p50 {} µs", times[ROUNDS / 2]);
    println!("ping_pong_p99 {} µs", times[ROUNDS * 99 / 100]);
    println!("connections {:.0} 1/s", connections(&machine));
    println!("open_at_once {AT_ONCE} in {:.2} s", at_once(&machine));
}

fn to_guest(machine: &Machine, count: u64) -> f64 {
    let mut stream = machine.connect(1005);
    let bytes = vec![7; 256 * 1024];
    let began = Instant::now();
    for _ in 0..count / bytes.len() as u64 {
        stream.write_all(&bytes).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    count as f64 / began.elapsed().as_secs_f64() / 1e6
}

fn from_guest(machine: &Machine, count: u64) -> f64 {
    let mut stream = machine.connect(1007);
    let mut bytes = vec![0; 256 * 1024];
    let began = Instant::now();
    stream.write_all(&count.to_le_bytes()).unwrap();
    let mut left = count;
    while left > 0 {
        let came = stream.read(&mut bytes).unwrap();
        assert!(came > 0, "the guest ended early");
        left -= came as u64;
    }
    count as f64 / began.elapsed().as_secs_f64() / 1e6
}

/// Microseconds of each round.
fn ping_pong(machine: &Machine) -> Vec<u128> {
    let mut stream = machine.connect(1000);
    let mut round = || {
        let began = Instant::now();
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        began.elapsed().as_micros()
    };
    (0..ROUNDS).map(|_| round()).collect()
}

fn connections(machine: &Machine) -> f64 {
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        let mut stream = machine.connect(1000);
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    f64::from(CONNECTIONS) / began.elapsed().as_secs_f64()
}

fn at_once(machine: &Machine) -> f64 {
    let began = Instant::now();
    let mut streams: Vec<_> = (0..AT_ONCE).map(|_| machine.connect(1000)).collect();
    for stream in &mut streams {
        stream.write_all(b"?").unwrap();
    }
    for stream in &mut streams {
        stream.read_exact(&mut [0]).unwrap();
    }
    began.elapsed().as_secs_f64()
}
