//! Packets of the guest, and packets for it.

use crate::vsock::chain::{Segments, SendError};
use crate::vsock::connection::Input;
use crate::vsock::handshake;
use crate::vsock::host::Host;
use crate::vsock::packet::{HEADER_LEN, Header, MAX_PAYLOAD, Op};
use crate::vsock::queues::{Receive, Ring};
use crate::vsock::switch::Switch;
use crate::vsock::table::{Routed, Token};

/// Ports of the guest of which is known that somebody listened there.
const MAX_KNOWN_PORTS: usize = 1024;
/// Bytes that a connection sends to the guest before it is another's turn.
const QUANTUM: usize = MAX_PAYLOAD;
/// Packets of the guest that are taken before the host's side is looked at again.
const BATCH: usize = 256;

impl Switch {
    /// Takes packets of the guest. `true`: there are more.
    pub(crate) fn take_packets(&mut self, ring: &mut Ring<'_>) -> bool {
        let mut segments = std::mem::take(&mut self.segments);
        let mut taken = 0;
        while taken < BATCH && !self.table.is_choked() {
            let Some(number) = ring.take(&mut segments, false) else {
                break;
            };
            self.take_packet(ring, &segments);
            ring.give_back(number, 0);
            taken += 1;
        }
        self.segments = segments;
        taken == BATCH
    }

    /// Packets of the guest may have been left in their queue, until it has taken its resets.
    pub(crate) fn is_choked(&self) -> bool {
        self.table.is_choked()
    }

    fn take_packet(&mut self, ring: &Ring<'_>, segments: &Segments) {
        let mut header = [0; HEADER_LEN];
        if segments.read(ring.memory(), 0, &mut header).is_err() {
            return;
        }
        let mut header = Header::decode(&header);
        let length = header.length as usize;
        if header.op == Ok(Op::Data) && length > segments.len() - HEADER_LEN {
            // It says that more follows than does: nothing that it says counts.
            header.op = Err(0);
        }
        match self.table.guest_packet(self.timers.now(), &header) {
            Routed::Nowhere => {}
            Routed::Wanted(token) => {
                *self.host(token) = Host::default();
                self.call_host(token);
                self.settle(token);
            }
            Routed::To(token, input) => {
                match input {
                    Input::Nothing => {}
                    Input::Opened => self.opened(token),
                    Input::Payload => self.take_payload(token, ring, segments, length),
                }
                self.settle(token);
            }
        }
    }

    fn opened(&mut self, token: Token) {
        let now = self.timers.now();
        let Some(ask) = self.host(token).ask.take() else {
            return;
        };
        if self.known_ports.len() >= MAX_KNOWN_PORTS {
            self.known_ports.clear();
        }
        self.known_ports.insert(ask.port);
        let Some(connection) = self.table.get(token) else {
            return;
        };
        connection.host_bytes(now, &ask.early);
        let answer = handshake::accepted(connection.key().host_port);
        // A socket that nothing was written to has room for a line.
        let written = self.host(token).write(answer.as_bytes());
        if !matches!(written, Some(Ok(count)) if count == answer.len())
            && let Some(connection) = self.table.get(token)
        {
            connection.host_broke_off();
        }
    }

    fn take_payload(&mut self, token: Token, ring: &Ring<'_>, segments: &Segments, length: usize) {
        let now = self.timers.now();
        let Some(connection) = self.table.get(token) else {
            return;
        };
        let host = &mut self.hosts[token.index as usize];
        let mut done = 0;
        if connection.goes_straight()
            && host.writable
            && let Some(stream) = &host.stream
        {
            match segments.send(ring.memory(), HEADER_LEN, length, stream) {
                Ok(sent) => {
                    host.writable = sent == length;
                    connection.payload_taken(u32::try_from(sent).unwrap_or(u32::MAX));
                    done = sent;
                }
                Err(SendError::Host) => {
                    connection.host_deaf();
                    return;
                }
                Err(SendError::OutOfBounds) => {
                    connection.reset();
                    return;
                }
            }
        }
        let rest = &mut self.scratch[..length - done];
        if rest.is_empty() {
            return;
        }
        match segments.read(ring.memory(), HEADER_LEN + done, rest) {
            Ok(()) => connection.payload(now, rest),
            Err(_) => connection.reset(),
        }
    }

    /// Gives the guest what there is for it, in turns, while it has room.
    pub(crate) fn give_packets(&mut self, receive: &mut Receive<'_, '_>) {
        while self.table.has_packets() && receive.room().is_some() {
            if let Some(reset) = self.table.next_reset() {
                // A buffer outside the memory is a packet lost; so is whatever the guest wanted.
                let _ = receive.put(&reset, &[]);
                continue;
            }
            let Some(token) = self.table.next_turn() else {
                return;
            };
            let more = self.turn(token, receive);
            self.settle(token);
            if more {
                self.table.give_turn(token);
            }
        }
    }

    /// One connection's turn. `true`: it has more, when there is room and the others have had theirs.
    fn turn(&mut self, token: Token, receive: &mut Receive<'_, '_>) -> bool {
        let now = self.timers.now();
        let Some(connection) = self.table.get(token) else {
            return false;
        };
        let mut given = 0;
        while given < QUANTUM {
            let Some(room) = receive.room() else {
                return true;
            };
            if let Some(header) = connection.next_packet(now, room) {
                let length = header.length as usize;
                let payload = if length > 0 {
                    &connection.next_payload(now)[..length]
                } else {
                    &[]
                };
                if receive.put(&header, payload).is_err() {
                    connection.reset();
                    return false;
                }
                connection.payload_sent(length);
                given += length;
                continue;
            }
            let host = &mut self.hosts[token.index as usize];
            let wanted = connection.wanted_of_host().min(receive.total_room());
            let wanted = wanted.min(self.scratch.len());
            if !host.readable || wanted == 0 {
                return false;
            }
            let bytes = match host.read(&mut self.scratch[..wanted]) {
                None => return false,
                Some(Ok(0)) => {
                    host.readable = false;
                    connection.host_finished();
                    continue;
                }
                Some(Ok(count)) => &self.scratch[..count],
                Some(Err(_)) => {
                    host.readable = false;
                    connection.host_broke_off();
                    return false;
                }
            };
            given += bytes.len();
            if !connection.reads_straight() {
                connection.host_bytes(now, bytes);
                continue;
            }
            let mut rest = bytes;
            while !rest.is_empty() {
                let header = receive
                    .room()
                    .and_then(|room| connection.straight(rest.len(), room));
                let Some(header) = header else {
                    connection.host_bytes(now, rest);
                    break;
                };
                let (payload, later) = rest.split_at(header.length as usize);
                if receive.put(&header, payload).is_err() {
                    connection.reset();
                    return false;
                }
                rest = later;
            }
        }
        true
    }
}
