//! `bench-summary CRITERION_FOLDER JSON_FILE`: prints a Criterion run as tables and writes it as JSON.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use nacre_verifier_peers::bench::{self, Figure, Target};
use serde::Serialize;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(criterion), Some(json)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bench-summary CRITERION_FOLDER JSON_FILE".into());
    };
    let figures = bench::read(&criterion)?;
    if figures.is_empty() {
        return Err(format!("{}: nothing was measured", criterion.display()).into());
    }
    let targets = bench::targets(&figures);
    print!("{}", bench::markdown(&figures, &targets));
    fs::write(
        json,
        serde_json::to_vec_pretty(&Summary { figures, targets })?,
    )?;
    Ok(())
}

#[derive(Serialize)]
struct Summary {
    figures: Vec<Figure>,
    targets: Vec<Target>,
}
