//! Why a job is not answered by this relay.

use core::fmt;
use core::str::FromStr;

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $code:literal,)*) => {
        /// Why this relay leaves a job to others. Kept with the job, by its code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// Stable code.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$reason => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// The fee does not pay for gas and margin.
    FeeBelowCost = "fee-below-cost",
    /// The fee is in a token that this relay does not take.
    TokenNotTaken = "token-not-taken",
    /// The callback wants more gas than this relay gives.
    CallbackTooLarge = "callback-too-large",
    /// There is too little time left to run it.
    DeadlineTooNear = "deadline-too-near",
    /// Its deadline passed.
    DeadlinePassed = "deadline-passed",
    /// The platform has no such function for this relay's key.
    FunctionUnknown = "function-unknown",
    /// Only the input's hash is on the chain, and the store of inputs has no such bytes.
    InputUnavailable = "input-unavailable",
    /// The input is longer than this relay carries.
    InputTooLarge = "input-too-large",
    /// The input is not a job's.
    InputMalformed = "input-malformed",
    /// The platform refuses the job.
    PlatformRefused = "platform-refused",
    /// The platform ran it, and has no answer.
    PlatformFailed = "platform-failed",
    /// What the platform gave is not the signed answer to this job.
    AnswerRefused = "answer-refused",
    /// The answer's enclave could not be verified under root and policy.
    EvidenceRefused = "evidence-refused",
    /// The enclave runs another image than the registry or the requester says.
    ImageNotApproved = "image-not-approved",
    /// The enclave's key is not registered, or no more.
    KeyNotRegistered = "key-not-registered",
    /// The contract refuses the answer, and always will.
    SubmissionRefused = "submission-refused",
    /// Transactions for it were mined and failed.
    SubmissionReverted = "submission-reverted",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is no reason's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such reason")]
pub struct NoSuchReason;

impl FromStr for Reason {
    type Err = NoSuchReason;

    fn from_str(code: &str) -> Result<Self, NoSuchReason> {
        let found = Self::ALL.iter().find(|reason| reason.code() == code);
        found.copied().ok_or(NoSuchReason)
    }
}
