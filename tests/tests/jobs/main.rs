//! Jobs through the whole platform, as its users lay them in: right answers, and exactly one end for each, whatever is killed.

mod commands;
mod drain;
mod killed;
mod site;
