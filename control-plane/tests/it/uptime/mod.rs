//! Watchers' words over the API: taken in their time, judged once, settled once.

mod disputes;
mod excuses;
mod judged;
mod site;
mod words;
