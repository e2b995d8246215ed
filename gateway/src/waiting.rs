//! Callers of functions that have no node now: they wait a bounded time, and whoever knows where functions run is told,
//! so that a function that sleeps wakes with its first caller.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacre_protocol::ids::FunctionName;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Who waits, by function; a handle to share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiting(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    functions: Mutex<BTreeMap<FunctionName, Queue>>,
    /// Somebody came where nobody was.
    first: Notify,
}

#[derive(Debug)]
struct Queue {
    callers: u32,
    /// When the first of those who have waited without a pause came.
    since: Instant,
}

/// Callers of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) function: FunctionName,
    pub(crate) callers: u32,
    pub(crate) oldest: Duration,
}

impl Waiting {
    /// One more waits, until what is returned is dropped.
    pub(crate) fn enter(&self, function: &FunctionName) -> Waiter {
        let mut functions = self.functions();
        let queue = functions.entry(function.clone()).or_insert_with(|| {
            self.0.first.notify_one();
            Queue {
                callers: 0,
                since: Instant::now(),
            }
        });
        queue.callers = queue.callers.saturating_add(1);
        Waiter {
            waiting: self.clone(),
            function: function.clone(),
        }
    }

    /// Who waits now.
    pub(crate) fn all(&self) -> Vec<Waits> {
        let functions = self.functions();
        let all = functions.iter().map(|(function, queue)| Waits {
            function: function.clone(),
            callers: queue.callers,
            oldest: queue.since.elapsed(),
        });
        all.collect()
    }

    /// Ends when somebody has begun to wait for a function that nobody waited for.
    pub(crate) async fn first(&self) {
        self.0.first.notified().await;
    }

    fn functions(&self) -> MutexGuard<'_, BTreeMap<FunctionName, Queue>> {
        let functions = self.0.functions.lock();
        functions.unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiting: Waiting,
    function: FunctionName,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut functions = self.waiting.functions();
        if let Some(queue) = functions.get_mut(&self.function) {
            queue.callers -= 1;
            if queue.callers == 0 {
                functions.remove(&self.function);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_counted_until_they_go_and_the_first_is_noticed() {
        let waiting = Waiting::default();
        let (iris, lenet) = ("iris".parse().unwrap(), "lenet".parse().unwrap());
        let one = waiting.enter(&iris);
        waiting.first().await;
        let (two, other) = (waiting.enter(&iris), waiting.enter(&lenet));
        waiting.first().await;
        let count = || -> Vec<_> {
            let all = waiting.all().into_iter();
            all.map(|waits| (waits.function.to_string(), waits.callers))
                .collect()
        };
        assert_eq!(count(), [("iris".to_owned(), 2), ("lenet".to_owned(), 1)]);
        drop((one, other));
        assert_eq!(count(), [("iris".to_owned(), 1)]);
        drop(two);
        assert_eq!(count(), []);
    }
}
