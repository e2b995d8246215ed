//! Who owes whom: double entry in integers (DESIGN §6).
//!
//! Pure: no I/O, no clock, no randomness. What is stored and in which transaction is the control plane's business; what
//! may be stored is decided here, and can be checked again over what was ([`audit()`]).
//!
//! - **Money** is an [`Amount`] of micro-units: an integer, never rounded but where a price meets a measure
//!   ([`Rate::cost`], up, by less than one micro-unit a receipt).
//! - An [`Entry`] moves it between accounts. Its postings sum to zero, and it has one [`Cause`]: a receipt, a job, a slash, a
//!   deposit. The cause's text is unique in the database, so whatever is delivered twice is booked once.
//! - Two accounts may be below zero. [`Account::External`] is the world, and what it lacks is what others hold;
//!   [`Account::Owed`] is what a customer will be invoiced for beyond what it has deposited. A [`Budget`] stops work *before*
//!   a cap would be passed, or a balance where the platform is prepaid.
//! - What a lease costs may change with its term. Which [`Agreement`] a receipt is charged by follows from its number.
//! - Usage comes as receipts that an enclave signed, numbered without gaps in each boot. A [`Sequence`] tells which are new,
//!   which were seen, and what is an [`Incident`].

mod account;
mod agreement;
mod amount;
mod audit;
mod budget;
mod entry;
mod price;
mod sequence;

pub use account::{Account, AccountSyntaxError, Customer};
pub use agreement::{Agreement, HistoryError, Offer};
pub use amount::{Amount, AmountSyntaxError, Overflow};
pub use audit::{Audit, Finding, Stored, audit};
pub use budget::{Budget, Cap, CapReached, Period};
pub use entry::{Cause, Entry, EntryError, Posting};
pub use price::{Fee, FeeError, Rate, Reserved, Usage};
pub use sequence::{Gap, Incident, Sequence, Standing};
