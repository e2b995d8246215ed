//! A platform whose enclave is the booted image.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_attestation_verifier::{Policy, Roots};
use nacre_client::{AttestedClient, ClientOptions, Trust};
use nacre_tests::examples::Example;
use nacre_tests::image::{built_image, word};
use nacre_tests::platform::{Platform, describe, wait_for};
use nacre_tests::processes::{command_line, descendants, is_running};
use nacre_tests::traffic::{Outcome, call_once};
use tokio::runtime::Runtime;

/// How long a call may take that nothing disturbs; an emulated processor is slow.
const CALL: Duration = Duration::from_secs(20);

pub(crate) struct Site {
    pub(crate) platform: Platform,
    pub(crate) runtime: Runtime,
    pub(crate) image: PathBuf,
}

impl Site {
    /// Boots the image; nothing where there is none.
    pub(crate) fn start(options: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(image) = built_image() else {
            return Ok(None);
        };
        Self::boot(image, options).map(Some)
    }

    /// Boots this image.
    pub(crate) fn boot(image: PathBuf, options: &[&str]) -> anyhow::Result<Self> {
        let eif = word(&image);
        let arguments = [&["--enclave", "emulator", "--eif", &eif], options].concat();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            platform: Platform::start_with(&arguments)?,
            runtime,
            image,
        })
    }

    pub(crate) fn node(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.platform.ready("node").parse()?)
    }

    /// What callers trust who have seen nothing of this machine but its root: a policy made from the image alone.
    pub(crate) fn trust(&self) -> anyhow::Result<Trust> {
        let roots = Roots::from_pem_or_der(&std::fs::read(self.platform.ready("root"))?)?;
        Ok(Trust::new(roots, Policy::from_json(&self.policy()?)?))
    }

    /// What `nacre image policy` prints for the image.
    pub(crate) fn policy(&self) -> anyhow::Result<Vec<u8>> {
        let image = word(&self.image);
        let output = self.platform.nacre(["image", "policy", &image]).output()?;
        ensure!(output.status.success(), "{}", describe(&output));
        Ok(output.stdout)
    }

    /// One call on a connection of its own at this address, by a caller who insists on this function.
    pub(crate) fn call(
        &self,
        example: &Example,
        digest: &str,
        address: SocketAddr,
        patience: Duration,
    ) -> anyhow::Result<Outcome> {
        let options = ClientOptions {
            handshake_timeout: patience,
            call_timeout: patience,
            max_idle: 0,
            ..ClientOptions::default()
        };
        let client = AttestedClient::new(
            self.trust()?,
            Some(digest.parse()?),
            vec![address.to_string().parse()?],
            options,
        );
        Ok(self.runtime.block_on(call_once(example, client)))
    }

    /// The right answer at the node itself.
    pub(crate) fn answers(&self, example: &Example, digest: &str) -> anyhow::Result<()> {
        let outcome = self.call(example, digest, self.node()?, CALL)?;
        ensure!(outcome == Outcome::Right, "{}: {outcome:?}", example.name);
        Ok(())
    }

    /// The same, as soon as it comes; how long that took. No answer before it may be wrong.
    pub(crate) fn answers_within(
        &self,
        example: &Example,
        digest: &str,
        limit: Duration,
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let (node, mut wrong) = (self.node()?, None);
        wait_for("the right answer", limit, || {
            match self.call(example, digest, node, CALL).ok()? {
                Outcome::Right => Some(()),
                Outcome::Failed(_) => None,
                Outcome::Wrong(what) => {
                    wrong = Some(what);
                    Some(())
                }
            }
        })?;
        match wrong {
            Some(what) => anyhow::bail!("wrong answer: {what}"),
            None => Ok(begun.elapsed()),
        }
    }

    /// The emulated machine's process.
    pub(crate) fn machine(&self) -> anyhow::Result<u32> {
        let mut machines = descendants(self.platform.pid());
        machines.retain(|pid| {
            let words = command_line(*pid);
            is_running(*pid)
                && words
                    .iter()
                    .any(|word| word.ends_with("qemu-system-x86_64"))
        });
        machines.first().copied().context("no machine runs")
    }
}
