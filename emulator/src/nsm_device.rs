//! The vhost-user front: the module as a virtio device of a virtual machine.
//!
//! The device is Linux's `drivers/misc/nsm.c` seen from the other side: virtio id 33, one queue, no configuration space,
//! nothing but `VIRTIO_F_VERSION_1`. The driver makes a request available as one chain of descriptors and room for the
//! response as another, and kicks once; it expects both back, the request first and with length 0, **before** it is
//! interrupted, or it reports `ENODATA`. A request and its room may also come in one chain, as the virtio specification
//! would have it.
//!
//! The driver waits two minutes ([`DRIVER_PATIENCE`]), then takes back whatever was used and gives up. What is not answered at
//! all (a fault, or a module that is busy for longer) is therefore given back at once but without an interrupt: the
//! driver finds it when it gives up, and its queue does not run dry.
//!
//! A guest is a stranger. It can make any chain available: loops, lengths and addresses are checked by `virtio-queue`,
//! requests are read up to one byte more than the module takes, a chain that makes no sense is given back with length 0,
//! and one request is served at a time.

use std::io::{self, Read as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::message::VhostUserVirtioFeatures;
use vhost_user_backend::{VhostUserBackend, VringRwLock, VringT as _};
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT as _, QueueT as _};
use vm_memory::{GuestAddressSpace as _, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use crate::faults::FaultyNsm;
use crate::nsm::{ErrorCode, MAX_REQUEST, error_response};
use crate::vsock::Stop;

/// The device's number among virtio devices (virtio 1.3 §5, "Nitro Secure Module").
pub const VIRTIO_ID: u32 = 33;
/// How long the kernel's driver waits for an answer (`NSM_DEFAULT_TIMEOUT_MSECS`).
pub const DRIVER_PATIENCE: Duration = Duration::from_secs(120);

const VIRTIO_F_VERSION_1: u64 = 1 << 32;
const QUEUE_SIZE: usize = 64;
/// A module that is busy for longer than the driver waits is free again shortly before the driver gives up, so that the
/// next request is taken while somebody still waits for it.
const LONGEST_BUSY: Duration = Duration::from_secs(115);

type Memory = GuestMemoryMmap<()>;
type Guard = GuestMemoryLoadGuard<Memory>;
type Chain = DescriptorChain<Guard>;

/// The device: the module, and what is known of the guest.
pub struct NsmDevice {
    inner: Mutex<Inner>,
    memory: Mutex<Option<GuestMemoryAtomic<Memory>>>,
    stop: Stop,
}

struct Inner {
    module: FaultyNsm,
    requests: Requests,
}

impl NsmDevice {
    /// The device of `module`.
    #[must_use]
    pub fn new(module: FaultyNsm, stop: Stop) -> Self {
        Self {
            inner: Mutex::new(Inner {
                module,
                requests: Requests::default(),
            }),
            memory: Mutex::new(None),
            stop,
        }
    }

    /// Serves what is in the queue.
    fn serve(&self, vring: &VringRwLock) -> io::Result<()> {
        let memory = lock(&self.memory).as_ref().map(GuestMemoryAtomic::memory);
        let Some(memory) = memory else {
            return Ok(());
        };
        let mut inner = lock(&self.inner);
        loop {
            let taken = inner
                .requests
                .take(vring.get_mut().get_queue_mut(), &memory);
            let Some(request) = taken else {
                return Ok(());
            };
            let answer = inner.module.ask(&request.bytes);
            let in_time = answer.busy < DRIVER_PATIENCE;
            let response = answer.response.filter(|_| in_time);
            if response.is_some() {
                wait(&self.stop, answer.busy);
            }
            let heard = response.is_some();
            request.complete(vring.get_mut().get_queue_mut(), &memory, response);
            if heard {
                vring.signal_used_queue()?;
            } else {
                wait(&self.stop, answer.busy.min(LONGEST_BUSY));
            }
        }
    }
}

impl VhostUserBackend for NsmDevice {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        VIRTIO_F_VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn reset_device(&self) {
        lock(&self.inner).requests = Requests::default();
    }

    fn set_event_idx(&self, _enabled: bool) {}

    fn update_memory(&self, memory: GuestMemoryAtomic<Memory>) -> io::Result<()> {
        *lock(&self.memory) = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _thread_index: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &self,
        _device_event: u16,
        _events: EventSet,
        vrings: &[VringRwLock],
        _thread_id: usize,
    ) -> io::Result<()> {
        match vrings.first() {
            Some(vring) => self.serve(vring),
            None => Ok(()),
        }
    }
}

/// Returns after `time`, or when stopped.
fn wait(stop: &Stop, time: Duration) {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stop.is_set() {
            return;
        }
        let left = Timespec::try_from(left).ok();
        // How it ended does not matter: the loop looks at both reasons.
        let _ = poll(&mut [PollFd::new(stop, PollFlags::IN)], left.as_ref());
    }
}

