//! Known bugs of other verifiers, and why this one does not have them.
//!
//! Nitro documents have been verified by many programs, in Rust, Go, Python, TypeScript, Solidity and Move. Their
//! issues, pull requests, commits and audits show how a verifier goes wrong: seldom in the cryptography, mostly in what
//! was not asked. This manual goes through those mistakes one by one. It has two uses: whoever changes this crate sees
//! which rule keeps out which attack, and whoever chooses a verifier has a list of questions to ask it.
//!
//! Each entry says
//!
//! * what goes wrong, in its heading;
//! * where that was seen: a repository with its pull request, issue, commit or file, or a title and its publisher. Much
//!   of it is mended by now, often by the very source that is named; where a file is named, it is the file as it was
//!   when this was written. Some entries are weaknesses that nobody could use in the place where they were found; they
//!   stand here because another caller could;
//! * what an attacker, or an ordinary day, makes of it;
//! * why it cannot happen here: the rule, by its name in [`VerifyError::rule`](crate::VerifyError::rule), or the type;
//! * the test that shows so.
//!
//! Refusing a document that AWS made is a bug too: a verifier that fails on a good day gets a switch that turns it off.
//!
//! | part | what is judged |
//! |---|---|
//! | [`chain`] | from the trusted root to the key that signs |
//! | [`cache`] | what may be remembered of a chain |
//! | [`encoding`] | DER and CBOR: one meaning for each input |
//! | [`shape`] | the envelope and the payload's fields |
//! | [`signature`] | the document's own signature |
//! | [`time`] | validity, age, clocks |
//! | [`measurements`] | which enclave it is |
//! | [`binding`] | what the enclave said, and to whom |

pub mod binding;
pub mod cache;
pub mod chain;
pub mod encoding;
pub mod measurements;
pub mod shape;
pub mod signature;
pub mod time;
