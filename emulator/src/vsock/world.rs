//! A whole world for one connection, without sockets and queues: a guest that behaves as Linux does, a host, and the
//! table between them; and what must hold whatever they do in whatever order.
//!
//! Tests run it through every short order of events and through long random ones; a fuzzer goes on from there.

mod guest;
mod host;

use crate::vsock::connection::Input;
use crate::vsock::packet::{Header, Op, SHUTDOWN_BOTH, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};
use crate::vsock::table::{Limits, Routed, Table, Token};
use crate::vsock::wire::{Damage, Trouble, Which, WireFault};

const GUEST_CID: u64 = 16;
const GUEST_PORT: u32 = 1024;
const HOST_PORT: u32 = 7000;
/// Small, so that it is full often.
const WINDOW: u32 = 8;

/// What one side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest's program writes so many bytes, or what fits.
    GuestWrites(u8),
    /// … reads so many bytes, or what there is.
    GuestReads(u8),
    /// … calls `shutdown(SHUT_WR)`.
    GuestEndsWriting,
    /// … calls `shutdown(SHUT_RD)`.
    GuestEndsReading,
    /// … closes its socket.
    GuestCloses,
    /// The guest's kernel says that there is no such connection.
    GuestResets,
    /// The host's program writes so many bytes.
    HostWrites(u8),
    /// … reads so many bytes, or what there is.
    HostReads(u8),
    /// … ends its writing.
    HostEndsWriting,
    /// … ends its reading.
    HostEndsReading,
    /// … closes its socket; what it wrote before still counts.
    HostCloses,
    /// … closes its socket with bytes unread, so that the system says "reset".
    HostBreaksOff,
    /// Packets for the guest reach it, each of so many bytes at most.
    Deliver(u8),
}

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

type Checked = Result<(), Broken>;

/// The world.
pub struct World {
    table: Table,
    token: Token,
    guest: Guest,
    host: Host,
    /// Packets of the guest that have not reached the table.
    on_the_way: Vec<(Header, Vec<u8>)>,
}

#[derive(Default)]
struct Guest {
    open: bool,
    closed: bool,
    gone: bool,
    was_reset: bool,
    resets: bool,
    /// `SHUTDOWN` flags that it has said, and that it was told.
    said: u32,
    told: u32,
    wrote: u32,
    came: u32,
    read: u32,
    window_of_host: u32,
    taken_by_host: u32,
}

#[derive(Default)]
struct Host {
    open: bool,
    wrote: u32,
    /// Of those: read by the device.
    passed: u32,
    came: u32,
    ends_writing: bool,
    ends_reading: bool,
    breaks_off: bool,
    /// It has seen the end of what the guest sends.
    saw_end: bool,
}

