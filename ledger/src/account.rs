//! Accounts.

use core::fmt;
use core::str::FromStr;

use nacre_protocol::ids::OperatorId;

/// Who pays: an organisation's name, 1 to 63 of `a-z`, `0-9`, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Customer(String);

/// Where money can be. As text: `external`, `platform`, `treasury`, `customer:acme`, `owed:acme`, `held:acme`,
/// `operator:<key>`, `stake:<key>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Account {
    /// The world: deposits come from here and payouts go there. What others hold is what it lacks.
    External,
    /// The platform's own share.
    Platform,
    /// What was slashed and belongs to nobody who was harmed.
    Treasury,
    /// A customer's prepaid balance.
    Customer(Customer),
    /// What a customer used beyond its balance and has not paid yet: never above zero.
    Owed(Customer),
    /// What is set aside for a customer's running jobs.
    Held(Customer),
    /// What an operator earned and was not paid yet.
    Operator(OperatorId),
    /// What an operator has at stake.
    Stake(OperatorId),
}

/// A text that names no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no account")]
pub struct AccountSyntaxError(String);

impl Account {
    /// Whether its balance may be negative.
    pub const fn may_owe(&self) -> bool {
        matches!(self, Self::External | Self::Owed(_))
    }
}

impl Customer {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Customer {
    type Err = AccountSyntaxError;

    fn from_str(text: &str) -> Result<Self, AccountSyntaxError> {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        let good = (1..=63).contains(&text.len()) && text.bytes().all(allowed);
        good.then(|| Self(text.to_owned()))
            .ok_or_else(|| AccountSyntaxError(text.to_owned()))
    }
}

impl fmt::Display for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External => f.write_str("external"),
            Self::Platform => f.write_str("platform"),
            Self::Treasury => f.write_str("treasury"),
            Self::Customer(customer) => write!(f, "customer:{customer}"),
            Self::Owed(customer) => write!(f, "owed:{customer}"),
            Self::Held(customer) => write!(f, "held:{customer}"),
            Self::Operator(operator) => write!(f, "operator:{operator}"),
            Self::Stake(operator) => write!(f, "stake:{operator}"),
        }
    }
}

impl FromStr for Account {
    type Err = AccountSyntaxError;

    fn from_str(text: &str) -> Result<Self, AccountSyntaxError> {
        let unknown = || AccountSyntaxError(text.to_owned());
        let operator = |key: &str| key.parse::<OperatorId>().map_err(|_| unknown());
        match text.split_once(':') {
            None if text == "external" => Ok(Self::External),
            None if text == "platform" => Ok(Self::Platform),
            None if text == "treasury" => Ok(Self::Treasury),
            Some(("customer", name)) => Ok(Self::Customer(name.parse()?)),
            Some(("owed", name)) => Ok(Self::Owed(name.parse()?)),
            Some(("held", name)) => Ok(Self::Held(name.parse()?)),
            Some(("operator", key)) => Ok(Self::Operator(operator(key)?)),
            Some(("stake", key)) => Ok(Self::Stake(operator(key)?)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_same_account() {
        let operator = OperatorId::from_public_key([7; 32]);
        let acme: Customer = "acme".parse().unwrap();
        for account in [
            Account::External,
            Account::Platform,
            Account::Treasury,
            Account::Customer(acme.clone()),
            Account::Owed(acme.clone()),
            Account::Held(acme),
            Account::Operator(operator),
            Account::Stake(operator),
        ] {
            assert_eq!(account.to_string().parse(), Ok(account));
        }
    }

    #[test]
    fn other_texts_name_none() {
        for text in [
            "",
            "bank",
            "external:x",
            "customer:",
            "customer:A",
            "held:a b",
            "operator:7",
        ] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }
}
