//! Programs of the host that ask for a port of the guest.

use crate::vsock::Micros;
use crate::vsock::handshake::{self, Line};
use crate::vsock::host::{self, Ask, Caller, Host, Source};
use crate::vsock::switch::{PAUSES, Switch};
use crate::vsock::table::Token;

/// How long a program may take for its `CONNECT` line, and the guest to answer it.
const CALL_PATIENCE: Micros = 5_000_000;
/// How long a guest that has accepted on a port before, and now refuses, is asked again: its queue of connections to
/// accept may be full (Linux refuses then, and does not let wait).
const REFUSAL_PATIENCE: Micros = 1_000_000;

impl Switch {
    pub(super) fn accept(&mut self) {
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

    pub(super) fn caller(&mut self, number: u32) -> Option<&mut Caller> {
        self.callers.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn drop_caller(&mut self, number: u32) -> Option<Caller> {
        let caller = self.callers.get_mut(number as usize)?.take();
        if caller.is_some() {
            self.free_callers.push(number);
        }
        caller
    }

    pub(super) fn caller_moved(&mut self, number: u32) {
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

    pub(super) fn caller_due(&mut self, number: u32, now: Micros) {
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

    pub(super) fn ask_guest(&mut self, number: u32) {
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
    pub(super) fn refused(&mut self, token: Token) {
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
}
