//! Which jobs are worth their gas, and how much may be spent on them. Pure; all amounts in wei.

use std::collections::BTreeMap;

use nacre_protocol::eip712::EthAddress;

use crate::reason::Reason;
use crate::request::Request;

/// Gas of a submission without its callback, as the contract's own fee floor counts it.
pub const SUBMISSION_GAS: u64 = 120_000;
/// Gas of a byte of output on its way in, at most: 16 as calldata, 40 under EIP-7623's floor, 8 in the event.
pub const OUTPUT_BYTE_GAS: u64 = 48;

/// What gas costs: what a transaction offers, or what the market asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fees {
    /// Most a gas, all in.
    pub max: u128,
    /// Of that, for whoever builds the block.
    pub tip: u128,
}

/// What gas costs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Market {
    /// The base fee of the next block.
    pub base: u128,
    /// The tip that blocks take now.
    pub tip: u128,
}

impl Market {
    /// What a gas is likely to cost.
    pub fn likely(&self) -> u128 {
        self.base.saturating_add(self.tip)
    }

    /// What a transaction offers so that it stays good while the base fee doubles.
    pub fn offer(&self) -> Fees {
        Fees {
            max: self.base.saturating_mul(2).saturating_add(self.tip),
            tip: self.tip,
        }
    }
}

/// What a relay's owner is ready to pay for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The fee must be this many percent of the likely cost; below 100 is at a loss.
    pub margin_percent: u32,
    /// Most a gas, whatever it is for.
    pub max_fee: u128,
    /// Most gas for a callback.
    pub max_callback_gas: u32,
    /// Least seconds between now and the deadline for a job to be begun.
    pub least_time: u64,
    /// Tokens that fees are taken in, with the least fee of each, in base units.
    pub tokens: BTreeMap<EthAddress, u128>,
}

/// Whether to go on with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Yes, paying this a gas at most.
    Take {
        /// Most a gas.
        ceiling: u128,
    },
    /// Gas is dear now; it may be worth it later.
    Wait,
    /// No.
    Leave(Reason),
}

impl Terms {
    /// Whether a job is to be begun: `duty` where the relay's own operator was drawn for it and would be slashed.
    pub fn judge(&self, request: &Request, market: &Market, now: u64, duty: bool) -> Judgement {
        if now.saturating_add(self.least_time) > request.deadline {
            return Judgement::Leave(Reason::DeadlineTooNear);
        }
        if request.callback_gas > self.max_callback_gas {
            return Judgement::Leave(Reason::CallbackTooLarge);
        }
        let gas = SUBMISSION_GAS.saturating_add(request.callback_gas.into());
        self.judge_gas(request, gas, market, duty)
    }

    /// Whether an answer is worth being sent with this much gas.
    pub fn judge_gas(&self, request: &Request, gas: u64, market: &Market, duty: bool) -> Judgement {
        let all = Judgement::Take {
            ceiling: self.max_fee,
        };
        let dear = market.likely() > self.max_fee;
        if duty {
            return if dear { Judgement::Wait } else { all };
        }
        if !request.pays_ether() {
            return match self.tokens.get(&request.token) {
                None => Judgement::Leave(Reason::TokenNotTaken),
                Some(least) if request.fee < *least => Judgement::Leave(Reason::FeeBelowCost),
                Some(_) if dear => Judgement::Wait,
                Some(_) => all,
            };
        }
        let margin = u128::from(self.margin_percent.max(1));
        let gas = u128::from(gas.max(1));
        let ceiling = request.fee.saturating_mul(100) / margin / gas;
        match ceiling.min(self.max_fee) {
            ceiling if market.likely() <= ceiling => Judgement::Take { ceiling },
            // Not even if gas were half as dear: the requester will not wait for that.
            ceiling if market.likely() / 2 > ceiling && !dear => {
                Judgement::Leave(Reason::FeeBelowCost)
            }
            _ => Judgement::Wait,
        }
    }
}

/// What may be spent within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Wei an hour.
    pub hourly: u128,
    /// Spent, or promised by transactions that are not mined yet, since an hour ago.
    pub spent: u128,
}

impl Budget {
    /// Whether this much more fits.
    pub fn has(&self, wei: u128) -> bool {
        self.spent.saturating_add(wei) <= self.hourly
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::tests::job;

    fn terms() -> Terms {
        Terms {
            margin_percent: 110,
            max_fee: 1_000,
            max_callback_gas: 500_000,
            least_time: 10,
            tokens: BTreeMap::from([(EthAddress::from_bytes([7; 20]), 50)]),
        }
    }

    fn request(fee: u128) -> Request {
        Request {
            fee,
            callback_gas: 80_000,
            deadline: 100,
            ..job(0).request
        }
    }

    const MARKET: Market = Market { base: 90, tip: 10 };

    #[test]
    fn a_fee_that_pays_cost_and_margin_is_taken() {
        let cost = 200_000 * 100;
        let judge = |fee| terms().judge(&request(fee), &MARKET, 0, false);
        assert_eq!(judge(cost * 11 / 10), Judgement::Take { ceiling: 100 });
        assert_eq!(judge(cost), Judgement::Wait);
        assert_eq!(judge(cost / 3), Judgement::Leave(Reason::FeeBelowCost));
    }

    #[test]
    fn what_can_not_be_done_is_left_with_its_reason() {
        let judge = |request: Request, now| terms().judge(&request, &MARKET, now, false);
        let rich = request(1 << 90);
        assert_eq!(judge(rich, 91), Judgement::Leave(Reason::DeadlineTooNear));
        let large = Request {
            callback_gas: 500_001,
            ..rich
        };
        assert_eq!(judge(large, 0), Judgement::Leave(Reason::CallbackTooLarge));
        let token = |byte, fee| Request {
            token: EthAddress::from_bytes([byte; 20]),
            fee,
            ..rich
        };
        assert_eq!(
            judge(token(8, 50), 0),
            Judgement::Leave(Reason::TokenNotTaken)
        );
        assert_eq!(
            judge(token(7, 49), 0),
            Judgement::Leave(Reason::FeeBelowCost)
        );
        assert_eq!(judge(token(7, 50), 0), Judgement::Take { ceiling: 1_000 });
    }

    #[test]
    fn a_duty_is_done_at_a_loss_but_not_at_any_price() {
        let judge = |base| terms().judge(&request(0), &Market { base, tip: 10 }, 0, true);
        assert_eq!(judge(90), Judgement::Take { ceiling: 1_000 });
        assert_eq!(judge(991), Judgement::Wait);
    }

    proptest! {
        /// Nobody is paid for more than the fee brings, at whatever price the transaction is mined in the end.
        #[test]
        fn what_is_taken_costs_no_more_than_it_brings(fee in 0_u128..1 << 96, gas in 21_000_u64..16_777_216, base in 0_u128..1 << 60, tip in 0_u128..1 << 40, percent in 100_u32..300) {
            let terms = Terms { margin_percent: percent, max_fee: u128::MAX, ..terms() };
            let market = Market { base, tip };
            if let Judgement::Take { ceiling } = terms.judge_gas(&request(fee), gas, &market, false) {
                prop_assert!(ceiling * u128::from(gas) * u128::from(percent) / 100 <= fee);
                prop_assert!(market.likely() <= ceiling);
            }
        }

        #[test]
        fn a_budget_is_not_exceeded(hourly: u128, spent: u128, more: u128) {
            let budget = Budget { hourly, spent };
            let sum = spent.checked_add(more);
            prop_assert_eq!(budget.has(more), sum.is_some_and(|sum| sum <= hourly) || (sum.is_none() && hourly == u128::MAX));
        }
    }
}
