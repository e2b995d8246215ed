//! An operator's part in the draw (`OperatorDraw.sol`): its account enlists, starts terms, shows its links in time, and
//! reports those who keep theirs back.
//!
//! - [`chain`]: a hash chain. Pure.
//! - [`keys`]: the chains' secrets, in a folder of files.
//! - [`duty`]: what is to be done now. Pure.
//!
//! A link is shown once its batch is as deep as a request must be to be run: after a deeper reorganisation the same link
//! would serve another batch. Which link is next the contract says; a link that it had once is never computed for another
//! place, since a chain only goes forward. Whoever is asked about the chain could have links shown too early by lying about
//! it, so an operator has several nodes agree.

pub mod chain;
pub mod duty;
pub mod keys;
