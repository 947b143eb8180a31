//! How well a model predicts a text, by a sliding window, and how sure that number is.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, s};

use crate::model::LanguageModel;
use crate::model::layers::loss::cross_entropy;

/// How windows slide over a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// Tokens that a prediction can look back on, at most: the model's context length.
    pub context_length: usize,
    /// Tokens between the starts of two windows, 1 to `context_length`. Every token but the first is predicted once, by the
    /// window in which it has the most context: at least `context_length - stride` tokens and its own, but for those of the
    /// first window. With `stride = context_length` windows lie side by side.
    pub stride: usize,
    /// Windows per forward pass.
    pub batch_size: usize,
}

/// The score of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Mean cross-entropy in nats per token.
    pub loss: f64,
    /// Of the loss; `None` for a single window. Windows are taken as independent, tokens within one are not: with `n_i` tokens
    /// and `s_i` nats in window `i` of `B`, it is `sqrt(B/(B-1) · Σ (s_i - loss·n_i)²) / Σ n_i` (the standard error of a ratio,
    /// Cochran, "Sampling Techniques", 3rd edition, section 2.11).
    pub standard_error: Option<f64>,
    /// Tokens predicted.
    pub tokens: u64,
    pub windows: u64,
}

/// One window: it reads from `start`, and of its targets the last `counted` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    start: usize,
    length: usize,
    counted: usize,
}

fn windows(tokens: usize, sliding: Sliding) -> Vec<Window> {
    let targets = tokens.saturating_sub(1);
    let context = sliding.context_length.max(1);
    let stride = sliding.stride.clamp(1, context);
    let mut windows = Vec::new();
    let mut done = 0;
    while done < targets {
        // The first window counts whole, every other the targets that are new to it.
        let counted = match done {
            0 => context.min(targets),
            _ => stride.min(targets - done),
        };
        let end = done + counted;
        let length = context.min(end);
        windows.push(Window {
            start: end - length,
            length,
            counted,
        });
        done = end;
    }
    windows
}

/// Scores a text of token ids; `None` when there is nothing to predict, that is for fewer than two tokens.
///
/// `progress` hears of every forward pass how many windows are done, of how many.
pub fn sliding(
    model: &LanguageModel,
    ids: &[u32],
    sliding: Sliding,
    progress: &mut dyn FnMut(u64, u64),
) -> Option<Score> {
    let model = model.valid();
    let windows = windows(ids.len(), sliding);
    if windows.is_empty() {
        return None;
    }
    let mut nats: Vec<f64> = Vec::with_capacity(windows.len());
    // Windows of one length run as one batch; only the first and the last can be shorter.
    for group in windows.chunk_by(|a, b| a.length == b.length && a.counted == b.counted) {
        for batch in group.chunks(sliding.batch_size.max(1)) {
            nats.extend(batch_nats(&model, ids, batch));
            progress(nats.len() as u64, windows.len() as u64);
        }
    }
    Some(summary(&windows, &nats))
}

/// Nats of the counted targets of each window.
fn batch_nats(model: &LanguageModel, ids: &[u32], batch: &[Window]) -> Vec<f64> {
    let device = model.device();
    let Window {
        length, counted, ..
    } = batch[0];
    let gather = |offset: usize, count: usize| -> Tensor<2, Int> {
        let values: Vec<i32> = batch
            .iter()
            .flat_map(|window| &ids[window.start + offset..][..count])
            .map(|&id| id as i32)
            .collect();
        Tensor::from_data(TensorData::new(values, [batch.len(), count]), &device)
    };
    let (logits, _) = model.forward(gather(0, length), None); // [windows, length, vocab]
    let logits = logits.slice(s![.., length - counted.., ..]);
    let targets = gather(1 + length - counted, counted); // [windows, counted]
    let losses: Vec<Tensor<1>> = (0..batch.len())
        .map(|row| {
            let logits = logits.clone().slice(s![row..=row, .., ..]);
            cross_entropy(logits, targets.clone().slice(s![row..=row, ..]))
        })
        .collect();
    Tensor::cat(losses, 0)
        .into_data()
        .iter::<f32>()
        .map(|mean| f64::from(mean) * counted as f64)
        .collect()
}

