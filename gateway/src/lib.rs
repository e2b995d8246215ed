//! The SNI gateway: callers of `<function>.<zone>` reach a node that runs the function, and their TLS ends in its enclave.
//!
//! The gateway reads the name that a caller's first message asks for ([`hello`]) and passes every byte on. It holds no key
//! and can neither read nor answer anything; what it can do is choose badly, or not at all. So all of its care is for
//! availability:
//!
//! - [`table`] and [`source`]: which nodes run what, from the control plane or from a file, kept for when it is away.
//! - [`health`] and [`balance`]: which of them gets the next connection. Both are pure.
//! - `dial`: a connection that a node does not answer is tried on another one, for as long as nothing of an answer has
//!   reached the caller. Nothing is done twice by that: until the enclave's first message there is no handshake, and before
//!   a handshake there is no request.
//! - [`gateway`]: bounds on callers, together and by address, and an end that loses nobody.

mod alert;
pub mod balance;
mod connection;
pub mod counters;
mod dial;
pub mod gateway;
pub mod health;
pub mod hello;
mod node;
mod probe;
pub mod routes;
pub mod source;
pub mod table;
mod waiting;
pub mod zone;

pub use dial::DialLimits;
pub use gateway::{Gateway, GatewayLimits};
pub mod cli;
