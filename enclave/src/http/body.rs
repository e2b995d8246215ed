//! Reads bodies: so many bytes, so fast, and within what all bodies together may hold.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Memory is counted in pieces of this size.
const PIECE: usize = 4096;
/// After an early refusal so many bytes of the body are still taken, so that a peer who sends first and reads then
/// gets the refusal and no reset.
const LINGER_BYTES: usize = 16 << 20;
/// And for so long.
const LINGER: Duration = Duration::from_secs(5);

/// Limits of one body.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Most bytes.
    pub max: usize,
    /// Longest time without a byte.
    pub idle: Duration,
    /// Time that every body has, whatever its speed.
    pub grace: Duration,
    /// And then it must have come at this many bytes a second.
    pub min_rate: u64,
    /// What all bodies together may hold, in pieces of 4 KiB.
    pub memory: Arc<Semaphore>,
}

impl BodyLimits {
    /// The usual times, for bodies of at most `max` bytes that together hold at most `memory` (and one of them must fit).
    pub fn new(max: usize, memory: usize) -> Self {
        Self {
            max,
            idle: Duration::from_secs(10),
            grace: Duration::from_secs(30),
            min_rate: 16 * 1024,
            memory: Arc::new(Semaphore::new(
                pieces(memory.max(2 * max)).min(Semaphore::MAX_PERMITS),
            )),
        }
    }

    /// Takes room for `bytes` more.
    pub fn room(&self, bytes: usize) -> Result<Room, BodyError> {
        let pieces = u32::try_from(pieces(bytes)).map_err(|_| BodyError::Overloaded)?;
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(pieces);
        permit.map(Room).map_err(|_| BodyError::Overloaded)
    }

    /// Takes room for `bytes` more, in turn with others who wait for so much, but not for long.
    pub async fn room_in_turn(&self, bytes: usize) -> Result<Room, BodyError> {
        let pieces = u32::try_from(pieces(bytes)).map_err(|_| BodyError::Overloaded)?;
        let permit = Arc::clone(&self.memory).acquire_many_owned(pieces);
        match tokio::time::timeout(self.idle, permit).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            _ => Err(BodyError::Overloaded),
        }
    }
}

/// A part of the memory for bodies, given back when dropped.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

impl Room {
    /// Gives back what is more than `bytes` need.
    pub fn shrink_to(&mut self, bytes: usize) {
        let excess = self.0.num_permits().saturating_sub(pieces(bytes));
        drop(self.0.split(excess));
    }
}

/// A body that has arrived.
#[derive(Debug)]
pub struct Arrived {
    /// Its bytes.
    pub bytes: Bytes,
    /// What they hold of the memory for bodies.
    _room: Vec<Room>,
}

/// A body that has not arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Longer than the limit, by its own account or in fact.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// It came too slowly, or stopped.
    #[error("the body did not arrive in time")]
    Timeout,
    /// The connection ended inside the body, or its framing is wrong.
    #[error("the body is incomplete or its framing is wrong")]
    Incomplete,
    /// Other bodies hold all the memory there is for them.
    #[error("too many bytes are being received at the moment; try again")]
    Overloaded,
}

impl BodyError {
    /// Whether the peer may still be sending, so that it is worth a [`linger`].
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Overloaded)
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::Timeout => 408,
            Self::Incomplete => 400,
            Self::Overloaded => 503,
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "body-too-large",
            Self::Timeout => "body-timeout",
            Self::Incomplete => "body-incomplete",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Reads a body whole, and tells `count` the length of each part of it. One whose `Content-Length` is above the limit
/// is refused before a byte of it is read.
pub async fn read_body<B>(
    headers: &HeaderMap,
    body: &mut B,
    limits: &BodyLimits,
    count: impl Fn(usize),
) -> Result<Arrived, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let limit = limits.max;
    let claimed = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if claimed.is_some_and(|claimed| claimed > limit as u64) {
        return Err(BodyError::TooLarge { limit });
    }
    let (started, mut arrived) = (Instant::now(), Gathered::default());
    while !body.is_end_stream() {
        let slowest = Duration::from_secs(arrived.length as u64 / limits.min_rate.max(1));
        let deadline = (started + limits.grace + slowest).min(Instant::now() + limits.idle);
        let frame = tokio::time::timeout_at(deadline, body.frame())
            .await
            .map_err(|_| BodyError::Timeout)?;
        let Some(frame) = frame else { break };
        // Trailers are of no use here.
        let Ok(data) = frame.map_err(|_| BodyError::Incomplete)?.into_data() else {
            continue;
        };
        count(data.len());
        if arrived.length + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        arrived.push(data, limits)?;
    }
    Ok(arrived.into_arrived())
}

