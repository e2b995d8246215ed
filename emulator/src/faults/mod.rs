//! What can go wrong with an enclave, made to go wrong on purpose.
//!
//! A [`Fault`] is one thing that is wrong. [`Faults`] is a handle on all that are in force: it is shared by whoever
//! takes commands and whoever misbehaves, i.e. both fronts of the module ([`FaultyNsm`]), the vsock device and the
//! machine itself. Faults come from a file ([`file`]), which is one set that is replaced as a whole, and from commands
//! ([`command`]), each of which adds one, for a while or until all are cleared.
//!
//! There is no fault that takes memory away: a parent instance gives an enclave its memory when it starts it and cannot
//! take any back. Too little memory is a start with too little memory.

mod active;
mod command;
mod fault;
mod file;
mod module;
mod served;
mod span;

pub use active::{Enclave, Faults};
pub use command::{CommandError, Control, Order, send};
pub use fault::{Fault, FaultError, Timed};
pub use file::{FileError, Watched};
pub use module::{Answer, FaultyNsm};
pub use served::Served;
pub use span::{Span, SpanError, Step};

#[cfg(test)]
mod tests;
