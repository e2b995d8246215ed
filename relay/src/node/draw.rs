//! The draw, as the contract has it.

use alloy::eips::BlockId;
use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, B256, U256};
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use nacre_chain::contracts::{JobRelay, OperatorStaking};
use nacre_chain::error::ChainError;
use nacre_protocol::eip712::{EthAddress, Word};

use super::{Node, address};
use crate::draw::duty::{Batch, Rules, Seat, View};

/// The most operators on the list: `OperatorDraw.MAX_OPERATORS`.
const MAX_OPERATORS: usize = 256;
/// How many batches are looked back for links that others kept back, on the first look.
const LOOK_BACK: u64 = 32;
/// Questions to the node at once.
const QUESTIONS: usize = 16;
/// `OperatorDraw.BatchState.Waiting`.
const WAITING: u8 = 1;

/// When a look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// As of this block.
    pub block: u64,
    /// Its time, Unix seconds.
    pub now: u64,
    /// Batches of this time and before are deep enough, Unix seconds.
    pub deep: u64,
}

impl Node {
    /// What is fixed of the draw.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn draw_rules(&self) -> Result<Rules, ChainError> {
        let (term, window, stake) = (
            self.relay.TERM(),
            self.relay.REVEAL_WINDOW(),
            self.relay.MIN_STAKE(),
        );
        Ok(Rules {
            term: term.call().await?.to(),
            window: window.call().await?.to(),
            min_stake: stake.call().await?,
        })
    }

    /// The draw, as it matters to an operator. `settled` is the caller's memory of up to which batch nobody is to be reported.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn draw(
        &self,
        me: &EthAddress,
        at: &Moment,
        rules: &Rules,
        settled: &mut u64,
        is_ours: impl Fn(&Word) -> bool,
    ) -> Result<View, ChainError> {
        let me = address(me);
        let block = BlockId::number(at.block);
        let state = self.relay.drawState().block(block).call().await?;
        let list = self.relay.listed().block(block).call().await?;
        let place = list.operators.iter().position(|operator| *operator == me);
        let tip = place.and_then(|place| list.tips.get(place));
        let mut view = View {
            now: at.now,
            deep: at.deep,
            term: state.term,
            started_at: state.startedAt.to(),
            is_seated: state.seated != 0,
            has_stake: self.stake(me, block).await? >= U256::from(rules.min_stake),
            is_listed: tip.is_some_and(|tip| !tip.is_zero() && is_ours(&tip.0)),
            rank: place.unwrap_or(list.operators.len()) as u64,
            seats: Vec::new(),
            batches: Vec::new(),
        };
        let mut look = Look {
            node: self,
            block,
            expelled: Vec::new(),
        };
        for term in [state.term, state.term.saturating_sub(1)] {
            if term > 0 {
                look.seats(term, me, &mut view).await?;
            }
        }
        let latest = state.batch.to();
        look.open(latest, rules, &mut view).await?;
        look.withheld(latest, rules, settled, &mut view).await?;
        view.batches
            .sort_unstable_by_key(|batch| core::cmp::Reverse(batch.number));
        view.batches.dedup();
        Ok(view)
    }

    /// Who has to leave a full list for another: who has the least stake. Zero where the list is not full.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn displaced(&self) -> Result<Address, ChainError> {
        let operators = self.relay.listed().call().await?.operators;
        if operators.len() < MAX_OPERATORS {
            return Ok(Address::ZERO);
        }
        let stakes = futures_util::stream::iter(operators).map(async |operator| {
            Ok::<_, ChainError>((self.stake(operator, BlockId::latest()).await?, operator))
        });
        let stakes: Vec<_> = stakes.buffer_unordered(QUESTIONS).try_collect().await?;
        let least = stakes.into_iter().min();
        Ok(least.map_or(Address::ZERO, |(_, operator)| operator))
    }

    /// The call that commits to a chain.
    pub fn enlistment(&self, tip: &Word, displaced: Address) -> Vec<u8> {
        let call = self.relay.enlist(B256::from(*tip), displaced);
        call.calldata().to_vec()
    }

    /// The call that starts a term.
    pub fn term_start(&self) -> Vec<u8> {
        self.relay.startTerm().calldata().to_vec()
    }

    /// The call that shows links.
    pub fn reveal(&self, seat: &Seat, up_to: u64, link: &Word) -> Vec<u8> {
        let up_to = U40::saturating_from(up_to);
        let call = self
            .relay
            .reveal(seat.term, seat.seat, up_to, B256::from(*link));
        call.calldata().to_vec()
    }

    /// The call that reports who kept back a link.
    pub fn report(&self, batch: u64) -> Vec<u8> {
        let call = self.relay.reportWithheld(U40::saturating_from(batch));
        call.calldata().to_vec()
    }

    async fn stake(&self, of: Address, block: BlockId) -> Result<U256, ChainError> {
        let staking = self.relay.STAKING().call().await?;
        let staking = OperatorStaking::new(staking, self.provider.clone());
        Ok(staking.activeStake(of).block(block).call().await?)
    }
}

