//! Queues and features, as the vhost-user library wants them.

use std::io;

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackendMut, VringRwLock, VringState, VringT as _};
use vm_memory::{GuestAddressSpace as _, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use crate::vsock::chain::Segments;
use crate::vsock::queues::{Receive, Ring};
use crate::vsock::switch::Switch;

/// Packets for the guest, packets of the guest, and events (which this device never has).
const QUEUES: usize = 3;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const MAX_QUEUE: usize = 1024;
/// The number behind those of the queues and the library's own.
pub(crate) const HOSTS_EVENT: u64 = QUEUES as u64 + 1;

const VIRTIO_F_VERSION_1: u64 = 1 << 32;
const VIRTIO_RING_F_EVENT_IDX: u64 = 1 << 29;
const VIRTIO_RING_F_INDIRECT_DESC: u64 = 1 << 28;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// The device's one worker thread calls it.
pub(crate) struct Backend {
    guest_cid: u64,
    switch: Switch,
    memory: Memory,
    segments: Segments,
    failure: Option<io::Error>,
}

impl Backend {
    pub(crate) fn new(guest_cid: u64, switch: Switch, memory: Memory) -> Self {
        Self {
            guest_cid,
            switch,
            memory,
            segments: Segments::default(),
            failure: None,
        }
    }

    /// What the system refused while the device ran.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn round(&mut self, vrings: &[VringRwLock<Memory>]) -> io::Result<()> {
        self.switch.look_at_host()?;
        let memory = self.memory.memory();
        let memory: &GuestMemoryMmap = &memory;
        // What comes from the guest may make room for it, and the other way round.
        let mut more = true;
        while more {
            more = false;
            let mut choked = false;
            if let Some(mut vring) = usable(vrings, TRANSMIT) {
                let mut ring = Ring::new(vring.get_queue_mut(), memory);
                more = self.switch.take_packets(&mut ring);
                choked = self.switch.is_choked();
                let interrupts = ring.interrupts();
                if interrupts {
                    vring.signal_used_queue()?;
                }
            }
            if let Some(mut vring) = usable(vrings, RECEIVE) {
                let ring = Ring::new(vring.get_queue_mut(), memory);
                let mut receive = Receive::new(ring, &mut self.segments);
                self.switch.give_packets(&mut receive);
                let interrupts = receive.interrupts();
                if interrupts {
                    vring.signal_used_queue()?;
                }
            }
            // What was left in the queue then was not asked about: the guest would never say that it is there.
            more |= choked && !self.switch.is_choked();
            if more {
                self.switch.look_at_host()?;
            }
        }
        self.switch.before_waiting()
    }
}

/// A queue that the driver has set up.
fn usable(
    vrings: &[VringRwLock<Memory>],
    index: usize,
) -> Option<impl std::ops::DerefMut<Target = VringState<Memory>>> {
    let vring = vrings.get(index)?.get_mut();
    vring.is_enabled().then_some(vring)
}

impl VhostUserBackendMut for Backend {
    type Bitmap = ();
    type Vring = VringRwLock<Memory>;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        MAX_QUEUE
    }

    fn features(&self) -> u64 {
        VIRTIO_F_VERSION_1
            | VIRTIO_RING_F_EVENT_IDX
            | VIRTIO_RING_F_INDIRECT_DESC
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn set_event_idx(&mut self, _enabled: bool) {
        // The library tells the queues itself.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = self.guest_cid.to_le_bytes();
        let start = (offset as usize).min(config.len());
        let end = start.saturating_add(size as usize).min(config.len());
        config[start..end].to_vec()
    }

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = memory;
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &mut self,
        _event: u16,
        _flags: EventSet,
        vrings: &[Self::Vring],
        _thread: usize,
    ) -> io::Result<()> {
        // Whatever woke the thread: a round looks at everything.
        let round = self.round(vrings);
        if let Err(error) = round {
            tracing::error!(code = "vsock-io", %error, "the vsock device cannot go on");
            self.failure = Some(io::Error::new(error.kind(), error.to_string()));
            return Err(error);
        }
        Ok(())
    }
}
