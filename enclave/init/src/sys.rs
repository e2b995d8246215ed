//! What the kernel offers and no safe interface does: vsock addresses, the secure module's device, and entropy with credit.
//! All of this crate's `unsafe` is here.
#![allow(
    unsafe_code,
    reason = "the ioctls of a first process have no safe wrapper"
)]

use std::fs::File;
use std::io;
use std::mem::size_of;

use rustix::ioctl::{Opcode, Setter, Updater, ioctl, opcode};
use rustix::net::AddressFamily;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// A vsock address (`struct sockaddr_vm`, linux/vm_sockets.h).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct VsockAddress {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags: u8,
    zero: [u8; 3],
}

impl VsockAddress {
    /// A port of a machine.
    pub(crate) fn new(cid: u32, port: u32) -> Self {
        Self {
            family: AddressFamily::VSOCK.as_raw(),
            reserved: 0,
            port,
            cid,
            flags: 0,
            zero: [0; 3],
        }
    }
}

// SAFETY: `f` is given a pointer to a whole `sockaddr_vm` and its length; `self` outlives the call.
unsafe impl SocketAddrArg for VsockAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        const LENGTH: SocketAddrLen = size_of::<VsockAddress>() as SocketAddrLen;
        f(std::ptr::from_ref(self).cast(), LENGTH)
    }
}

/// `struct nsm_raw` (linux/nsm.h): where the request stands and where the response goes.
#[repr(C)]
struct NsmMessage {
    request: u64,
    request_length: u64,
    response: u64,
    response_length: u64,
}

/// `NSM_IOCTL_RAW`.
const NSM_IOCTL_RAW: Opcode = opcode::read_write::<NsmMessage>(0x0A, 0);

/// Sends one request to the secure module and returns how many bytes of `response` it wrote.
pub(crate) fn nsm_call(device: &File, request: &[u8], response: &mut [u8]) -> io::Result<usize> {
    let mut message = NsmMessage {
        request: request.as_ptr() as u64,
        request_length: request.len() as u64,
        response: response.as_mut_ptr() as u64,
        response_length: response.len() as u64,
    };
    // SAFETY: the opcode is the driver's for this structure. The driver reads `request_length` bytes and writes at most
    // `response_length`, both within the borrowed slices; it updates only the lengths.
    unsafe {
        ioctl(
            device,
            Updater::<NSM_IOCTL_RAW, NsmMessage>::new(&mut message),
        )?;
    }
    usize::try_from(message.response_length)
        .ok()
        .filter(|length| *length <= response.len())
        .ok_or_else(|| io::Error::other("the driver claims a longer response than there is room"))
}

/// Most bytes that [`add_entropy`] takes at once.
pub(crate) const MAX_ENTROPY: usize = 512;

/// `struct rand_pool_info` (linux/random.h) with room for its bytes.
#[repr(C)]
struct Entropy {
    bits: i32,
    length: i32,
    bytes: [u8; MAX_ENTROPY],
}

/// `RNDADDENTROPY`, whose number counts the head of the structure only.
const RNDADDENTROPY: Opcode = opcode::write::<[i32; 2]>(b'R', 3);

/// Mixes bytes into the kernel's pool and credits eight bits each. At most [`MAX_ENTROPY`] bytes are taken.
pub(crate) fn add_entropy(pool: &File, bytes: &[u8]) -> io::Result<()> {
    let mut entropy = Entropy {
        bits: 0,
        length: 0,
        bytes: [0; MAX_ENTROPY],
    };
    for (place, byte) in entropy.bytes.iter_mut().zip(bytes) {
        *place = *byte;
        entropy.length += 1;
        entropy.bits += 8;
    }
    // SAFETY: the kernel reads the head and as many of the bytes after it as `length` says, which are there.
    unsafe { ioctl(pool, Setter::<RNDADDENTROPY, Entropy>::new(entropy))? };
    Ok(())
}
