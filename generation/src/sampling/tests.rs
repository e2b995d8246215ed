//! What is chosen, and how often.

use proptest::prelude::*;

use super::*;

fn sampler(sampling: Sampling) -> Sampler {
    Sampler::new(sampling, [7; 32], []).unwrap()
}

/// How often each token is drawn of 4,000 times, nothing remembered between.
fn frequencies(sampling: &Sampling, logits: &[f32]) -> Vec<f64> {
    const DRAWS: u32 = 4_000;
    let mut counts = vec![0u32; logits.len()];
    for n in 0..DRAWS {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&n.to_le_bytes());
        let mut sampler = Sampler::new(sampling.clone(), seed, []).unwrap();
        counts[sampler.choose(logits).unwrap().token as usize] += 1;
    }
    counts
        .iter()
        .map(|count| f64::from(*count) / f64::from(DRAWS))
        .collect()
}

fn close(found: &[f64], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 0.03, "{found} for {expected}");
    }
}

/// Logits of these probabilities.
fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() + 3.0).collect()
}

#[test]
fn tokens_come_as_often_as_the_model_says() {
    let scores = logits(&[0.1, 0.6, 0.3]);
    close(
        &frequencies(&Sampling::default(), &scores),
        &[0.1, 0.6, 0.3],
    );
    let sharp = Sampling {
        temperature: 0.5,
        ..Sampling::default()
    };
    // Squares, normed.
    close(
        &frequencies(&sharp, &scores),
        &[0.01 / 0.46, 0.36 / 0.46, 0.09 / 0.46],
    );
}

#[test]
fn the_unlikely_are_cut_off() {
    let scores = logits(&[0.4, 0.1, 0.3, 0.2]);
    let with = |sampling: Sampling| frequencies(&sampling, &scores);
    let two = [4.0 / 7.0, 0.0, 3.0 / 7.0, 0.0];
    close(
        &with(Sampling {
            top_k: 2,
            ..Sampling::default()
        }),
        &two,
    );
    close(
        &with(Sampling {
            top_p: 0.65,
            ..Sampling::default()
        }),
        &two,
    );
    close(
        &with(Sampling {
            min_p: 0.6,
            ..Sampling::default()
        }),
        &two,
    );
    // The share is of what the rules before it have left.
    let both = Sampling {
        top_k: 3,
        top_p: 0.7,
        ..Sampling::default()
    };
    close(&with(both), &two);
    assert_eq!(
        with(Sampling {
            top_p: 0.01,
            ..Sampling::default()
        })[0],
        1.0
    );
    assert_eq!(
        with(Sampling {
            top_k: 1,
            ..Sampling::default()
        })[0],
        1.0
    );
    assert_eq!(
        with(Sampling {
            temperature: 0.0,
            ..Sampling::default()
        })[0],
        1.0
    );
}

#[test]
fn of_equals_the_first_is_the_best() {
    let greedy = Sampling {
        temperature: 0.0,
        ..Sampling::default()
    };
    assert_eq!(sampler(greedy).choose(&[1.0, 2.0, 2.0]).unwrap().token, 1);
}

