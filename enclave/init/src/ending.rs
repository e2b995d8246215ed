//! How the enclave's program ended, as the host is told.

use std::fmt;

use crate::refusal::Refusal;

/// The end, one way or another. Its text is the line that goes to the host: a word and a number, or init's own refusal;
/// nothing that the program wrote or a caller sent is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The program ended by itself, with this status.
    Exited(i32),
    /// A signal ended the program.
    Killed(i32),
    /// The program was not started.
    Refused(Refusal),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Killed(signal) => write!(f, "killed {signal}"),
            Self::Refused(refusal) => write!(f, "refused {refusal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_reads_a_word_and_a_number() {
        assert_eq!(Ending::Exited(0).to_string(), "exited 0");
        assert_eq!(Ending::Killed(9).to_string(), "killed 9");
        let refusal = Refusal::new("rootfs-differs", "/usr/bin/x is missing");
        assert_eq!(
            Ending::Refused(refusal).to_string(),
            "refused rootfs-differs: /usr/bin/x is missing"
        );
    }

    proptest! {
        #[test]
        fn whatever_a_refusal_says_is_one_short_line(text in any::<String>()) {
            let line = Ending::Refused(Refusal::new("some-code", text)).to_string();
            prop_assert!(line.starts_with("refused some-code: "));
            prop_assert!(line.len() <= 600);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
