//! Asking several nodes at once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

/// How long slower nodes are waited for once enough have answered: a node that stalls costs this, not its time limit.
const GRACE: Duration = Duration::from_millis(250);

/// Whether to wait for more answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Have {
    /// They are too few.
    TooFew,
    /// They would do; others may make them better.
    Enough,
    /// Nothing that comes can change anything.
    All,
}

/// Whatever of `asked` ends before `have` says of the answers so far that they are enough, and a moment longer; or until they
/// are all that is needed.
pub(super) async fn gather<T>(
    asked: impl IntoIterator<Item = impl Future<Output = T>>,
    have: impl Fn(&[T]) -> Have,
) -> Vec<T> {
    let mut running: FuturesUnordered<_> = asked.into_iter().collect();
    let mut answers = Vec::with_capacity(running.len());
    while have(&answers) == Have::TooFew {
        match running.next().await {
            Some(answer) => answers.push(answer),
            None => return answers,
        }
    }
    let until = Instant::now() + GRACE;
    while have(&answers) != Have::All
        && let Ok(Some(answer)) = timeout_at(until, running.next()).await
    {
        answers.push(answer);
    }
    answers
}
