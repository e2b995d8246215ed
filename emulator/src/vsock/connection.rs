//! One connection between a program on the host and a program in the guest: a state machine that knows neither
//! sockets nor queues.
//!
//! The shell tells it what happened ([`Connection::guest_packet`], `host_…`), asks what to do with the host's socket
//! ([`Connection::wanted_of_host`], [`Connection::for_host`], [`Connection::host_write_ends`], …) and takes the packets for
//! the guest ([`Connection::next_packet`]).
//!
//! How it ends is the whole difficulty. The rules:
//!
//! - Each direction ends by itself. The guest's `SHUTDOWN(SEND)` ends the host's reading once every byte before it has been
//!   handed over; the end of what the host sends becomes `SHUTDOWN(SEND)` behind the last byte.
//! - A host that reads no longer is said so (`SHUTDOWN(RECEIVE)`), and what the guest still sends is thrown away, not
//!   answered with a reset: what goes the other way must not suffer from it.
//! - A guest that closes (both halves) is answered with a reset, which is how Linux frees its socket; what it sent
//!   before still reaches the host ([`Connection::lingers`]).
//! - A reset by the guest throws away what was under way, except the bytes of a guest that had said that they were all.
//! - A host that breaks off (its socket says "connection reset") is a reset, behind the last byte.
//! - A guest that sends what it may not (more than it was promised, or after its end) is reset at once.

mod outgoing;

use crate::vsock::credit::Credit;
use crate::vsock::packet::{Header, Op, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};
use crate::vsock::pipe::Pipe;
use crate::vsock::wire::{Damage, Side, Trouble, WireFault};
use crate::vsock::{Key, Micros};

/// See the module.
#[derive(Debug)]
pub struct Connection {
    key: Key,
    guest_cid: u64,
    service: u32,
    /// [`Trouble::HalfOpen`].
    vanished: bool,
    phase: Phase,
    credit: Credit,
    guest_sends: bool,
    guest_takes: bool,
    host_sends: HostSends,
    host_takes: bool,
    /// The `SHUTDOWN` flags that the guest knows of.
    announced: u32,
    owed: Owed,
    refused: bool,
    /// What the guest sent and the host has not taken.
    to_host: Pipe,
    /// What the host sent and the guest has not been given.
    to_guest: Pipe,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The guest has been, or is about to be, asked by the host.
    GuestAsked,
    /// The guest asks; the host has not answered.
    HostAsked,
    Open,
    /// For the guest it is over, and the guest was told if `reset`; the host still gets what the guest had sent.
    Over {
        reset: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HostSends {
    More,
    NoMore,
    BrokeOff,
}

/// Packets without payload that wait for room in the guest's queue.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    request: bool,
    response: bool,
    update: bool,
    /// A credit request; at most one until there is credit again.
    question: bool,
    questioned: bool,
}

/// What a packet of the guest means for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing, or nothing beyond a change of state.
    Nothing,
    /// The guest granted what the host asked for.
    Opened,
    /// Its payload is for the host: [`Connection::payload`], or straight into the socket and
    /// [`Connection::payload_taken`].
    Payload,
}

impl Connection {
    /// The host asks the guest.
    #[must_use]
    pub fn to_guest(key: Key, guest_cid: u64, window: u32) -> Self {
        let mut connection = Self::new(key, guest_cid, window, Phase::GuestAsked);
        connection.owed.request = true;
        connection
    }

    /// The guest asked the host, with this packet.
    #[must_use]
    pub fn to_host(request: &Header, window: u32) -> Self {
        let mut connection = Self::new(request.key(), request.source_cid, window, Phase::HostAsked);
        connection
            .credit
            .guest_says(request.buffer, request.forwarded);
        connection
    }

    fn new(key: Key, guest_cid: u64, window: u32, phase: Phase) -> Self {
        Self {
            key,
            guest_cid,
            service: if phase == Phase::GuestAsked {
                key.guest_port
            } else {
                key.host_port
            },
            vanished: false,
            phase,
            credit: Credit::new(window),
            guest_sends: true,
            guest_takes: true,
            host_sends: HostSends::More,
            host_takes: true,
            announced: 0,
            owed: Owed::default(),
            refused: false,
            to_host: Pipe::default(),
            to_guest: Pipe::default(),
        }
    }

