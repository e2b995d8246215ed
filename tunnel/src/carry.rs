//! One connection: what its [state](state) wants, done with two sockets, until it has ended.

mod first;
mod load;
mod state;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nacre_transport::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::lanes::watch::carried_a_message;
use crate::side::Side;
pub use first::First;
use load::Load;
pub use load::Pools;
pub use state::{End, Patience};
use state::{Event, Failure, State, Want, Way};

/// Carries bytes until the connection has ended, after those that the caller said `first`. `carried` is told how many went
/// in and out, whenever some did.
pub async fn carry(
    caller: &mut Stream,
    enclave: &mut Stream,
    first: First<'_>,
    patience: &Patience,
    carried: impl FnMut(u64, u64),
) -> End {
    carry_between(caller, enclave, first, patience, carried).await
}

async fn carry_between(
    caller: &mut impl Side,
    enclave: &mut impl Side,
    first: First<'_>,
    patience: &Patience,
    mut carried: impl FnMut(u64, u64),
) -> End {
    let mut tunnel = Tunnel {
        state: State::new(*patience, Instant::now()),
        outward: Load::new(first.load.pools()),
        inward: first.load,
    };
    for event in [Event::Read(first.read), Event::Written(first.written)] {
        tunnel.state.on(Way::Inward, event, Instant::now());
    }
    let mut known = (0, 0);
    let mut timer = std::pin::pin!(sleep_until(tunnel.state.deadline()));
    poll_fn(|cx| {
        let ended = tunnel.poll(cx, caller, enclave, timer.as_mut());
        let moved = tunnel.moved();
        if moved != known {
            carried(moved.0 - known.0, moved.1 - known.1);
            known = moved;
        }
        ended
    })
    .await
}

struct Tunnel<'a> {
    state: State,
    inward: Load<'a>,
    outward: Load<'a>,
}

impl Tunnel<'_> {
    fn moved(&self) -> (u64, u64) {
        (
            self.state.moved(Way::Inward),
            self.state.moved(Way::Outward),
        )
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        caller: &mut impl Side,
        enclave: &mut impl Side,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<End> {
        loop {
            let now = Instant::now();
            let (state, inward, outward) = (&mut self.state, &mut self.inward, &mut self.outward);
            loop {
                advance(Way::Inward, state, inward, cx, caller, enclave, now);
                let left_at = state.wants(Way::Inward);
                advance(Way::Outward, state, outward, cx, enclave, caller, now);
                // What happened outward may give the way inward something else to do.
                if state.wants(Way::Inward) == left_at {
                    break;
                }
            }
            if let Some(end) = self.state.ended() {
                return Poll::Ready(end);
            }
            let deadline = self.state.deadline();
            if now >= deadline {
                return Poll::Ready(self.state.out_of_patience());
            }
            // Progress only moves the deadline away: the timer is set again when it fires, not on every byte.
            if timer.is_elapsed() || timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}

/// Does what a way wants until it must wait.
fn advance(
    way: Way,
    state: &mut State,
    load: &mut Load<'_>,
    cx: &mut Context<'_>,
    from: &mut impl Side,
    to: &mut impl Side,
    now: Instant,
) {
    loop {
        let polled = match state.wants(way) {
            Want::Read => {
                let read = load.poll_fill(cx, from);
                if matches!(read, Poll::Ready(Ok(1..))) && !load.is_bulk() {
                    carried_a_message();
                }
                read.map(was_read)
            }
            Want::Write => load.poll_drain(cx, to).map(was_written),
            Want::Finish => to.poll_finish(cx).map(was_finished),
            Want::Discard => {
                load.release();
                load.poll_fill(cx, from).map(was_read)
            }
            Want::Nothing => {
                load.release();
                return;
            }
        };
        let Poll::Ready(event) = polled else {
            return;
        };
        state.on(way, event, now);
    }
}

fn was_read(result: io::Result<usize>) -> Event {
    match result {
        Ok(0) => Event::Ended,
        Ok(bytes) => Event::Read(bytes),
        Err(_) => Event::ReadFailed,
    }
}

fn was_written(result: io::Result<usize>) -> Event {
    match result {
        Ok(bytes) => Event::Written(bytes),
        Err(error) => Event::WriteFailed(failure(&error)),
    }
}

fn was_finished(result: io::Result<()>) -> Event {
    match result {
        Ok(()) => Event::Finished,
        // The sink left before it could be told that there is no more: nothing was lost.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Event::Finished,
        Err(error) => Event::WriteFailed(failure(&error)),
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Gone,
        _ => Failure::Reset,
    }
}

#[cfg(test)]
mod tests;
