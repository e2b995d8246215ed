//! What child processes print, into our log: whole lines, bounded in length and rate, with nothing in them that a
//! terminal obeys.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};

/// Longest line that is kept; the rest of it is dropped.
const MAX_LINE: usize = 1024;
/// Lines a second, and how many may come at once.
const LINES_A_SECOND: u32 = 200;

/// The last line that a child printed, for the error message when it dies.
pub(crate) type LastLine = Arc<Mutex<String>>;

/// Logs lines until the stream ends.
pub(crate) async fn forward(stream: impl AsyncRead + Unpin, source: &'static str, last: LastLine) {
    let mut lines = BufReader::new(stream);
    let mut limit = RateLimit::new(Instant::now());
    while let Some(line) = next_line(&mut lines).await {
        let line = printable(&line);
        match limit.admit(Instant::now()) {
            Admission::Print => tracing::info!(source, "{line}"),
            Admission::PrintAfter(dropped) => {
                tracing::warn!(source, dropped, "lines were dropped: too many a second");
                tracing::info!(source, "{line}");
            }
            Admission::Drop => {}
        }
        *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

/// The next line without its end, cut at [`MAX_LINE`]; `None` at the end of the stream or when it breaks.
pub(crate) async fn next_line(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let chunk = stream.fill_buf().await.ok()?;
        if chunk.is_empty() {
            return any.then_some(line);
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
        let used = end.map_or(chunk.len(), |end| end + 1);
        stream.consume(used);
        if end.is_some() {
            return Some(line);
        }
    }
}

fn printable(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).trim_end().chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// A token bucket.
struct RateLimit {
    tokens: f64,
    at: Instant,
    dropped: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Print,
    PrintAfter(u64),
    Drop,
}

impl RateLimit {
    fn new(now: Instant) -> Self {
        Self {
            tokens: LINES_A_SECOND.into(),
            at: now,
            dropped: 0,
        }
    }

    fn admit(&mut self, now: Instant) -> Admission {
        let rate = f64::from(LINES_A_SECOND);
        let earned = now.duration_since(self.at).min(Duration::from_secs(1));
        self.tokens = (self.tokens + earned.as_secs_f64() * rate).min(rate);
        self.at = now;
        if self.tokens < 1.0 {
            self.dropped += 1;
            return Admission::Drop;
        }
        self.tokens -= 1.0;
        match std::mem::take(&mut self.dropped) {
            0 => Admission::Print,
            dropped => Admission::PrintAfter(dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_the_next_one_is_whole() {
        let text = [vec![b'x'; 5000], b"\nnext\n\nlast".to_vec()].concat();
        let mut stream = BufReader::with_capacity(100, text.as_slice());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut stream).await {
            lines.push(line);
        }
        let expected: [&[u8]; 4] = [&[b'x'; MAX_LINE], b"next", b"", b"last"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_flood_is_thinned_and_counted() {
        let start = Instant::now();
        let mut limit = RateLimit::new(start);
        let flood: Vec<Admission> = (0..1000).map(|_| limit.admit(start)).collect();
        let printed = flood.iter().filter(|a| **a == Admission::Print).count();
        assert_eq!(printed, 200);
        let later = start + Duration::from_millis(100);
        assert_eq!(limit.admit(later), Admission::PrintAfter(800));
        assert_eq!(limit.admit(later), Admission::Print);
    }

    #[test]
    fn terminals_obey_nothing_in_a_line() {
        assert_eq!(printable(b"a\x1b[31mb\r\n"), "a\\u{1b}[31mb");
    }
}
