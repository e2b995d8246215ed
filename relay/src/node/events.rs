//! The chain's blocks and the contract's events, as nodes tell them.

use alloy::consensus::BlockHeader as _;
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{B256, U256};
use alloy::providers::Provider as _;
use alloy::sol_types::SolEvent as _;
use alloy_rpc_types_eth::{Block, Filter, Log};
use nacre_chain::contracts::JobRelay;
use nacre_chain::contracts::job_relay::IJobRelay;
use nacre_chain::error::ChainError;
use nacre_protocol::chain_job::ChainJobId;
use nacre_protocol::digest::Digest;

use super::{Node, eth};
use crate::follow::{Header, JobEvent, Source, SourceError};
use crate::job::Outcome;
use crate::request::{ChainJob, Request};
use crate::store::NewJob;

impl Source for Node {
    async fn head(&self) -> Result<Header, SourceError> {
        let head = self.block(BlockNumberOrTag::Latest).await.map_err(failed)?;
        let head = head.ok_or(SourceError::Inconsistent("there is no latest block"))?;
        Ok(header(&head))
    }

    async fn header(&self, number: u64) -> Result<Option<Header>, SourceError> {
        let block = self
            .block(BlockNumberOrTag::Number(number))
            .await
            .map_err(failed)?;
        match block.as_ref().map(header) {
            Some(header) if header.number != number => Err(SourceError::Inconsistent(
                "another block than was asked for",
            )),
            header => Ok(header),
        }
    }

    async fn events_in(&self, block: &Header) -> Result<Vec<JobEvent>, SourceError> {
        let hash = B256::from(block.hash);
        let logs = self.logs(&self.filter().at_block_hash(hash)).await?;
        if logs.iter().any(|log| log.block_hash != Some(hash)) {
            return Err(SourceError::Inconsistent("logs of another block"));
        }
        Ok(logs.iter().filter_map(event).collect())
    }

    async fn events_between(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, JobEvent)>, SourceError> {
        let logs = self
            .logs(&self.filter().from_block(from).to_block(to))
            .await?;
        let mut events = Vec::with_capacity(logs.len());
        for log in &logs {
            let block = log.block_number.filter(|block| (from..=to).contains(block));
            let block = block.ok_or(SourceError::Inconsistent("logs of other blocks"))?;
            events.extend(event(log).map(|event| (block, event)));
        }
        Ok(events)
    }
}

/// What a log tells; none where it is not as the contract writes it.
fn event(log: &Log) -> Option<JobEvent> {
    let topic = *log.topic0()?;
    let settled = |id: U256, outcome| JobEvent::Settled(job_id(id), outcome);
    if topic == JobRelay::Answered::SIGNATURE_HASH {
        let told = log.log_decode::<JobRelay::Answered>().ok()?;
        return Some(settled(told.inner.jobId, Outcome::Answered));
    }
    if topic == JobRelay::Cancelled::SIGNATURE_HASH {
        let told = log.log_decode::<JobRelay::Cancelled>().ok()?;
        return Some(settled(told.inner.jobId, Outcome::Cancelled));
    }
    let told = log.log_decode::<JobRelay::Requested>().ok()?.inner.data;
    Some(JobEvent::Requested(Box::new(NewJob {
        id: job_id(told.jobId),
        job: ChainJob {
            requester: eth(told.requester),
            nonce: told.nonce,
            request: plain(&told.request)?,
        },
        input: Some(told.input.to_vec()).filter(|input| !input.is_empty()),
        assured: told.assured,
    })))
}

impl Node {
    fn filter(&self) -> Filter {
        let events = vec![
            JobRelay::Requested::SIGNATURE_HASH,
            JobRelay::Answered::SIGNATURE_HASH,
            JobRelay::Cancelled::SIGNATURE_HASH,
        ];
        Filter::new()
            .address(*self.relay.address())
            .event_signature(events)
    }

    async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, SourceError> {
        let logs = self
            .provider
            .get_logs(filter)
            .await
            .map_err(ChainError::from)
            .map_err(failed)?;
        let ours = |log: &Log| log.address() == *self.relay.address() && !log.removed;
        match logs.iter().all(ours) {
            true => Ok(logs),
            false => Err(SourceError::Inconsistent("logs that were not asked for")),
        }
    }
}

fn plain(request: &IJobRelay::Request) -> Option<Request> {
    Some(Request {
        function: Digest::from_bytes(request.functionDigest.0),
        image: request.imageId.0,
        input_hash: Digest::from_bytes(request.inputHash.0),
        callback: eth(request.callback),
        callback_gas: request.callbackGas,
        deadline: request.deadline.try_into().ok()?,
        token: eth(request.token),
        fee: request.fee.try_into().ok()?,
    })
}

fn header(block: &Block) -> Header {
    Header {
        number: block.header.number(),
        hash: block.header.hash.0,
        parent: block.header.parent_hash().0,
        time: block.header.timestamp(),
    }
}

fn failed(error: ChainError) -> SourceError {
    SourceError::Failed(error.to_string())
}

fn job_id(id: U256) -> ChainJobId {
    ChainJobId::from_word(id.to_be_bytes())
}
