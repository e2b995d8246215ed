//! HTTP/1.1 by hand, for tests that send what no client library would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Longest wait for bytes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest head that is read.
const MAX_HEAD: usize = 64 * 1024;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one answer: head, and as many bytes as its `Content-Length` says.
    pub fn read(stream: &mut impl Read) -> anyhow::Result<Self> {
        Self::read_to(stream, "GET")
    }

    /// The same for a request with this method: what answers HEAD says the length of a body that does not come.
    fn read_to(stream: &mut impl Read, method: &str) -> anyhow::Result<Self> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream
                .read(&mut byte)
                .context("reading the answer's head")?;
            ensure!(
                count == 1,
                "the peer closed after {} bytes of a head",
                head.len()
            );
            ensure!(head.len() < MAX_HEAD, "the head does not end");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head)?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status
            .and_then(|status| status.parse().ok())
            .context("no status")?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = match length {
            Some((_, value)) if method != "HEAD" => value.parse()?,
            _ => 0,
        };
        let mut answer = Self {
            status,
            headers,
            body: vec![0; length],
        };
        stream
            .read_exact(&mut answer.body)
            .context("reading the answer's body")?;
        Ok(answer)
    }

    /// A header's value, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        serde_json::from_slice(&self.body).with_context(text)
    }

    /// The stable `code` of an error.
    pub fn code(&self) -> String {
        let body = self.json().unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request on a Unix socket, on a connection of its own.
pub fn ask_socket(socket: &Path, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, method, path, &[("host", "localhost")], body)
}

/// One request without TLS to `host:port`, on a connection of its own, with exactly these headers besides those of the
/// framing.
pub fn ask_plain(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, method, path, headers, body)
}

fn ask<S: Read + Write>(
    mut stream: S,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let length = body.len();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    Answer::read_to(&mut stream, method)
}
