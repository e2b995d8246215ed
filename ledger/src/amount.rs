//! Money.

use core::fmt;
use core::str::FromStr;

/// Micro-units of the platform's currency; negative where an account gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// A sum beyond ±2⁶³ micro-units (9.2 × 10¹² units).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount beyond 2^63 micro-units")]
pub struct Overflow;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many micro-units.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Micro-units.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum.
    ///
    /// # Errors
    ///
    /// [`Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    ///
    /// [`Overflow`].
    pub fn minus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(Overflow)
    }
}

impl TryFrom<u128> for Amount {
    type Error = Overflow;

    fn try_from(micros: u128) -> Result<Self, Overflow> {
        i64::try_from(micros).map(Self).map_err(|_| Overflow)
    }
}

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no amount: units, with at most six decimals after a point")]
pub struct AmountSyntaxError(String);

/// Units: `12`, `12.5`, `-0.000001`.
impl FromStr for Amount {
    type Err = AmountSyntaxError;

    fn from_str(text: &str) -> Result<Self, AmountSyntaxError> {
        let wrong = || AmountSyntaxError(text.chars().take(100).collect());
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        };
        if !plain(whole, 13) || !plain(part, 6) {
            return Err(wrong());
        }
        let whole: i128 = whole.parse().map_err(|_| wrong())?;
        let part: i128 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
        let micros = sign * (whole * 1_000_000 + part);
        i64::try_from(micros).map(Self).map_err(|_| wrong())
    }
}

/// In units, with all six decimals: `-0.000001`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_printed_in_units() {
        let text = |micros| Amount::from_micros(micros).to_string();
        assert_eq!(text(1_500_000), "1.500000");
        assert_eq!(text(-1), "-0.000001");
        assert_eq!(text(i64::MIN), "-9223372036854.775808");
    }

    #[test]
    fn is_read_as_it_is_printed() {
        for micros in [0, 1, -1, 1_500_000, i64::MAX, i64::MIN] {
            let amount = Amount::from_micros(micros);
            assert_eq!(amount.to_string().parse(), Ok(amount));
        }
        assert_eq!("12.5".parse(), Ok(Amount::from_micros(12_500_000)));
        assert_eq!("7".parse(), Ok(Amount::from_micros(7_000_000)));
        for wrong in [
            "",
            ".5",
            "1.",
            "1.0000001",
            "+1",
            "1e3",
            "9223372036854.775808",
            "--1",
        ] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn does_not_wrap() {
        let most = Amount::from_micros(i64::MAX);
        assert_eq!(most.plus(Amount::from_micros(1)), Err(Overflow));
        assert_eq!(Amount::from_micros(-2).minus(most), Err(Overflow));
    }
}
