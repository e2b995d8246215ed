//! Ending a device from another thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// Says once and for all that a device shall end. Clones are the same stop.
#[derive(Clone)]
pub struct Stop {
    shared: Arc<Shared>,
}

struct Shared {
    event: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl Stop {
    /// Not stopped yet.
    ///
    /// # Errors
    ///
    /// When the system has no file descriptors left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
                state: Mutex::default(),
            }),
        })
    }

    /// Ends the device. May be called at any time, also before it runs and after it has ended.
    pub fn stop(&self) {
        // Never read: it stays readable. It cannot be full after so few.
        let _ = rustix::io::write(&self.shared.event, &1_u64.to_ne_bytes());
        let mut state = self.lock();
        state.stopped = true;
        if let Some(then) = state.then.take() {
            then();
        }
    }

    /// It was called.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.lock().stopped
    }

    /// What to do when it is called; at once, if it was.
    pub(crate) fn then(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.stopped {
            then();
        } else {
            state.then = Some(Box::new(then));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}
