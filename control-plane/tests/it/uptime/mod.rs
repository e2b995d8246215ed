//! Watchers' words over the API: taken in their time, judged once, settled once.

mod disputes;
mod drained;
mod excuses;
mod judged;
mod site;
mod words;
