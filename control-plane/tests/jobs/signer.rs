//! Nodes that sign what they bring.

use k256::ecdsa::SigningKey;
use nacre_protocol::api::jobs::AssignedJob;
use nacre_protocol::digest::Digest;
use nacre_protocol::job::{JobReceipt, JobTerms, SignedJobReceipt};

use crate::support::TestNode;

/// A node that has a receipt key of its own.
pub(crate) struct Signer {
    pub(crate) node: TestNode,
    pub(crate) key: SigningKey,
}

impl Signer {
    pub(crate) fn new(n: u8) -> Self {
        let key = SigningKey::from_slice(&[n; 32]).unwrap();
        let mut node = TestNode::new(n, 1 << 30, u64::from(n));
        let point = key.verifying_key().to_sec1_point(false);
        node.statement
            .receipt_key
            .copy_from_slice(&point.as_bytes()[1..]);
        Self { node, key }
    }

    pub(crate) fn receipt(
        &self,
        job: &AssignedJob,
        input: &[u8],
        result: &[u8],
    ) -> SignedJobReceipt {
        let terms = JobTerms {
            job: job.id,
            function: job.digest,
            deadline_ms: job.deadline_ms,
        };
        self.sign(terms, input, result)
    }

    pub(crate) fn sign(&self, terms: JobTerms, input: &[u8], result: &[u8]) -> SignedJobReceipt {
        let receipt = JobReceipt {
            terms,
            input_hash: Digest::of(input),
            result_hash: Digest::of(result),
            status: 200,
            finished_ms: 1,
        };
        receipt.sign(&self.key)
    }
}
