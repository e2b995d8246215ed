//! What the operator allows.

use std::fmt;
use std::str::FromStr;

use nacre_protocol::egress::{AllowList, Destination, DestinationError};

/// One word of the operator: a destination, or `any`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Every name and port.
    Any,
    /// This one.
    Destination(Destination),
}

/// Neither `any` nor a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`any`, or a name with its port: {0}")]
pub struct AllowedSyntaxError(#[from] DestinationError);

impl FromStr for Allowed {
    type Err = AllowedSyntaxError;

    fn from_str(text: &str) -> Result<Self, AllowedSyntaxError> {
        match text {
            "any" => Ok(Self::Any),
            _ => Ok(Self::Destination(text.parse()?)),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Destination(destination) => destination.fmt(f),
        }
    }
}

/// Which destinations enclaves may reach, and on which networks. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    any: bool,
    list: AllowList,
    private: bool,
}

impl EgressPolicy {
    /// These destinations; `private` lets their names lead to private networks and to this machine.
    pub fn new(allowed: impl IntoIterator<Item = Allowed>, private: bool) -> Self {
        let mut any = false;
        let list = allowed.into_iter().filter_map(|allowed| match allowed {
            Allowed::Any => {
                any = true;
                None
            }
            Allowed::Destination(destination) => Some(destination),
        });
        let list = list.collect();
        Self { any, list, private }
    }

    /// Whether this destination may be tried.
    pub fn allows(&self, to: &Destination) -> bool {
        self.any || self.list.allows(to)
    }

    /// Whether private addresses may be reached.
    pub fn private(&self) -> bool {
        self.private
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(words: &[&str]) -> EgressPolicy {
        EgressPolicy::new(words.iter().map(|word| word.parse().unwrap()), false)
    }

    #[test]
    fn nothing_is_allowed_that_was_not_named() {
        let to: Destination = "a.example:443".parse().unwrap();
        assert!(!EgressPolicy::default().allows(&to));
        assert!(!policy(&["a.example:80", "b.example:443"]).allows(&to));
        assert!(policy(&["b.example:443", "a.example:443"]).allows(&to));
        assert!(policy(&["any"]).allows(&to));
    }

    #[test]
    fn wrong_words_are_refused() {
        for word in ["", "all", "a.example", "*:443", "127.0.0.1:443", "ANY"] {
            assert!(word.parse::<Allowed>().is_err(), "{word}");
        }
    }
}