    /// Its ports.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// The port that was asked for: the guest's when the host asked, the host's when the guest did.
    #[must_use]
    pub fn service(&self) -> u32 {
        self.service
    }

    /// Puts the faults that are for this connection on it, in place of those before.
    pub fn set_faults(&mut self, now: Micros, faults: &[WireFault]) {
        let mine = || {
            let mine = faults.iter();
            mine.filter(|fault| fault.connections.has(self.service))
        };
        self.vanished |= mine().any(|fault| fault.trouble == Trouble::HalfOpen);
        let towards = |side| -> Vec<Damage> {
            let damage = mine().filter_map(|fault| match fault.trouble {
                Trouble::Bytes { towards, damage } if towards.is_none_or(|to| to == side) => {
                    Some(damage)
                }
                _ => None,
            });
            damage.collect()
        };
        let (to_host, to_guest) = (towards(Side::Host), towards(Side::Guest));
        self.to_host.set_damage(now, to_host);
        self.to_guest.set_damage(now, to_guest);
    }

    /// When bytes that are held back can go on.
    #[must_use]
    pub fn due(&self, now: Micros) -> Option<Micros> {
        if self.vanished {
            return None;
        }
        let (to_host, to_guest) = (self.to_host.due(now), self.to_guest.due(now));
        to_host.into_iter().chain(to_guest).min()
    }

    // What the guest does.

    /// A packet of the guest on this connection.
    pub fn guest_packet(&mut self, header: &Header) -> Input {
        let credit = (header.buffer, header.forwarded);
        match (self.phase, header.op) {
            (Phase::Over { .. }, _) => return Input::Nothing,
            (_, Ok(op)) if self.vanished && op != Op::Reset => return Input::Nothing,
            (phase, Ok(Op::Reset)) => {
                self.refused = phase == Phase::GuestAsked;
                self.guest_reset();
                return Input::Nothing;
            }
            (Phase::GuestAsked, Ok(Op::Response)) if !self.owed.request => {
                self.phase = Phase::Open;
                self.credit.guest_says(credit.0, credit.1);
                return Input::Opened;
            }
            (Phase::GuestAsked | Phase::HostAsked, _) => {
                self.reset();
                return Input::Nothing;
            }
            (Phase::Open, _) => {}
        }
        self.credit.guest_says(credit.0, credit.1);
        if self.credit.for_guest() > 0 {
            // While there is none, asking again would only be answered again: the guest speaks up when it has read.
            self.owed.questioned = false;
        }
        match header.op {
            Ok(Op::Data) => return self.guest_data(header.length),
            Ok(Op::Shutdown) => self.guest_shutdown(header.flags),
            Ok(Op::CreditUpdate) => {}
            Ok(Op::CreditRequest) => self.owed.update = true,
            Ok(Op::Request | Op::Response | Op::Reset) | Err(_) => self.reset(),
        }
        Input::Nothing
    }

    fn guest_data(&mut self, length: u32) -> Input {
        if !self.guest_sends || !self.credit.receive(length) {
            self.reset();
            return Input::Nothing;
        }
        if !self.host_takes {
            self.credit.take(length);
            return Input::Nothing;
        }
        Input::Payload
    }

    fn guest_shutdown(&mut self, flags: u32) {
        if flags & SHUTDOWN_SEND != 0 {
            self.guest_sends = false;
        }
        if flags & SHUTDOWN_RECEIVE != 0 {
            self.guest_takes = false;
            self.to_guest.clear();
        }
        if !self.guest_sends && !self.guest_takes {
            self.phase = Phase::Over { reset: true };
        }
    }

    fn guest_reset(&mut self) {
        self.phase = Phase::Over { reset: false };
        self.to_guest.clear();
        if self.guest_sends {
            self.to_host.clear();
        }
    }

    /// Ends the connection at once; nothing that is under way arrives.
    pub fn reset(&mut self) {
        self.phase = Phase::Over { reset: true };
        self.to_guest.clear();
        self.to_host.clear();
    }

    /// Forgets the connection without a word to the guest.
    pub fn forget(&mut self) {
        self.reset();
        self.phase = Phase::Over { reset: false };
    }

