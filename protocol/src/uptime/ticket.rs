//! What opens the door for a reveal: the body is large, and is read for nobody else.

use core::fmt;
use core::str::FromStr;

use super::{Epoch, PostReveal, WatcherId};
use crate::encoding::{EncodingError, array_from_base64url, base64url};

/// The header of `POST /v1/uptime/reveals`: `WATCHER:EPOCH:SIGNATURE`, the reveal's own fields (64 hexadecimal digits, a
/// decimal number, base64url). The signature is over the commitment, which the control plane has, so that it is checked before a
/// byte of the body is read.
pub const REVEAL_HEADER: &str = "nacre-reveal";

/// The header's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevealTicket {
    /// Who reveals.
    pub watcher: WatcherId,
    /// Which epoch.
    pub epoch: Epoch,
    /// The reveal's signature.
    pub signature: [u8; 64],
}

impl From<&PostReveal> for RevealTicket {
    fn from(reveal: &PostReveal) -> Self {
        Self {
            watcher: reveal.watcher,
            epoch: reveal.epoch,
            signature: reveal.signature,
        }
    }
}

impl fmt::Display for RevealTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = base64url(&self.signature);
        write!(f, "{}:{}:{signature}", self.watcher, self.epoch.0)
    }
}

/// Text that is no [`RevealTicket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{REVEAL_HEADER} is WATCHER:EPOCH:SIGNATURE")]
pub struct TicketError;

impl From<EncodingError> for TicketError {
    fn from(_: EncodingError) -> Self {
        Self
    }
}

impl FromStr for RevealTicket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let mut parts = text.split(':');
        let mut part = || parts.next().ok_or(TicketError);
        let ticket = Self {
            watcher: part()?.parse()?,
            epoch: Epoch(part()?.parse().map_err(|_| TicketError)?),
            signature: array_from_base64url(part()?)?,
        };
        parts.next().is_none().then_some(ticket).ok_or(TicketError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_is_written_and_in_no_other_way() {
        let ticket = RevealTicket {
            watcher: WatcherId::from_public_key([7; 32]),
            epoch: Epoch(12),
            signature: [9; 64],
        };
        let text = ticket.to_string();
        assert_eq!(text.parse(), Ok(ticket));
        for wrong in [
            "",
            "a:b:c",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}:"),
            &text.replace(":12:", ":-1:"),
        ] {
            assert_eq!(wrong.parse::<RevealTicket>(), Err(TicketError), "{wrong}");
        }
    }
}
