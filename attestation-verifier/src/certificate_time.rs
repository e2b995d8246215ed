//! The times of a validity, in the one form that RFC 5280 §4.1.2.5 allows: UTCTime through 2049, GeneralizedTime from
//! 2050, both in UTC and whole seconds.
//!
//! The `der` crate's own times begin in 1970. A certificate's may begin in 1950, and need not be of any use to be well
//! formed.

use der::Tag;

/// Unix seconds; nothing where the form is another, or there is no such time.
pub(crate) fn certificate_time(tag: Tag, text: &[u8]) -> Option<i64> {
    let (year, rest) = match tag {
        Tag::UtcTime => {
            let (year, rest) = number(text, 2)?;
            // Two digits mean 1950 to 2049 (RFC 5280 §4.1.2.5.1).
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        Tag::GeneralizedTime => {
            let (year, rest) = number(text, 4)?;
            (year >= 2050).then_some((year, rest))?
        }
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = number(rest, 2)?;
    let is_time = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && rest == b"Z";
    is_time.then(|| ((days_until(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// So many decimal digits, and what follows them.
fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let number = digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })?;
    Some((number, rest))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to this day, in the Gregorian calendar.
fn days_until(year: i64, month: i64, day: i64) -> i64 {
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<i64> {
        certificate_time(Tag::UtcTime, text.as_bytes())
    }

    fn generalized(text: &str) -> Option<i64> {
        certificate_time(Tag::GeneralizedTime, text.as_bytes())
    }

    /// Each as `date --utc --date … +%s` has it.
    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("691231235959Z"), Some(-1));
        assert_eq!(utc("500101000000Z"), Some(-631_152_000));
        assert_eq!(utc("000229120000Z"), Some(951_825_600));
        assert_eq!(utc("250615150640Z"), Some(1_750_000_000));
        assert_eq!(utc("491231235959Z"), Some(2_524_607_999));
        assert_eq!(generalized("20500101000000Z"), Some(2_524_608_000));
        assert_eq!(generalized("21000301000000Z"), Some(4_107_542_400));
        assert_eq!(generalized("99991231235959Z"), Some(253_402_300_799));
    }

    #[test]
    fn there_is_one_form() {
        for other in [
            "",
            "2506151506Z",
            "250615150640",
            "250615150640z",
            "250615150640Z0",
            "250615150640.5Z",
            "250615150640+0000",
            "2506151506 0Z",
            "250015150640Z",
            "251315150640Z",
            "250600150640Z",
            "250631150640Z",
            "250229000000Z",
            "250615240000Z",
            "250615156000Z",
            "250615150660Z",
            "20250615150640Z",
        ] {
            assert_eq!(utc(other), None, "{other}");
        }
        for other in [
            "20491231235959Z",
            "21000229000000Z",
            "20500101000000",
            "20500101000000.0Z",
            "205001010000Z",
            "500101000000Z",
        ] {
            assert_eq!(generalized(other), None, "{other}");
        }
        assert_eq!(
            certificate_time(Tag::PrintableString, b"250615150640Z"),
            None
        );
    }
}
