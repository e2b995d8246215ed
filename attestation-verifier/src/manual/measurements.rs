//! # Which enclave it is
//!
//! ## A debug enclave passes
//!
//! Seen in `base/base`, mended in pull request 4042; `base/nitro-validator`, pull request 56 (Cantina's review of
//! August 2026, finding 3.2.1).
//!
//! In debug mode the host reads the enclave's console, and the PCRs of the image are zero. The document is as genuine
//! as any other. A verifier that looks at the lengths only, or whose expected values were taken from a test run, lets
//! it in.
//!
//! Here, zeros are refused (`debug-enclave`) unless the policy lists zeros *and* allows debug mode, and the result says
//! so ([`TrustedEnclave::is_debug`](crate::TrustedEnclave::is_debug)).
//!
//! Test: `a_debug_enclave_is_not_a_production_enclave` in `tests/it/manual/measurements.rs`.
//!
//! ## Nothing expected, everything accepted
//!
//! Seen in `privkeyio/keep`, issue 577, mended in pull request 590; `reclaimprotocol/attestor-core`, pull request 52;
//! `marlinprotocol/oyster-monorepo`, pull request 30; `richardfan1126/nitro-enclave-python-demo`.
//!
//! The expected PCRs are optional, and without them the rest of the verification goes on and ends well: this is some
//! enclave, of whoever wished to run one. In one case the comparison was commented out for the time being.
//!
//! Here, a policy without measurements does not exist ([`PolicyError::NoMeasurements`](crate::PolicyError), result code
//! 2), and there is no [`TrustedEnclave`](crate::TrustedEnclave) without a policy.
//!
//! Test: `there_is_no_policy_without_measurements` in `tests/it/manual/measurements.rs`.
//!
//! ## A set of nothing matches everything
//!
//! Seen in `worldcoin/pontifex`, pull request 30 (review); `evervault/attestation-doc-validation`, since pull request
//! 82.
//!
//! All of no PCRs are equal. A list of allowed configurations with an empty one in it, or a configuration whose fields
//! were not filled in, allows every enclave.
//!
//! Here, a set has PCR0, PCR1 and PCR2: they are not options in [`Measurements`](crate::Measurements), and JSON that
//! leaves one out is no policy (`policy-json`).
//!
//! Test: `a_set_without_pcrs_matches_nothing_because_there_is_none` in `tests/it/manual/measurements.rs`.
//!
//! ## Zero means "any"
//!
//! Seen in `EternisAI/remote-attestation-verifier`, `src/lib.rs`, `verify`.
//!
//! An expected PCR of 48 zeros is not compared. Zeros are what a tool prints for a debug image, and what a forgotten
//! field holds.
//!
//! Here, every value that a policy names is compared in full (`measurement-mismatch`).
//!
//! Test: `zero_is_a_value_not_a_wildcard` in `tests/it/manual/measurements.rs`.
//!
//! ## A PCR that the document leaves out is not missed
//!
//! Seen in `marlinprotocol/NitroProver`, `src/NitroProver.sol`, `validatePCRs`, and `marlinprotocol/oyster-monorepo`,
//! `sdks/rs/src/attestation.rs`, `parse_pcrs`.
//!
//! The first goes through the PCRs of the document, so that one that was asked for and is not there is not compared.
//! The second reads an absent PCR16 as zeros, which is another state of that register.
//!
//! Here, it is the policy's PCRs that are gone through, and an absent one equals nothing (`measurement-mismatch`, for
//! the image `pcr-missing`).
//!
//! Test: `an_absent_pcr_equals_nothing` in `tests/it/manual/measurements.rs`.
//!
//! ## Every PCR must be equal
//!
//! Seen in `brave/nitriding-daemon`, pull request 129.
//!
//! Two documents were compared register by register, and by their number. PCR4 holds the parent instance; newer hosts
//! may fill more registers. Enclaves of one image did not know each other.
//!
//! Here, the image's three PCRs are compared and those that the policy names.
//!
//! Test: `pcrs_that_nobody_asked_for_may_be_anything` in `tests/it/manual/measurements.rs`.
//!
//! ## A test root within reach
//!
//! Seen in `marlinprotocol/oyster-monorepo`, `sdks/rs/src/attestation.rs`, which exports the key of a mock root next to
//! AWS's.
//!
//! Whoever knows the mock key makes every document. One wrong constant, or one option left as it was in a test, and the
//! verification proves nothing, with no sign of it in the result.
//!
//! Here, the crate contains no root but AWS's. Any other is given by the caller, and the evidence is marked
//! ([`RootKind::Development`](crate::RootKind::Development)) whatever happens later.
//!
//! Test: `a_development_root_is_called_so` in `tests/it/manual/measurements.rs`.
//!
//! ## The signer of an image stands for the image
//!
//! Seen in `aws/aws-nitro-enclaves-cli`, pull request 588, after Trail of Bits' notes on images and attestation: the
//! manual for signed images ended with a signature that was taken apart instead of verified.
//!
//! PCR8 says who signed an image, if the signature was verified. It says nothing about which image: an old one with a
//! known hole has the same PCR8.
//!
//! Here, PCR8 counts where a policy names it, on top of PCR0 to PCR2 and never in their place (`measurement-mismatch`).
//!
//! Test: `the_signer_of_an_image_is_not_the_image` in `tests/it/manual/measurements.rs`.
