//! Why something could not be reached or fetched.

use std::io;

use nacre_protocol::egress::{Destination, FileUrlError};
use nacre_transport::ConnectError;

use super::AnswerError;
use super::fetch::MAX_REDIRECTS;

/// Why there is no connection, or no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// The image does not allow it; nothing was sent.
    #[error("{0} is not on this enclave's allow-list")]
    NotAllowed(Destination),
    /// Process mode without `--egress`.
    #[error("this enclave was given no way out")]
    NoProxy,
    /// Not a certificate that can be a root.
    #[error("a certificate cannot be a root: {0}")]
    Root(rustls::Error),
    /// The host's proxy cannot be reached.
    #[error("the host's egress proxy: {0}")]
    Proxy(#[from] ConnectError),
    /// The host's answer is none.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The host refused to connect.
    #[error("the host's egress proxy refused with status {status}{}", said(.code.as_deref()))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its stable code, if it gave one.
        code: Option<String>,
    },
    /// Something took too long.
    #[error("it took too long")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The peer is not who it should be, or does not speak TLS as we do.
    #[error("TLS: {0}")]
    Tls(String),
    /// The module is silent, so that no certificate can be judged.
    #[error("there is no attested time to judge a certificate by")]
    NoTime,
    /// Not HTTP, or an answer that broke off.
    #[error("the answer is not HTTP, or broke off: {0}")]
    Http(#[from] hyper::Error),
    /// Another status than 200.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// A redirect that leads nowhere.
    #[error("a redirect without an address to go to")]
    RedirectMissing,
    /// A redirect to something that is no file's address.
    #[error("a redirect: {0}")]
    Redirect(#[from] FileUrlError),
    /// More than [`MAX_REDIRECTS`] redirects.
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    /// The answer is encoded or has another length than the file.
    #[error("the answer is not the file itself: {0}")]
    NotTheFile(String),
}

fn said(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

impl EgressError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => "egress-not-allowed",
            Self::NoProxy => "egress-unavailable",
            Self::Root(_) => "egress-root-invalid",
            Self::Proxy(_) => "egress-proxy-unreachable",
            Self::Answer(_) => "egress-answer-malformed",
            Self::Refused { .. } => "egress-refused",
            Self::Timeout => "egress-timeout",
            Self::Io(_) => "egress-connection-broken",
            Self::Tls(_) => "egress-tls-refused",
            Self::NoTime => "clock-unavailable",
            Self::Http(_) => "egress-http-malformed",
            Self::Status(_) => "egress-http-status",
            Self::RedirectMissing | Self::Redirect(_) | Self::TooManyRedirects => {
                "egress-redirect-refused"
            }
            Self::NotTheFile(_) => "egress-not-the-file",
        }
    }

    /// A failed handshake: what TLS says is told apart from a connection that broke.
    pub(super) fn from_tls(error: io::Error) -> Self {
        let refusal = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match refusal {
            Some(rustls::Error::FailedToGetCurrentTime) => Self::NoTime,
            Some(refusal) => Self::Tls(refusal.to_string()),
            None => Self::Io(error),
        }
    }
}
