//! The way out of the enclave: TLS to the names that its image allows, through the host's CONNECT proxy.
//!
//! An enclave has no network. The host carries the bytes and resolves the names, and may lie about both; so
//!
//! - a destination that is not on the measured allow-list is refused before a byte leaves (in an image the list is
//!   [`nacre_protocol::egress::ALLOW_LIST_FILE`], part of PCR0 and PCR2),
//! - there are no plain connections: what [`Egress::connect`] gives is a TLS stream, and the peer's certificate bears the
//!   name that was asked for, by a root that is compiled in, at the attested time; an address that the host made up
//!   leads to a failed handshake,
//! - the host's answer is read by a strict parser within a bound ([`Answer`]), and every step has its time.
//!
//! In process mode the list is a file that the caller names, and nothing measures it: the measurements of process mode
//! stand for programs of a developer's machine and protect nobody. Further roots exist there only.

mod answer;
mod error;
mod fetch;
mod settings;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use nacre_protocol::egress::Destination;
use nacre_transport::{Stream, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock::AttestedClock;

pub use answer::{Answer, AnswerError, MAX_HEAD};
pub use error::EgressError;
pub use fetch::MAX_REDIRECTS;
pub use settings::{EgressLimits, EgressSettings, SettingsError};

/// The way out. One for the whole enclave.
pub struct Egress {
    settings: EgressSettings,
    tls: TlsConnector,
    /// Connections at once; further ones wait.
    places: Semaphore,
}

impl Egress {
    /// A way out with these settings; certificates are judged at the clock's time.
    ///
    /// # Errors
    ///
    /// Where a root is none.
    pub fn new(settings: EgressSettings, clock: Arc<AttestedClock>) -> Result<Self, EgressError> {
        let tls = tls::config(&settings, clock)?.into();
        let places = Semaphore::new(settings.limits.connections);
        Ok(Self {
            settings,
            tls,
            places,
        })
    }

    /// Whether connections to this destination would be tried at all.
    ///
    /// # Errors
    ///
    /// [`EgressError::NotAllowed`], and [`EgressError::NoProxy`] in process mode without a proxy.
    pub fn check(&self, to: &Destination) -> Result<(), EgressError> {
        if !self.settings.allow.allows(to) {
            return Err(EgressError::NotAllowed(to.clone()));
        }
        if self.settings.proxy.is_none() {
            return Err(EgressError::NoProxy);
        }
        Ok(())
    }

    /// Opens a TLS connection to an allowed destination: the peer has proven to be `to`'s name.
    ///
    /// # Errors
    ///
    /// [`EgressError`]; nothing leaves the enclave for a name that is not on the list.
    pub async fn connect(&self, to: &Destination) -> Result<TlsStream<Stream>, EgressError> {
        self.check(to)?;
        let deadline = Instant::now() + self.settings.limits.connect;
        timeout_at(deadline, self.open(to, deadline))
            .await
            .map_err(|_| EgressError::Timeout)?
    }

    async fn open(
        &self,
        to: &Destination,
        deadline: Instant,
    ) -> Result<TlsStream<Stream>, EgressError> {
        let proxy = self.settings.proxy.as_ref().ok_or(EgressError::NoProxy)?;
        let name = tls::server_name(to)?;
        let mut stream = connect(proxy, deadline).await?;
        let request = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream).await?;
        let stream = self.tls.connect(name, stream).await;
        stream.map_err(EgressError::from_tls)
    }

    fn limits(&self) -> &EgressLimits {
        &self.settings.limits
    }
}

/// Reads the host's answer to the end of its head, and no further: who answers speaks only after the client.
async fn read_answer(stream: &mut Stream) -> Result<(), EgressError> {
    let mut head = [0; MAX_HEAD];
    let mut length = 0;
    loop {
        let count = stream.read(&mut head[length..]).await?;
        if count == 0 {
            return Err(AnswerError::Incomplete.into());
        }
        length += count;
        match Answer::read(&head[..length])? {
            Some(Answer::Open) => return Ok(()),
            Some(Answer::Refused { status, code }) => {
                return Err(EgressError::Refused { status, code });
            }
            None => {}
        }
    }
}

/// How long a file of this size may take: the patience at the beginning, and the least rate after it.
fn time_for(limits: &EgressLimits, size: u64) -> Duration {
    let seconds = size / limits.least_rate.max(1);
    limits.patience.saturating_add(Duration::from_secs(seconds))
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