#[test]
fn what_was_said_is_held_against_it() {
    let greedy = |sampling: Sampling| {
        sampler(Sampling {
            temperature: 0.0,
            ..sampling
        })
    };
    let said = |mut sampler: Sampler, scores: &[f32]| -> Vec<u32> {
        (0..4)
            .map(|_| sampler.choose(scores).unwrap().token)
            .collect()
    };
    let scores = [2.0, 1.5, 0.9];
    assert_eq!(said(greedy(Sampling::default()), &scores), [0, 0, 0, 0]);
    let presence = Sampling {
        presence_penalty: 1.0,
        ..Sampling::default()
    };
    assert_eq!(said(greedy(presence), &scores), [0, 1, 0, 0]);
    let frequency = Sampling {
        frequency_penalty: 1.0,
        ..Sampling::default()
    };
    assert_eq!(said(greedy(frequency), &scores), [0, 1, 0, 2]);
    // The prompt counts only for repetition; below zero it multiplies.
    let repetition = Sampling {
        temperature: 0.0,
        repetition_penalty: 2.0,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(repetition, [0; 32], [0, 9]).unwrap();
    assert_eq!(sampler.choose(&scores).unwrap().token, 1);
    assert_eq!(sampler.choose(&[-1.0, -1.0, -1.9]).unwrap().token, 2);
}

#[test]
fn biases_rule_in_and_out() {
    let greedy = Sampling {
        temperature: 0.0,
        biases: [(0, -100.0), (2, 100.0), (99, 1.0)].into(),
        ..Sampling::default()
    };
    assert_eq!(
        sampler(greedy).choose(&[50.0, 1.0, -40.0]).unwrap().token,
        2
    );
}

#[test]
fn log_probabilities_are_the_models_own() {
    let sampling = Sampling {
        temperature: 0.0,
        alternatives: 2,
        biases: [(2, 100.0)].into(),
        ..Sampling::default()
    };
    let choice = sampler(sampling)
        .choose(&logits(&[0.5, 0.25, 0.25]))
        .unwrap();
    assert_eq!(choice.token, 2);
    let near = |found: f32, expected: f32| assert!((found - expected.ln()).abs() < 1e-5);
    near(choice.logprob, 0.25);
    assert_eq!(
        choice.alternatives.iter().map(|a| a.0).collect::<Vec<_>>(),
        [0, 1]
    );
    near(choice.alternatives[0].1, 0.5);
    near(choice.alternatives[1].1, 0.25);
}

#[test]
fn scores_that_are_no_numbers_are_refused() {
    let mut sampler = sampler(Sampling::default());
    for scores in [
        &[][..],
        &[f32::NAN, 1.0],
        &[f32::INFINITY, 1.0],
        &[f32::NEG_INFINITY; 2],
    ] {
        assert_eq!(sampler.choose(scores), Err(NoScores));
    }
    let one_left = sampler.choose(&[f32::NEG_INFINITY, 1.0]).unwrap();
    assert_eq!((one_left.token, one_left.logprob), (1, 0.0));
}

/// Drawn by an independent program: `int.from_bytes(hashlib.sha256(bytes([7]) * 32 + k.to_bytes(8, "little")).digest()[:8], "big") >> 11`.
#[test]
fn draws_follow_from_the_seed_alone() {
    let mut draws = Draws {
        seed: [7; 32],
        next: 0,
    };
    let drawn: Vec<u64> = (0..3)
        .map(|_| (draws.next() * (1u64 << 53) as f64) as u64)
        .collect();
    assert_eq!(
        drawn,
        [
            4_381_521_475_427_139,
            6_149_399_327_443_931,
            1_216_309_630_631_932
        ]
    );
}

#[test]
fn values_out_of_their_range_are_named() {
    let field = |sampling: Sampling| sampling.check().unwrap_err().field;
    let good = Sampling::default;
    assert_eq!(
        field(Sampling {
            temperature: 2.1,
            ..good()
        }),
        "temperature"
    );
    assert_eq!(
        field(Sampling {
            temperature: f32::NAN,
            ..good()
        }),
        "temperature"
    );
    assert_eq!(
        field(Sampling {
            top_p: 0.0,
            ..good()
        }),
        "top_p"
    );
    assert_eq!(
        field(Sampling {
            min_p: -0.1,
            ..good()
        }),
        "min_p"
    );
    assert_eq!(
        field(Sampling {
            repetition_penalty: 0.0,
            ..good()
        }),
        "repetition_penalty"
    );
    assert_eq!(
        field(Sampling {
            presence_penalty: 3.0,
            ..good()
        }),
        "presence_penalty"
    );
    assert_eq!(
        field(Sampling {
            frequency_penalty: f32::INFINITY,
            ..good()
        }),
        "frequency_penalty"
    );
    assert_eq!(
        field(Sampling {
            biases: [(1, 101.0)].into(),
            ..good()
        }),
        "logit_bias"
    );
    assert_eq!(
        field(Sampling {
            alternatives: 21,
            ..good()
        }),
        "top_logprobs"
    );
    assert_eq!(good().check(), Ok(()));
}

proptest! {
    /// However many tokens there are, the fewest that make up the share are kept, as a full sort would have it.
    #[test]
    fn the_share_is_exact(weights in prop::collection::vec(1u32..1_000, 1..2_000), share in 0.01f64..1.0) {
        let candidates: Vec<Candidate> = (0u32..).zip(&weights)
            .map(|(token, weight)| Candidate { token, score: *weight as f32, weight: f64::from(*weight) })
            .collect();
        let mut kept = candidates.clone();
        keep_top(&mut kept, share);
        let mut sorted = candidates;
        sorted.sort_unstable_by(likelier);
        let wanted = share * f64::from(weights.iter().sum::<u32>());
        let mut sum = 0.0;
        let enough = sorted.iter().take_while(|c| { let more = sum < wanted; sum += c.weight; more }).count();
        let tokens = |list: &[Candidate]| list.iter().map(|c| c.token).collect::<Vec<_>>();
        prop_assert_eq!(tokens(&kept), tokens(&sorted[..enough]));
    }

    #[test]
    fn nothing_panics_and_what_is_chosen_is_in_the_vocabulary(
        scores in prop::collection::vec(any::<f32>(), 0..40),
        temperature in 0.0f32..2.0, top_p in 0.01f32..1.0, top_k in 0u32..50, min_p in 0.0f32..1.0,
    ) {
        let sampling = Sampling { temperature, top_p, top_k, min_p, alternatives: 3, ..Sampling::default() };
        let mut sampler = sampler(sampling);
        for _ in 0..3 {
            if let Ok(choice) = sampler.choose(&scores) {
                prop_assert!((choice.token as usize) < scores.len());
                prop_assert!(choice.logprob <= 0.0);
            }
        }
    }
}
