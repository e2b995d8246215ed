//! One connection to one enclave, from TCP to a checked enclave.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nacre_attestation_verifier::UnixMillis;
use nacre_protocol::ATTESTATION_PATH;
use nacre_protocol::encoding::base64url;
use nacre_protocol::evidence::{Evidence, MAX_EVIDENCE_JSON};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::appraisal::{AttestedEnclave, ChannelBinding, appraise};
use crate::body::collect;
use crate::error::ClientError;
use crate::tls;
use crate::trust::Trust;

/// Where an enclave is reached: `host:port`, with the TLS server name to ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
    server_name: String,
}

impl Endpoint {
    /// The same address under another TLS server name, such as `<function>.<zone>` behind a gateway.
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = name.into();
        self
    }
}

impl FromStr for Endpoint {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let error = || ClientError::EndpointSyntax(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(error)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        ServerName::try_from(bare).map_err(|_| error())?;
        Ok(Self {
            host: bare.to_owned(),
            port,
            server_name: bare.to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A TLS connection whose other end is an enclave that satisfies the caller's policy.
#[derive(Debug)]
pub struct AttestedConnection {
    channel: Unattested,
    enclave: Arc<AttestedEnclave>,
    binding: ChannelBinding,
    handshake_timeout: Duration,
}

impl AttestedConnection {
    /// Connects and checks. Whatever fails, the connection is closed and nothing but the request for evidence was sent.
    pub async fn open(
        endpoint: &Endpoint,
        trust: &Trust,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        Self::open_with_nonce(endpoint, trust, random_nonce()?, limit).await
    }

    /// The same with the caller's own nonce, so that [`Self::binding`] and the evidence show later whose question was answered.
    /// A nonce that somebody else could know beforehand makes the evidence worth nothing.
    pub async fn open_with_nonce(
        endpoint: &Endpoint,
        trust: &Trust,
        nonce: [u8; 32],
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let opened = timeout(limit, Self::open_unbounded(endpoint, trust, nonce, limit)).await;
        opened.map_err(|_| timed_out("the attested handshake", limit))?
    }

    /// The enclave at the other end.
    pub fn enclave(&self) -> &Arc<AttestedEnclave> {
        &self.enclave
    }

    /// What ties the enclave's evidence to this connection: with it, anyone can check [`AttestedEnclave::evidence`] again.
    pub fn binding(&self) -> &ChannelBinding {
        &self.binding
    }

    /// Whether the evidence has to be renewed before the next request; see [`AttestedEnclave::is_fresh`].
    pub fn is_stale(&self, trust: &Trust) -> bool {
        !self.enclave.is_fresh(trust, now())
    }

    /// Asks for fresh evidence on the same connection and checks it like the first.
    pub async fn reattest(&mut self, trust: &Trust) -> Result<(), ClientError> {
        let limit = self.handshake_timeout;
        let asked = self.channel.ask_for_evidence(trust, random_nonce()?);
        let fresh = timeout(limit, asked).await;
        let (enclave, binding) = fresh.map_err(|_| timed_out("fresh evidence", limit))??;
        (self.enclave, self.binding) = (Arc::new(enclave), binding);
        Ok(())
    }

    /// Whether the connection has ended; `false` promises nothing.
    pub fn is_closed(&self) -> bool {
        self.channel.sender.is_closed()
    }

    /// Waits until the connection takes a request, or fails because it ended.
    pub(crate) async fn ready(&mut self) -> Result<(), ClientError> {
        Ok(self.channel.sender.ready().await?)
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        if !request.headers().contains_key(header::HOST)
            && let Ok(host) = self.channel.authority.parse()
        {
            request.headers_mut().insert(header::HOST, host);
        }
        // The connection takes the next request a moment after the last answer's end was read.
        self.ready().await?;
        Ok(self.channel.sender.send_request(request).await?)
    }

    async fn open_unbounded(
        endpoint: &Endpoint,
        trust: &Trust,
        nonce: [u8; 32],
        handshake_timeout: Duration,
    ) -> Result<Self, ClientError> {
        let mut channel = Unattested::open(endpoint).await?;
        let (enclave, binding) = channel.ask_for_evidence(trust, nonce).await?;
        Ok(Self {
            channel,
            enclave: Arc::new(enclave),
            binding,
            handshake_timeout,
        })
    }
}

/// A TLS connection to whoever answers. It can ask for evidence, and nothing else.
#[derive(Debug)]
struct Unattested {
    sender: SendRequest<Full<Bytes>>,
    exporter: [u8; 32],
    spki_sha256: [u8; 32],
    authority: String,
}

impl Unattested {
    async fn open(endpoint: &Endpoint) -> Result<Self, ClientError> {
        let connect = |source| ClientError::Connect {
            endpoint: endpoint.to_string(),
            source,
        };
        let failed = |source| ClientError::Tls {
            endpoint: endpoint.to_string(),
            source,
        };
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(connect)?;
        tcp.set_nodelay(true).map_err(connect)?;

        let name = ServerName::try_from(endpoint.server_name.clone())
            .map_err(|_| ClientError::EndpointSyntax(endpoint.server_name.clone()))?;
        let config = tls::config().map_err(|e| failed(std::io::Error::other(e)))?;
        let stream = TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(failed)?;
        let binding = tls::exporter(stream.get_ref().1)
            .and_then(|exporter| Ok((exporter, tls::spki_sha256(stream.get_ref().1)?)));
        let (exporter, spki_sha256) = binding.map_err(|e| failed(std::io::Error::other(e)))?;

        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "attested connection ended");
            }
        });
        Ok(Self {
            sender,
            exporter,
            spki_sha256,
            authority: endpoint.server_name.clone(),
        })
    }

    async fn ask_for_evidence(
        &mut self,
        trust: &Trust,
        nonce: [u8; 32],
    ) -> Result<(AttestedEnclave, ChannelBinding), ClientError> {
        let request = Request::get(format!("{ATTESTATION_PATH}?nonce={}", base64url(&nonce)))
            .header(header::HOST, &self.authority)
            .body(Full::default())
            .map_err(|e| ClientError::EvidenceSyntax(e.to_string()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(ClientError::NoEvidence { status });
        }
        let body = collect(&mut response.into_body(), MAX_EVIDENCE_JSON).await;
        let body = body.map_err(|e| ClientError::of_answer(e, MAX_EVIDENCE_JSON))?;
        let evidence: Evidence = serde_json::from_slice(&body)
            .map_err(|e| ClientError::EvidenceSyntax(e.to_string()))?;
        let binding = ChannelBinding {
            nonce,
            exporter: self.exporter,
            spki_sha256: self.spki_sha256,
        };
        let enclave = appraise(evidence, &binding, trust, now())?;
        Ok((enclave, binding))
    }
}

fn random_nonce() -> Result<[u8; 32], ClientError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|e| ClientError::EvidenceSyntax(e.to_string()))?;
    Ok(nonce)
}

fn timed_out(what: &'static str, limit: Duration) -> ClientError {
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    ClientError::Timeout { what, limit_ms }
}

/// The relying party's own clock.
fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    UnixMillis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_host_and_port() {
        for good in [
            "localhost:443",
            "127.0.0.1:8443",
            "[::1]:443",
            "iris.example.org:443",
        ] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "localhost",
            "localhost:0",
            "localhost:65536",
            ":443",
            "a b:443",
            "https://x:443",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