fn summary(windows: &[Window], nats: &[f64]) -> Score {
    let tokens: usize = windows.iter().map(|window| window.counted).sum();
    let loss = nats.iter().sum::<f64>() / tokens as f64;
    let count = windows.len() as f64;
    let squares: f64 = windows
        .iter()
        .zip(nats)
        .map(|(window, nats)| (nats - loss * window.counted as f64).powi(2))
        .sum();
    Score {
        loss,
        standard_error: (windows.len() > 1)
            .then(|| (count / (count - 1.0) * squares).sqrt() / tokens as f64),
        tokens: tokens as u64,
        windows: windows.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::tests::variants;

    #[test]
    fn every_target_counts_once_and_looks_back_far_enough() {
        for tokens in 0..40 {
            for context_length in 1..9 {
                for stride in 1..=context_length {
                    let sliding = Sliding {
                        context_length,
                        stride,
                        batch_size: 3,
                    };
                    let mut next = 1;
                    for window in windows(tokens, sliding) {
                        assert!(window.counted <= window.length && window.length <= context_length);
                        let end = window.start + window.length;
                        assert_eq!(end + 1 - window.counted, next);
                        next = end + 1;
                        let before = window.length - window.counted;
                        assert!(window.start == 0 || before >= context_length - stride);
                    }
                    assert_eq!(next.max(1), tokens.max(1));
                }
            }
        }
    }

    /// Each token's loss by a forward pass of its own.
    #[test]
    fn the_score_is_that_of_each_token_alone() {
        let ids: Vec<u32> = (0..37).map(|i| (i * i + 3) % 11).collect();
        for (name, config) in variants() {
            let model = LanguageModel::new(&config, 11, 5, &Device::flex());
            let context_length = config.context_length();
            for stride in [1, context_length / 2, context_length] {
                let stride = stride.max(1);
                let plan = Sliding {
                    context_length,
                    stride,
                    batch_size: 4,
                };
                let score = sliding(&model, &ids, plan, &mut |_, _| {}).unwrap();
                assert_eq!(score.tokens, 36);
                let mut sum = 0.0;
                for window in windows(ids.len(), plan) {
                    for target in window.length - window.counted..window.length {
                        let seen = &ids[window.start..window.start + target + 1];
                        let values: Vec<i32> = seen.iter().map(|&id| id as i32).collect();
                        let tokens = Tensor::<2, Int>::from_data(
                            TensorData::new(values, [1, seen.len()]),
                            &Device::flex(),
                        );
                        let (logits, _) = model.forward(tokens, None);
                        let logits = logits.slice(s![.., seen.len() - 1.., ..]);
                        let logits: Vec<f32> = logits.into_data().try_into_vec().unwrap();
                        let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
                        let next = ids[window.start + target + 1] as usize;
                        sum += total.ln() - f64::from(logits[next]);
                    }
                }
                let expected = sum / 36.0;
                assert!(
                    (score.loss - expected).abs() < 1e-5,
                    "{name} stride {stride}: {} {expected}",
                    score.loss
                );
            }
        }
    }

    #[test]
    fn the_standard_error_is_that_of_a_ratio() {
        let window = |counted| Window {
            start: 0,
            length: counted,
            counted,
        };
        // Means 1, 2 and 3 over 2, 2 and 4 tokens: loss 18/8; residuals -2.5, -0.5, 3.
        let score = summary(&[window(2), window(2), window(4)], &[2.0, 4.0, 12.0]);
        assert_eq!(score.loss, 2.25);
        let expected = (1.5 * (6.25 + 0.25 + 9.0_f64)).sqrt() / 8.0;
        assert!((score.standard_error.unwrap() - expected).abs() < 1e-12);
        assert_eq!(summary(&[window(2)], &[2.0]).standard_error, None);
    }
}
