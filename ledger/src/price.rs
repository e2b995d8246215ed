//! What a receipt costs.

use crate::{Amount, Overflow};

const GIB: u128 = 1 << 30;
const MICROS: u128 = 1_000_000;
const WHOLE: u128 = 10_000;

/// A lease's agreed prices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Micro-units per GiB-second.
    pub gib_second: u64,
    /// Micro-units per CPU-second.
    pub cpu_second: u64,
    /// Micro-units per GiB carried in or out.
    pub gib_carried: u64,
}

/// What a lease reserves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_milli: u32,
}

/// What a receipt proves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Microseconds of computing.
    pub compute_micros: u64,
    /// Bytes in and out.
    pub bytes: u64,
}

impl Rate {
    /// The price of a usage, rounded up to the next micro-unit.
    ///
    /// # Errors
    ///
    /// [`Overflow`].
    pub fn cost(&self, reserved: Reserved, usage: Usage) -> Result<Amount, Overflow> {
        let micros = u128::from(usage.compute_micros);
        // Each is below 2^192 only on paper: checked, so that hostile numbers are refused and never wrap.
        let product = |factors: [u128; 3]| {
            factors
                .iter()
                .try_fold(1_u128, |so_far, factor| so_far.checked_mul(*factor))
                .ok_or(Overflow)
        };
        // Over the common denominator 2^30 · 10^9, so that there is one rounding.
        let memory = product([
            u128::from(self.gib_second),
            u128::from(reserved.memory_bytes),
            micros,
        ])?;
        let cpu = product([
            u128::from(self.cpu_second),
            u128::from(reserved.cpu_milli),
            micros,
        ])?;
        let carried = product([u128::from(self.gib_carried), u128::from(usage.bytes), 1])?;
        let parts = [
            product([memory, 1000, 1])?,
            product([cpu, GIB, 1])?,
            product([carried, 1000, MICROS])?,
        ];
        let sum = parts
            .iter()
            .try_fold(0_u128, |sum, part| sum.checked_add(*part))
            .ok_or(Overflow)?;
        Amount::try_from(sum.div_ceil(GIB * MICROS * 1000))
    }
}

/// The platform's share of what a customer pays, hundredths of a percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fee(u16);

/// A share above the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fee of {0} hundredths of a percent is more than the whole (10000)")]
pub struct FeeError(u16);

impl Fee {
    /// A share, 0 to 10000 hundredths of a percent.
    ///
    /// # Errors
    ///
    /// [`FeeError`].
    pub fn from_basis_points(points: u16) -> Result<Self, FeeError> {
        if u128::from(points) > WHOLE {
            return Err(FeeError(points));
        }
        Ok(Self(points))
    }

    /// Hundredths of a percent.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// The operator's part and the platform's, which is rounded down: nothing is lost between them.
    pub fn split(self, paid: Amount) -> (Amount, Amount) {
        let share = i128::from(paid.micros()) * i128::from(self.0) / 10_000;
        let platform = i64::try_from(share).unwrap_or(paid.micros());
        (
            Amount::from_micros(paid.micros() - platform),
            Amount::from_micros(platform),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEASE: Reserved = Reserved {
        memory_bytes: 512 << 20,
        cpu_milli: 250,
    };

    #[test]
    fn half_a_gib_for_two_seconds_and_a_quarter_processor() {
        let rate = Rate {
            gib_second: 100,
            cpu_second: 400,
            gib_carried: 0,
        };
        let usage = Usage {
            compute_micros: 2_000_000,
            bytes: 1 << 20,
        };
        // 100 · 0.5 · 2 + 400 · 0.25 · 2
        assert_eq!(rate.cost(LEASE, usage), Ok(Amount::from_micros(300)));
        let rate = Rate {
            gib_carried: 1024,
            ..rate
        };
        assert_eq!(rate.cost(LEASE, usage), Ok(Amount::from_micros(301)));
    }

    #[test]
    fn the_least_use_costs_something_and_none_costs_nothing() {
        let rate = Rate {
            gib_second: 1,
            ..Rate::default()
        };
        let least = Usage {
            compute_micros: 1,
            bytes: 0,
        };
        assert_eq!(rate.cost(LEASE, least), Ok(Amount::from_micros(1)));
        assert_eq!(rate.cost(LEASE, Usage::default()), Ok(Amount::ZERO));
    }

    #[test]
    fn numbers_without_end_are_refused() {
        let rate = Rate {
            gib_second: u64::MAX,
            ..Rate::default()
        };
        let usage = Usage {
            compute_micros: u64::MAX,
            bytes: 0,
        };
        assert_eq!(rate.cost(LEASE, usage), Err(Overflow));
    }

    proptest! {
        #[test]
        fn a_split_loses_nothing(paid in 0_i64.., points in 0_u16..=10_000) {
            let (operator, platform) = Fee::from_basis_points(points).unwrap().split(Amount::from_micros(paid));
            prop_assert!(operator >= Amount::ZERO && platform >= Amount::ZERO);
            prop_assert_eq!(operator.plus(platform), Ok(Amount::from_micros(paid)));
        }

        #[test]
        fn more_use_is_never_cheaper(price in 0_u64..1 << 20, a in 0_u64..1 << 40, more in 0_u64..1 << 40) {
            let rate = Rate { gib_second: price, cpu_second: price / 3, gib_carried: price / 7 };
            let cost = |compute_micros| rate.cost(LEASE, Usage { compute_micros, bytes: compute_micros }).unwrap();
            prop_assert!(cost(a) <= cost(a + more));
        }
    }
}
