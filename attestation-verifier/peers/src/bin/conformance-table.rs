//! Runs every verifier over the corpus and writes `CONFORMANCE.md`. Fails when Nacre's own verifier differs from the
//! corpus anywhere.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nacre_verifier_peers::corpus::{self, Case};
use nacre_verifier_peers::findings::Finding;
use nacre_verifier_peers::peer::PEERS;
use nacre_verifier_peers::report::{self, Column};
use nacre_verifier_peers::run::{Outcome, Program};
use time::OffsetDateTime;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../CONFORMANCE.md");

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let cases = corpus::read(Path::new(corpus::PATH))?;
    let folder = env::current_exe()?;
    let folder = folder.parent().ok_or("this program has no folder")?;

    let own = ["portable", "aws-lc"]
        .iter()
        .map(|backend| {
            let outcomes = judge(folder, "peer-nacre", &[backend], &cases)?;
            Ok(Column::of_own(
                &format!("Nacre, {backend}"),
                &cases,
                outcomes,
            ))
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    let peers = PEERS
        .iter()
        .map(|peer| {
            let outcomes = judge(folder, peer.program, &[], &cases)?;
            Ok(Column::of_peer(peer, &cases, outcomes))
        })
        .collect::<std::io::Result<Vec<_>>>()?;

    let page = report::markdown(&cases, &own, &peers, OffsetDateTime::now_utc());
    fs::write(PAGE, page)?;
    println!(
        "{PAGE}: {} cases, {} verifiers",
        cases.len(),
        own.len() + peers.len()
    );

    let mut findings = own.iter().flat_map(|column| &column.findings);
    if findings.all(|finding| *finding == Finding::Right) {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("Nacre's own verifier differs from the corpus: see the page");
    Ok(ExitCode::FAILURE)
}

fn judge(
    folder: &Path,
    program: &str,
    arguments: &[&str],
    cases: &[Case],
) -> std::io::Result<Vec<Outcome>> {
    let program = Program {
        path: PathBuf::from(folder).join(program),
        arguments: arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect(),
    };
    program.judge(cases)
}
