//! The request that runs a job: what it is stands in the path, so that the body is the input as it was carried.

use core::fmt::Write as _;

use crate::chain_job::ChainTerms;
use crate::digest::Digest;
use crate::encoding::{array_from_base64url, base64url};
use crate::ids::JobId;
use crate::job::{JobTerms, job_path};

/// `POST /v1/jobs/{job}?function={digest}&deadline_ms={n}`, and `&result_key={base64url}` where the input is sealed, and
/// `&chain={terms}` where a contract asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunJob {
    /// What to run and until when.
    pub terms: JobTerms,
    /// The key that the result is sealed to; the input is sealed exactly where there is one.
    pub result_key: Option<[u8; 32]>,
    /// For which contract the result is signed, too.
    pub chain: Option<ChainTerms>,
}

/// A query that is not a job's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a job's query is `function={{digest}}&deadline_ms={{n}}`, and `result_key={{32 bytes, base64url}}` where it is sealed, `chain={{chain id:contract:job:payee}}` where a contract asked, each once"
)]
pub struct RunJobSyntaxError;

impl RunJob {
    /// The request's target.
    pub fn path_and_query(&self) -> String {
        let terms = &self.terms;
        let mut target = format!(
            "{}?function={}&deadline_ms={}",
            job_path(&terms.job),
            terms.function,
            terms.deadline_ms
        );
        if let Some(key) = &self.result_key {
            // Writing to a string does not fail.
            let _ = write!(target, "&result_key={}", base64url(key));
        }
        if let Some(chain) = &self.chain {
            let _ = write!(target, "&chain={chain}");
        }
        target
    }

    /// Reads the query of a job with this id.
    ///
    /// # Errors
    ///
    /// [`RunJobSyntaxError`].
    pub fn parse(job: JobId, query: &str) -> Result<Self, RunJobSyntaxError> {
        let (mut function, mut deadline_ms) = (None, None);
        let (mut result_key, mut chain) = (None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(RunJobSyntaxError)?;
            match name {
                "function" => once(&mut function, value.parse::<Digest>().ok())?,
                "deadline_ms" => once(&mut deadline_ms, number(value))?,
                "result_key" => once(&mut result_key, array_from_base64url(value).ok())?,
                "chain" => once(&mut chain, value.parse::<ChainTerms>().ok())?,
                _ => return Err(RunJobSyntaxError),
            }
        }
        let terms = JobTerms {
            job,
            function: function.ok_or(RunJobSyntaxError)?,
            deadline_ms: deadline_ms.ok_or(RunJobSyntaxError)?,
        };
        Ok(Self {
            terms,
            result_key,
            chain,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), RunJobSyntaxError> {
    if place.is_some() || value.is_none() {
        return Err(RunJobSyntaxError);
    }
    *place = value;
    Ok(())
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain_job::ChainJobId;
    use crate::eip712::EthAddress;

    #[test]
    fn a_query_has_each_of_its_parts_once() {
        let job = JobId::from_random([1; 16]);
        let function = format!("function={}", Digest::of(b"f"));
        let key = format!("result_key={}", base64url(&[3; 32]));
        let parse = |query: &str| RunJob::parse(job, query);
        assert!(parse(&format!("{function}&deadline_ms=7")).is_ok());
        assert!(parse(&format!("{key}&deadline_ms=7&{function}")).is_ok());
        let zeros = "0".repeat(40);
        let chain = format!("chain=1:0x{zeros}:0x{}:0x{zeros}", "0".repeat(64));
        assert!(parse(&format!("{chain}&deadline_ms=7&{function}")).is_ok());
        for wrong in [
            "",
            &function,
            "deadline_ms=7",
            &format!("{function}&deadline_ms="),
            &format!("{function}&deadline_ms=+7"),
            &format!("{function}&deadline_ms=-7"),
            &format!("{function}&deadline_ms=18446744073709551616"),
            &format!("{function}&deadline_ms=7&deadline_ms=7"),
            &format!("{function}&{function}&deadline_ms=7"),
            &format!("{function}&deadline_ms=7&result_key="),
            &format!("{function}&deadline_ms=7&{key}&{key}"),
            &format!("{function}&deadline_ms=7&chain=1"),
            &format!("{function}&deadline_ms=7&{chain}&{chain}"),
            &format!("{function}&deadline_ms=7&other=1"),
            &format!("{function}&deadline_ms=7&"),
            &format!("{}&deadline_ms=7", function.to_uppercase()),
        ] {
            assert_eq!(parse(wrong), Err(RunJobSyntaxError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            job: [u8; 16], function: [u8; 32], deadline_ms: u64, result_key: Option<[u8; 32]>,
            chain: Option<(u64, [u8; 20], [u8; 32], [u8; 20])>
        ) {
            let job = JobId::from_random(job);
            let terms = JobTerms { job, function: Digest::from_bytes(function), deadline_ms };
            let chain = chain.map(|(chain_id, contract, job, payee)| ChainTerms {
                chain_id: chain_id.max(1).try_into().unwrap(),
                contract: EthAddress::from_bytes(contract),
                job: ChainJobId::from_word(job),
                payee: EthAddress::from_bytes(payee),
            });
            let run = RunJob { terms, result_key, chain };
            let target = run.path_and_query();
            let (path, query) = target.split_once('?').unwrap();
            prop_assert_eq!(path, format!("/v1/jobs/{job}"));
            prop_assert_eq!(RunJob::parse(job, query), Ok(run));
        }
    }
}
