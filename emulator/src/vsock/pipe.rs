//! Bytes on their way in one direction of a connection, and what befalls them there.

use std::collections::VecDeque;

use crate::vsock::Micros;
use crate::vsock::wire::{Damage, hash};

/// Bytes that may be held back in one direction beyond what flow control allows anyway.
const ROOM: usize = 256 * 1024;

/// A queue of bytes, first in, first out. Without damage nothing but that.
///
/// Damage is told by places: the n-th byte of the direction since the connection began, however the bytes came in.
#[derive(Debug, Default)]
pub struct Pipe {
    ready: VecDeque<u8>,
    /// Held back, each piece until its time; times never fall.
    later: VecDeque<(Micros, Vec<u8>)>,
    held_back: usize,
    /// Bytes that have gone in since the connection began.
    passed: u64,
    damage: Vec<Damage>,
    /// For [`Damage::Rate`]: since when bytes have been saved up.
    paid_until: Micros,
    cut: bool,
}

impl Pipe {
    /// Replaces the damage by other damage, or none. What is inside already is not touched, except by a new rate.
    pub fn set_damage(&mut self, now: Micros, damage: Vec<Damage>) {
        self.damage = damage;
        self.paid_until = now;
        self.cut |= self.cut_at().is_some_and(|at| at <= self.passed);
    }

    /// Bytes go in.
    pub fn push(&mut self, now: Micros, bytes: &[u8]) {
        if self.damage.is_empty() && self.later.is_empty() {
            self.passed += bytes.len() as u64;
            self.ready.extend(bytes);
            return;
        }
        let bytes = self.damaged(bytes);
        let delay = self.delay();
        let time = self.later.back().map_or(0, |(time, _)| *time);
        let time = time.max(now + delay);
        if time <= now {
            self.ready.extend(&bytes);
        } else if !bytes.is_empty() {
            self.held_back += bytes.len();
            self.later.push_back((time, bytes));
        }
    }

    /// Bytes have gone past the pipe, which was empty and [`Self::is_plain`].
    pub fn went_past(&mut self, bytes: u32) {
        self.passed += u64::from(bytes);
    }

    fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            let place = self.passed;
            self.passed += 1;
            self.cut |= self.cut_at().is_some_and(|at| at <= place);
            if self.cut {
                continue;
            }
            let mut byte = *byte;
            let mut times = 1;
            for damage in &self.damage {
                match *damage {
                    Damage::Flip { at, mask } if at == place => byte ^= mask,
                    Damage::Noise { every, seed } => {
                        let random = hash(seed, place);
                        if random.is_multiple_of(every.get().into()) {
                            byte ^= 1 << (random >> 32 & 7);
                        }
                    }
                    Damage::Drop { at, length } if within(place, at, length) => times = 0,
                    _ => {}
                }
            }
            if times > 0 {
                out.push(byte);
            }
            for damage in &self.damage {
                // The piece comes again when its last byte has come; pieces end with the bytes that came together.
                if let Damage::Repeat { at, length } = *damage
                    && place + 1 == at.saturating_add(u64::from(length))
                {
                    let length = (length as usize).min(out.len());
                    out.extend_from_within(out.len() - length..);
                }
            }
        }
        self.cut |= self.cut_at().is_some_and(|at| at <= self.passed);
        out
    }

    fn cut_at(&self) -> Option<u64> {
        let cuts = self.damage.iter().filter_map(|damage| match damage {
            Damage::Cut { at } => Some(*at),
            _ => None,
        });
        cuts.min()
    }

    fn delay(&self) -> Micros {
        let delays = self.damage.iter().map(|damage| match *damage {
            Damage::Delay { by, jitter, seed } => {
                let random = hash(seed, self.passed);
                by + random.checked_rem(jitter + 1).unwrap_or(0)
            }
            _ => 0,
        });
        delays.sum()
    }

    fn rate(&self) -> Option<u64> {
        let rates = self.damage.iter().filter_map(|damage| match damage {
            Damage::Rate { bytes_per_second } => Some(bytes_per_second.get().into()),
            _ => None,
        });
        rates.min()
    }

    /// The first bytes that may come out.
    pub fn ready(&mut self, now: Micros) -> &[u8] {
        while let Some((time, _)) = self.later.front()
            && *time <= now
            && let Some((_, bytes)) = self.later.pop_front()
        {
            self.held_back -= bytes.len();
            self.ready.extend(bytes);
        }
        let allowed = match self.rate() {
            None => usize::MAX,
            Some(rate) => {
                // Nobody saves up more than a tenth of a second, but always enough for a byte.
                let most = 100_000.max(1_000_000_u64.div_ceil(rate));
                self.paid_until = self.paid_until.max(now.saturating_sub(most));
                let saved = now.saturating_sub(self.paid_until);
                usize::try_from(saved * rate / 1_000_000).unwrap_or(usize::MAX)
            }
        };
        let ready = self.ready.as_slices().0;
        &ready[..ready.len().min(allowed)]
    }

    /// When there is something new to be had from [`Self::ready`], where that is only a matter of time.
    #[must_use]
    pub fn due(&self, now: Micros) -> Option<Micros> {
        let held_back = self.later.front().map(|(time, _)| *time);
        match self.rate() {
            Some(rate) if !self.ready.is_empty() => {
                // A hundredth of a second's worth at once, or a byte.
                let some = (rate / 100).max(1);
                let wait = (some * 1_000_000).div_ceil(rate);
                Some(now.max(self.paid_until + wait))
            }
            _ => held_back,
        }
    }

    /// Bytes have come out.
    pub fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.ready.len());
        self.ready.drain(..bytes);
        if self.ready.is_empty() {
            // What a burst needed is not kept for the rest of the connection's life.
            self.ready = VecDeque::new();
        }
        if let Some(rate) = self.rate() {
            self.paid_until += (bytes as u64 * 1_000_000).div_ceil(rate);
        }
    }

    /// Nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.later.is_empty()
    }

    /// Bytes come out as they went in, at once.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.damage.is_empty() && self.later.is_empty()
    }

    /// How many more bytes may go in.
    #[must_use]
    pub fn room(&self) -> usize {
        ROOM.saturating_sub(self.ready.len() + self.held_back)
    }

    /// It ended before its writer did.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Throws everything away.
    pub fn clear(&mut self) {
        self.ready = VecDeque::new();
        self.later = VecDeque::new();
        self.held_back = 0;
    }
}

fn within(place: u64, at: u64, length: u32) -> bool {
    place >= at && place - at < u64::from(length)
}

#[cfg(test)]
mod tests;
