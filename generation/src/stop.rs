//! Where an answer's text ends: at the stop string that is complete first, which itself is not said.

/// Most stop strings of one request.
pub const MAX_STOPS: usize = 16;
/// Longest stop string, in bytes.
pub const MAX_STOP: usize = 1024;

/// Stop strings that a request cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`stop` must be at most {MAX_STOPS} texts of 1 to {MAX_STOP} bytes")]
pub struct StopError;

/// Watches a text as it comes, piece by piece. What may be the beginning of a stop string is held back until it is known.
#[derive(Debug, Clone)]
pub struct StopWatch {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

/// What can be said now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The text, empty where all is held back.
    pub text: String,
    /// Whether a stop string came: nothing is said after this.
    pub stopped: bool,
}

impl StopWatch {
    /// Of these stop strings; of none it lets everything pass.
    ///
    /// # Errors
    ///
    /// [`StopError`] for too many, too long or empty ones.
    pub fn new(stops: Vec<String>) -> Result<Self, StopError> {
        let sound = |stop: &String| (1..=MAX_STOP).contains(&stop.len());
        if stops.len() > MAX_STOPS || !stops.iter().all(sound) {
            return Err(StopError);
        }
        Ok(Self {
            stops,
            held: String::new(),
            stopped: false,
        })
    }

    /// Takes the next piece of the text.
    pub fn push(&mut self, piece: &str) -> Said {
        if self.stopped {
            return Said {
                text: String::new(),
                stopped: true,
            };
        }
        self.held.push_str(piece);
        // The one that is complete first, so that it makes no difference in which pieces the text comes.
        let ends = self.stops.iter().filter_map(|stop| {
            let at = self.held.find(stop)?;
            Some((at + stop.len(), at))
        });
        if let Some((_, at)) = ends.min() {
            self.stopped = true;
            self.held.truncate(at);
        }
        let keep = if self.stopped { 0 } else { self.may_begin() };
        let rest = self.held.split_off(self.held.len() - keep);
        Said {
            text: std::mem::replace(&mut self.held, rest),
            stopped: self.stopped,
        }
    }

    /// What was held back, when nothing more comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of what is held that a stop string may begin with.
    fn may_begin(&self) -> usize {
        let begins = |stop: &String| {
            let longest = self.held.len().min(stop.len() - 1);
            (1..=longest)
                .rev()
                .find(|n| self.held.as_bytes().ends_with(&stop.as_bytes()[..*n]))
        };
        // A stop string's beginning is text of its own, so what is kept begins at a character too.
        self.stops.iter().filter_map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn watch(stops: &[&str]) -> StopWatch {
        StopWatch::new(stops.iter().map(ToString::to_string).collect()).unwrap()
    }

    /// All that is said of a text in these pieces, and whether it was stopped.
    fn said(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut watch = watch(stops);
        let mut all = String::new();
        for piece in pieces {
            let said = watch.push(piece);
            all.push_str(&said.text);
            if said.stopped {
                return (all, true);
            }
        }
        all.push_str(&watch.finish());
        (all, false)
    }

    #[test]
    fn the_stop_string_ends_the_text_and_is_not_said() {
        assert_eq!(said(&["END"], &["a E", "N", "D b"]), ("a ".into(), true));
        assert_eq!(
            said(&["\n\n"], &["a\n", "b\n", "\nc"]),
            ("a\nb".into(), true)
        );
        assert_eq!(said(&["ND", "END"], &["a END"]), ("a ".into(), true));
        assert_eq!(said(&["N", "END"], &["a END"]), ("a E".into(), true));
        assert_eq!(said(&["END"], &["a EN", "X"]), ("a ENX".into(), false));
        assert_eq!(said(&[], &["a", "b"]), ("ab".into(), false));
        assert_eq!(said(&["END"], &["EN"]), ("EN".into(), false));
    }

    #[test]
    fn only_what_may_begin_a_stop_string_is_held_back() {
        let mut watch = watch(&["abab!", "x"]);
        let text = |watch: &mut StopWatch, piece| watch.push(piece).text;
        assert_eq!(text(&mut watch, "1aba"), "1");
        assert_eq!(text(&mut watch, "b"), "");
        assert_eq!(text(&mut watch, "ab"), "ab");
        assert_eq!(
            watch.push("!2"),
            Said {
                text: String::new(),
                stopped: true
            }
        );
        assert_eq!(
            watch.push("more"),
            Said {
                text: String::new(),
                stopped: true
            }
        );
    }

    #[test]
    fn characters_stay_whole() {
        assert_eq!(said(&["é!"], &["aé", "b"]), ("aéb".into(), false));
        // `è` and `é` share their first byte.
        assert_eq!(said(&["éé"], &["è", "éé"]), ("è".into(), true));
    }

    #[test]
    fn senseless_stop_strings_are_refused() {
        let many = vec!["a".to_owned(); MAX_STOPS + 1];
        for stops in [many, vec![String::new()], vec!["a".repeat(MAX_STOP + 1)]] {
            assert_eq!(StopWatch::new(stops).unwrap_err(), StopError);
        }
    }

    proptest! {
        /// However the text is cut, it ends where the stop string begins that is complete first.
        #[test]
        fn pieces_make_no_difference(
            text in "[abé]{0,30}",
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            cuts in prop::collection::vec(0usize..30, 0..8),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|at| text.is_char_boundary(*at)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let first = stops.iter().filter_map(|stop| text.find(stop).map(|at| (at + stop.len(), at))).min();
            let expected = first.map_or(text.as_str(), |(_, at)| &text[..at]);
            prop_assert_eq!(said(&stops, &pieces), (expected.to_owned(), first.is_some()));
        }
    }
}
