//! The next token, chosen among a model's scores (logits).
//!
//! In this order: biases; penalties; the temperature; the `top_k` best; of those, none below `min_p` times the best one's
//! probability; of those, the fewest best that have `top_p` of what is left; and then a draw. A temperature of 0 takes the best
//! and draws nothing. Log probabilities are those of the model, before any of it.
//!
//! Draws follow from a seed alone: draw number *k*, from 0, is the first 53 bits of SHA-256(seed ‖ *k* as eight little-endian
//! bytes) as a fraction of one. So whoever knows seed and scores can draw again, with any program.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

/// Most biases of one request.
pub const MAX_BIASES: usize = 1024;
/// Most alternatives whose log probabilities one request can have told.
pub const MAX_ALTERNATIVES: u8 = 20;
/// Largest repetition penalty.
pub const MAX_REPETITION: f32 = 10.0;
/// Candidates that are put in order first, where the fewest that make up `top_p` are wanted.
const FIRST_SORTED: usize = 256;

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 to 2; 0 takes the best.
    pub temperature: f32,
    /// Above 0, at most 1.
    pub top_p: f32,
    /// So many of the best; 0: all.
    pub top_k: u32,
    /// 0 to 1.
    pub min_p: f32,
    /// Above 0: what was said, in prompt or answer, has its score divided by it, or multiplied where it is below zero.
    pub repetition_penalty: f32,
    /// -2 to 2: taken off the score of what the answer has said.
    pub presence_penalty: f32,
    /// -2 to 2: taken off the score of what the answer has said, for each time.
    pub frequency_penalty: f32,
    /// -100 to 100, added to a token's score.
    pub biases: BTreeMap<u32, f32>,
    /// How many alternatives' log probabilities are told with each token.
    pub alternatives: u8,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            biases: BTreeMap::new(),
            alternatives: 0,
        }
    }
}

/// A value that sampling cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be {expected}")]
pub struct SamplingError {
    /// Which.
    pub field: &'static str,
    /// What it has to be.
    pub expected: &'static str,
}

impl Sampling {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first that is out of its range.
    pub fn check(&self) -> Result<(), SamplingError> {
        let penalty = |value: f32| (-2.0..=2.0).contains(&value);
        let repetition = self.repetition_penalty;
        let rules = [
            (
                (0.0..=2.0).contains(&self.temperature),
                "temperature",
                "between 0 and 2",
            ),
            (
                self.top_p > 0.0 && self.top_p <= 1.0,
                "top_p",
                "above 0 and at most 1",
            ),
            (
                (0.0..=1.0).contains(&self.min_p),
                "min_p",
                "between 0 and 1",
            ),
            (
                repetition > 0.0 && repetition <= MAX_REPETITION,
                "repetition_penalty",
                "above 0 and at most 10",
            ),
            (
                penalty(self.presence_penalty),
                "presence_penalty",
                "between -2 and 2",
            ),
            (
                penalty(self.frequency_penalty),
                "frequency_penalty",
                "between -2 and 2",
            ),
            (
                self.biases.len() <= MAX_BIASES,
                "logit_bias",
                "at most 1024 tokens",
            ),
            (
                self.biases
                    .values()
                    .all(|bias| (-100.0..=100.0).contains(bias)),
                "logit_bias",
                "between -100 and 100 for each token",
            ),
            (
                self.alternatives <= MAX_ALTERNATIVES,
                "top_logprobs",
                "at most 20",
            ),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, expected)) => Err(SamplingError { field, expected }),
            None => Ok(()),
        }
    }
}

/// A token that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its number in the vocabulary.
    pub token: u32,
    /// Natural logarithm of the probability that the model gives it.
    pub logprob: f32,
    /// The likeliest tokens and their log probabilities, likeliest first: [`Sampling::alternatives`] of them.
    pub alternatives: Vec<(u32, f32)>,
}

/// Scores that nothing can be chosen among: there are none, one is not a number or without bound, or all tokens are ruled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model's scores are no numbers to choose among")]
pub struct NoScores;

/// Chooses the tokens of one answer, one after the other.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    draws: Draws,
    prompt: BTreeSet<u32>,
    said: BTreeMap<u32, u32>,
    scores: Vec<f32>,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    score: f32,
    /// Probability, up to a factor that all share.
    weight: f64,
}

impl Sampler {
    /// For an answer to a prompt of these tokens.
    ///
    /// # Errors
    ///
    /// See [`Sampling::check`].
    pub fn new(
        sampling: Sampling,
        seed: [u8; 32],
        prompt: impl IntoIterator<Item = u32>,
    ) -> Result<Self, SamplingError> {
        sampling.check()?;
        Ok(Self {
            sampling,
            draws: Draws { seed, next: 0 },
            prompt: prompt.into_iter().collect(),
            said: BTreeMap::new(),
            scores: Vec::new(),
            candidates: Vec::new(),
        })
    }

    /// The next token, by the scores of all tokens in their order. Negative infinity rules a token out.
    ///
    /// # Errors
    ///
    /// [`NoScores`]; nothing was drawn then.
    pub fn choose(&mut self, logits: &[f32]) -> Result<Choice, NoScores> {
        let mass = Mass::of(logits)?;
        self.scores.clear();
        self.scores.extend_from_slice(logits);
        self.adjust();
        let token = if self.sampling.temperature == 0.0 {
            best(&self.scores)?
        } else {
            self.draw()?
        };
        *self.said.entry(token).or_default() += 1;
        let scored = logits.get(token as usize).copied().ok_or(NoScores)?;
        Ok(Choice {
            token,
            logprob: mass.logprob(scored),
            alternatives: alternatives(logits, self.sampling.alternatives.into(), &mass),
        })
    }

