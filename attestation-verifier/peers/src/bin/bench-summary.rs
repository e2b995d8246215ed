//! `bench-summary CRITERION_FOLDER JSON_FILE SPECIFICATION`: prints a Criterion run as tables, writes it as JSON, and puts
//! the tables between the markers of their section in SPECIFICATION.md.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use nacre_verifier_peers::bench::{self, Figure, Target};
use serde::Serialize;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(criterion), Some(json), Some(specification)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: bench-summary CRITERION_FOLDER JSON_FILE SPECIFICATION".into());
    };
    let figures = bench::read(&criterion)?;
    if figures.is_empty() {
        return Err(format!("{}: nothing was measured", criterion.display()).into());
    }
    let targets = bench::targets(&figures);
    let tables = bench::markdown(&figures, &targets);
    print!("{tables}");
    let kept = fs::read_to_string(&specification)?;
    let kept = bench::between_markers(&kept, &tables).ok_or("the specification has no markers")?;
    fs::write(specification, kept)?;
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
