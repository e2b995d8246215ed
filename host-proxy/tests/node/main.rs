//! A whole node: `nacre_host_proxy::run` in a process of its own, with fake programs for enclave and NSM emulator and a
//! fake control plane, so that each can be killed.
//!
//! This program plays all of them, told apart by the first argument: `process` is the enclave (the launcher's own
//! argument), `nsm-emulator` the NSM emulator, `emulate` the emulated machine, `node` the node; anything else is the test harness's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod crashing;
mod emulated;
mod enclave;
mod harness;
mod launching;
mod living;
mod machine;
mod node;
mod platform;

use std::process::ExitCode;

fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "process" => enclave::main(),
        "nsm-emulator" => enclave::emulator_main(),
        "emulate" => machine::main(),
        "node" => node::main(),
        _ => harness::main(&[
            (
                "launching_says_what_went_wrong",
                launching::says_what_went_wrong,
            ),
            (
                "launching_ends_even_the_stubborn",
                launching::ends_even_the_stubborn,
            ),
            ("a_node_deploys_and_reports", living::deploys_and_reports),
            ("a_killed_enclave_comes_back", living::enclave_killed),
            ("a_killed_node_comes_back", living::node_killed),
            ("a_lost_control_plane_is_borne", living::control_plane_lost),
            ("a_stopped_node_leaves_nothing", living::stopped),
            ("a_wrong_start_is_refused", living::wrong_start),
            ("a_hung_enclave_is_replaced", crashing::hung),
            ("a_crash_is_written_down", crashing::reported),
            ("an_emulated_enclave_serves", emulated::serves),
            ("an_emulated_enclave_comes_back", emulated::comes_back),
            (
                "a_machine_that_stalls_is_booted_again",
                emulated::stalls_once,
            ),
            (
                "what_cannot_be_emulated_is_refused_at_once",
                emulated::refused,
            ),
        ]),
    }
}
