//! From logits to a token.
//!
//! In this order: repetition penalty (Keskar et al. 2019, <https://arxiv.org/abs/1909.05858>), temperature, top-k, top-p
//! (Holtzman et al. 2020, <https://arxiv.org/abs/1904.09751>), min-p (Nguyen et al. 2024, <https://arxiv.org/abs/2407.01082>); what
//! is left is renormalized after each cut and drawn from with the sampler's own generator.

use crate::config::SampleConfig;
use crate::model::random::Generator;

/// A picked token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    pub id: u32,
    /// Its probability under the distribution it was drawn from, after temperature and all cuts (1 when greedy).
    pub probability: f32,
    /// Its probability under the model: the softmax of the logits as they came.
    pub model_probability: f32,
}

/// Settings and the state of the random numbers: the same seed and the same logits give the same tokens.
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    min_p: f64,
    repetition_penalty: f64,
    generator: Generator,
}

impl Sampler {
    pub fn new(config: &SampleConfig) -> Self {
        Sampler {
            temperature: config.temperature,
            top_k: config.top_k,
            top_p: config.top_p,
            min_p: config.min_p,
            repetition_penalty: config.repetition_penalty,
            generator: Generator::new(config.seed),
        }
    }

    /// Picks the next token. Logits that are not numbers never win; if none is a number, token 0 does.
    ///
    /// # Arguments
    /// - `logits`: one a token of the vocabulary
    /// - `history`: tokens that the repetition penalty makes less likely
    pub fn pick(&mut self, logits: &[f32], history: &[u32]) -> Pick {
        let candidates = self.distribution(logits, history);
        let (id, probability) = self.draw(&candidates);
        Pick {
            id,
            probability: probability as f32,
            model_probability: model_probability(logits, id),
        }
    }

    /// One of the candidates, which are sorted; the first when greedy.
    fn draw(&mut self, candidates: &[(u32, f64)]) -> (u32, f64) {
        if self.temperature <= 0.0 {
            return (candidates.first().map_or(0, |&(id, _)| id), 1.0);
        }
        let draw = self.generator.next_f64();
        let mut sum = 0.0;
        for &(id, probability) in candidates {
            sum += probability;
            if draw < sum {
                return (id, probability);
            }
        }
        // Rounding left the sum a hair below the draw.
        candidates.last().copied().unwrap_or((0, 1.0))
    }

    /// What a token is drawn from: `(id, probability)`, most likely first (the lower id first among equals), summing to 1.
    pub fn distribution(&self, logits: &[f32], history: &[u32]) -> Vec<(u32, f64)> {
        let mut scores: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        self.penalize(&mut scores, history);
        let temperature = if self.temperature > 0.0 {
            self.temperature
        } else {
            1.0
        };
        let mut candidates: Vec<(u32, f64)> = (0u32..)
            .zip(scores)
            .filter(|(_, score)| !score.is_nan() && *score != f64::NEG_INFINITY)
            .map(|(id, score)| (id, score / temperature))
            .collect();
        let kept = match (self.temperature <= 0.0, self.top_k) {
            (true, _) => 1,
            (false, 0) => candidates.len(),
            (false, top_k) => top_k,
        };
        let order = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        // Of a large vocabulary only what is kept needs sorting.
        if kept < candidates.len() {
            candidates.select_nth_unstable_by(kept - 1, order);
            candidates.truncate(kept);
        }
        candidates.sort_unstable_by(order);
        softmax(&mut candidates);
        if self.top_p < 1.0 {
            let mut sum = 0.0;
            let reached = candidates.iter().position(|(_, probability)| {
                sum += probability;
                sum >= self.top_p
            });
            if let Some(last) = reached {
                candidates.truncate(last + 1);
                normalize(&mut candidates);
            }
        }
        if self.min_p > 0.0
            && let Some(&(_, largest)) = candidates.first()
        {
            candidates.retain(|(_, probability)| *probability >= self.min_p * largest);
            normalize(&mut candidates);
        }
        candidates
    }

    /// Divides positive and multiplies negative scores of tokens seen before: either way they fall.
    fn penalize(&self, scores: &mut [f64], history: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut seen = vec![false; scores.len()];
        for &token in history {
            let token = token as usize;
            if token < scores.len() && !std::mem::replace(&mut seen[token], true) {
                let score = &mut scores[token];
                *score = if *score > 0.0 {
                    *score / self.repetition_penalty
                } else {
                    *score * self.repetition_penalty
                };
            }
        }
    }
}

/// Softmax of all logits at `id`. Those that are not numbers count for nothing.
fn model_probability(logits: &[f32], id: u32) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Infinity minus itself would not be a number.
    let share = |logit: f32| {
        if logit == largest {
            1.0
        } else {
            (logit - largest).exp()
        }
    };
    let numbers = logits.iter().copied().filter(|logit| !logit.is_nan());
    let sum: f64 = numbers.map(|logit| f64::from(share(logit))).sum();
    match logits.get(id as usize) {
        Some(logit) if !logit.is_nan() && sum > 0.0 => (f64::from(share(*logit)) / sum) as f32,
        _ => 0.0,
    }
}

/// Scores, largest first, to probabilities.
fn softmax(candidates: &mut [(u32, f64)]) {
    let Some(&(_, largest)) = candidates.first() else {
        return;
    };
    for (_, score) in candidates.iter_mut() {
        // An infinite score is all there is: infinity minus itself would not be a number.
        *score = if *score == largest {
            1.0
        } else {
            (*score - largest).exp()
        };
    }
    normalize(candidates);
}

