//! Between the guest's queues and the host's sockets: carries bytes, one thread, never blocks.

use std::collections::HashSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::event::epoll::{self, Event, EventFlags};

use crate::vsock::Micros;
use crate::vsock::chain::{Segments, SendError};
use crate::vsock::connection::Input;
use crate::vsock::handshake::{self, Line};
use crate::vsock::host::{self, Ask, Caller, Host, Source};
use crate::vsock::packet::{HEADER_LEN, Header, MAX_PAYLOAD, Op};
use crate::vsock::queues::{Receive, Ring};
use crate::vsock::table::{Limits, Routed, Table, Token};
use crate::vsock::timers::Timers;
use crate::vsock::wire::{FaultPlan, Loss};

/// How long a program may take for its `CONNECT` line, and the guest to answer it.
const CALL_PATIENCE: Micros = 5_000_000;
/// How long a guest that has accepted on a port before, and now refuses, is asked again: its queue of connections to
/// accept may be full (Linux refuses then, and does not let wait).
const REFUSAL_PATIENCE: Micros = 500_000;
/// How long a program on the host that accepts too slowly is called again. A Linux guest waits two seconds.
const ACCEPT_PATIENCE: Micros = 1_500_000;
/// The first of the pauses between two tries; each is twice as long as the one before, up to the second.
const PAUSES: (Micros, Micros) = (1000, 32_000);
/// Ports of the guest of which is known that somebody listened there.
const MAX_KNOWN_PORTS: usize = 1024;
/// Bytes that a connection sends to the guest before it is another's turn.
const QUANTUM: usize = MAX_PAYLOAD;
/// Packets of the guest that are taken before the host's side is looked at again.
const BATCH: usize = 256;
/// Events of the system that are looked at together.
const EVENTS: usize = 256;

/// See the module.
pub(crate) struct Switch {
    socket: PathBuf,
    listener: UnixListener,
    plan: FaultPlan,
    table: Table,
    hosts: Vec<Host>,
    callers: Vec<Option<Caller>>,
    free_callers: Vec<u32>,
    known_ports: HashSet<u32>,
    epoll: OwnedFd,
    timers: Timers<Source>,
    segments: Segments,
    scratch: Vec<u8>,
}

