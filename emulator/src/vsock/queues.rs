//! The device's end of the two queues that carry packets.

use std::sync::atomic::Ordering;

use virtio_queue::{Queue, QueueOwnedT as _, QueueT as _};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use crate::vsock::chain::{OutOfBounds, Segments};
use crate::vsock::packet::{HEADER_LEN, Header};

/// The driver wants no interrupts, where `VIRTIO_F_EVENT_IDX` was not agreed upon (`VRING_AVAIL_F_NO_INTERRUPT`).
const NO_INTERRUPT: u16 = 1;

/// One of the guest's queues, for the length of one round.
///
/// A queue that makes no sense (more buffers than it has room for, rings outside the memory) reads as an empty one.
pub(crate) struct Ring<'a> {
    queue: &'a mut Queue,
    memory: &'a GuestMemoryMmap,
    used: bool,
}

impl<'a> Ring<'a> {
    pub(crate) fn new(queue: &'a mut Queue, memory: &'a GuestMemoryMmap) -> Self {
        // Costs the guest a needless interruption at worst.
        let _ = queue.disable_notification(memory);
        Self {
            queue,
            memory,
            used: false,
        }
    }

    /// The guest's memory.
    pub(crate) fn memory(&self) -> &'a GuestMemoryMmap {
        self.memory
    }

    /// The next buffer's number; its readable or writable part goes into `segments`. When there is none, the guest is
    /// asked to say when there is.
    pub(crate) fn take(&mut self, segments: &mut Segments, writable: bool) -> Option<u16> {
        // Twice: a buffer may come between the look and the question. Not for ever: a queue whose buffers cannot be read
        // always has more.
        for _ in 0..2 {
            if let Ok(mut buffers) = self.queue.iter(self.memory)
                && let Some(chain) = buffers.next()
            {
                let number = chain.head_index();
                segments.gather(chain, writable);
                return Some(number);
            }
            let more = self.queue.enable_notification(self.memory);
            if !more.unwrap_or(false) {
                return None;
            }
        }
        None
    }

    /// How many buffers wait.
    pub(crate) fn available(&self) -> usize {
        let next = std::num::Wrapping(self.queue.next_avail());
        match self.queue.avail_idx(self.memory, Ordering::Acquire) {
            Ok(end) if self.queue.ready() && (end - next).0 <= self.queue.size() => {
                usize::from((end - next).0)
            }
            _ => 0,
        }
    }

    /// Gives a buffer back, with so many bytes in it.
    pub(crate) fn give_back(&mut self, number: u16, length: u32) {
        // A number beyond the queue's size is the guest's own mistake; there is nothing to give back.
        self.used |= self.queue.add_used(self.memory, number, length).is_ok();
    }

    /// Whether the guest is to be interrupted for what was given back.
    pub(crate) fn interrupts(self) -> bool {
        self.used
            && if self.queue.event_idx_enabled() {
                self.queue.needs_notification(self.memory).unwrap_or(true)
            } else {
                let flags = GuestAddress(self.queue.avail_ring());
                let flags = self.memory.load::<u16>(flags, Ordering::Relaxed);
                flags.map_or(0, u16::from_le) & NO_INTERRUPT == 0
            }
    }
}

/// The queue with packets for the guest, and the buffer that is about to be filled.
pub(crate) struct Receive<'a, 's> {
    ring: Ring<'a>,
    segments: &'s mut Segments,
    buffer: Option<u16>,
}

impl<'a, 's> Receive<'a, 's> {
    pub(crate) fn new(ring: Ring<'a>, segments: &'s mut Segments) -> Self {
        Self {
            ring,
            segments,
            buffer: None,
        }
    }

    /// How many bytes of payload the next buffer takes. Buffers too small for a header and a byte are given back
    /// empty. `None`: the guest has no more buffers.
    pub(crate) fn room(&mut self) -> Option<usize> {
        while self.buffer.is_none() {
            let buffer = self.ring.take(self.segments, true)?;
            if self.segments.len() > HEADER_LEN {
                self.buffer = Some(buffer);
            } else {
                self.ring.give_back(buffer, 0);
            }
        }
        Some(self.segments.len() - HEADER_LEN)
    }

    /// About how many bytes of payload all buffers take.
    pub(crate) fn total_room(&mut self) -> usize {
        let Some(room) = self.room() else {
            return 0;
        };
        room * (1 + self.ring.available())
    }

    /// Puts a packet into the buffer of [`Self::room`].
    pub(crate) fn put(&mut self, header: &Header, payload: &[u8]) -> Result<(), OutOfBounds> {
        let Some(buffer) = self.buffer.take() else {
            return Err(OutOfBounds);
        };
        let memory = self.ring.memory;
        let written = self
            .segments
            .write(memory, 0, &header.encode())
            .and_then(|()| self.segments.write(memory, HEADER_LEN, payload));
        let length = HEADER_LEN + payload.len();
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.ring
            .give_back(buffer, if written.is_ok() { length } else { 0 });
        written
    }

    /// Whether the guest is to be interrupted. A buffer that was not used is the next one again.
    pub(crate) fn interrupts(self) -> bool {
        let ring = self.ring;
        if self.buffer.is_some() {
            ring.queue.go_to_previous_position();
        }
        ring.interrupts()
    }
}
