//! Between the guest's queues and the host's sockets: carries bytes, one thread, never blocks.

mod callers;
mod calls;
mod packets;

use std::collections::HashSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::event::epoll::{self, Event, EventFlags};

use crate::vsock::Micros;
use crate::vsock::chain::Segments;
use crate::vsock::host::{Caller, Host, Source};
use crate::vsock::packet::MAX_PAYLOAD;
use crate::vsock::table::{Limits, Table, Token};
use crate::vsock::timers::Timers;
use crate::vsock::wire::{FaultPlan, Loss};

/// The first of the pauses between two tries; each is twice as long as the one before, up to the second.
const PAUSES: (Micros, Micros) = (1000, 32_000);
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
}

impl AsFd for Switch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests;