impl Switch {
    /// Serves the programs that connect to `listener`, which is bound to `socket`.
    pub(crate) fn new(
        guest_cid: u64,
        limits: Limits,
        socket: PathBuf,
        listener: UnixListener,
        plan: FaultPlan,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timers = Timers::new()?;
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, &listener, Source::Listener.data(), EventFlags::IN)?;
        epoll::add(&epoll, &timers, Source::Timer.data(), EventFlags::IN)?;
        epoll::add(&epoll, &plan, Source::Orders.data(), EventFlags::IN)?;
        Ok(Self {
            socket,
            listener,
            plan,
            table: Table::new(guest_cid, limits),
            hosts: Vec::new(),
            callers: Vec::new(),
            free_callers: Vec::new(),
            known_ports: HashSet::new(),
            epoll,
            timers,
            segments: Segments::default(),
            scratch: vec![0; MAX_PAYLOAD],
        })
    }

    // The host's side.

    /// Takes note of what happened to the host's sockets, and of times that have come.
    pub(crate) fn look_at_host(&mut self) -> io::Result<()> {
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS];
        let at_once = rustix::time::Timespec::default();
        let events = match epoll::wait(&self.epoll, &mut events, Some(&at_once)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let (source, flags) = (Source::from_data(event.data), event.flags);
            match source {
                Source::Listener => self.accept(),
                Source::Timer => self.timers.went_off(),
                Source::Orders => self.obey(),
                Source::Caller(number) => self.caller_moved(number),
                Source::Connection(token) => self.host_moved(token, flags),
            }
        }
        let now = self.timers.now();
        while let Some(source) = self.timers.next_due(now) {
            match source {
                Source::Caller(number) => self.caller_due(number, now),
                Source::Connection(token) => self.connection_due(token, now),
                Source::Listener | Source::Timer | Source::Orders => {}
            }
        }
        Ok(())
    }

    /// Does what the fault plan says.
    fn obey(&mut self) {
        let now = self.timers.now();
        let orders = self.plan.take();
        if let Some(faults) = orders.faults {
            self.table.set_faults(now, faults);
            for token in self.table.tokens() {
                self.settle(token);
            }
        }
        for loss in orders.lost {
            let (which, one) = match loss {
                Loss::All(which) => (which, None),
                Loss::One(which, number) => (which, Some(number)),
            };
            let mut tokens = self.table.tokens();
            tokens.retain(|token| {
                let connection = self.table.get(*token);
                connection.is_some_and(|connection| which.has(connection.service()))
            });
            if let Some(number) = one
                && let Some(chosen) = number.checked_rem(tokens.len() as u64)
            {
                tokens = vec![tokens[chosen as usize]];
            }
            for token in tokens {
                if let Some(connection) = self.table.get(token) {
                    connection.reset();
                }
                self.settle(token);
            }
        }
    }

    /// To be called before the thread waits.
    pub(crate) fn before_waiting(&mut self) -> io::Result<()> {
        self.timers.arm()
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let waiting = self.callers.len() - self.free_callers.len();
            if waiting + self.table.len() >= self.table.limit() {
                tracing::warn!(
                    code = "vsock-too-many-connections",
                    limit = self.table.limit(),
                    "a program's connection is refused"
                );
                continue;
            }
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let deadline = self.timers.now() + CALL_PATIENCE;
            let caller = Caller {
                stream,
                line: Vec::new(),
                ask: None,
                deadline,
            };
            let number = self.free_callers.pop().unwrap_or_else(|| {
                self.callers.push(None);
                u32::try_from(self.callers.len() - 1).unwrap_or(u32::MAX)
            });
            let source = Source::Caller(number);
            if host::watch(&self.epoll, &caller.stream, source).is_err() {
                self.free_callers.push(number);
                continue;
            }
            self.callers[number as usize] = Some(caller);
            self.timers.at(deadline, source);
            self.caller_moved(number);
        }
    }

    fn caller(&mut self, number: u32) -> Option<&mut Caller> {
        self.callers.get_mut(number as usize)?.as_mut()
    }

    fn drop_caller(&mut self, number: u32) -> Option<Caller> {
        let caller = self.callers.get_mut(number as usize)?.take();
        if caller.is_some() {
            self.free_callers.push(number);
        }
        caller
    }

    fn caller_moved(&mut self, number: u32) {
        let now = self.timers.now();
        loop {
            let Some(caller) = self.caller(number) else {
                return;
            };
            if caller.ask.is_some() {
                // It waits for the guest; whether it still does is found out when the guest answers.
                return;
            }
            match caller.read() {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    self.drop_caller(number);
                    return;
                }
            }
            match handshake::parse(&caller.line) {
                Line::Incomplete => {}
                Line::Wrong => {
                    self.drop_caller(number);
                    return;
                }
                Line::Connect { port, length } => {
                    caller.ask = Some(Ask {
                        port,
                        early: caller.line.split_off(length),
                        since: now,
                        pause: PAUSES.0,
                    });
                    self.ask_guest(number);
                    return;
                }
            }
        }
    }

    fn caller_due(&mut self, number: u32, now: Micros) {
        let Some(caller) = self.caller(number) else {
            return;
        };
        if caller.deadline > now {
            // Of an earlier one with this number.
            return;
        }
        if caller.ask.is_some() {
            self.ask_guest(number);
        } else {
            self.drop_caller(number);
        }
    }

    fn ask_guest(&mut self, number: u32) {
        let now = self.timers.now();
        let Some(Caller {
            stream,
            ask: Some(ask),
            ..
        }) = self.drop_caller(number)
        else {
            return;
        };
        let Some(token) = self.table.ask_guest(now, ask.port) else {
            return;
        };
        if host::rename(&self.epoll, &stream, Source::Connection(token)).is_err() {
            self.table.remove(token);
            return;
        }
        let deadline = ask.since + CALL_PATIENCE;
        self.timers.at(deadline, Source::Connection(token));
        *self.host(token) = Host {
            ask: Some(ask),
            deadline,
            ..Host::with(stream)
        };
    }

    /// The guest refused: its program may be asked again.
    fn refused(&mut self, token: Token) {
        let now = self.timers.now();
        let host = std::mem::take(self.host(token));
        self.table.remove(token);
        let (Some(mut ask), Some(stream)) = (host.ask, host.stream) else {
            return;
        };
        if host.hung_up
            || now >= ask.since + REFUSAL_PATIENCE
            || !self.known_ports.contains(&ask.port)
        {
            return;
        }
        let deadline = now + ask.pause;
        ask.pause = (ask.pause * 2).min(PAUSES.1);
        let number = self.free_callers.pop().unwrap_or_else(|| {
            self.callers.push(None);
            u32::try_from(self.callers.len() - 1).unwrap_or(u32::MAX)
        });
        let source = Source::Caller(number);
        if host::rename(&self.epoll, &stream, source).is_err() {
            self.free_callers.push(number);
            return;
        }
        self.callers[number as usize] = Some(Caller {
            stream,
            line: Vec::new(),
            ask: Some(ask),
            deadline,
        });
        self.timers.at(deadline, source);
    }

    /// A connection's place; it is there for every token that the table gave.
    fn host(&mut self, token: Token) -> &mut Host {
        let index = token.index as usize;
        if self.hosts.len() <= index {
            self.hosts.resize_with(index + 1, Host::default);
        }
        &mut self.hosts[index]
    }

    fn host_moved(&mut self, token: Token, flags: EventFlags) {
        if self.table.get(token).is_none() {
            return;
        }
        let host = self.host(token);
        host.happened(flags);
        let (hung_up, asked) = (host.hung_up, host.ask.is_some());
        if hung_up && let Some(connection) = self.table.get(token) {
            connection.host_deaf();
            if asked {
                connection.host_broke_off();
            } else if connection.host_read_ends() {
                connection.host_finished();
            }
        }
        self.settle(token);
    }

    fn connection_due(&mut self, token: Token, now: Micros) {
        let Some(connection) = self.table.get(token) else {
            return;
        };
        let open = connection.is_open();
        let host = self.host(token);
        if !open && host.deadline != 0 && host.deadline <= now {
            if host.stream.is_none() && host.pause != 0 {
                self.call_host(token);
            } else if let Some(connection) = self.table.get(token) {
                // The guest does not answer.
                connection.host_broke_off();
            }
        }
        let host = self.host(token);
        if host.looked_at != 0 && host.looked_at <= now {
            host.looked_at = 0;
        }
        self.settle(token);
    }

    /// Calls the host's program for a connection that the guest wants.
    fn call_host(&mut self, token: Token) {
        let now = self.timers.now();
        let Some(connection) = self.table.get(token) else {
            return;
        };
        let port = connection.key().host_port;
        let called = host::call(&host::path_of(&self.socket, port)).and_then(|stream| {
            host::watch(&self.epoll, &stream, Source::Connection(token))?;
            Ok(stream)
        });
        match called {
            Ok(stream) => {
                *self.host(token) = Host::with(stream);
                if let Some(connection) = self.table.get(token) {
                    connection.host_accepted();
                }
            }
            Err(error) if host::is_later(&error) && self.may_wait(token, now) => {}
            Err(error) => {
                tracing::debug!(port, %error, "no program of the host takes the guest's connection");
                if let Some(connection) = self.table.get(token) {
                    connection.reset();
                }
            }
        }
    }

    /// Plans the next call to a program that is there but does not accept; `false` when it has had enough of them.
    fn may_wait(&mut self, token: Token, now: Micros) -> bool {
        let host = self.host(token);
        if host.pause == 0 {
            host.pause = PAUSES.0;
            host.patience = now + ACCEPT_PATIENCE;
        }
        if now >= host.patience {
            return false;
        }
        let deadline = now + host.pause;
        host.deadline = deadline;
        host.pause = (host.pause * 2).min(PAUSES.1);
        self.timers.at(deadline, Source::Connection(token));
        true
    }

    /// After anything happened to a connection: moves bytes to the host, ends what has ended, and gives it a turn
    /// when it has something for the guest.
    fn settle(&mut self, token: Token) {
        let now = self.timers.now();
        let Some(connection) = self.table.get(token) else {
            return;
        };
        let host = &mut self.hosts[token.index as usize];
        if connection.was_refused() && host.ask.is_some() {
            self.refused(token);
            return;
        }
        loop {
            let bytes = connection.for_host(now);
            if bytes.is_empty() {
                break;
            }
            match host.write(bytes) {
                None => break,
                Some(Ok(count)) => connection.host_took(count),
                Some(Err(_)) => connection.host_deaf(),
            }
        }
        if connection.host_write_ends() {
            host.end(true);
        }
        if connection.host_read_ends() {
            host.end(false);
        }
        if connection.host_is_done() {
            host.stream = None;
        }
        let reads_on = host.readable && connection.wanted_of_host() > 0;
        if let Some(due) = connection.due(now)
            && (host.looked_at == 0 || due < host.looked_at)
        {
            host.looked_at = due;
            self.timers.at(due, Source::Connection(token));
        }
        self.table.touch(now, token);
        if reads_on {
            self.table.give_turn(token);
        }
        if let Some(connection) = self.table.get(token)
            && connection.over_for_guest().is_some()
            && !connection.lingers()
        {
            self.table.remove(token);
            *self.host(token) = Host::default();
        }
    }

    // The guest's side.

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

impl AsFd for Switch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
