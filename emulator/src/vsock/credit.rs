//! Flow control: neither side sends more than the other has room for (virtio 1.2 §5.10.6.3).
//!
//! All counters run modulo 2³². Only differences are looked at, so that a connection may carry any number of bytes.

/// Both directions of one connection, as the device sees them.
#[derive(Clone, Debug)]
pub struct Credit {
    /// Bytes that the host side promises to hold of what the guest sends.
    window: u32,
    /// Bytes received from the guest so far.
    received: u32,
    /// Of those: taken by the host.
    taken: u32,
    /// [`Self::taken`] as the guest knows it.
    told: u32,
    /// Bytes sent to the guest so far.
    sent: u32,
    /// The guest's own promise and count.
    guest_window: u32,
    guest_taken: u32,
}

impl Credit {
    /// A fresh connection whose host side holds up to `window` bytes.
    #[must_use]
    pub fn new(window: u32) -> Self {
        Self {
            window,
            received: 0,
            taken: 0,
            told: 0,
            sent: 0,
            guest_window: 0,
            guest_taken: 0,
        }
    }

    /// Every packet of the guest says what it has room for.
    pub fn guest_says(&mut self, window: u32, taken: u32) {
        self.guest_window = window;
        self.guest_taken = taken;
    }

    /// How many bytes the guest has room for. A guest that claims to have taken more than it was sent gets nothing.
    #[must_use]
    pub fn for_guest(&self) -> u32 {
        let on_the_way = self.sent.wrapping_sub(self.guest_taken);
        self.guest_window.saturating_sub(on_the_way)
    }

    /// Bytes went to the guest.
    pub fn sent(&mut self, bytes: u32) {
        self.sent = self.sent.wrapping_add(bytes);
    }

    /// Bytes of the guest that the host has not taken yet.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.received.wrapping_sub(self.taken)
    }

    /// Bytes came from the guest; says whether they were within what was promised.
    #[must_use]
    pub fn receive(&mut self, bytes: u32) -> bool {
        if bytes > self.window.saturating_sub(self.held()) {
            return false;
        }
        self.received = self.received.wrapping_add(bytes);
        true
    }

    /// The host took bytes. More than there were counts as all.
    pub fn take(&mut self, bytes: u32) {
        self.taken = self.taken.wrapping_add(bytes.min(self.held()));
    }

    /// Everything received is out of the way.
    pub fn take_all(&mut self) {
        self.taken = self.received;
    }

    /// What to write into a packet for the guest: (`buf_alloc`, `fwd_cnt`). The guest then knows.
    pub fn tell(&mut self) -> (u32, u32) {
        self.told = self.taken;
        (self.window, self.taken)
    }

    /// Whether the guest should be told: what it may still send, as far as it knows, has come down to half
    /// of the window, and there is news. (Waiting until the window is empty would stop the sender.)
    #[must_use]
    pub fn worth_telling(&self) -> bool {
        let news = self.taken.wrapping_sub(self.told);
        news > 0 && news >= self.window / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counters_go_round_without_losing_a_byte() {
        let mut credit = Credit::new(1 << 16);
        let (mut sent, mut taken) = (0_u32, 0_u32);
        // Five times round 2³².
        for _ in 0..(5_u64 << 32 >> 16) {
            assert!(credit.receive(1 << 16));
            assert!(!credit.receive(1));
            credit.take(1 << 16);

            credit.guest_says(1 << 16, taken);
            assert_eq!(credit.for_guest(), 1 << 16);
            credit.sent(1 << 16);
            sent = sent.wrapping_add(1 << 16);
            assert_eq!(credit.for_guest(), 0);
            taken = sent;
        }
    }

    #[test]
    fn a_guest_that_claims_to_have_taken_what_it_was_never_sent_gets_nothing() {
        let mut credit = Credit::new(1024);
        credit.guest_says(1024, 1);
        assert_eq!(credit.for_guest(), 0);
    }

    #[test]
    fn a_smaller_promise_of_the_guest_counts_at_once() {
        let mut credit = Credit::new(1024);
        credit.guest_says(1000, 0);
        credit.sent(600);
        credit.guest_says(500, 0);
        assert_eq!(credit.for_guest(), 0);
        credit.guest_says(500, 200);
        assert_eq!(credit.for_guest(), 100);
    }

    proptest! {
        #[test]
        fn never_more_is_held_than_was_promised(window in 0_u32..5000, steps in proptest::collection::vec((any::<bool>(), 0_u32..3000), 0..200)) {
            let mut credit = Credit::new(window);
            let mut model = 0_u64;
            for (receive, bytes) in steps {
                if receive {
                    let fits = model + u64::from(bytes) <= u64::from(window);
                    prop_assert_eq!(credit.receive(bytes), fits);
                    if fits {
                        model += u64::from(bytes);
                    }
                } else {
                    credit.take(bytes);
                    model = model.saturating_sub(u64::from(bytes));
                }
                prop_assert_eq!(u64::from(credit.held()), model);
            }
        }
    }
}
