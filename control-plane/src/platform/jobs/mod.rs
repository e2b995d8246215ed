//! Jobs (DESIGN §6): callers lay them in, nodes take them, and each is settled once.
//!
//! The course of a job is [`machine`]'s. Here each request becomes one step of it, in one transaction with everything that
//! must happen together with it: the attempt's outcome, the settlement, the notice for the webhook, and from when on its
//! objects are to be deleted. A control plane that is killed has therefore done all of a step or none of it.
//!
//! Bytes are in the object store. Before an object is written its name is noted with a time at which it is to be deleted; the
//! step that uses it moves that time. What nobody came to use goes by itself.

mod bytes;
mod cancel;
mod disprove;
mod input;
mod look;
mod machine;
mod price;
mod report;
mod result;
mod settle;
mod submit;
mod sweep;
mod take;
mod view;
mod webhook;

pub(crate) use machine::{Attempt, Ending, Holder, Phase, Progress};
pub(crate) use result::ResultBody;
pub(crate) use webhook::WebhookSecret;
pub(in crate::platform) use webhook::{Webhooks, master_key};
