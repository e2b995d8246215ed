//! The verifier service: it takes an AWS Nitro attestation document, verifies it, and says so under its own attested key
//! in a form that smart contracts check for the price of one `ecrecover` (DESIGN §7).
//!
//! A contract that checked the document itself would pay for five P-384 signatures. One that trusts this service trusts
//! no operator: the service is an enclave, and the contract knows it as it knows any other, by root and measurements; its
//! receipt key is in its own attestation document. Whoever runs it can turn it off, and nothing else.
//!
//! | part | does |
//! |---|---|
//! | [`root`] | the one trusted root, which is in the binary and hence in PCR0 |
//! | [`judge`] | document, time and domain in, a claim to sign or the rule that was broken out. Pure |
//! | [`desk`] | what a request may cost: rates, a queue, deadlines; and the answers |
//! | [`server`] | boots like every attested program of ours ([`nacre_enclave::node`]) and serves |
//! | [`metrics`] | numbers for Prometheus |
//!
//! # What a signature says
//!
//! `VerifiedEnclave(bytes32 rootId,bytes32 imageId,address receiptKey,address operator,bytes32 userData,uint64
//! timestampMs,uint64 expiresMs)`, EIP-712 domain `{name: "Nacre", version: "1", chainId, verifyingContract}`:
//!
//! - a Nitro Secure Module under the root `rootId` (SHA-256 of its DER) signed a document at `timestampMs`, which was at
//!   most [`judge::MAX_AGE`] before the verification and at most 30 s ahead of it;
//! - the enclave runs the image `imageId` = SHA-256(PCR0 ‖ PCR1 ‖ PCR2), measured and not in debug mode. Whether the image
//!   is a good one is the contract's question;
//! - it named the key with the address `receiptKey`, and `userData`;
//! - the first certificate of its chain ends at `expiresMs`.
//!
//! `operator` is **the asker's word**: anybody may ask for anybody's document and name himself. A contract that binds an
//! enclave to an operator must also demand the receipt key's own signature over operator, chain and contract.
//!
//! # What is not configured
//!
//! The root. It is compiled in (`build.rs`), so that another root is another binary, another image and another PCR0: no
//! flag, file or variable of a running service changes whom it believes. A build with another root than AWS's says
//! `DEVELOPMENT ROOT` when it starts and in every verdict. The library takes [`Roots`](nacre_attestation_verifier::Roots)
//! as an argument, since a program that links it with another root is another program.

pub mod desk;
pub mod judge;
pub mod metrics;
pub mod root;
pub mod server;
