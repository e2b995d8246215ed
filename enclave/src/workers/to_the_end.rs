//! A future that is not cancelled by being dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Work that is done in its caller's task, without a change of threads, and goes on in a task of its own where the
/// caller stops waiting.
pub(super) struct ToTheEnd<T: 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: 'static> ToTheEnd<T> {
    /// Nothing is done before it is waited for.
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        ToTheEnd {
            work: Some(Box::pin(work)),
        }
    }
}

impl<T: 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else {
            // It has given its answer; as with other futures, there is no second one.
            return Poll::Pending;
        };
        let answer = std::task::ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(answer)
    }
}

impl<T: 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        // Where the runtime is gone, the worker goes with it.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}
