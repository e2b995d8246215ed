//! `nacre.toml`: what a function is and what it may use (DESIGN §5).

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::egress::FileUrl;
use crate::ids::FunctionName;

/// The manifest's file name in a function's directory and in its bundle.
pub const MANIFEST_FILE: &str = "nacre.toml";

/// Largest `nacre.toml` that is read.
pub const MAX_MANIFEST: usize = 64 * 1024;

/// Most addresses that one file of a function may have.
pub const MAX_URLS: usize = 8;

/// Longest name of a class, in bytes.
pub const MAX_LABEL: usize = 256;

/// Longest time one call may take.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// A function as its author describes it. Every field changes the function's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionManifest {
    /// `[function]`
    pub function: FunctionSection,
    /// `[model]`
    pub model: ModelSection,
    /// `[limits]`
    pub limits: LimitsSection,
    /// `[labels]`: the names of an output's classes, in their order, by the output's name. Callers who ask for a
    /// classification get them beside value and index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Vec<String>>,
}

/// `[function]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSection {
    /// DNS label; also the model's name in `/v2/models/{name}`.
    pub name: FunctionName,
    /// What the function speaks.
    pub kind: FunctionKind,
}

/// What a function speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionKind {
    /// Tensors in, tensors out, by KServe v2.
    Onnx,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// The ONNX file beside the manifest: a plain file name.
    pub file: String,
    /// Where an enclave may fetch the file by itself, tried in order; where from makes no difference, because the
    /// digest must be the file's. None: the host brings it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<FileUrl>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// What a worker may use beyond the runtime itself, model included: `"64MiB"`.
    pub memory: ByteSize,
    /// After this the worker is killed and the caller told: `"2s"`, `"500ms"`.
    pub timeout: Timeout,
}

/// A manifest that cannot be a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not UTF-8, or above [`MAX_MANIFEST`].
    #[error("nacre.toml must be UTF-8 text of at most 64 KiB")]
    NotText,
    /// Not TOML, or a field is missing, unknown, or of another type.
    #[error("nacre.toml: {0}")]
    Toml(String),
    /// `[model] file` leads out of the directory or is not a plain name.
    #[error("[model] file must be a plain file name beside nacre.toml, not {0:?}")]
    ModelFile(String),
    /// More than [`MAX_URLS`] addresses, or one of them twice.
    #[error("[model] urls are at most {MAX_URLS}, each once")]
    Urls,
    /// `[limits] memory` is outside 1 MiB to 1 TiB.
    #[error("[limits] memory must be between 1MiB and 1TiB, not {0}")]
    Memory(ByteSize),
    /// An empty list of labels, or a label that is empty, above [`MAX_LABEL`], or has control characters.
    #[error(
        "[labels] {0:?} must be at least one label of 1 to {MAX_LABEL} bytes without control characters"
    )]
    Labels(String),
    /// `[limits] timeout` is outside 1 ms to 10 minutes.
    #[error("[limits] timeout must be between 1ms and 600s, not {0}")]
    Timeout(Timeout),
}

impl FunctionManifest {
    /// Reads and checks `nacre.toml`.
    pub fn from_toml(bytes: &[u8]) -> Result<Self, ManifestError> {
        let text = core::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= MAX_MANIFEST)
            .ok_or(ManifestError::NotText)?;
        let manifest: Self = toml::from_str(text).map_err(|e| syntax_error(text, &e))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let file = &self.model.file;
        if !is_plain_file_name(file) || file == MANIFEST_FILE {
            return Err(ManifestError::ModelFile(file.clone()));
        }
        if !are_urls(&self.model.urls) {
            return Err(ManifestError::Urls);
        }
        let memory = self.limits.memory;
        if !(1 << 20..=1 << 40).contains(&memory.bytes()) {
            return Err(ManifestError::Memory(memory));
        }
        let timeout = self.limits.timeout;
        if !(Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout.duration()) {
            return Err(ManifestError::Timeout(timeout));
        }
        let sound = |labels: &Vec<String>| !labels.is_empty() && labels.iter().all(|l| is_label(l));
        match self.labels.iter().find(|(_, labels)| !sound(labels)) {
            Some((output, _)) => Err(ManifestError::Labels(output.clone())),
            None => Ok(()),
        }
    }
}

fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What is wrong, and the line that it is wrong in.
fn syntax_error(text: &str, error: &toml::de::Error) -> ManifestError {
    const SHOWN: usize = 80;
    let message = error.message();
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some(before) = before else {
        return ManifestError::Toml(message.to_owned());
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    let line: String = line.chars().take(SHOWN).collect();
    ManifestError::Toml(format!("line {} ({line:?}): {message}", number + 1))
}

/// Whether a file can have these addresses: at most [`MAX_URLS`], each once.
pub fn are_urls(urls: &[FileUrl]) -> bool {
    urls.len() <= MAX_URLS && (1..urls.len()).all(|at| !urls[..at].contains(&urls[at]))
}

/// Whether a name can stand in a bundle: one path component of visible ASCII, no leading dot.
pub fn is_plain_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A number of bytes, written with a binary unit: `"64MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

impl ByteSize {
    /// That many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in UNITS {
            if self.0 != 0 && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A text that is not an amount with its unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct AmountSyntaxError(&'static str);

impl FromStr for ByteSize {
    type Err = AmountSyntaxError;

    fn from_str(text: &str) -> Result<Self, AmountSyntaxError> {
        let error =
            AmountSyntaxError("a whole number with B, KiB, MiB, GiB or TiB, such as \"64MiB\"");
        let (digits, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .or_else(|| Some((text.strip_suffix('B')?, 1)))
            .ok_or(error.clone())?;
        whole_number(digits)
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or(error)
    }
}

/// A time limit, written with its unit: `"2s"`, `"500ms"`, `"250us"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeout(Duration);

impl Timeout {
    /// That long.
    pub const fn from_duration(duration: Duration) -> Self {
        Self(duration)
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros.is_multiple_of(1_000_000) {
            write!(f, "{}s", micros / 1_000_000)
        } else if micros.is_multiple_of(1000) {
            write!(f, "{}ms", micros / 1000)
        } else {
            write!(f, "{micros}us")
        }
    }
}

impl FromStr for Timeout {
    type Err = AmountSyntaxError;

    fn from_str(text: &str) -> Result<Self, AmountSyntaxError> {
        let error = AmountSyntaxError("a whole number with us, ms or s, such as \"2s\"");
        let (digits, micros) = [("us", 1), ("ms", 1000), ("s", 1_000_000)]
            .iter()
            .find_map(|(unit, micros)| Some((text.strip_suffix(unit)?, *micros)))
            .ok_or(error.clone())?;
        whole_number(digits)
            .and_then(|number| number.checked_mul(micros))
            .map(|micros| Self(Duration::from_micros(micros)))
            .ok_or(error)
    }
}

fn whole_number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(ByteSize, Timeout);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IRIS: &str = r#"
        [function]
        name = "iris"
        kind = "onnx"
        [model]
        file = "model.onnx"
        [limits]
        memory = "64MiB"
        timeout = "2s"
    "#;

    #[test]
    fn reads_a_manifest() {
        let manifest = FunctionManifest::from_toml(IRIS.as_bytes()).unwrap();
        assert_eq!(manifest.function.name.as_str(), "iris");
        assert_eq!(manifest.limits.memory.bytes(), 64 << 20);
        assert_eq!(manifest.limits.timeout.duration(), Duration::from_secs(2));
    }

    #[test]
    fn nothing_is_read_and_ignored() {
        for (from, to) in [
            ("kind = \"onnx\"", "kind = \"onnx\"\ncolour = \"blue\""),
            ("[limits]", "[unknown]\na = 1\n[limits]"),
            ("\"onnx\"", "\"pickle\""),
            ("\"iris\"", "\"Iris Model\""),
            ("model.onnx", "../model.onnx"),
            ("model.onnx", "nacre.toml"),
            ("model.onnx", ""),
            ("64MiB", "64"),
            ("64MiB", "64MB"),
            ("64MiB", "1B"),
            ("64MiB", "99999999999999999999TiB"),
            ("2s", "0s"),
            ("2s", "-2s"),
            ("2s", "11m"),
            ("2s", "601s"),
        ] {
            let text = IRIS.replace(from, to);
            assert!(
                FunctionManifest::from_toml(text.as_bytes()).is_err(),
                "{to}"
            );
        }
        assert_eq!(
            FunctionManifest::from_toml(&[0xff]),
            Err(ManifestError::NotText)
        );
    }

    #[test]
    fn a_model_may_say_where_it_can_be_fetched() {
        let with = |urls: &str| {
            let line = format!("file = \"model.onnx\"\nurls = [{urls}]");
            FunctionManifest::from_toml(IRIS.replace("file = \"model.onnx\"", &line).as_bytes())
        };
        let manifest = with("'https://a.example/m', 'https://b.example:8443/m?v=1'").unwrap();
        assert_eq!(
            manifest.model.urls[1].as_str(),
            "https://b.example:8443/m?v=1"
        );
        assert_eq!(with("").unwrap().model.urls, []);
        assert!(matches!(
            with("'http://a.example/m'"),
            Err(ManifestError::Toml(_))
        ));
        let many: Vec<_> = (0..=MAX_URLS)
            .map(|n| format!("'https://a.example/{n}'"))
            .collect();
        assert_eq!(with(&many.join(",")), Err(ManifestError::Urls));
        let twice = "'https://a.example/m','https://a.example/m'";
        assert_eq!(with(twice), Err(ManifestError::Urls));
    }

    #[test]
    fn classes_may_have_names() {
        let with = |labels: &str| {
            FunctionManifest::from_toml(format!("{IRIS}\n[labels]\n{labels}").as_bytes())
        };
        let manifest = with("species = ['setosa', 'versicolor: blue']").unwrap();
        assert_eq!(manifest.labels["species"], ["setosa", "versicolor: blue"]);
        assert!(with("").unwrap().labels.is_empty());
        for refused in [
            "[]",
            "['']",
            "[\"a\\nb\"]",
            &format!("['{}']", "x".repeat(257)),
        ] {
            let refused = with(&format!("species = {refused}"));
            assert_eq!(refused, Err(ManifestError::Labels("species".into())));
        }
    }

    #[test]
    fn a_mistake_is_shown_with_its_line() {
        let wrong = IRIS.replace("64MiB", "64 potatoes");
        let error = FunctionManifest::from_toml(wrong.as_bytes()).unwrap_err();
        let text = error.to_string();
        let line = r#"line 8 ("memory = \"64 potatoes\""): expected"#;
        assert!(text.contains(line), "{text}");
    }

    proptest! {
        #[test]
        fn amounts_round_trip(bytes in any::<u64>(), micros in 0u64..1 << 50) {
            let size = ByteSize::from_bytes(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let timeout = Timeout::from_duration(Duration::from_micros(micros));
            prop_assert_eq!(timeout.to_string().parse(), Ok(timeout));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,300}") {
            let _ = FunctionManifest::from_toml(text.as_bytes());
        }
    }
}