    /// Biases and penalties.
    fn adjust(&mut self) {
        let rules = &self.sampling;
        for (token, bias) in &rules.biases {
            if let Some(score) = self.scores.get_mut(*token as usize) {
                *score += bias;
            }
        }
        if rules.repetition_penalty != 1.0 {
            let answered = self.said.keys().filter(|said| !self.prompt.contains(said));
            for token in self.prompt.iter().chain(answered) {
                if let Some(score) = self.scores.get_mut(*token as usize) {
                    *score = if *score > 0.0 {
                        *score / rules.repetition_penalty
                    } else {
                        *score * rules.repetition_penalty
                    };
                }
            }
        }
        if rules.presence_penalty != 0.0 || rules.frequency_penalty != 0.0 {
            for (token, times) in &self.said {
                if let Some(score) = self.scores.get_mut(*token as usize) {
                    *score -= rules.presence_penalty + rules.frequency_penalty * *times as f32;
                }
            }
        }
    }

    fn draw(&mut self) -> Result<u32, NoScores> {
        let rules = &self.sampling;
        let highest = self.scores[best(&self.scores)? as usize];
        let least = rules.min_p;
        self.candidates.clear();
        for (token, score) in (0u32..).zip(&self.scores) {
            let weight = (f64::from(score - highest) / f64::from(rules.temperature)).exp();
            if weight > 0.0 && weight >= f64::from(least) {
                let score = *score;
                self.candidates.push(Candidate {
                    token,
                    score,
                    weight,
                });
            }
        }
        let all = self.candidates.len();
        let most = match rules.top_k {
            0 => all,
            most => usize::try_from(most).unwrap_or(all).min(all),
        };
        if most < all {
            self.candidates.select_nth_unstable_by(most - 1, likelier);
            self.candidates.truncate(most);
        }
        if rules.top_p < 1.0 {
            keep_top(&mut self.candidates, f64::from(rules.top_p));
        } else if most < all {
            // The order in which a selection leaves them is nobody's promise.
            self.candidates.sort_unstable_by(likelier);
        }
        let total: f64 = self.candidates.iter().map(|c| c.weight).sum();
        let mut left = self.draws.next() * total;
        for candidate in &self.candidates {
            left -= candidate.weight;
            if left < 0.0 {
                return Ok(candidate.token);
            }
        }
        // Rounding can leave a little over.
        self.candidates.last().map(|c| c.token).ok_or(NoScores)
    }
}

fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.token.cmp(&b.token))
}

/// Keeps the fewest candidates, likeliest first, that have this share of all weight.
fn keep_top(candidates: &mut Vec<Candidate>, share: f64) {
    let wanted = share * candidates.iter().map(|c| c.weight).sum::<f64>();
    let mut sorted = FIRST_SORTED.min(candidates.len());
    loop {
        // Vocabularies are large, and the first few hundred tokens nearly always suffice.
        if sorted < candidates.len() {
            candidates.select_nth_unstable_by(sorted, likelier);
        }
        candidates[..sorted].sort_unstable_by(likelier);
        let mut sum = 0.0;
        let enough = candidates[..sorted].iter().position(|candidate| {
            sum += candidate.weight;
            sum >= wanted
        });
        if let Some(last) = enough {
            candidates.truncate(last + 1);
            return;
        }
        if sorted == candidates.len() {
            return;
        }
        sorted = candidates.len().min(sorted * 8);
    }
}

/// The highest score's token; of equals the first.
fn best(scores: &[f32]) -> Result<u32, NoScores> {
    let mut best: Option<(u32, f32)> = None;
    for (token, score) in (0u32..).zip(scores) {
        if *score > best.map_or(f32::NEG_INFINITY, |(_, highest)| highest) {
            best = Some((token, *score));
        }
    }
    best.map(|(token, _)| token).ok_or(NoScores)
}

/// What log probabilities are made with.
struct Mass {
    highest: f32,
    log_total: f64,
}

impl Mass {
    fn of(logits: &[f32]) -> Result<Self, NoScores> {
        if logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
            return Err(NoScores);
        }
        let highest = logits[best(logits)? as usize];
        let total: f64 = logits
            .iter()
            .map(|logit| f64::from(logit - highest).exp())
            .sum();
        Ok(Self {
            highest,
            log_total: total.ln(),
        })
    }

    fn logprob(&self, logit: f32) -> f32 {
        (f64::from(logit - self.highest) - self.log_total) as f32
    }
}

fn alternatives(logits: &[f32], most: usize, mass: &Mass) -> Vec<(u32, f32)> {
    if most == 0 {
        return Vec::new();
    }
    let higher = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut all: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
    if most < all.len() {
        all.select_nth_unstable_by(most, higher);
        all.truncate(most);
    }
    all.sort_unstable_by(higher);
    all.iter()
        .map(|(token, logit)| (*token, mass.logprob(*logit)))
        .collect()
}

#[derive(Debug, Clone)]
struct Draws {
    seed: [u8; 32],
    next: u64,
}

impl Draws {
    /// At least 0 and below 1.
    fn next(&mut self) -> f64 {
        const BITS: u32 = 53;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.next.to_le_bytes());
        self.next += 1;
        let hash: [u8; 32] = hash.finalize().into();
        let (first, _) = hash.split_at(8);
        let mut bits = [0; 8];
        bits.copy_from_slice(first);
        (u64::from_be_bytes(bits) >> (64 - BITS)) as f64 / (1u64 << BITS) as f64
    }
}

#[cfg(test)]
mod tests;
