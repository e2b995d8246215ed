//! What a command prints: lines for people, or one JSON value with `--json`.

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::error::CliError;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints one result: as JSON, or as the lines that `text` makes of it.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            let line = serde_json::to_string(value).map_err(anyhow::Error::from)?;
            self.line(&line)
        } else {
            self.line(&text(value))
        }
    }

    /// Prints a line to standard output; a reader that has gone (`| head`) is no error.
    pub(crate) fn line(self, line: &str) -> Result<(), CliError> {
        match writeln!(std::io::stdout().lock(), "{line}") {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Prints an error to standard error and gives its exit status.
pub(crate) fn failure(error: &CliError, json: bool) -> ExitCode {
    if json {
        let body = serde_json::json!({
            "error": { "code": error.code(), "message": error.to_string() },
            "exit_status": error.exit_status(),
        });
        eprintln!("{body}");
    } else {
        eprintln!("error ({}): {error}", error.code());
    }
    ExitCode::from(error.exit_status())
}

/// Left-aligned columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(head[column].len())
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, w)| format!("{cell:w$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let body = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec()))
        .chain(body)
        .collect::<Vec<_>>()
        .join("\n")
}
