//! TLS to the outside: names are checked against the roots of the web's PKI, which are compiled in, at the attested time.

use std::sync::Arc;
use std::time::Duration;

use nacre_protocol::egress::Destination;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::{EgressError, EgressSettings};
use crate::clock::AttestedClock;

/// TLS 1.3 and 1.2: servers of the web that speak only the older one are still common.
pub(super) fn config(
    settings: &EgressSettings,
    clock: Arc<AttestedClock>,
) -> Result<Arc<ClientConfig>, EgressError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    for root in settings.extra_roots() {
        roots.add(root.clone()).map_err(EgressError::Root)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(AttestedTime(clock)))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(EgressError::Root)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The host would learn which connections belong together, and nothing is gained for a file now and then.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name that the peer's certificate must bear.
pub(super) fn server_name(to: &Destination) -> Result<ServerName<'static>, EgressError> {
    ServerName::try_from(to.name().to_owned()).map_err(|_| EgressError::NotAllowed(to.clone()))
}

/// The host can set the wall clock; an expired certificate whose key has leaked would do then.
#[derive(Debug)]
struct AttestedTime(Arc<AttestedClock>);

impl TimeProvider for AttestedTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.0.now().ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(now)))
    }
}
