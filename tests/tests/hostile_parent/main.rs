//! The parent instance is the enemy: it changes what it carries, says what it likes on the control channel, and opens
//! connections until something gives way. It may deny service. It never gets plaintext, a signature on what was not run, or
//! a wrong answer accepted; and when it behaves again, so does the enclave, which has not died in between.

mod control;
mod crowd;
mod site;
mod wire;
