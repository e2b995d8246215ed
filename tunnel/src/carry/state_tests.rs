//! Every order in which both sides can send, end, close and reset, against a model of two sockets.

use proptest::prelude::*;

use super::*;

/// What a side's program does with its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Two bytes.
    Send,
    /// Shuts down writing; still reads.
    Finish,
    /// Closes, with everything read: what is written to it from now on is refused.
    Close,
    /// Is killed with unread bytes, or aborts.
    Reset,
    /// Reads nothing, so that nothing more fits.
    Block,
    /// Reads again.
    Unblock,
}

/// One socket, as the kernel keeps it for the proxy.
#[derive(Debug, Default)]
struct Socket {
    /// To be read by the proxy.
    queue: Vec<u8>,
    sent: Vec<u8>,
    received: Vec<u8>,
    /// Reads come to an end: it finished, or it was reset.
    ended: bool,
    finished: bool,
    reads_no_more: bool,
    blocked: bool,
    was_reset: bool,
    /// The kernel tells of a reset once: to who reads or to who writes.
    untold: bool,
    told_the_end: usize,
    bytes_when_told: usize,
}

impl Socket {
    fn act(&mut self, act: Act, next: &mut u8) {
        if self.was_reset || (self.reads_no_more && act != Act::Reset) {
            return;
        }
        match act {
            Act::Send if !self.ended => {
                for _ in 0..2 {
                    *next = next.wrapping_add(1);
                    self.queue.push(*next);
                    self.sent.push(*next);
                }
            }
            Act::Send => {}
            Act::Finish => (self.ended, self.finished) = (true, true),
            Act::Close => {
                (self.ended, self.finished) = (true, true);
                self.reads_no_more = true;
            }
            Act::Reset => {
                (self.was_reset, self.untold) = (true, true);
                (self.ended, self.reads_no_more) = (true, true);
            }
            Act::Block => self.blocked = true,
            Act::Unblock => self.blocked = false,
        }
    }

    /// recv(2) of at most three bytes.
    fn read(&mut self) -> Option<(Event, Vec<u8>)> {
        if !self.queue.is_empty() {
            let some = self.queue.len().min(3);
            let bytes: Vec<u8> = self.queue.drain(..some).collect();
            return Some((Event::Read(bytes.len()), bytes));
        }
        if std::mem::take(&mut self.untold) {
            return Some((Event::ReadFailed, Vec::new()));
        }
        self.ended.then_some((Event::Ended, Vec::new()))
    }

    /// send(2) that takes one byte.
    fn write(&mut self, bytes: &mut Vec<u8>) -> Option<Event> {
        if std::mem::take(&mut self.untold) {
            return Some(Event::WriteFailed(Failure::Reset));
        }
        if self.reads_no_more {
            return Some(Event::WriteFailed(Failure::Gone));
        }
        if self.blocked {
            return None;
        }
        assert_eq!(self.told_the_end, 0, "a byte after the end");
        self.received.push(bytes.remove(0));
        Some(Event::Written(1))
    }

    fn finish(&mut self) -> Event {
        self.told_the_end += 1;
        self.bytes_when_told = self.received.len();
        Event::Finished
    }
}

struct World {
    state: State,
    caller: Socket,
    enclave: Socket,
    loaded: [Vec<u8>; 2],
    now: Instant,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            state: State::new(Patience::default(), now),
            caller: Socket::default(),
            enclave: Socket::default(),
            loaded: [Vec::new(), Vec::new()],
            now,
        }
    }

    /// What the tunnel does when it is woken: each way goes on until it must wait.
    fn run(&mut self) {
        loop {
            let moved = [Way::Inward, Way::Outward].map(|way| self.advance(way));
            if moved == [false, false] {
                return;
            }
        }
    }

    fn advance(&mut self, way: Way) -> bool {
        let (from, to, loaded) = match way {
            Way::Inward => (&mut self.caller, &mut self.enclave, &mut self.loaded[0]),
            Way::Outward => (&mut self.enclave, &mut self.caller, &mut self.loaded[1]),
        };
        let want = self.state.wants(way);
        let event = match want {
            Want::Read | Want::Discard => from.read().map(|(event, bytes)| {
                if want == Want::Read {
                    assert!(loaded.is_empty(), "reads before it has written");
                    *loaded = bytes;
                }
                event
            }),
            Want::Write => to.write(loaded),
            Want::Finish => Some(to.finish()),
            Want::Nothing => None,
        };
        let Some(event) = event else { return false };
        self.state.on(way, event, self.now);
        if !matches!(self.state.wants(way), Want::Write) {
            self.loaded[usize::from(way == Way::Outward)].clear();
        }
        true
    }

    /// Runs until it has ended by itself, or patience has.
    fn end(&mut self) -> End {
        self.run();
        self.state.ended().unwrap_or_else(|| {
            assert!(self.state.deadline() > self.now, "patience has an end");
            self.state.out_of_patience()
        })
    }

    fn check(mut self) {
        let end = self.end();
        let (caller, enclave) = (&self.caller, &self.enclave);
        for (from, to, way) in [
            (caller, enclave, Way::Inward),
            (enclave, caller, Way::Outward),
        ] {
            assert!(
                from.sent.starts_with(&to.received),
                "other bytes than were sent"
            );
            assert_eq!(self.state.moved(way), to.received.len() as u64);
            assert!(to.told_the_end <= 1, "an end is told once");
            if to.told_the_end == 1 {
                assert!(from.finished, "a reset is not an end");
                assert_eq!(
                    to.bytes_when_told,
                    from.sent.len(),
                    "told before the last byte"
                );
            }
            // Whoever still reads gets all that was sent, whatever became of the sender.
            if !to.reads_no_more && !to.blocked {
                assert_eq!(to.received, from.sent, "bytes are missing");
            }
            if from.finished && !from.was_reset && !to.reads_no_more && !to.blocked {
                let told = to.told_the_end == 1 || end == End::Closed;
                assert!(told, "an end was not passed on: {end:?}");
            }
        }
        match end {
            End::Closed => {
                assert!(caller.ended && enclave.ended);
                for (from, to) in [(caller, enclave), (enclave, caller)] {
                    assert_eq!(to.received, from.sent);
                }
            }
            End::Broken => assert!(caller.reads_no_more || enclave.reads_no_more),
            End::Idle => {
                let moves = |side: &Socket| !side.ended || side.blocked;
                assert!(
                    moves(caller) || moves(enclave),
                    "it had all it needed to end"
                );
            }
        }
    }
}

