//! Programs of the host that the guest asks for.

use crate::vsock::Micros;
use crate::vsock::host::{self, Host, Source};
use crate::vsock::switch::{PAUSES, Switch};
use crate::vsock::table::Token;

/// How long a program on the host that accepts too slowly is called again. A Linux guest waits two seconds.
const ACCEPT_PATIENCE: Micros = 1_500_000;

impl Switch {
    /// Calls the host's program for a connection that the guest wants.
    pub(super) fn call_host(&mut self, token: Token) {
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
    pub(super) fn may_wait(&mut self, token: Token, now: Micros) -> bool {
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
}
