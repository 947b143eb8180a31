//! The output layer and its softmax cross-entropy in one operation: the logits of all tokens never exist together.
//!
//! Rows are taken in chunks of a few megabytes of logits. A training pass makes a chunk's logits, turns them into their gradient
//! in place and at once adds its share to the gradients of the input, the weight and the bias, as the gradient of the loss itself
//! is almost always 1 and otherwise a factor. So nothing is computed twice and nothing of size `rows × vocab` is kept.

use rayon::prelude::*;

use super::buffer;
use super::cross_entropy::{Row, row_gradient, row_loss};
use super::matmul::{Threads, View, product};
use super::shared::append_beside_over_rows;

/// Logits that exist at a time, at most, where that is at least [`MIN_ROWS`] rows.
const LOGITS: usize = 1 << 21;
/// Fewer rows would read and write the gradient of the weight too often.
const MIN_ROWS: usize = 128;
/// Rows per task of the softmax, for which one sum of the bias's gradient is kept.
const TASK: usize = 16;

/// An output layer: which way its weight lies, and its bias.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// `[d, vocab]`, or `[vocab, d]` when `transposed` (an embedding used as the output layer).
    pub weight: &'a [f32],
    pub transposed: bool,
    /// `[vocab]`
    pub bias: Option<&'a [f32]>,
    pub d: usize,
    pub vocab: usize,
    /// ε of the target distribution; 0 is plain cross-entropy.
    pub label_smoothing: f32,
}

/// What [`Head::loss_and_gradients`] finds.
pub struct Found {
    /// The sum over rows of the cross-entropy with the target distribution, nats.
    pub sum: f64,
    /// `[rows, d]`
    pub dx: Vec<f32>,
    /// As the weight lies.
    pub dweight: Vec<f32>,
    /// `[vocab]`; empty without a bias.
    pub dbias: Vec<f32>,
}

impl<'a> Head<'a> {
    fn chunk_rows(&self) -> usize {
        (LOGITS / self.vocab).max(MIN_ROWS)
    }

