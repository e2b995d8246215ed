//! Jobs that a contract asked for: what is signed for it is checked, kept and given to whoever asked.

use k256::ecdsa::SigningKey;
use nacre_protocol::CHAIN_RESULT_HEADER;
use nacre_protocol::api::jobs::{AssignedJob, CreateJob, JobState};
use nacre_protocol::chain_job::{
    ChainJobId, ChainResult, ChainStatus, ChainTerms, SignedChainResult,
};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::job::JobResult;
use nacre_protocol::receipt::{InferenceReceipt, sign_batch};
use reqwest::{Method, RequestBuilder};

use crate::signer::Signer;
use crate::site::Site;
use crate::support::{expect, refused};

const BODY: &[u8] = b"{\"outputs\":[]}";

fn terms() -> ChainTerms {
    ChainTerms {
        chain_id: 31_337.try_into().unwrap(),
        contract: EthAddress::from_bytes([1; 20]),
        job: ChainJobId::from_word([2; 32]),
        payee: EthAddress::from_bytes([3; 20]),
    }
}

/// An answer as an enclave makes it.
fn result(key: &SigningKey) -> Vec<u8> {
    let receipt = InferenceReceipt {
        function_digest: Digest::of(b"function"),
        request_hash: [0; 32],
        response_hash: [0; 32],
        started_ms: 1,
        compute_micros: 1,
        status: 200,
    };
    let batch = sign_batch(key, &[(receipt, [7; 32])]).unwrap();
    let result = JobResult {
        status: 200,
        content_type: "application/json",
        inference_header_length: "",
        receipt: batch.into_iter().next().unwrap(),
        body: BODY,
    };
    result.encode()
}

fn claims(job: &AssignedJob, input: &[u8]) -> ChainResult {
    ChainResult {
        terms: terms(),
        function: job.digest,
        input_hash: Digest::of(input),
        output_hash: Digest::of(BODY),
        status: ChainStatus::Answered,
        executed_ms: 1,
    }
}

struct Held<'s> {
    site: &'s Site,
    node: &'s Signer,
    job: AssignedJob,
    input: Vec<u8>,
    result: Vec<u8>,
}

impl<'s> Held<'s> {
    async fn take(site: &'s Site, node: &'s Signer, n: u8) -> Self {
        let asked = CreateJob {
            chain: Some(terms()),
            ..site.job(n)
        };
        let made: nacre_protocol::api::jobs::Job = expect(site.create(&asked), 201).await;
        assert_eq!(made.chain, Some(terms()));
        let job = site.take(node, 0).await.unwrap();
        assert_eq!(job.chain, Some(terms()));
        let input = site.input(node, &job).await;
        Self {
            site,
            node,
            job,
            input,
            result: result(&node.key),
        }
    }

    fn bring(&self, chain: Option<SignedChainResult>) -> RequestBuilder {
        let receipt = self.node.receipt(&self.job, &self.input, &self.result);
        let brought = self
            .site
            .bring(self.node, &self.job, &self.result, &receipt);
        match chain {
            Some(chain) => brought.header(CHAIN_RESULT_HEADER, chain.to_header()),
            None => brought,
        }
    }
}

#[tokio::test]
async fn what_was_signed_for_the_contract_comes_back_to_whoever_asked() {
    let (site, nodes) = Site::start(1).await;
    let held = Held::take(&site, &nodes[0], 1).await;
    let signed = claims(&held.job, &held.input).sign(&nodes[0].key);
    for _ in 0..2 {
        let brought = held.bring(Some(signed)).send().await.unwrap();
        assert_eq!(brought.status(), 204, "brought again, it changes nothing");
    }
    let done = site.look(held.job.id).await;
    assert_eq!(done.state, JobState::Done);
    let kept = done.result.unwrap().chain_result.unwrap();
    let kept = SignedChainResult::from_header(&kept).unwrap();
    assert_eq!(
        kept.signer(terms(), held.job.digest),
        Some(EthAddress::of_key(nodes[0].key.verifying_key()))
    );
    let path = format!("/v1/jobs/{}/result", held.job.id);
    let got = site.server.request(Method::GET, &path).send().await;
    assert_eq!(
        got.unwrap().headers()[CHAIN_RESULT_HEADER],
        kept.to_header()
    );
}

#[tokio::test]
async fn a_result_that_the_contract_would_refuse_is_refused_here() {
    let (site, nodes) = Site::start(2).await;
    let honest_key = &nodes[0].key;
    type Lie = fn(ChainResult) -> ChainResult;
    let lies: [(&str, Lie); 8] = [
        ("chain-result-signature", |honest| ChainResult {
            terms: ChainTerms {
                payee: EthAddress::from_bytes([9; 20]),
                ..honest.terms
            },
            ..honest
        }),
        ("chain-result-signature", |honest| ChainResult {
            terms: ChainTerms {
                job: ChainJobId::from_word([9; 32]),
                ..honest.terms
            },
            ..honest
        }),
        ("chain-result-signature", |honest| ChainResult {
            terms: ChainTerms {
                contract: EthAddress::from_bytes([9; 20]),
                ..honest.terms
            },
            ..honest
        }),
        ("chain-result-signature", |honest| ChainResult {
            terms: ChainTerms {
                chain_id: 1.try_into().unwrap(),
                ..honest.terms
            },
            ..honest
        }),
        ("chain-result-signature", |honest| ChainResult {
            function: Digest::of(b"other"),
            ..honest
        }),
        ("chain-result-input", |honest| ChainResult {
            input_hash: Digest::of(b""),
            ..honest
        }),
        ("chain-result-output", |honest| ChainResult {
            output_hash: Digest::of(b""),
            ..honest
        }),
        ("chain-result-output", |honest| ChainResult {
            status: ChainStatus::Refused,
            ..honest
        }),
    ];
    for (n, (code, lie)) in (1u8..).zip(lies) {
        let held = Held::take(&site, &nodes[0], n).await;
        let lied = lie(claims(&held.job, &held.input)).sign(honest_key);
        refused(held.bring(Some(lied)), 422, code).await;
        let noted = site.count("SELECT COUNT(*) FROM incidents").await;
        assert_eq!(noted, i64::from(n));
        site.server
            .request(Method::DELETE, &format!("/v1/jobs/{}", held.job.id))
            .send()
            .await
            .unwrap();
    }

    let held = Held::take(&site, &nodes[0], 50).await;
    refused(held.bring(None), 422, "chain-result-missing").await;
    let held = Held::take(&site, &nodes[0], 51).await;
    let others = claims(&held.job, &held.input).sign(&nodes[1].key);
    refused(held.bring(Some(others)), 422, "chain-result-signature").await;
    let held = Held::take(&site, &nodes[0], 52).await;
    let garbled = held.bring(None).header(CHAIN_RESULT_HEADER, "AAAA");
    refused(garbled, 422, "chain-result-malformed").await;
}
