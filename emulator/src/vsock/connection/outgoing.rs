//! What the guest is sent, and in which order.

use crate::vsock::Micros;
use crate::vsock::connection::{Connection, HostSends, Phase};
use crate::vsock::packet::{
    Header, MAX_PAYLOAD, Op, SHUTDOWN_BOTH, SHUTDOWN_RECEIVE, SHUTDOWN_SEND,
};

impl Connection {
    /// Must be called after any of the above: ends that have become due take place.
    pub fn settle(&mut self) {
        let told_all = self.to_guest.is_empty();
        if self.phase == Phase::Open && self.host_sends == HostSends::BrokeOff && told_all {
            self.reset();
        }
        let asked = matches!(self.phase, Phase::HostAsked | Phase::GuestAsked);
        if asked && self.host_sends == HostSends::BrokeOff {
            // A guest that was never asked need not be told.
            let reset = !self.owed.request;
            self.reset();
            self.phase = Phase::Over { reset };
        }
    }

    /// Whether [`Self::next_packet`] has one.
    pub fn has_packet(&mut self, now: Micros) -> bool {
        if self.vanished {
            return false;
        }
        match self.phase {
            Phase::GuestAsked => self.owed.request,
            Phase::HostAsked | Phase::Over { .. } => false,
            Phase::Open => {
                self.owed.response
                    || self.owed.update
                    || self.credit.worth_telling()
                    || self.owed.question
                    || self.to_announce() != self.announced
                    || (!self.to_guest.ready(now).is_empty()
                        && (self.credit.for_guest() > 0 || !self.owed.questioned))
            }
        }
    }

    /// The next packet for the guest, with up to `room` bytes of [`Self::next_payload`] as its payload.
    pub fn next_packet(&mut self, now: Micros, room: usize) -> Option<Header> {
        if self.vanished {
            return None;
        }
        match self.phase {
            Phase::GuestAsked if self.owed.request => {
                self.owed.request = false;
                return Some(self.packet(Op::Request));
            }
            Phase::Open => {}
            _ => return None,
        }
        if self.owed.response {
            self.owed.response = false;
            return Some(self.packet(Op::Response));
        }
        let waiting = self.to_guest.ready(now).len();
        if waiting > 0 {
            let length = self.data_length(waiting, room);
            if length > 0 {
                return Some(self.data(length));
            }
            self.owed.question |= !self.owed.questioned && self.credit.for_guest() == 0;
        }
        let flags = self.to_announce();
        if flags != self.announced {
            self.announced = flags;
            return Some(Header {
                flags,
                ..self.packet(Op::Shutdown)
            });
        }
        if self.owed.update || self.credit.worth_telling() {
            return Some(self.packet(Op::CreditUpdate));
        }
        if self.owed.question {
            self.owed.question = false;
            self.owed.questioned = true;
            return Some(self.packet(Op::CreditRequest));
        }
        None
    }

    /// The bytes that the next data packet carries, at least as many as its header said.
    pub fn next_payload(&mut self, now: Micros) -> &[u8] {
        self.to_guest.ready(now)
    }

    /// The payload of the last packet of [`Self::next_packet`] is with the guest.
    pub fn payload_sent(&mut self, bytes: usize) {
        self.to_guest.consume(bytes);
    }

    /// The header of a data packet whose payload never was in [`Self::next_payload`], of at most as many bytes as
    /// [`Self::wanted_of_host`] said.
    pub fn straight(&mut self, available: usize, room: usize) -> Option<Header> {
        let length = self.data_length(available, room);
        (length > 0).then(|| {
            self.to_guest.went_past(length);
            self.data(length)
        })
    }

    fn data_length(&self, available: usize, room: usize) -> u32 {
        let length = available.min(room).min(MAX_PAYLOAD);
        u32::try_from(length)
            .unwrap_or(u32::MAX)
            .min(self.credit.for_guest())
    }

    fn data(&mut self, length: u32) -> Header {
        self.credit.sent(length);
        Header {
            length,
            ..self.packet(Op::Data)
        }
    }

    /// The halves that are over on the host's side.
    fn to_announce(&self) -> u32 {
        let mut flags = 0;
        if (self.host_sends == HostSends::NoMore || self.to_guest.is_cut())
            && self.to_guest.is_empty()
        {
            flags |= SHUTDOWN_SEND;
            // Both directions have ended: the guest may let go.
            if self.host_write_ends() {
                return SHUTDOWN_BOTH;
            }
        }
        if !self.host_takes {
            flags |= SHUTDOWN_RECEIVE;
        }
        flags | self.announced
    }

    fn packet(&mut self, op: Op) -> Header {
        let (buffer, forwarded) = self.credit.tell();
        self.owed.update = false;
        Header {
            buffer,
            forwarded,
            ..Header::to_guest(self.key, self.guest_cid, op)
        }
    }
}