fn normalize(candidates: &mut [(u32, f64)]) {
    let sum: f64 = candidates.iter().map(|(_, probability)| probability).sum();
    for (_, probability) in candidates {
        *probability /= sum;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> SampleConfig {
        SampleConfig {
            every: 0,
            prompts: Vec::new(),
            length: 0,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 1,
        }
    }

    #[test]
    fn the_models_probability_is_that_of_all_its_logits() {
        let greedy = SampleConfig {
            temperature: 0.0,
            ..config()
        };
        let logits = [1.0, 3.0, f32::NAN, 2.0, f32::NEG_INFINITY];
        let sum = [1.0f64, 3.0, 2.0].map(f64::exp).iter().sum::<f64>();
        let pick = Sampler::new(&greedy).pick(&logits, &[]);
        assert_eq!((pick.id, pick.probability), (1, 1.0));
        assert!((f64::from(pick.model_probability) - 3f64.exp() / sum).abs() < 1e-6);
        // Neither temperature, cut nor penalty changes it.
        let bent = SampleConfig {
            temperature: 0.1,
            top_k: 1,
            repetition_penalty: 3.0,
            ..config()
        };
        let again = Sampler::new(&bent).pick(&logits, &[1]);
        let expected = [1.0, 3.0, f64::NAN, 2.0][again.id as usize].exp() / sum;
        assert!((f64::from(again.model_probability) - expected).abs() < 1e-6);
        let infinite = Sampler::new(&greedy).pick(&[0.0, f32::INFINITY], &[]);
        assert_eq!((infinite.id, infinite.model_probability), (1, 1.0));
        let nothing = Sampler::new(&greedy).pick(&[f32::NAN; 2], &[]);
        assert_eq!((nothing.id, nothing.model_probability), (0, 0.0));
    }

    #[test]
    fn greedy_takes_the_largest_and_the_lower_id_among_equals() {
        let mut sampler = Sampler::new(&SampleConfig {
            temperature: 0.0,
            ..config()
        });
        let pick = sampler.pick(&[0.0, 3.0, 3.0, -1.0], &[]);
        assert_eq!((pick.id, pick.probability), (1, 1.0));
    }

    #[test]
    fn broken_logits_still_give_a_token() {
        let mut sampler = Sampler::new(&config());
        assert_eq!(sampler.pick(&[f32::NAN, f32::NAN], &[]).id, 0);
        assert_eq!(sampler.pick(&[f32::NAN, 1.0], &[]).id, 1);
        assert_eq!(sampler.pick(&[f32::NEG_INFINITY, 1.0], &[]).id, 1);
        assert_eq!(sampler.pick(&[0.0, f32::INFINITY], &[]).id, 1);
    }

    #[test]
    fn penalty_lowers_what_was_seen_whatever_its_sign() {
        let sampler = Sampler::new(&SampleConfig {
            repetition_penalty: 2.0,
            ..config()
        });
        let mut scores = [2.0, -2.0, 2.0];
        sampler.penalize(&mut scores, &[0, 1, 1, 99]);
        assert_eq!(scores, [1.0, -4.0, 2.0]);
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let mut sampler = Sampler::new(&config());
        let logits = [0.0f32, 1.0, 2.0];
        let expected = sampler.distribution(&logits, &[]);
        let n = 20_000;
        let mut counts = [0usize; 3];
        for _ in 0..n {
            counts[sampler.pick(&logits, &[]).id as usize] += 1;
        }
        for (id, probability) in expected {
            let share = counts[id as usize] as f64 / f64::from(n);
            // Four standard errors of a share at 20 000 draws are at most 0.0142.
            assert!((share - probability).abs() < 0.0142, "{id}: {share}");
        }
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_tokens(
            logits in prop::collection::vec(-8f32..8.0, 1..40), seed: u64
        ) {
            let config = SampleConfig { seed, ..config() };
            let (mut a, mut b) = (Sampler::new(&config), Sampler::new(&config));
            for _ in 0..5 {
                prop_assert_eq!(a.pick(&logits, &[]), b.pick(&logits, &[]));
            }
        }

        #[test]
        fn cuts_leave_what_they_promise(
            logits in prop::collection::vec(-8f32..8.0, 1..40),
            top_k in 0usize..12, top_p in 0.05f64..1.0, min_p in 0.0f64..1.0, temperature in 0.1f64..3.0,
        ) {
            let base = SampleConfig { temperature, ..config() };
            let all = Sampler::new(&base).distribution(&logits, &[]);
            prop_assert_eq!(all.len(), logits.len());

            let k = Sampler::new(&SampleConfig { top_k, ..base.clone() }).distribution(&logits, &[]);
            let expected = if top_k == 0 { logits.len() } else { top_k.min(logits.len()) };
            prop_assert_eq!(k.len(), expected);

            // The smallest set, taken from the top, whose mass reaches top_p.
            let p = Sampler::new(&SampleConfig { top_p, ..base.clone() }).distribution(&logits, &[]);
            let mass: f64 = all[..p.len()].iter().map(|c| c.1).sum();
            prop_assert!(mass >= top_p - 1e-9 || p.len() == all.len());
            prop_assert!(mass - all[p.len() - 1].1 < top_p);

            let m = Sampler::new(&SampleConfig { min_p, ..base }).distribution(&logits, &[]);
            let expected = all.iter().filter(|c| c.1 >= min_p * all[0].1).count();
            prop_assert_eq!(m.len(), expected.max(if min_p > 0.0 { 1 } else { all.len() }));

            for cut in [k, p, m] {
                let sum: f64 = cut.iter().map(|c| c.1).sum();
                prop_assert!((sum - 1.0).abs() < 1e-9);
                prop_assert!(cut.iter().zip(&all).all(|(a, b)| a.0 == b.0), "the order stays");
            }
        }
    }
}
