//! What commands are called in logs and traces.

use nacre_telemetry::trace;
use tracing::Span;

use crate::args::{Args, AttestCommand, Command, PlatformCommand, ReceiptCommand, UserCommand};

impl Args {
    /// What is logged unless NACRE_LOG says otherwise.
    pub(crate) fn filter(&self) -> &'static str {
        match self.verbose {
            true => "info,nacre=debug",
            false => "warn",
        }
    }
}

impl Command {
    /// The service that this process is, to whoever collects traces.
    pub(crate) fn process(&self) -> &'static str {
        match self {
            Self::Platform(PlatformCommand::ControlPlane(_)) => "nacre-control-plane",
            Self::Platform(PlatformCommand::Node(_)) => "nacre-node",
            Self::Platform(PlatformCommand::Gateway(_)) => "nacre-gateway",
            Self::Platform(PlatformCommand::NsmEmulator(_) | PlatformCommand::Emulate(_)) => {
                "nacre-emulator"
            }
            Self::User(UserCommand::Proxy(_)) => "nacre-proxy",
            Self::User(UserCommand::Watch(_)) => "nacre-watch",
            _ => "nacre",
        }
    }

    /// The span of the whole run. What runs until it is told to stop has none: each of its requests has its own.
    pub(crate) fn span(&self) -> Span {
        match self.name() {
            Some(name) => trace::command(name),
            None => Span::none(),
        }
    }

    fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Platform(_) => return None,
            Self::Admin(_) => "admin",
            Self::Image(_) => "image",
            Self::Chain(_) => "chain",
            Self::User(command) => match command {
                UserCommand::Dev(_) | UserCommand::Proxy(_) | UserCommand::Watch(_) => return None,
                UserCommand::Login(_) => "login",
                UserCommand::Deploy(_) => "deploy",
                UserCommand::Promote(_) => "promote",
                UserCommand::Rollback(_) => "rollback",
                UserCommand::Functions { .. } => "functions",
                UserCommand::Nodes => "nodes",
                UserCommand::Incidents { .. } => "incidents",
                UserCommand::Delete { .. } => "delete",
                UserCommand::Logs(_) => "logs",
                UserCommand::Invoke(_) => "invoke",
                UserCommand::Job(_) => "job",
                UserCommand::Key(_) => "key",
                UserCommand::Audit { .. } => "audit",
                UserCommand::Balance => "balance",
                UserCommand::Usage => "usage",
                UserCommand::Invoice { .. } => "invoice",
                UserCommand::Entries { .. } => "entries",
                UserCommand::Cap(_) => "cap",
                UserCommand::Payout(_) => "payout",
                UserCommand::Attest(AttestCommand::Verify(_)) => "attest verify",
                UserCommand::Attest(AttestCommand::Inspect { .. }) => "attest inspect",
                UserCommand::Attest(AttestCommand::Conformance(_)) => "attest conformance",
                UserCommand::Attest(AttestCommand::Respond(_)) => "attest respond",
                UserCommand::Receipt(ReceiptCommand::Verify(_)) => "receipt verify",
                UserCommand::Digest { .. } => "digest",
                UserCommand::Doctor(_) => "doctor",
            },
        })
    }
}
