//! Asking several nodes at once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

/// How long slower nodes are waited for once enough have answered: a node that stalls costs this, not its time limit.
const GRACE: Duration = Duration::from_millis(250);

/// Whatever of `asked` ends before `enough` says of the answers so far that they are, and a moment longer.
pub(super) async fn gather<T>(
    asked: impl IntoIterator<Item = impl Future<Output = T>>,
    enough: impl Fn(&[T]) -> bool,
) -> Vec<T> {
    let mut running: FuturesUnordered<_> = asked.into_iter().collect();
    let mut answers = Vec::with_capacity(running.len());
    while !enough(&answers) {
        match running.next().await {
            Some(answer) => answers.push(answer),
            None => return answers,
        }
    }
    let until = Instant::now() + GRACE;
    while let Ok(Some(answer)) = timeout_at(until, running.next()).await {
        answers.push(answer);
    }
    answers
}
