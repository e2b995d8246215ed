//! OpenMetrics' text, read strictly: what is not exactly as it says is an error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};

/// Metrics of one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Families by name.
pub(crate) type Exposition = BTreeMap<String, Family>;

/// Reads all of it.
pub(crate) fn parse(text: &str) -> anyhow::Result<Exposition> {
    let body = text.strip_suffix("# EOF\n").context("no EOF at the end")?;
    let mut families = Exposition::new();
    let mut lines = body.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = described(line, "HELP")?;
        ensure!(is_name(name), "not a name: {name:?}");
        ensure!(
            help.len() > 1 && help.ends_with('.'),
            "{name} explains nothing: {help:?}"
        );
        let next = lines.next().context("no TYPE")?;
        let (typed, kind) = described(next, "TYPE")?;
        ensure!(typed == name, "HELP of {name}, TYPE of {typed}");
        let mut family = Family {
            name: name.to_owned(),
            kind: kind.to_owned(),
            help: help.to_owned(),
            samples: Vec::new(),
        };
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            family
                .samples
                .push(sample(line).with_context(|| line.to_owned())?);
        }
        check(&family).with_context(|| name.to_owned())?;
        ensure!(
            families.insert(name.to_owned(), family).is_none(),
            "{name} comes twice"
        );
    }
    ensure!(!families.is_empty(), "nothing is exposed");
    Ok(families)
}

fn described<'a>(line: &'a str, word: &str) -> anyhow::Result<(&'a str, &'a str)> {
    let rest = line.strip_prefix(&format!("# {word} "));
    let rest = rest.with_context(|| format!("{word} expected: {line:?}"))?;
    rest.split_once(' ').with_context(|| line.to_owned())
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(word)
}

fn sample(line: &str) -> anyhow::Result<Sample> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    ensure!(is_name(name), "not a name: {name:?}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").context("no label")?;
            ensure!(is_name(label), "not a label: {label:?}");
            let (value, after) = quoted(after)?;
            ensure!(
                labels.insert(label.to_owned(), value).is_none(),
                "{label} comes twice"
            );
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').context("no value")?;
    let value: f64 = value.parse()?;
    ensure!(value.is_finite(), "{value} is no count");
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// A value up to its closing quote, with its escapes undone.
fn quoted(text: &str) -> anyhow::Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some(c @ ('\\' | '"')) => value.push(c),
                other => bail!("no such escape: {other:?}"),
            },
            c => value.push(c),
        }
    }
    bail!("no closing quote")
}

/// What a type demands of its samples.
fn check(family: &Family) -> anyhow::Result<()> {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => bail!("no type of ours: {other}"),
    };
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        let suffix = sample.name.strip_prefix(&family.name);
        let fits = suffix.is_some_and(|suffix| suffixes.contains(&suffix));
        ensure!(fits, "{} is no sample of a {}", sample.name, family.kind);
        ensure!(
            seen.insert((&sample.name, &sample.labels)),
            "{sample:?} comes twice"
        );
        ensure!(
            family.kind == "gauge" || sample.value >= 0.0,
            "{sample:?} is below zero"
        );
    }
    match family.kind.as_str() {
        "histogram" => histogram(family),
        _ => Ok(()),
    }
}

/// Buckets rise to a last one, `+Inf`, which is the count.
fn histogram(family: &Family) -> anyhow::Result<()> {
    let mut sets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in family
        .samples
        .iter()
        .filter(|sample| sample.name.ends_with("_bucket"))
    {
        let mut labels = sample.labels.clone();
        let end = labels.remove("le").context("a bucket without le")?;
        let end = match end.as_str() {
            "+Inf" => f64::INFINITY,
            end => end.parse()?,
        };
        sets.entry(labels).or_default().push((end, sample.value));
    }
    for (labels, buckets) in sets {
        let rises = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        ensure!(rises, "the buckets of {labels:?} do not rise: {buckets:?}");
        let last = buckets.last().copied().unwrap_or_default();
        let count = format!("{}_count", family.name);
        let count = family
            .samples
            .iter()
            .find(|s| s.name == count && s.labels == labels);
        let count = count.context("no count")?.value;
        ensure!(
            last == (f64::INFINITY, count),
            "{last:?} is not all of {count}"
        );
    }
    Ok(())
}

/// The sum of the samples of this name whose labels have these values.
pub(crate) fn sum(of: &Exposition, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = of.values().flat_map(|family| &family.samples);
    let fits = |sample: &&Sample| {
        let has = |(label, value): &(&str, &str)| {
            sample
                .labels
                .get(*label)
                .is_some_and(|found| found == value)
        };
        sample.name == name && labels.iter().all(has)
    };
    samples.filter(fits).map(|sample| sample.value).sum()
}

#[test]
fn what_is_not_exactly_right_is_refused() {
    let good = "# HELP a_b One.\n# TYPE a_b counter\na_b_total{x=\"1\\n\"} 2\n\
        # HELP h Times.\n# TYPE h histogram\nh_sum 1.5\nh_count 2\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\n# EOF\n";
    let read = parse(good).unwrap();
    assert_eq!(sum(&read, "a_b_total", &[("x", "1\n")]), 2.0);
    for (from, to) in [
        ("# EOF\n", ""),
        ("One.", "One"),
        ("a_b_total{", "a_b{"),
        ("x=\"1\\n\"", "x=\"1\\t\""),
        ("x=\"1\\n\"", "X=\"1\""),
        ("} 2\n#", "} -2\n#"),
        ("} 2\n#", "} NaN\n#"),
        ("h_count 2", "h_count 3"),
        ("le=\"0.1\"} 1", "le=\"0.1\"} 3"),
        ("TYPE h ", "TYPE i "),
        ("# HELP h Times.", "# HELP a_b Times."),
        ("h_sum 1.5", "h_sum 1.5\nh_sum 1.5"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
