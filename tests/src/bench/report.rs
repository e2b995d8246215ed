//! What was measured, on which machine, and where it is kept: between two markers in SPECIFICATION.md.

use std::path::Path;

use anyhow::Context as _;

/// Puts `text` between the markers of this section, which must be there.
pub fn write(specification: &Path, section: &str, text: &str) -> anyhow::Result<()> {
    let begin = format!("<!-- {section}:begin (written by `make bench`) -->");
    let end = format!("<!-- {section}:end -->");
    let old = std::fs::read_to_string(specification)?;
    let missing = |marker: &str| format!("SPECIFICATION.md has no {marker}");
    let (before, rest) = old.split_once(&begin).with_context(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).with_context(|| missing(&end))?;
    let new = format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim());
    Ok(std::fs::write(specification, new)?)
}

/// Processor, cores, memory and kernel of this machine.
pub fn machine() -> String {
    let cpu =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|total| total.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel
        .trim()
        .split('-')
        .next()
        .unwrap_or_default()
        .to_owned();
    format!(
        "{cpu}, {cores} cores, {} GiB, Linux {kernel}",
        kib.div_ceil(1 << 20)
    )
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