/// Puts chains together to requests.
#[derive(Default)]
struct Requests {
    /// A request whose room has not come yet.
    waiting: Option<(u16, Vec<u8>)>,
}

/// A request, and the chains to give back with its answer.
struct Request {
    bytes: Vec<u8>,
    /// The chain of the request, if it is not the one with the room.
    apart: Option<u16>,
    room: Chain,
}

impl Requests {
    /// The next request that is complete. Gives back every chain that belongs to none.
    fn take(&mut self, queue: &mut Queue, memory: &Guard) -> Option<Request> {
        loop {
            let chain = match queue.iter(memory.clone()) {
                Ok(mut chains) => chains.next()?,
                Err(error) => {
                    tracing::debug!(%error, "the guest's queue is broken");
                    return None;
                }
            };
            let head = chain.head_index();
            match (read_request(&chain, memory), has_room(&chain)) {
                (Some(bytes), true) if !bytes.is_empty() => {
                    return Some(Request {
                        bytes,
                        apart: None,
                        room: chain,
                    });
                }
                (Some(bytes), false) if !bytes.is_empty() => {
                    if let Some((abandoned, _)) = self.waiting.replace((head, bytes)) {
                        give_back(queue, memory, abandoned, 0);
                    }
                }
                (Some(_), true) => match self.waiting.take() {
                    Some((apart, bytes)) => {
                        return Some(Request {
                            bytes,
                            apart: Some(apart),
                            room: chain,
                        });
                    }
                    None => give_back(queue, memory, head, 0),
                },
                _ => give_back(queue, memory, head, 0),
            }
        }
    }
}

impl Request {
    /// Writes the response and gives the chains back, the request's first; without a response, both as they are.
    fn complete(self, queue: &mut Queue, memory: &Guard, response: Option<Vec<u8>>) {
        if let Some(head) = self.apart {
            give_back(queue, memory, head, 0);
        }
        let head = self.room.head_index();
        let written = response.map_or(0, |response| write_response(self.room, memory, &response));
        give_back(queue, memory, head, written);
    }
}

/// The readable part of a chain, up to one byte more than the module takes; none if an address is no memory.
fn read_request(chain: &Chain, memory: &Guard) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let reader = chain.clone().reader(memory).ok()?;
    reader
        .take(MAX_REQUEST as u64 + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

fn has_room(chain: &Chain) -> bool {
    chain.clone().writable().next().is_some()
}

/// Writes what fits: the response, or the error that there is too little room for it, or nothing. Returns its length.
fn write_response(room: Chain, memory: &Guard, response: &[u8]) -> u32 {
    let Ok(mut writer) = room.writer(memory) else {
        return 0;
    };
    let refusal = error_response(ErrorCode::BufferTooSmall);
    let fits = |bytes: &&[u8]| bytes.len() <= writer.available_bytes();
    let Some(bytes) = [response, &refusal].into_iter().find(fits) else {
        return 0;
    };
    match writer.write_all(bytes) {
        Ok(()) => u32::try_from(bytes.len()).unwrap_or(0),
        Err(_) => 0,
    }
}

fn give_back(queue: &mut Queue, memory: &Guard, head: u16, length: u32) {
    if let Err(error) = queue.add_used(&**memory, head, length) {
        tracing::debug!(%error, "the guest's queue is broken");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a thread that panicked left behind is still a queue of a stranger's making.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
