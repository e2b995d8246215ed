//! As much of a test harness as `cargo test` and nextest ask for.

use std::process::ExitCode;

pub(crate) fn main(tests: &[(&str, fn())]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let (exact, ignored) = (has("--exact"), has("--ignored"));
    let chosen = tests.iter().filter(|(name, _)| {
        let fits = |filter: &&String| {
            if exact {
                name == filter
            } else {
                name.contains(filter.as_str())
            }
        };
        !ignored && (has("--list") || filters.is_empty() || filters.iter().any(fits))
    });
    for (name, test) in chosen {
        if has("--list") {
            println!("{name}: test");
        } else {
            // A failed assertion panics, which is this process's exit status.
            println!("test {name} …");
            test();
        }
    }
    ExitCode::SUCCESS
}