/// Goes on taking a refused body for a while, without keeping it: 16 MiB, 5 s.
pub fn linger(headers: &HeaderMap, mut body: Incoming) {
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }));
}

/// A body that came in one piece is not copied.
#[derive(Default)]
struct Gathered {
    first: Option<Bytes>,
    rest: BytesMut,
    length: usize,
    counted: usize,
    room: Vec<Room>,
}

impl Gathered {
    fn push(&mut self, data: Bytes, limits: &BodyLimits) -> Result<(), BodyError> {
        self.length += data.len();
        if pieces(self.length) > self.counted {
            // Doubling is what the buffer does, and keeps the list of rooms short.
            let more = (pieces(self.length) - self.counted).max(self.counted);
            self.room.push(limits.room(more * PIECE)?);
            self.counted += more;
        }
        match self.first.take() {
            None if self.rest.is_empty() => self.first = Some(data),
            first => {
                self.rest.extend_from_slice(&first.unwrap_or_default());
                self.rest.extend_from_slice(&data);
            }
        }
        Ok(())
    }

    fn into_arrived(self) -> Arrived {
        Arrived {
            bytes: self.first.unwrap_or_else(|| self.rest.freeze()),
            _room: self.room,
        }
    }
}

fn pieces(bytes: usize) -> usize {
    bytes.div_ceil(PIECE)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use futures_util::stream;
    use http_body_util::{Empty, Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn limits() -> BodyLimits {
        BodyLimits {
            idle: Duration::from_millis(30),
            ..BodyLimits::new(10_000, 20_000)
        }
    }

    fn chunks(
        count: usize,
        size: usize,
    ) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
        let frames = (0..count).map(move |i| Ok(Frame::data(Bytes::from(vec![i as u8; size]))));
        StreamBody::new(stream::iter(frames))
    }

    async fn read<B: Body<Data = Bytes> + Unpin>(
        mut body: B,
        limits: &BodyLimits,
    ) -> Result<Bytes, BodyError> {
        let arrived = read_body(&HeaderMap::new(), &mut body, limits, |_| ()).await?;
        Ok(arrived.bytes)
    }

    #[tokio::test]
    async fn whole_bodies_come_whole() {
        assert_eq!(read(Empty::new(), &limits()).await.unwrap(), "");
        assert_eq!(read(Full::from("abc"), &limits()).await.unwrap(), "abc");
        let long = read(chunks(10, 1000), &limits()).await.unwrap();
        assert_eq!(long.len(), 10_000);
        assert_eq!((long[0], long[9999]), (0, 9));
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_large() {
        let error = read(chunks(10_001, 1), &limits()).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge { limit: 10_000 });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, "1073741824".parse().unwrap());
        // A body that would never answer: it must not be asked.
        let mut silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let error = read_body(&headers, &mut silent, &limits(), |_| ())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "body-too-large");
    }

    #[tokio::test]
    async fn a_body_that_stops_is_given_up() {
        let half = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(
            b"half",
        )))]);
        let error = read(StreamBody::new(half.chain(stream::pending())), &limits()).await;
        assert_eq!(error.unwrap_err(), BodyError::Timeout);
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_given_up() {
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep_until(Instant::now() + Duration::from_millis(5)).await;
            Some((
                Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x"))),
                (),
            ))
        });
        let limits = BodyLimits {
            grace: Duration::from_millis(60),
            ..limits()
        };
        let error = read(StreamBody::new(Box::pin(trickle)), &limits).await;
        assert_eq!(error.unwrap_err(), BodyError::Timeout);
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_limit() {
        let limits = limits();
        let read =
            async || read_body(&HeaderMap::new(), &mut chunks(9, 1000), &limits, |_| ()).await;
        let one = read().await.unwrap();
        let _two = read().await;
        let mut kept = vec![one];
        let refused = loop {
            match read().await {
                Ok(arrived) => kept.push(arrived),
                Err(error) => break error,
            }
            assert!(kept.len() < 4, "the limit is 20,000 bytes");
        };
        assert_eq!(refused, BodyError::Overloaded);
        kept.clear();
        assert!(read().await.is_ok(), "the memory came back");

        let mut most = limits.room_in_turn(20_000).await.unwrap();
        let waiting = limits.room_in_turn(9_000);
        most.shrink_to(5_000);
        assert!(waiting.await.is_ok(), "what was too much is another's");
        let error = limits.room_in_turn(20_000).await.unwrap_err();
        assert_eq!(error, BodyError::Overloaded, "nobody waits for ever");
    }
}
