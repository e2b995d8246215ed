//! Signs receipts in batches (DESIGN §3.3).
//!
//! A thread of its own signs: a receipt that comes when it is idle is signed at once, and while a signature is being made,
//! others gather and share the next one. Where a request is the only one, nothing can gather, and a change of threads
//! would cost more than the signature: then it is signed where it stands.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use k256::ecdsa::SigningKey;
use nacre_protocol::merkle::MAX_LEAVES;
use nacre_protocol::receipt::{InferenceReceipt, SignedReceipt, sign_batch};
use tokio::sync::{mpsc, oneshot};

/// Receipts that may wait; answers beyond them wait for a place.
const QUEUE: usize = 4096;

/// The way to the signer. Clones share it; the thread ends with the last of them.
#[derive(Clone)]
pub struct Receipts {
    key: Arc<Mutex<SigningKey>>,
    expected: Arc<AtomicUsize>,
    waiting: mpsc::Sender<Waiting>,
}

/// A request that will want a receipt, until this is dropped.
#[derive(Debug)]
pub struct Expected(Arc<AtomicUsize>);

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
        let key = Arc::new(Mutex::new(key));
        let shared = Arc::clone(&key);
        std::thread::Builder::new()
            .name("receipts".to_owned())
            .spawn(move || run(&shared, queue))?;
        Ok(Self {
            key,
            expected: Arc::default(),
            waiting,
        })
    }

    /// Says that a receipt will be wanted, so that others know that they are not alone.
    pub fn expect(&self) -> Expected {
        self.expected.fetch_add(1, Ordering::Relaxed);
        Expected(Arc::clone(&self.expected))
    }

    /// Signs one receipt, together with those that wait.
    pub async fn sign(
        &self,
        receipt: InferenceReceipt,
        salt: [u8; 32],
    ) -> Result<SignedReceipt, SignerStopped> {
        if let Some(signed) = self.sign_alone(receipt, salt) {
            return Ok(signed);
        }
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

    /// Lets `sign` use the key, for what is signed singly: job receipts, usage receipts.
    pub fn with_key<T>(&self, sign: impl FnOnce(&SigningKey) -> T) -> T {
        // The key is whole whatever its last user did.
        sign(&self.key.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs at once where no other request wants a receipt.
    fn sign_alone(&self, receipt: InferenceReceipt, salt: [u8; 32]) -> Option<SignedReceipt> {
        if self.expected.load(Ordering::Relaxed) > 1 {
            return None;
        }
        let key = match self.key.try_lock() {
            Ok(key) => key,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        sign_batch(&key, &[(receipt, salt)])?.pop()
    }
}

impl fmt::Debug for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipts").finish_non_exhaustive()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn run(key: &Mutex<SigningKey>, mut queue: mpsc::Receiver<Waiting>) {
    let mut gathered = Vec::new();
    while queue.blocking_recv_many(&mut gathered, MAX_LEAVES as usize) > 0 {
        // The key is whole whatever its last user did.
        let key = key.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.retain(|waiting| !waiting.answer.is_closed());
        let claims: Vec<_> = gathered
            .iter()
            .map(|waiting| (waiting.receipt, waiting.salt))
            .collect();
        // `None` only for an empty batch: everybody has gone.
        let signed = sign_batch(&key, &claims).unwrap_or_default();
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
        let crowd = (0..200).map(|i| {
            let expected = receipts.expect();
            let receipts = receipts.clone();
            async move {
                let _expected = expected;
                receipts.sign(claims(i), [5; 32]).await
            }
        });
        let signed = futures_util::future::join_all(crowd).await;
        assert_eq!(receipts.expected.load(Ordering::Relaxed), 0);
        let shared = signed.iter().flatten().map(|signed| signed.size).max();
        assert!(shared > Some(1), "nobody shared a signature");
        for (signed, status) in signed.into_iter().zip(0..) {
            let signed = signed.unwrap();
            assert_eq!(signed.receipt, claims(status));
            signed.verify_signature(&public).unwrap();
        }

        let _expected = receipts.expect();
        let alone = receipts.sign(claims(200), [5; 32]).await.unwrap();
        alone.verify_signature(&public).unwrap();
        assert_eq!((alone.index, alone.size), (0, 1));
    }
}
