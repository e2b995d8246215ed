//! Signs receipts in batches (DESIGN §3.3), on a thread of its own that alone holds the receipt key.
//!
//! A receipt that comes when the thread is idle is signed alone and at once; while a signature is being made, others
//! gather and share the next one.

use std::io;

use k256::ecdsa::SigningKey;
use nacre_protocol::merkle::MAX_LEAVES;
use nacre_protocol::receipt::{InferenceReceipt, SignedReceipt, sign_batch};
use tokio::sync::{mpsc, oneshot};

/// Receipts that may wait; answers beyond them wait for a place.
const QUEUE: usize = 4096;

/// The way to the signer. Clones share it; the thread ends with the last of them.
#[derive(Debug, Clone)]
pub struct Receipts {
    waiting: mpsc::Sender<Waiting>,
}

/// The signer's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("receipts cannot be signed any more")]
pub struct SignerStopped;

#[derive(Debug)]
struct Waiting {
    receipt: InferenceReceipt,
    salt: [u8; 32],
    answer: oneshot::Sender<SignedReceipt>,
}

impl Receipts {
    /// Starts the signer with the key of this boot.
    pub fn start(key: SigningKey) -> io::Result<Self> {
        let (waiting, queue) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("receipts".to_owned())
            .spawn(move || run(&key, queue))?;
        Ok(Self { waiting })
    }

    /// Signs one receipt, together with those that wait.
    pub async fn sign(
        &self,
        receipt: InferenceReceipt,
        salt: [u8; 32],
    ) -> Result<SignedReceipt, SignerStopped> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            receipt,
            salt,
            answer,
        };
        self.waiting
            .send(waiting)
            .await
            .map_err(|_| SignerStopped)?;
        answered.await.map_err(|_| SignerStopped)
    }
}

fn run(key: &SigningKey, mut queue: mpsc::Receiver<Waiting>) {
    let mut gathered = Vec::new();
    while queue.blocking_recv_many(&mut gathered, MAX_LEAVES as usize) > 0 {
        gathered.retain(|waiting| !waiting.answer.is_closed());
        let claims: Vec<_> = gathered
            .iter()
            .map(|waiting| (waiting.receipt, waiting.salt))
            .collect();
        // `None` only for an empty batch: everybody has gone.
        let signed = sign_batch(key, &claims).unwrap_or_default();
        for (waiting, receipt) in gathered.drain(..).zip(signed) {
            let _ = waiting.answer.send(receipt);
        }
    }
}

#[cfg(test)]
mod tests {
    use nacre_protocol::digest::Digest;

    use super::*;

    #[tokio::test]
    async fn every_receipt_of_a_crowd_verifies() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let public: [u8; 64] = key.verifying_key().to_sec1_point(false).as_bytes()[1..]
            .try_into()
            .unwrap();
        let receipts = Receipts::start(key).unwrap();
        let claims = |status| InferenceReceipt {
            function_digest: Digest::of(b"f"),
            request_hash: [1; 32],
            response_hash: [2; 32],
            started_ms: 3,
            compute_micros: 4,
            status,
        };
        let signed =
            futures_util::future::join_all((0..200).map(|i| receipts.sign(claims(i), [5; 32])))
                .await;
        for (signed, status) in signed.into_iter().zip(0..) {
            let signed = signed.unwrap();
            assert_eq!(signed.receipt, claims(status));
            signed.verify_signature(&public).unwrap();
        }
    }
}
