//! A character a slot, in runs: nodes are up for days, and so are rows of them. `u42du17` is 42 times `u`, one `d`, 17 `u`.

/// Most characters of a text: far more watchers than anybody adds, with the longest epochs.
const MOST: usize = 1 << 22;

/// Characters other than digits, as runs.
pub(super) fn encode(characters: impl IntoIterator<Item = char>) -> String {
    let mut text = String::new();
    let mut run: Option<(char, usize)> = None;
    for character in characters {
        match &mut run {
            Some((of, length)) if *of == character => *length += 1,
            _ => {
                write(&mut text, run);
                run = Some((character, 1));
            }
        }
    }
    write(&mut text, run);
    text
}

fn write(text: &mut String, run: Option<(char, usize)>) {
    match run {
        Some((of, 1)) => text.push(of),
        Some((of, length)) => text.push_str(&format!("{of}{length}")),
        None => {}
    }
}

/// The characters of runs; `None` where the text was never written here.
pub(super) fn decode(text: &str) -> Option<Vec<char>> {
    let mut characters = Vec::new();
    let mut rest = text;
    while let Some(of) = rest.chars().next() {
        rest = &rest[of.len_utf8()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let length = if number.is_empty() {
            1
        } else {
            number.parse().ok()?
        };
        if of.is_ascii_digit() || length > MOST - characters.len() {
            return None;
        }
        characters.extend(core::iter::repeat_n(of, length));
        rest = after;
    }
    Some(characters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_without_change_is_a_few_bytes() {
        assert_eq!(encode("u".repeat(8_640).chars()), "u8640");
        assert_eq!(encode("uud-".chars()), "u2d-");
    }

    #[test]
    fn what_was_never_written_here_is_refused() {
        for text in ["1", "u4194305", "u99999999999999999999", "u4194304d"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "[ab-]{0,64}") {
            let read = decode(&encode(text.chars())).unwrap();
            prop_assert_eq!(read.into_iter().collect::<String>(), text);
        }
    }
}
