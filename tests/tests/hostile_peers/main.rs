//! The attested client and the proxy against peers that lie: no byte of a request goes to what is not trusted, and no
//! byte of an answer comes from what does not prove itself.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests panic where a test does"
)]

mod calls;
mod evidence;
mod no_evidence;
mod proxy;
mod proxy_bodies;
mod proxy_http;
mod proxy_recovery;
mod reattestation;
mod receipts;
mod upgrade;
