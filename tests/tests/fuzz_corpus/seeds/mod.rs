//! The committed seeds, from which a fuzzer starts: for each target a few inputs and the verdict that each must get.

mod egress;
mod enclave;
mod gateway;
mod image;
mod jobs;
mod model;
mod protocol;
mod small;
mod vsock;

/// Paths below `fuzz/`, and contents.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Seeds(Vec::new());
    protocol::add(&mut seeds);
    enclave::add(&mut seeds);
    egress::add(&mut seeds);
    gateway::add(&mut seeds);
    image::add(&mut seeds);
    jobs::add(&mut seeds);
    model::add(&mut seeds);
    small::add(&mut seeds);
    vsock::add(&mut seeds);
    seeds.0
}

/// What is collected.
pub(crate) struct Seeds(Vec<(String, Vec<u8>)>);

impl Seeds {
    /// One input of a target under its verdict.
    fn add(&mut self, target: &str, verdict: &str, bytes: impl Into<Vec<u8>>) {
        let path = format!("corpus/{target}/{verdict}");
        assert!(
            self.0.iter().all(|(other, _)| *other != path),
            "{path} is there twice"
        );
        self.0.push((path, bytes.into()));
    }

    /// Several of one target.
    fn add_all<const N: usize>(&mut self, target: &str, seeds: [(&str, Vec<u8>); N]) {
        for (verdict, bytes) in seeds {
            self.add(target, verdict, bytes);
        }
    }
}