    /// Holds payload for the host.
    pub fn payload(&mut self, now: Micros, bytes: &[u8]) {
        self.to_host.push(now, bytes);
        if self.to_host.is_empty() {
            self.credit.take_all();
        }
    }

    /// Payload went straight to the host, which is allowed when [`Self::goes_straight`].
    pub fn payload_taken(&mut self, bytes: u32) {
        self.to_host.went_past(bytes);
        self.credit.take(bytes);
    }

    /// Nothing waits before the next bytes for the host, and nothing meddles with them.
    #[must_use]
    pub fn goes_straight(&self) -> bool {
        self.to_host.is_empty() && self.to_host.is_plain()
    }

    // What the host does.

    /// The host takes the connection that the guest asked for.
    pub fn host_accepted(&mut self) {
        if self.phase == Phase::HostAsked {
            self.phase = Phase::Open;
            self.owed.response = true;
        }
    }

    /// The host sent bytes.
    pub fn host_bytes(&mut self, now: Micros, bytes: &[u8]) {
        if self.guest_takes && self.host_sends == HostSends::More {
            self.to_guest.push(now, bytes);
        }
    }

    /// The host has sent all that it will send.
    pub fn host_finished(&mut self) {
        if self.host_sends == HostSends::More {
            self.host_sends = HostSends::NoMore;
        }
    }

    /// The host broke off: it neither sends nor takes any more.
    pub fn host_broke_off(&mut self) {
        if self.vanished {
            if self.phase == Phase::GuestAsked {
                self.forget();
            }
            return;
        }
        self.host_sends = HostSends::BrokeOff;
        self.host_deaf();
    }

    /// The host takes no more bytes.
    pub fn host_deaf(&mut self) {
        if self.vanished {
            return;
        }
        self.host_takes = false;
        self.to_host.clear();
        self.credit.take_all();
    }

    /// The host took bytes of [`Self::for_host`].
    pub fn host_took(&mut self, bytes: usize) {
        self.to_host.consume(bytes);
        if self.to_host.is_empty() {
            self.credit.take_all();
        } else {
            self.credit.take(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    // What the shell shall do with the host's socket.

    /// How many bytes to read from the host now.
    #[must_use]
    pub fn wanted_of_host(&self) -> usize {
        let sends = self.guest_takes && self.host_sends == HostSends::More;
        if self.phase != Phase::Open || self.vanished || !sends {
            return 0;
        }
        if !self.to_guest.is_plain() {
            return self.to_guest.room();
        }
        if self.to_guest.is_empty() {
            self.credit.for_guest() as usize
        } else {
            0
        }
    }

    /// Bytes read from the host may go to the guest without [`Self::host_bytes`], by [`Self::straight`].
    #[must_use]
    pub fn reads_straight(&self) -> bool {
        self.to_guest.is_empty() && self.to_guest.is_plain()
    }

    /// Bytes to write to the host now.
    pub fn for_host(&mut self, now: Micros) -> &[u8] {
        if self.vanished {
            return &[];
        }
        self.to_host.ready(now)
    }

    /// The guest has finished and the host has all of it: the host's reading ends.
    #[must_use]
    pub fn host_write_ends(&self) -> bool {
        (!self.guest_sends || self.to_host.is_cut()) && self.to_host.is_empty()
    }

    /// The guest reads no more: the host's writing fails from now on.
    #[must_use]
    pub fn host_read_ends(&self) -> bool {
        !self.guest_takes
    }

    /// Nothing goes through the host's socket any more.
    #[must_use]
    pub fn host_is_done(&self) -> bool {
        self.host_sends != HostSends::More && (!self.host_takes || self.host_write_ends())
    }

    /// The guest answered the host's question with a reset: nobody listens, or too many wait to be accepted already.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    /// The guest may send and receive.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The connection no longer exists for the guest; `true` says that the guest is to be told by a reset.
    #[must_use]
    pub fn over_for_guest(&self) -> Option<bool> {
        match self.phase {
            Phase::Over { reset } => Some(reset),
            _ => None,
        }
    }

    /// Over for the guest, but the host has not got everything yet.
    #[must_use]
    pub fn lingers(&self) -> bool {
        matches!(self.phase, Phase::Over { .. }) && !self.to_host.is_empty()
    }
}
