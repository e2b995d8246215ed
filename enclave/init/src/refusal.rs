//! Why init does not go on.

use std::fmt;

/// Longest text in bytes; the host gets one line.
const MAX_TEXT: usize = 512;

/// A reason not to start the program, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: &'static str,
    text: String,
}

impl Refusal {
    /// A refusal. The text is cut to one line of at most 512 bytes, without control characters.
    pub fn new(code: &'static str, text: impl fmt::Display) -> Self {
        let mut line = String::new();
        for character in text.to_string().chars() {
            if line.len() + character.len_utf8() > MAX_TEXT {
                break;
            }
            line.push(if character.is_control() {
                ' '
            } else {
                character
            });
        }
        Self { code, text: line }
    }

    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Refusal {}