    /// The weight as `[d, vocab]`.
    fn weight(&self) -> View<'a> {
        match self.transposed {
            true => View::new(self.weight, self.vocab, self.d).transposed(),
            false => View::new(self.weight, self.d, self.vocab),
        }
    }

    /// Logits without the bias, which the softmax adds.
    fn logits(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.d;
        product(View::new(x, rows, self.d), self.weight(), Threads::All)
    }

    fn check(&self, x: &[f32], targets: &[i64]) {
        assert_eq!(self.weight.len(), self.d * self.vocab);
        assert_eq!(x.len(), targets.len() * self.d);
        assert!(self.bias.is_none_or(|bias| bias.len() == self.vocab));
    }

    /// `x` `[rows, d]`, targets below `vocab` → the sum over rows of the cross-entropy of softmax(x·W + b) with the target distribution,
    /// nats: -ln softmax`[target]` without label smoothing.
    pub fn loss(&self, x: &[f32], targets: &[i64]) -> f64 {
        self.check(x, targets);
        let rows = self.chunk_rows();
        let mut total = 0.0;
        for (x, targets) in x.chunks(rows * self.d).zip(targets.chunks(rows)) {
            let mut logits = self.logits(x);
            let partial: Vec<f64> = logits
                .par_chunks_mut(TASK * self.vocab)
                .zip(targets.par_chunks(TASK))
                .map(|(logits, targets)| {
                    let rows = logits.chunks_exact_mut(self.vocab).zip(targets);
                    rows.map(|(logits, target)| row_loss(self.row(logits, *target)))
                        .sum()
                })
                .collect();
            total += partial.iter().sum::<f64>();
        }
        total
    }

    fn row<'r>(&self, logits: &'r mut [f32], target: i64) -> Row<'r>
    where
        'a: 'r,
    {
        Row {
            logits,
            bias: self.bias,
            target: target as usize,
            label_smoothing: self.label_smoothing,
        }
    }

    /// As [`Head::loss`]; the gradients are those of `scale` times the sum.
    pub fn loss_and_gradients(&self, x: &[f32], targets: &[i64], scale: f32) -> Found {
        self.check(x, targets);
        let Self { d, vocab, .. } = *self;
        let rows = self.chunk_rows();
        let mut found = Found {
            sum: 0.0,
            dx: Vec::with_capacity(x.len()),
            dweight: Vec::new(),
            dbias: buffer(self.bias.map_or(0, |bias| bias.len())),
        };
        for (x, targets) in x.chunks(rows * d).zip(targets.chunks(rows)) {
            let rows = targets.len();
            let mut logits = self.logits(x);
            found.sum += self.softmax(&mut logits, targets, scale, &mut found.dbias);
            let dlogits = View::new(&logits, rows, vocab);
            let x = View::new(x, rows, d);
            let pair = match self.transposed {
                true => [dlogits, x],
                false => [x, dlogits],
            };
            append_beside_over_rows(
                &mut found.dx,
                [dlogits, self.weight().transposed()],
                &mut found.dweight,
                pair,
                None,
            );
        }
        found
    }

    /// Logits without bias become the gradient of `scale` times their loss, whose sum comes back.
    fn softmax(&self, logits: &mut [f32], targets: &[i64], scale: f32, dbias: &mut [f32]) -> f64 {
        let partial: Vec<(f64, Vec<f32>)> = logits
            .par_chunks_mut(TASK * self.vocab)
            .zip(targets.par_chunks(TASK))
            .map(|(logits, targets)| {
                let mut sum = 0.0;
                let mut columns = buffer(dbias.len());
                let rows = logits.chunks_exact_mut(self.vocab).zip(targets);
                for (logits, target) in rows {
                    sum += row_gradient(self.row(logits, *target), scale, &mut columns);
                }
                (sum, columns)
            })
            .collect();
        for (_, columns) in &partial {
            for (total, part) in dbias.iter_mut().zip(columns) {
                *total += part;
            }
        }
        partial.iter().map(|(sum, _)| sum).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numeric_gradient, values, wide};
    use super::*;

    /// Inputs, weight `[d, vocab]`, bias and targets.
    struct Case {
        x: Vec<f32>,
        weight: Vec<f32>,
        bias: Vec<f32>,
        targets: Vec<i64>,
        d: usize,
        vocab: usize,
    }

    impl Case {
        fn new(rows: usize, d: usize, vocab: usize) -> Self {
            Self {
                x: values(rows * d, 1),
                weight: values(d * vocab, 2),
                bias: values(vocab, 3),
                targets: (0..rows as i64).map(|i| (i * 7) % vocab as i64).collect(),
                d,
                vocab,
            }
        }

        fn head(&self) -> Head<'_> {
            Head {
                label_smoothing: 0.0,
                weight: &self.weight,
                transposed: false,
                bias: Some(&self.bias),
                d: self.d,
                vocab: self.vocab,
            }
        }

        /// The sum of the losses with label smoothing, in float64, straight from the definition.
        fn definition(&self, x: &[f64], weight: &[f64], bias: &[f64], smoothing: f64) -> f64 {
            let row_loss = |(row, target): (&[f64], &i64)| {
                let logit = |v: usize| {
                    let terms = row.iter().enumerate();
                    terms
                        .map(|(i, x)| x * weight[i * self.vocab + v])
                        .sum::<f64>()
                        + bias[v]
                };
                let sum: f64 = (0..self.vocab).map(|v| logit(v).exp()).sum();
                let mean = (0..self.vocab).map(logit).sum::<f64>() / self.vocab as f64;
                sum.ln() - (1.0 - smoothing) * logit(*target as usize) - smoothing * mean
            };
            x.chunks(self.d).zip(&self.targets).map(row_loss).sum()
        }
    }

    #[test]
    fn loss_and_gradients_match_the_definition() {
        for (rows, d, vocab, smoothing) in [
            (1, 1, 2, 0.0),
            (5, 3, 17, 0.0),
            (37, 4, 33, 0.0),
            (5, 3, 17, 0.1),
            (37, 4, 33, 0.5),
        ] {
            let case = Case::new(rows, d, vocab);
            let head = Head {
                label_smoothing: smoothing as f32,
                ..case.head()
            };
            let (x, w, b) = (wide(&case.x), wide(&case.weight), wide(&case.bias));
            let expected = case.definition(&x, &w, &b, smoothing);
            let found = head.loss_and_gradients(&case.x, &case.targets, 0.5);
            assert!((found.sum - expected).abs() < 1e-5 * expected.abs());
            let loss = head.loss(&case.x, &case.targets);
            assert!((loss - expected).abs() < 1e-5 * expected.abs());
            let loss = |x: &[f64], w: &[f64], b: &[f64]| vec![case.definition(x, w, b, smoothing)];
            let of_x = numeric_gradient(&case.x, &[0.5], &|x| loss(x, &w, &b));
            let of_w = numeric_gradient(&case.weight, &[0.5], &|w| loss(&x, w, &b));
            let of_b = numeric_gradient(&case.bias, &[0.5], &|b| loss(&x, &w, b));
            assert_close(&found.dx, &of_x, 1e-5, "dx");
            assert_close(&found.dweight, &of_w, 1e-5, "dweight");
            assert_close(&found.dbias, &of_b, 1e-5, "dbias");
        }
    }

    /// More rows than a chunk has, against the operations one by one in float64.
    #[test]
    fn chunks_add_up() {
        let case = Case::new(MIN_ROWS + 5, 2, 20_011);
        let found = case.head().loss_and_gradients(&case.x, &case.targets, 1.0);
        assert!(case.targets.len() > case.head().chunk_rows());
        let (d, vocab) = (case.d, case.vocab);
        let mut dx = vec![0.0; case.x.len()];
        let (mut dweight, mut dbias) = (vec![0.0; d * vocab], vec![0.0; vocab]);
        let mut sum = 0.0;
        for (row, target) in case.targets.iter().enumerate() {
            let x: [f64; 2] = [0, 1].map(|i| f64::from(case.x[row * d + i]));
            let weight = |i: usize, v: usize| f64::from(case.weight[i * vocab + v]);
            let logits: Vec<f64> = (0..vocab)
                .map(|v| x[0] * weight(0, v) + x[1] * weight(1, v) + f64::from(case.bias[v]))
                .collect();
            let denominator: f64 = logits.iter().map(|l| l.exp()).sum();
            sum += denominator.ln() - logits[*target as usize];
            for (v, logit) in logits.iter().enumerate() {
                let hit = f64::from(u8::from(v as i64 == *target));
                let gradient = logit.exp() / denominator - hit;
                dbias[v] += gradient;
                for i in 0..d {
                    dx[row * d + i] += gradient * weight(i, v);
                    dweight[i * vocab + v] += gradient * x[i];
                }
            }
        }
        assert!((found.sum - sum).abs() < 1e-6 * sum);
        assert_close(&found.dx, &dx, 1e-5, "dx");
        assert_close(&found.dweight, &dweight, 1e-5, "dweight");
        assert_close(&found.dbias, &dbias, 1e-5, "dbias");
    }

    #[test]
    fn a_transposed_weight_gives_the_transposed_gradient() {
        let case = Case::new(21, 6, 40);
        let across = |matrix: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            let entries = 0..rows * columns;
            entries
                .map(|i| matrix[i % rows * columns + i / rows])
                .collect()
        };
        let turned = across(&case.weight, 6, 40);
        let straight = Head {
            bias: None,
            ..case.head()
        };
        let tied = Head {
            weight: &turned,
            transposed: true,
            ..straight
        };
        let straight = straight.loss_and_gradients(&case.x, &case.targets, 1.0);
        let tied = tied.loss_and_gradients(&case.x, &case.targets, 1.0);
        assert!((straight.sum - tied.sum).abs() < 1e-4);
        assert_close(&tied.dx, &wide(&straight.dx), 1e-6, "dx");
        let expected = wide(&across(&straight.dweight, 6, 40));
        assert_close(&tied.dweight, &expected, 1e-6, "dweight");
        assert!(tied.dbias.is_empty());
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let case = Case::new(300, 24, 9001);
        let run = || case.head().loss_and_gradients(&case.x, &case.targets, 0.1);
        let pool = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
        };
        let (one, three) = (pool(1).install(run), pool(3).install(run));
        assert_eq!(one.sum.to_bits(), three.sum.to_bits());
        assert_eq!(one.dx, three.dx);
        assert_eq!(one.dweight, three.dweight);
        assert_eq!(one.dbias, three.dbias);
    }

    #[test]
    fn extreme_and_broken_logits() {
        let case = Case::new(4, 2, 50);
        let far: Vec<f32> = case.x.iter().map(|x| x * 1e4).collect();
        let found = case.head().loss_and_gradients(&far, &case.targets, 1.0);
        assert!(found.sum.is_finite() && found.sum > 0.0);
        assert!(found.dx.iter().chain(&found.dweight).all(|v| v.is_finite()));
        for broken in [f32::NAN, f32::INFINITY] {
            let mut bias = case.bias.clone();
            bias[33] = broken;
            let head = Head {
                bias: Some(&bias),
                ..case.head()
            };
            assert!(head.loss(&case.x, &case.targets).is_nan());
            let found = head.loss_and_gradients(&case.x, &case.targets, 1.0);
            assert!(found.sum.is_nan());
        }
    }
}
