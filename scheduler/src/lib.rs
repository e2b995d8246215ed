//! The scheduler: a reverse auction for replicas of functions (DESIGN §6), as a pure state machine.
//!
//! `(state, event, now) → (state, actions)`: [`Scheduler::apply`] reads no clock, does no I/O and draws nothing but lease
//! ids, from the seed in [`Config`] and a counter. The same events at the same times give the same state, so a log of
//! events is all that needs to be kept. Who runs it logs the event, applies it, carries the [`Action`]s out, and sends
//! [`Event::Tick`] when [`Scheduler::next_wake`] says so.
//!
//! # The rules
//!
//! 1. **The lowest eligible ask wins**; what a replica costs a second decides, from its memory and its processors. Ties go
//!    to the better score, then to the lower node id. A node is eligible when it is online and does not leave, has room,
//!    asks no more than the order takes, stands in its regions, has its score, runs no other lease of the function, did
//!    not just fail it, and its operator does not hold as many replicas as the order allows.
//! 2. **A node runs one version of a function.** The enclave finds what it runs by the function's name, and so does the
//!    node's desired state. A version that follows therefore goes to other nodes first, and takes the place of the old
//!    one on its own node only within [`Rollout::unavailable`], or where the old one does not answer.
//! 3. **Memory and processors are never given twice.** A lease holds them until it has ended, draining included. A node
//!    that offers less than it holds loses its youngest leases at once.
//! 4. **Room goes to who waits**: highest priority first, then the tenant that holds least for its weight, then the
//!    oldest order. An order too large for the room does not keep others from it. What a tenant holds is its memory, with a
//!    processor counted as 4 GiB.
//! 5. **A lease has a term** in which its price stands. At its end it goes to someone who waits with a better claim (a
//!    higher priority, or a tenant that holds less for its weight than this one would without the lease), or moves to a
//!    node that is cheaper by more than moving costs, or begins anew at the node's ask of that day. A node that became
//!    cheap attracts the dearest leases before their terms end, if what is left of the term saves more than moving costs.
//!    So where all tenants wait with orders of one size and priority, and T tenants share N places, one of the part p of all
//!    weights comes to hold at least p·(N − T) and less than p·N + 1 of them, and none holds nothing while another holds two.
//! 6. **Make before break.** Whoever moves (to a cheaper node, off one that leaves, to another version) answers at the
//!    new place before it drains at the old one. Broken first are only: leases on nodes that failed, left or shrank;
//!    what [`Rollout::unavailable`] allows; and leases that lose their place to a better claim or no longer meet the
//!    order's terms when their term ends.
//! 7. **A silent node's leases are replaced** and end when others are ready; what is not replaced when the node comes
//!    back goes on. A failed node's leases end at once.
//! 8. **Replicas follow the load**: up at once, down after [`Scaling::stable_ms`] of less, to none after
//!    [`Scaling::idle_ms`] without a request, up from none with the first.
//! 9. **A version that keeps failing** is tried on other nodes, then less and less often, and meanwhile takes no place
//!    from one that answers.
//!
//! # Cost
//!
//! What an event costs does not depend on how many nodes there are, but for a logarithm, and for a few reads of memory
//! that a large market does not have in the processor's caches (`examples/placements.rs` shows both): nodes stand by free
//! room and on ladders by ask (once for all, once a region), those who wait stand by memory and turn, and
//! timers by time. An event makes at most [`Config::max_actions`] actions and looks at a bounded number of orders; what is
//! left is done with the next event, and [`Scheduler::next_wake`] asks for one at once. (Only a node that shrinks or
//! offers anew after it failed ends all that it must in one go.)

mod action;
mod auction;
mod check;
mod config;
mod error;
mod event;
mod ladder;
mod leases;
mod offer;
mod order;
mod place;
mod reconcile;
mod retire;
mod routes;
mod rows;
mod scale;
mod scheduler;
mod shelf;
mod slab;
mod take;
mod views;
mod waiting;

pub use action::{Action, Cause, Grant, Share, Shortage, Why};
pub use config::Config;
pub use error::Refusal;
pub use event::{Event, Offer, Report};
pub use order::{
    Ask, Cost, MAX_CPU, MAX_MEMORY, MAX_NAME, MAX_PRICE, MAX_REGIONS, MAX_REPLICAS, Order, Region,
    Rollout, Scaling, Tenant, Terms, Timestamp, Version, WHOLE, WORKER_CPU,
};
pub use rows::Phase;
pub use scheduler::Scheduler;
pub use views::{Lease, Node, Standing};
