//! Bounded work: so many requests at a time, each within its time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::refuse;
use crate::error::Error;

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// How long it may take from its turn to the head of its answer; reading the body is within it.
const DONE: Duration = Duration::from_secs(30);

/// Places for requests.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    limit: Option<Duration>,
}

impl Gate {
    /// That many at a time, each for as long as it takes.
    pub(super) fn places(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            limit: None,
        }
    }

    /// That many at a time, each within 30 s.
    pub(super) fn timed(places: usize) -> Self {
        Self {
            limit: Some(DONE),
            ..Self::places(places)
        }
    }
}

/// The middleware.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Ok(Ok(_place)) = timeout(TURN, gate.places.acquire()).await else {
        return refuse(&Error::TimedOut);
    };
    match gate.limit {
        None => next.run(request).await,
        Some(limit) => match timeout(limit, next.run(request)).await {
            Ok(response) => response,
            Err(_) => refuse(&Error::TimedOut),
        },
    }
}
