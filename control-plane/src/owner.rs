//! Whose a key is.

use core::str::FromStr;

use nacre_protocol::ids::{IdSyntaxError, OrganisationName};

/// Whose a key is, and the log of what was done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The platform's own. No organisation's keys reach what is.
    Platform,
    /// An organisation's.
    Organisation(OrganisationName),
}

impl Owner {
    /// As the database keeps it. No organisation's name is empty.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Platform => "",
            Self::Organisation(name) => name.as_str(),
        }
    }

    /// The organisation, if it is one.
    pub(crate) fn organisation(self) -> Option<OrganisationName> {
        match self {
            Self::Platform => None,
            Self::Organisation(name) => Some(name),
        }
    }
}

impl From<&OrganisationName> for Owner {
    fn from(name: &OrganisationName) -> Self {
        Self::Organisation(name.clone())
    }
}

impl FromStr for Owner {
    type Err = IdSyntaxError;

    fn from_str(text: &str) -> Result<Self, IdSyntaxError> {
        match text {
            "" => Ok(Self::Platform),
            name => name.parse().map(Self::Organisation),
        }
    }
}
