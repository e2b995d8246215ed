//! The other end of the vsock tests: the only program of a virtual machine, as its `/init`.
//!
//! Compiled by the test with `rustc` alone, statically. It serves on fixed ports (see `main`), does on port 1 what it is
//! told, one line an order and one line an answer, and says `ready` to port 2000 of the host when all listen.

mod bytes;
mod sys;

use std::io::{BufRead, BufReader, Read, Write};
use std::thread;

use bytes::{Digest, Stream};
use sys::{Listener, Socket};

const PARENT: u32 = 3;

fn main() {
    sys::allow_files(16 * 1024).expect("this is root");
    serve(1, 16, order);
    serve(1000, 128, echo);
    serve(1001, 128, digest);
    serve(1002, 128, source);
    serve(1003, 128, finish_first);
    serve(1004, 128, |_| ());
    serve(1005, 128, drain);
    serve(1007, 128, flood);
    let ready = Socket::connect(PARENT, 2000).and_then(|mut socket| socket.write_all(b"ready\n"));
    println!("guest: {ready:?}");
    loop {
        thread::park();
    }
}

/// Each connection on the port goes to a thread of its own.
fn serve(port: u32, backlog: i32, one: fn(Socket)) {
    let listener = Listener::bind(port, backlog).expect("a free port");
    spawn(move || {
        loop {
            match listener.accept() {
                Ok(socket) => spawn(move || one(socket)),
                Err(error) => println!("guest: port {port}: {error}"),
            }
        }
    });
}

fn spawn(run: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(32 * 1024);
    thread.spawn(run).expect("memory for a thread");
}

/// 1000: everything comes back; the end as well.
fn echo(mut socket: Socket) {
    let mut bytes = vec![0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut bytes) {
        if socket.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
    let _ = socket.shutdown_write();
    let _ = socket.read(&mut bytes);
}

/// 1001: reads to the end, then says how many bytes came and their digest.
fn digest(mut socket: Socket) {
    let answer = read_all(&mut socket);
    let _ = socket.write_all(answer.as_bytes());
}

/// 1002: reads eight bytes, a count; sends as many bytes of the stream that both ends know.
fn source(mut socket: Socket) {
    let mut count = [0; 8];
    if socket.read_exact(&mut count).is_ok() {
        let _ = send(&mut socket, u64::from_le_bytes(count));
    }
}

/// 1003: says all that it will say at once, and takes what comes afterwards; tells port 2003 of the host what it was.
fn finish_first(mut socket: Socket) {
    let _ = socket.write_all(b"first");
    let _ = socket.shutdown_write();
    let answer = read_all(&mut socket);
    if let Ok(mut report) = Socket::connect(PARENT, 2003) {
        let _ = report.write_all(answer.as_bytes());
    }
}

/// 1005: reads to the end without looking.
fn drain(mut socket: Socket) {
    let mut bytes = vec![0; 256 * 1024];
    while let Ok(1..) = socket.read(&mut bytes) {}
    let _ = socket.write_all(b"!");
}

/// 1007: reads eight bytes, a count; sends as many bytes without making them.
fn flood(mut socket: Socket) {
    let mut count = [0; 8];
    if socket.read_exact(&mut count).is_err() {
        return;
    }
    let bytes = vec![7; 256 * 1024];
    let mut left = u64::from_le_bytes(count);
    while left > 0 {
        let length = left.min(bytes.len() as u64);
        if socket.write_all(&bytes[..length as usize]).is_err() {
            return;
        }
        left -= length;
    }
}

fn order(socket: Socket) {
    let mut lines = BufReader::new(socket.clone());
    let mut socket = socket;
    let mut line = String::new();
    while let Ok(1..) = lines.read_line(&mut line) {
        let answer = match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["push", cid, port, count] => push(number(cid), number(port), number(count).into()),
            ["connect", cid, port] => match Socket::connect(number(cid), number(port)) {
                Ok(_) => "connected".to_owned(),
                Err(error) => format!("{:?}", error.kind()),
            },
            ["write-until-error", cid, port] => write_until_error(number(cid), number(port)),
            ["backlog", port, backlog] => listen_only(number(port), number(backlog)),
            ["accept"] => accept_all(),
            _ => "what?".to_owned(),
        };
        if writeln!(socket, "{answer}").is_err() {
            return;
        }
        line.clear();
    }
}

fn number(word: &str) -> u32 {
    word.parse().expect("a number")
}

/// Sends bytes to the host, ends its half, and reads what comes back to the end.
fn push(cid: u32, port: u32, count: u64) -> String {
    let mut socket = match Socket::connect(cid, port) {
        Ok(socket) => socket,
        Err(error) => return format!("{:?}", error.kind()),
    };
    if let Err(error) = send(&mut socket, count) {
        return format!("{:?}", error.kind());
    }
    let _ = socket.shutdown_write();
    read_all(&mut socket)
}

/// Writes for as long as the host reads; says how writing ended.
fn write_until_error(cid: u32, port: u32) -> String {
    let mut socket = Socket::connect(cid, port).expect("a listener");
    loop {
        if let Err(error) = socket.write_all(&[7; 4096]) {
            return format!("{:?}", error.kind());
        }
    }
}

static SLOW: std::sync::Mutex<Option<Listener>> = std::sync::Mutex::new(None);

/// Listens, but accepts only when told.
fn listen_only(port: u32, backlog: u32) -> String {
    let listener = Listener::bind(port, backlog as i32).expect("a free port");
    *SLOW.lock().expect("no panic") = Some(listener);
    "listening".to_owned()
}

/// Accepts on that port from now on; says hello to each.
fn accept_all() -> String {
    let listener = SLOW.lock().expect("no panic").take().expect("a listener");
    spawn(move || {
        while let Ok(mut socket) = listener.accept() {
            spawn(move || {
                let _ = socket.write_all(b"hello");
                let _ = socket.shutdown_write();
                let _ = read_all(&mut socket);
            });
        }
    });
    "accepting".to_owned()
}

fn read_all(socket: &mut Socket) -> String {
    let mut digest = Digest::default();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => return digest.to_string(),
            Ok(count) => digest.update(&bytes[..count]),
            Err(error) => return format!("{digest} {:?}", error.kind()),
        }
    }
}

fn send(socket: &mut Socket, count: u64) -> std::io::Result<()> {
    let mut stream = Stream::default();
    let mut left = count;
    let mut bytes = vec![0; 64 * 1024];
    while left > 0 {
        let length = left.min(bytes.len() as u64) as usize;
        stream.fill(&mut bytes[..length]);
        socket.write_all(&bytes[..length])?;
        left -= length as u64;
    }
    Ok(())
}
