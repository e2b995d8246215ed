//! The steps of a job, and the moments beside them.

use core::fmt;
use core::str::FromStr;

/// Which program takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Process {
    /// `nacre control-plane`.
    ControlPlane,
    /// `nacre node`.
    Node,
    /// `nacre-relay`.
    Relay,
}

/// Before or after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Nothing of it has happened; in a transaction, nothing of it lasts.
    Before,
    /// All of it has happened, and nobody was told.
    After,
}

/// A place where a process can be killed; written `take.before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// Beside which step.
    pub step: Step,
    /// On which side of it.
    pub moment: Moment,
}

impl Point {
    /// All points of a program.
    pub fn of(process: Process) -> impl Iterator<Item = Self> {
        let steps = Step::ALL
            .iter()
            .filter(move |step| step.process() == process);
        steps.flat_map(|step| {
            [Moment::Before, Moment::After].map(|moment| Self {
                step: *step,
                moment,
            })
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = match self.moment {
            Moment::Before => "before",
            Moment::After => "after",
        };
        write!(f, "{}.{moment}", self.step.name())
    }
}

/// A text that names no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchPoint;

impl FromStr for Point {
    type Err = NoSuchPoint;

    fn from_str(text: &str) -> Result<Self, NoSuchPoint> {
        let every = [Process::ControlPlane, Process::Node, Process::Relay];
        let mut all = every.into_iter().flat_map(Self::of);
        all.find(|point| point.to_string() == text)
            .ok_or(NoSuchPoint)
    }
}

macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident = $process:ident $name:literal,)*) => {
        /// What a process does for a job that must count once.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Step {
            $($(#[$doc])* $step,)*
        }

        impl Step {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$step,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)*
                }
            }

            /// Who takes it.
            pub fn process(self) -> Process {
                match self {
                    $(Self::$step => Process::$process,)*
                }
            }
        }
    };
}

steps! {
    /// Commits that an object is about to be written.
    NoteObject = ControlPlane "note-object",
    /// Writes an input.
    PutInput = ControlPlane "put-input",
    /// Writes a result.
    PutResult = ControlPlane "put-result",
    /// Commits a new job.
    Submit = ControlPlane "submit",
    /// Commits that an input has come.
    AttachInput = ControlPlane "attach-input",
    /// Commits queued → leased.
    Take = ControlPlane "take",
    /// Commits leased → running, or that it still runs.
    Start = ControlPlane "start",
    /// Commits → done.
    Prove = ControlPlane "prove",
    /// Commits an incident and the end of the attempt.
    Disprove = ControlPlane "disprove",
    /// Commits → queued after a failure.
    Retry = ControlPlane "retry",
    /// Commits → queued, not run.
    GiveBack = ControlPlane "give-back",
    /// Commits → queued after a lease ran out.
    Lose = ControlPlane "lose",
    /// Commits → failed.
    Fail = ControlPlane "fail",
    /// Commits → expired.
    Expire = ControlPlane "expire",
    /// Commits → cancelled, or that bytes are to be deleted.
    Cancel = ControlPlane "cancel",
    /// Deletes an object.
    DeleteObject = ControlPlane "delete-object",
    /// Commits that an object is gone.
    ForgetObject = ControlPlane "forget-object",
    /// Commits that old jobs are gone.
    ForgetJobs = ControlPlane "forget-jobs",
    /// Commits that webhooks are this process's to post.
    TakeNotices = ControlPlane "take-notices",
    /// Posts a webhook.
    Post = ControlPlane "post",
    /// Commits that a webhook was posted, or when it is posted again.
    EndNotice = ControlPlane "end-notice",
    /// Asks for a job and is given one.
    AskForJob = Node "ask-for-job",
    /// Fetches the input.
    FetchInput = Node "fetch-input",
    /// Has the enclave run it.
    RunJob = Node "run-job",
    /// Brings the result.
    BringResult = Node "bring-result",
    /// Says that there is no result.
    ReportFailure = Node "report-failure",
    /// Commits a block of the chain with what happened in it.
    FollowBlock = Relay "follow-block",
    /// Commits that the platform has a contract's job.
    LayIn = Relay "lay-in",
    /// Commits a contract's answer, checked.
    KeepAnswer = Relay "keep-answer",
    /// Commits a signed transaction.
    KeepTransaction = Relay "keep-transaction",
    /// Sends a transaction for the first time.
    SendTransaction = Relay "send-transaction",
    /// Commits that a transaction was mined.
    NoteMined = Relay "note-mined",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_points_name_is_its_own() {
        let every = [Process::ControlPlane, Process::Node, Process::Relay];
        for point in every.into_iter().flat_map(Point::of) {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        assert_eq!("take".parse::<Point>(), Err(NoSuchPoint));
    }
}
