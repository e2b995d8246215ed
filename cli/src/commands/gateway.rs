//! `nacre gateway`

use nacre_gateway::cli::GatewayArgs;

use crate::dev::Stop;
use crate::error::CliError;

/// Runs until ctrl-C or SIGTERM, and then until its callers have ended, within bounds.
pub(super) async fn run(args: GatewayArgs) -> Result<(), CliError> {
    let stop = Stop::listen(args.exit_on_stdin_eof)?;
    Ok(nacre_gateway::cli::run(args, stop.wait()).await?)
}