/// Everything that one side can do with its socket, in every order that means something.
fn scripts() -> Vec<Vec<Act>> {
    use Act::{Close, Finish, Reset, Send};
    let mut scripts = Vec::new();
    for sends in 0..=2 {
        for last in [
            &[][..],
            &[Finish],
            &[Close],
            &[Reset],
            &[Finish, Close],
            &[Finish, Reset],
        ] {
            scripts.push([&vec![Send; sends][..], last].concat());
        }
    }
    scripts
}

/// Calls `then` with every interleaving: true is the caller's turn.
fn interleave(
    caller: usize,
    enclave: usize,
    turns: &mut Vec<bool>,
    then: &mut impl FnMut(&[bool]),
) {
    if caller == 0 && enclave == 0 {
        return then(turns);
    }
    for (turn, left) in [(true, caller), (false, enclave)] {
        if left > 0 {
            turns.push(turn);
            interleave(
                caller - usize::from(turn),
                enclave - usize::from(!turn),
                turns,
                then,
            );
            turns.pop();
        }
    }
}

#[test]
fn every_order_of_sends_ends_closes_and_resets_keeps_every_promise() {
    let scripts = scripts();
    let mut orders = 0u32;
    for of_caller in &scripts {
        for of_enclave in &scripts {
            interleave(
                of_caller.len(),
                of_enclave.len(),
                &mut Vec::new(),
                &mut |turns| {
                    // After which of the acts the proxy is woken.
                    for woken in 0..1u32 << turns.len() {
                        let mut world = World::new();
                        let (mut caller, mut enclave) = (of_caller.iter(), of_enclave.iter());
                        let mut next = 0;
                        for (n, callers_turn) in turns.iter().enumerate() {
                            let (side, acts) = match callers_turn {
                                true => (&mut world.caller, &mut caller),
                                false => (&mut world.enclave, &mut enclave),
                            };
                            side.act(*acts.next().unwrap(), &mut next);
                            if woken & 1 << n != 0 && world.state.ended().is_none() {
                                world.run();
                            }
                        }
                        world.check();
                        orders += 1;
                    }
                },
            );
        }
    }
    assert!(orders > 100_000, "{orders}");
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Send),
        2 => Just(Act::Block),
        2 => Just(Act::Unblock),
        1 => Just(Act::Finish),
        1 => Just(Act::Close),
        1 => Just(Act::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn slow_readers_change_nothing(acts in prop::collection::vec((any::<bool>(), act(), any::<bool>()), 0..24)) {
        let mut world = World::new();
        let mut next = 0;
        for (callers, act, woken) in acts {
            let side = if callers { &mut world.caller } else { &mut world.enclave };
            side.act(act, &mut next);
            if woken {
                world.run();
            }
        }
        world.check();
    }
}

#[test]
fn patience_depends_on_what_is_left_to_be_carried() {
    let patience = Patience {
        idle: Duration::from_secs(3),
        half_closed: Duration::from_secs(2),
        linger: Duration::from_secs(1),
    };
    let now = Instant::now();
    let after = |events: &[(Way, Event)]| {
        let mut state = State::new(patience, now);
        events
            .iter()
            .for_each(|(way, event)| state.on(*way, *event, now));
        (state.deadline() - now, state.out_of_patience())
    };
    use Event::{Ended, Finished, ReadFailed, WriteFailed};
    assert_eq!(after(&[]), (patience.idle, End::Idle));
    let half = [(Way::Inward, Ended), (Way::Inward, Finished)];
    assert_eq!(after(&half), (patience.half_closed, End::Idle));
    let deaf = [(Way::Inward, WriteFailed(Failure::Gone))];
    assert_eq!(after(&deaf), (patience.half_closed, End::Broken));
    let reset = [(Way::Inward, ReadFailed)];
    assert_eq!(after(&reset), (patience.linger, End::Broken));
}

#[test]
fn what_is_dropped_prolongs_nothing() {
    let now = Instant::now();
    let mut state = State::new(Patience::default(), now);
    state.on(Way::Inward, Event::ReadFailed, now);
    let deadline = state.deadline();
    assert_eq!(state.wants(Way::Outward), Want::Discard);
    state.on(
        Way::Outward,
        Event::Read(9),
        now + Duration::from_millis(400),
    );
    assert_eq!(
        (state.deadline(), state.wants(Way::Outward)),
        (deadline, Want::Discard)
    );
}
