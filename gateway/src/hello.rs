//! A caller's first message, from which its function's name is read; nothing in it is changed.
//!
//! The reader is rustls' own (`server::Acceptor`), the one that meets the same bytes inside the enclave: what it refuses
//! here, the enclave would refuse, and both see the same name. It copies the message once; the bytes that go on to the
//! enclave are those that came.

use rustls::server::Acceptor;

/// Bytes of a ClientHello with its records' headers, at most. Clients with post-quantum key shares send about 1,800.
pub const MAX_HELLO: usize = 16 * 1024;

/// Why there is no ClientHello.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// It does not end in time for its bound.
    #[error("hello-too-long: the first message has no end within {MAX_HELLO} bytes")]
    TooLong,
    /// These bytes are none, or one that no enclave would answer.
    #[error("hello-malformed: {0}")]
    Malformed(rustls::Error),
    /// The caller ended first.
    #[error("hello-incomplete: the connection ended before its first message did")]
    Incomplete,
}

impl HelloError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "hello-too-long",
            Self::Malformed(_) => "hello-malformed",
            Self::Incomplete => "hello-incomplete",
        }
    }
}

/// A whole ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name that it asks for: DNS in lower case. `None`: it asks for none.
    pub server_name: Option<String>,
}

/// Reads a ClientHello that is there from its first byte; what follows it is not looked at.
pub fn parse(bytes: &[u8]) -> Result<Hello, HelloError> {
    Parser::default().feed(bytes)?.ok_or(HelloError::Incomplete)
}

/// Reads a ClientHello as its bytes come.
pub struct Parser {
    acceptor: Acceptor,
    room: usize,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            acceptor: Acceptor::default(),
            room: MAX_HELLO,
        }
    }
}

impl Parser {
    /// Takes the next bytes; `None` while more are needed. Not to be called again after it gave anything else.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Hello>, HelloError> {
        let within = bytes.len().min(self.room);
        self.room -= within;
        let mut rest = &bytes[..within];
        while !rest.is_empty() {
            // A record whose length is out of range is not read at all, and said to be wrong by what follows.
            let read = self.acceptor.read_tls(&mut rest);
            match self.acceptor.accept() {
                Ok(Some(accepted)) => {
                    let server_name = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok(Some(Hello { server_name }));
                }
                Ok(None) => {}
                Err((error, _)) => return Err(HelloError::Malformed(error)),
            }
            if !matches!(read, Ok(1..)) {
                return Err(HelloError::TooLong);
            }
        }
        if self.room == 0 {
            return Err(HelloError::TooLong);
        }
        Ok(None)
    }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