/// The n-th byte of a direction.
fn byte(place: u32) -> u8 {
    (place.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

fn check(holds: bool, otherwise: &'static str) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Broken(otherwise))
    }
}

impl World {
    /// A connection that one of the two asked for, and that is open. Its bytes go straight between the two, or else
    /// through the device's own memory.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn open(by_host: bool, straight: bool) -> Result<Self, Broken> {
        let limits = Limits {
            connections: 4,
            wide_connections: 4,
            wide: WINDOW,
            narrow: WINDOW,
            resets: 4,
        };
        let mut table = Table::new(GUEST_CID, limits);
        if !straight {
            // Damage that does none, but makes the device hold the bytes.
            let damage = Damage::Flip {
                at: u64::MAX,
                mask: 0,
            };
            let trouble = Trouble::Bytes {
                towards: None,
                damage,
            };
            let connections = Which::default();
            let fault = WireFault {
                connections,
                trouble,
            };
            table.set_faults(0, vec![fault]);
        }
        let guest = Guest::default();
        let token = if by_host {
            table.ask_guest(0, GUEST_PORT)
        } else {
            let request = guest.packet(HOST_PORT, Op::Request);
            match table.guest_packet(0, &request) {
                Routed::Wanted(token) => Some(token),
                _ => None,
            }
        };
        let token = token.ok_or(Broken("a first connection is refused"))?;
        let mut world = Self {
            table,
            token,
            guest,
            host: Host::default(),
            on_the_way: Vec::new(),
        };
        if !by_host && let Some(connection) = world.table.get(token) {
            connection.host_accepted();
            world.host.open = true;
        }
        world.settle()?;
        world.step(Event::Deliver(1))?;
        check(
            world.guest.open && world.host.open,
            "the connection does not open",
        )?;
        Ok(world)
    }

    /// One event, and all that follows from it but for what the guest is yet to be told ([`Event::Deliver`]).
    ///
    /// # Errors
    ///
    /// When something came to pass that must never be.
    pub fn step(&mut self, event: Event) -> Checked {
        let guest_lives = !self.guest.closed && !self.guest.gone;
        match event {
            Event::GuestWrites(count) if guest_lives => self.guest_writes(count.into()),
            Event::GuestReads(count) if guest_lives => self.guest_reads(count.into()),
            Event::GuestEndsWriting if guest_lives => self.guest_says(SHUTDOWN_SEND),
            Event::GuestEndsReading if guest_lives => self.guest_says(SHUTDOWN_RECEIVE),
            Event::GuestCloses if guest_lives => {
                self.guest.closed = true;
                if self.guest.told == SHUTDOWN_BOTH {
                    self.guest.gone = true;
                    self.send(Op::Reset, &[]);
                } else {
                    self.guest_says(SHUTDOWN_BOTH);
                }
            }
            Event::GuestResets if !self.guest.gone => {
                self.guest.gone = true;
                self.guest.resets = self.guest.said & SHUTDOWN_SEND == 0;
                self.send(Op::Reset, &[]);
            }
            Event::HostWrites(count) if !self.host.ends_writing => {
                self.host.wrote += u32::from(count);
            }
            Event::HostReads(count) => self.host_reads(count.into())?,
            Event::HostEndsWriting => self.host.ends_writing = true,
            Event::HostEndsReading => self.host.ends_reading = true,
            Event::HostCloses => {
                self.host.ends_writing = true;
                self.host.ends_reading = true;
            }
            Event::HostBreaksOff => {
                self.host.ends_writing = true;
                self.host.ends_reading = true;
                self.host.breaks_off = true;
            }
            Event::Deliver(room) => self.deliver(usize::from(room.max(1)))?,
            _ => {}
        }
        self.settle()
    }

    /// Both sides take what there is and close, whatever happened before. Then nothing may be left, and nothing may be
    /// missing that nobody gave up.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn finish(mut self) -> Checked {
        self.drain()?;
        self.check_room()?;
        self.step(Event::HostEndsWriting)?;
        self.step(Event::GuestEndsWriting)?;
        self.drain()?;
        let undisturbed = !self.guest.resets && !self.host.breaks_off && !self.guest.was_reset;
        let host_listened = undisturbed && !self.host.ends_reading;
        let guest_listened =
            undisturbed && self.guest.said & SHUTDOWN_RECEIVE == 0 && !self.guest.closed;
        if host_listened {
            check(
                self.host.came == self.guest.wrote,
                "bytes of the guest are missing",
            )?;
            check(self.host.saw_end, "the host does not see the guest's end")?;
        }
        if guest_listened && !self.guest.gone {
            check(
                self.guest.came == self.host.wrote,
                "bytes of the host are missing",
            )?;
            let told = self.guest.told & SHUTDOWN_SEND != 0;
            check(told, "the guest does not see the host's end")?;
        }
        self.step(Event::HostCloses)?;
        self.step(Event::GuestCloses)?;
        self.drain()?;
        check(self.guest.gone, "the guest waits for ever for its reset")?;
        check(self.table.is_empty(), "a connection is left over")
    }

    /// A guest whose bytes have all been taken knows that it may write.
    fn check_room(&mut self) -> Checked {
        let ended = self.guest.gone || self.guest.closed || self.host.ends_reading;
        check(
            ended || self.guest_room() > 0,
            "the guest waits for ever for room",
        )
    }

    fn drain(&mut self) -> Checked {
        // Each round moves at least a byte, where there is one.
        for _ in 0..4096 {
            let before = (
                self.guest.came,
                self.guest.read,
                self.host.came,
                self.host.passed,
            );
            self.step(Event::Deliver(64))?;
            self.step(Event::GuestReads(255))?;
            self.step(Event::HostReads(255))?;
            let after = (
                self.guest.came,
                self.guest.read,
                self.host.came,
                self.host.passed,
            );
            if before == after && !self.table.has_packets() {
                return Ok(());
            }
        }
        Err(Broken("it never comes to rest"))
    }

    /// The guest sends a packet, which reaches the table at once.
    fn send(&mut self, op: Op, payload: &[u8]) {
        let port = self.peer_port();
        let mut header = self.guest.packet(port, op);
        header.length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        header.flags = if op == Op::Shutdown {
            self.guest.said
        } else {
            0
        };
        self.on_the_way.push((header, payload.to_vec()));
    }

    fn peer_port(&mut self) -> u32 {
        let connection = self.table.get(self.token);
        connection.map_or(HOST_PORT, |connection| connection.key().host_port)
    }

    /// Does what the shell does after each event.
    fn settle(&mut self) -> Checked {
        loop {
            for (header, payload) in std::mem::take(&mut self.on_the_way) {
                match self.table.guest_packet(0, &header) {
                    Routed::To(token, input) => {
                        check(token == self.token, "a packet goes to another connection")?;
                        if let Some(connection) = self.table.get(token) {
                            match input {
                                Input::Nothing => {}
                                Input::Opened => self.host.open = true,
                                Input::Payload => connection.payload(0, &payload),
                            }
                        }
                    }
                    Routed::Nowhere => {}
                    Routed::Wanted(_) => return Err(Broken("a connection from nowhere")),
                }
            }
            self.host_moves();
            self.table.touch(0, self.token);
            if let Some(connection) = self.table.get(self.token) {
                self.host.saw_end |= connection.host_write_ends() || connection.host_is_done();
                if connection.over_for_guest().is_some() && !connection.lingers() {
                    self.table.remove(self.token);
                    self.host.saw_end = true;
                }
            }
            if self.on_the_way.is_empty() {
                return self.check_end();
            }
        }
    }

    /// The host may see an end only where there is one.
    fn check_end(&self) -> Checked {
        let finished = self.guest.said & SHUTDOWN_SEND != 0;
        let given_up = self.guest.resets
            || self.guest.gone
            || self.guest.was_reset
            || self.host.ends_reading
            || self.host.breaks_off;
        if self.host.saw_end && !given_up {
            check(finished, "the host sees an end that the guest never made")?;
            check(
                self.host.came == self.guest.wrote,
                "the host sees the end too early",
            )?;
        }
        Ok(())
    }

    fn deliver(&mut self, room: usize) -> Checked {
        for _ in 0..10_000 {
            if !self.table.has_packets() {
                return Ok(());
            }
            if let Some(reset) = self.table.next_reset() {
                check(reset.op == Ok(Op::Reset), "a reset that is none")?;
                self.guest.was_reset |= !self.guest.gone && !self.guest.closed;
                self.guest.gone = true;
                continue;
            }
            let Some(token) = self.table.next_turn() else {
                return Ok(());
            };
            while let Some(connection) = self.table.get(token)
                && let Some(header) = connection.next_packet(0, room)
            {
                let length = header.length as usize;
                let payload = if length > 0 {
                    connection.next_payload(0)[..length].to_vec()
                } else {
                    Vec::new()
                };
                connection.payload_sent(length);
                self.guest_receives(&header, &payload)?;
            }
            self.settle()?;
        }
        Err(Broken("the two talk without end"))
    }
}

#[cfg(test)]
mod tests;