/// A look at terms and batches as of one block.
struct Look<'a> {
    node: &'a Node,
    block: BlockId,
    /// Terms with the seats that were lost in each.
    expelled: Vec<(u32, u8)>,
}

impl Look<'_> {
    async fn seats(&mut self, term: u32, me: Address, view: &mut View) -> Result<(), ChainError> {
        let of = self.node.relay.termOf(term).block(self.block);
        let JobRelay::termOfReturn {
            seats,
            tips,
            nextBatch,
            expelled,
            ..
        } = of.call().await?;
        self.expelled.push((term, expelled));
        for (seat, ((operator, tip), next)) in (0_u8..).zip(seats.iter().zip(tips).zip(nextBatch)) {
            if *operator == me && expelled & (1 << seat) == 0 {
                view.seats.push(Seat {
                    term,
                    seat,
                    tip: tip.0,
                    next: next.to(),
                });
            }
        }
        Ok(())
    }

    /// Batches for which a link may be missing that still counts: down to the latest that is deep enough, of each term that we
    /// have a seat in.
    async fn open(&self, latest: u64, rules: &Rules, view: &mut View) -> Result<(), ChainError> {
        let mut terms: Vec<_> = view.seats.iter().map(|seat| seat.term).collect();
        for number in (1..=latest).rev() {
            if terms.is_empty() {
                break;
            }
            let batch = self.batch(number).await?;
            if batch.opened_at + rules.window < view.now {
                break;
            }
            if batch.opened_at <= view.deep {
                terms.retain(|term| *term < batch.term);
            }
            view.batches.push(batch);
        }
        Ok(())
    }

    /// The first batch after `settled` for which others kept back a link, if there is one.
    async fn withheld(
        &self,
        latest: u64,
        rules: &Rules,
        settled: &mut u64,
        view: &mut View,
    ) -> Result<(), ChainError> {
        // A reorganisation may have taken batches away.
        *settled = (*settled).min(latest).max(latest.saturating_sub(LOOK_BACK));
        while *settled < latest {
            let batch = self.batch(*settled + 1).await?;
            if batch.opened_at + rules.window >= view.now {
                break;
            }
            if view.is_withheld(&batch, rules) {
                view.batches.push(batch);
                break;
            }
            *settled += 1;
        }
        Ok(())
    }

    async fn batch(&self, number: u64) -> Result<Batch, ChainError> {
        let asked = self.node.relay.batchOf(U40::saturating_from(number));
        let batch = asked.block(self.block).call().await?;
        let expelled = self.expelled.iter().find(|(term, _)| *term == batch.term);
        Ok(Batch {
            number,
            term: batch.term,
            opened_at: batch.openedAt.to(),
            waits: batch.state == WAITING,
            // Of terms long over nobody is reported.
            missing: expelled.map_or(0, |(_, expelled)| batch.missing & !expelled),
        })
    }
}
