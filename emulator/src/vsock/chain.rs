//! The guest's buffers. Every address and length here was written by the guest.

use std::io;
use std::os::unix::net::UnixStream;

use virtio_queue::DescriptorChain;
use vm_memory::{
    Address as _, Bytes as _, GuestAddress, GuestMemory, GuestMemoryMmap, Permissions,
    VolatileMemoryError, WriteVolatile as _,
};

use crate::vsock::packet::{HEADER_LEN, MAX_PAYLOAD};

/// The most segments of one chain that are looked at. Linux uses up to eighteen.
const MAX_SEGMENTS: usize = 256;
/// The most bytes of one chain that are looked at.
const MAX_BYTES: usize = HEADER_LEN + MAX_PAYLOAD;

/// The readable, or the writable, part of a descriptor chain.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    list: Vec<(GuestAddress, usize)>,
    length: usize,
}

/// The guest's buffer lies outside its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBounds;

impl Segments {
    /// Takes up the part of a chain that the guest, or else the device, may write.
    pub(crate) fn gather(&mut self, chain: DescriptorChain<&GuestMemoryMmap>, writable: bool) {
        self.list.clear();
        self.length = 0;
        for descriptor in chain {
            if descriptor.is_write_only() != writable {
                continue;
            }
            let length = (descriptor.len() as usize).min(MAX_BYTES - self.length);
            if length > 0 {
                self.list.push((descriptor.addr(), length));
                self.length += length;
            }
            if self.length == MAX_BYTES || self.list.len() == MAX_SEGMENTS {
                break;
            }
        }
    }

    /// Bytes in all, at most a header and the longest payload.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The segments from `skip` on, `length` bytes of them.
    fn parts(&self, skip: usize, length: usize) -> impl Iterator<Item = (GuestAddress, usize)> {
        let mut skip = skip;
        let mut left = length;
        self.list.iter().filter_map(move |&(address, length)| {
            let skipped = skip.min(length);
            skip -= skipped;
            let taken = left.min(length - skipped);
            left -= taken;
            let start = address.checked_add(skipped as u64)?;
            (taken > 0).then_some((start, taken))
        })
    }

    /// Copies bytes out of the guest's memory. `bytes` must not be longer than what there is from `skip` on.
    pub(crate) fn read(
        &self,
        memory: &GuestMemoryMmap,
        skip: usize,
        bytes: &mut [u8],
    ) -> Result<(), OutOfBounds> {
        let mut done = 0;
        for (address, length) in self.parts(skip, bytes.len()) {
            let target = &mut bytes[done..done + length];
            memory
                .read_slice(target, address)
                .map_err(|_| OutOfBounds)?;
            done += length;
        }
        if done == bytes.len() {
            Ok(())
        } else {
            Err(OutOfBounds)
        }
    }

    /// Copies bytes into the guest's memory.
    pub(crate) fn write(
        &self,
        memory: &GuestMemoryMmap,
        skip: usize,
        bytes: &[u8],
    ) -> Result<(), OutOfBounds> {
        let mut done = 0;
        for (address, length) in self.parts(skip, bytes.len()) {
            let source = &bytes[done..done + length];
            memory
                .write_slice(source, address)
                .map_err(|_| OutOfBounds)?;
            done += length;
        }
        if done == bytes.len() {
            Ok(())
        } else {
            Err(OutOfBounds)
        }
    }

    /// Writes bytes of the guest's memory to a socket without a copy in between, as many as it takes. `Ok` with fewer
    /// than `length` bytes: the socket is full.
    pub(crate) fn send(
        &self,
        memory: &GuestMemoryMmap,
        skip: usize,
        length: usize,
        stream: &UnixStream,
    ) -> Result<usize, SendError> {
        let mut done = 0;
        for (address, length) in self.parts(skip, length) {
            let slices = GuestMemory::get_slices(memory, address, length, Permissions::Read)
                .map_err(|_| SendError::OutOfBounds)?;
            for slice in slices {
                let slice = slice.map_err(|_| SendError::OutOfBounds)?;
                let mut sent = 0;
                while sent < slice.len() {
                    let rest = slice.offset(sent).map_err(|_| SendError::OutOfBounds)?;
                    match { stream }.write_volatile(&rest) {
                        Ok(bytes) => sent += bytes,
                        Err(VolatileMemoryError::IOError(error)) => match error.kind() {
                            io::ErrorKind::Interrupted => {}
                            io::ErrorKind::WouldBlock => return Ok(done + sent),
                            _ => return Err(SendError::Host),
                        },
                        Err(_) => return Err(SendError::OutOfBounds),
                    }
                }
                done += sent;
            }
        }
        Ok(done)
    }
}

/// Why bytes could not be sent to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// See [`OutOfBounds`].
    OutOfBounds,
    /// The host's program reads no longer.
    Host,
}
