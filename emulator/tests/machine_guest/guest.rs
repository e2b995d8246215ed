//! The guest of the machine's tests, as `/init`: what the host asks of it on port 1, it asks `/dev/nsm`.
//!
//! Compiled by the test with `rustc` alone, statically. A question is its length in two bytes and its bytes; an answer is
//! one byte, 0, and length and bytes, or one byte, 1, and the error's number in two bytes. Numbers are big-endian. The
//! question of no bytes reboots; `rng` asks where the kernel has its randomness from.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::raw::{c_char, c_int, c_ulong, c_void};

#[path = "../vsock_guest/sys.rs"]
#[allow(dead_code, reason = "the other guest needs more of it")]
mod sys;

use sys::{Listener, Socket};

const PARENT: u32 = 3;
const HEARTBEAT_PORT: u32 = 9000;
const HEARTBEAT: u8 = 0xb7;

unsafe extern "C" {
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, message: *mut Message) -> c_int;
    fn reboot(what: c_int) -> c_int;
}

/// `struct nsm_raw`.
#[repr(C)]
struct Message {
    request: *const u8,
    request_length: u64,
    response: *mut u8,
    response_length: u64,
}

/// `_IOWR(0x0a, 0, struct nsm_raw)`.
const NSM_RAW: c_ulong = 0xc020_0a00;
const RB_AUTOBOOT: c_int = 0x0123_4567;

fn main() {
    mounted(c"devtmpfs", c"/dev");
    mounted(c"sysfs", c"/sys");
    let nsm = OpenOptions::new().read(true).write(true).open("/dev/nsm");
    let nsm = nsm.expect("/dev/nsm");
    let listener = Listener::bind(1, 16).expect("a free port");
    let mut beat = Socket::connect(PARENT, HEARTBEAT_PORT).expect("somebody awaits the heartbeat");
    beat.write_all(&[HEARTBEAT]).expect("the heartbeat is taken");
    loop {
        if let Ok(socket) = listener.accept() {
            let _ = converse(socket, &nsm);
        }
    }
}

fn converse(mut socket: Socket, nsm: &File) -> io::Result<()> {
    loop {
        let mut length = [0; 2];
        socket.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        socket.read_exact(&mut question)?;
        let answer = match &question[..] {
            // SAFETY: no memory is involved.
            b"" => Err(io::Error::from_raw_os_error(unsafe { reboot(RB_AUTOBOOT) })),
            b"rng" => fs::read("/sys/class/misc/hw_random/rng_current"),
            question => ask(nsm, question),
        };
        match answer {
            Ok(bytes) => {
                socket.write_all(&[0])?;
                socket.write_all(&(bytes.len() as u16).to_be_bytes())?;
                socket.write_all(&bytes)?;
            }
            Err(error) => {
                let number = error.raw_os_error().unwrap_or(0) as u16;
                socket.write_all(&[1])?;
                socket.write_all(&number.to_be_bytes())?;
            }
        }
    }
}

fn ask(nsm: &File, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut response = vec![0; 0x3000];
    let mut message = Message {
        request: request.as_ptr(),
        request_length: request.len() as u64,
        response: response.as_mut_ptr(),
        response_length: response.len() as u64,
    };
    // SAFETY: the message is a whole `nsm_raw`, and both buffers are as long as it says and live through the call.
    if unsafe { ioctl(nsm.as_raw_fd(), NSM_RAW, &mut message) } < 0 {
        return Err(io::Error::last_os_error());
    }
    response.truncate(message.response_length as usize);
    Ok(response)
}

fn mounted(kind: &CStr, target: &CStr) {
    // SAFETY: the strings end with zero and live through the call; there is no data.
    let done = unsafe {
        mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    assert_eq!(done, 0, "{target:?}");
}
