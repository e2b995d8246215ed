//! A job's input: from the request's block, or from the platform's object store by its hash; in the open, or sealed.

use std::time::Duration;

use nacre_protocol::api::jobs::{Bytes32, JobPayload};
use nacre_protocol::digest::Digest;
use nacre_protocol::job::JobInput;
use nacre_protocol::sealed::SealedJob;

use super::{Relay, RelayError};
use crate::job::{Present, Standing};
use crate::platform::{Blob, PlatformError};
use crate::reason::Reason;
use crate::store::JobRow;

/// Before the store is asked again for an input that was not there.
const NOT_THERE: Duration = Duration::from_secs(2);
/// Longest input that goes within the request; a longer one follows it.
const INLINE: usize = 256 << 10;

/// An input whose hash is the one that was asked for.
pub(super) enum Input {
    /// It came with the request.
    Shown(Vec<u8>),
    /// It was in the store.
    Stored(Blob),
}

impl Input {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Shown(bytes) => bytes,
            Self::Stored(blob) => &blob.bytes,
        }
    }

    /// How it is handed to the platform; none where it is no job's. A sealed one must show the key that its result is to be
    /// sealed to.
    pub(super) fn payload(&self, digest: Digest) -> Option<JobPayload> {
        let bytes = self.bytes();
        let plain = JobInput::decode(bytes).ok();
        let key = match plain {
            Some(_) => None,
            None => Some(SealedJob::decode(bytes).ok()?.result_key()?),
        };
        if bytes.len() > INLINE {
            return Some(JobPayload::Upload {
                size: bytes.len() as u64,
                digest,
                result_key: key.map(Bytes32),
            });
        }
        Some(match (plain, key) {
            (Some(plain), _) => JobPayload::Plain {
                content_type: plain.content_type.to_owned(),
                inference_header_length: plain.inference_header_length.to_owned(),
                salt: Some(Bytes32(plain.salt)),
                body: plain.body.to_vec(),
            },
            (None, key) => JobPayload::Sealed {
                envelope: bytes.to_vec(),
                result_key: key?,
            },
        })
    }
}

impl Relay {
    /// A job's input; none where it is waited for, or the job was left for want of it.
    pub(super) async fn input(
        &self,
        row: &JobRow,
        present: &Present,
    ) -> Result<Option<Input>, RelayError> {
        let id = row.asked.id;
        let mut tx = self.store.read().await?;
        let shown = JobRow::get(&mut tx, &id)
            .await?
            .and_then(|row| row.asked.input);
        drop(tx);
        // Its hash was compared when the request was read.
        if let Some(bytes) = shown {
            return Ok(Some(Input::Shown(bytes)));
        }
        let hash = &row.asked.job.request.input_hash;
        match self.platform.blob(hash, self.settings.max_input).await {
            Ok(Some(blob)) => Ok(Some(Input::Stored(blob))),
            Ok(None) => {
                let asked_in = match row.state.standing {
                    Standing::Requested(block) => block,
                    _ => present.head,
                };
                let waited = present.head.saturating_sub(asked_in);
                match waited < self.settings.input_wait {
                    true => self.later(&id, NOT_THERE).await?,
                    false => self.leave(row, Reason::InputUnavailable).await?,
                }
                Ok(None)
            }
            Err(PlatformError::TooLong(_)) => {
                self.leave(row, Reason::InputTooLarge).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use nacre_protocol::job::JobTerms;
    use nacre_protocol::sealed::SealingSecret;

    use super::*;

    const OPEN: JobInput<'static> = JobInput {
        content_type: "application/json",
        inference_header_length: "",
        salt: [7; 32],
        body: b"{}",
    };

    fn payload(bytes: Vec<u8>) -> Option<JobPayload> {
        let digest = Digest::of(&bytes);
        Input::Shown(bytes).payload(digest)
    }

    fn sealed(input: &JobInput<'_>, shows: bool) -> Vec<u8> {
        let terms = JobTerms {
            job: nacre_protocol::ids::JobId::from_random([1; 16]),
            function: Digest::of(b"f"),
            deadline_ms: 1,
        };
        let key = |byte| SealingSecret::from_bytes(&[byte; 32]).public_key();
        let seal = match shows {
            true => SealedJob::seal_showing_key,
            false => SealedJob::seal,
        };
        seal(input, &terms, &key(9), &[key(1)], &[3; 32]).unwrap()
    }

    /// What the platform hands to the enclave is what was hashed, whatever form it took in between.
    #[test]
    fn every_form_carries_the_bytes_that_were_asked_for() {
        for bytes in [OPEN.encode(), sealed(&OPEN, true)] {
            assert_eq!(
                payload(bytes.clone()).unwrap().carried([0; 32]),
                Some(bytes)
            );
        }
        let body = vec![b' '; INLINE];
        let large = JobInput {
            body: &body,
            ..OPEN
        };
        for (bytes, sealed) in [(large.encode(), false), (sealed(&large, true), true)] {
            let follows = payload(bytes.clone()).unwrap();
            let JobPayload::Upload {
                size,
                digest,
                result_key,
            } = follows
            else {
                panic!("it follows");
            };
            assert_eq!((size, digest), (bytes.len() as u64, Digest::of(&bytes)));
            assert_eq!(result_key.is_some(), sealed);
        }
    }

    #[test]
    fn what_no_enclave_reads_is_no_input() {
        for bytes in [b"no job's input".to_vec(), Vec::new(), sealed(&OPEN, false)] {
            assert_eq!(payload(bytes), None);
        }
    }
}
