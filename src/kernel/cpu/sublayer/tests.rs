use super::super::tests::{assert_close, values, wide};
use super::super::{layer_norm, linear};
use super::*;

struct Case {
    x: Vec<f32>,
    dy: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    weights: [Vec<f32>; 2],
    biases: [Vec<f32>; 2],
    batch: usize,
    seq: usize,
    widths: [usize; 2],
    biased: bool,
}

impl Case {
    fn new(batch: usize, seq: usize, d: usize, middle: Middle, biased: bool) -> Self {
        let widths = match middle {
            Middle::Attention { .. } => [3 * d, d],
            Middle::FeedForward(_) => [2 * d + 1, 2 * d + 1],
        };
        Self {
            x: values(batch * seq * d, 1),
            dy: values(batch * seq * d, 2),
            gamma: values(d, 3),
            beta: values(d, 4),
            weights: [values(d * widths[0], 5), values(widths[1] * d, 6)],
            biases: [values(widths[0], 7), values(d, 8)],
            batch,
            seq,
            widths,
            biased,
        }
    }

    fn operands(&self) -> Operands<'_> {
        let d = self.gamma.len();
        let map = |at: usize, n_in, n_out| Affine {
            weight: &self.weights[at],
            bias: self.biased.then_some(&self.biases[at][..]),
            n_in,
            n_out,
        };
        Operands {
            x: &self.x,
            batch: self.batch,
            seq: self.seq,
            gamma: &self.gamma,
            beta: self.biased.then_some(&self.beta[..]),
            first: map(0, d, self.widths[0]),
            second: map(1, self.widths[1], d),
        }
    }
}

fn plus(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn dropped(x: &[f32], mask: Option<Mask>) -> Vec<f32> {
    let mut x = x.to_vec();
    if let Some(mask) = mask {
        activation::dropout(&mut x, mask);
    }
    x
}

/// The output and the gradients by the operations one after the other, each over the whole batch.
fn one_by_one(of: &Sublayer, case: &Case) -> (Vec<f32>, Gradients) {
    let Operands {
        x,
        gamma,
        beta,
        first,
        second,
        ..
    } = case.operands();
    let d = gamma.len();
    let affine =
        |map: Affine, x: &[f32]| linear::forward(x, map.weight, map.bias, map.n_in, map.n_out);
    let norm = |x: &[f32]| layer_norm::forward(x, gamma, beta, of.epsilon);
    let found_before = (of.norm == Norm::Pre).then(|| norm(x));
    let read = found_before.as_ref().map_or(x, |(normed, _)| normed);
    let sizes = |n_heads| attention::Sizes {
        batch: case.batch,
        seq: case.seq,
        n_heads,
        d_head: d / n_heads,
    };
    let inner = affine(first, read);
    let (units, slopes, logs) = match of.middle {
        Middle::Attention { n_heads, mask } => {
            let (out, logs) = attention::forward(&inner, sizes(n_heads), mask);
            (out, Vec::new(), logs)
        }
        Middle::FeedForward(kind) => {
            let mut units = inner.clone();
            let slopes = activation::with_bias_and_slope(kind, &mut units, None);
            (units, slopes, Vec::new())
        }
    };
    let sum = plus(x, &dropped(&affine(second, &units), of.mask));
    let found_after = (of.norm == Norm::Post).then(|| norm(&sum));
    let y = found_after.as_ref().map_or(&sum, |(y, _)| y).clone();

    let after = found_after
        .as_ref()
        .map(|(_, found)| layer_norm::backward(&sum, gamma, found, &case.dy));
    let dsum = after.as_ref().map_or(&case.dy, |(dx, ..)| dx).clone();
    let dadded = dropped(&dsum, of.mask);
    let back = |map: Affine, x: &[f32], dy: &[f32]| {
        let wanted = [true, true, map.bias.is_some()];
        let sizes = [map.n_in, map.n_out];
        linear::gradients(x, map.weight, dy, sizes, wanted).map(Option::unwrap_or_default)
    };
    let [mut dunits, second_weight, second_bias] = back(second, &units, &dadded);
    let dinner = match of.middle {
        Middle::Attention { n_heads, mask } => {
            attention::backward(&inner, &units, &logs, &dunits, sizes(n_heads), mask)
        }
        Middle::FeedForward(kind) => {
            match kind {
                Activation::Relu => activation::relu_backward(&units, &mut dunits),
                Activation::Tanh => activation::tanh_backward(&units, &mut dunits),
                Activation::Gelu | Activation::GeluTanh => {
                    activation::backward(&slopes, &mut dunits);
                }
            }
            dunits
        }
    };
    let [dread, first_weight, first_bias] = back(first, read, &dinner);
    let before = found_before
        .as_ref()
        .map(|(_, found)| layer_norm::backward(x, gamma, found, &dread));
    let through = before.as_ref().map_or(&dread, |(dx, ..)| dx);
    let dx = plus(&dsum, through);
    let (_, gamma, beta) = before.or(after).expect("one norm or the other");
    let gradients = Gradients {
        x: dx,
        gamma,
        beta: if case.biased { beta } else { Vec::new() },
        first: [first_weight, first_bias],
        second: [second_weight, second_bias],
    };
    (y, gradients)
}

fn all(gradients: &Gradients) -> [&[f32]; 7] {
    let Gradients {
        x,
        gamma,
        beta,
        first,
        second,
    } = gradients;
    [x, gamma, beta, &first[0], &first[1], &second[0], &second[1]].map(|part| &part[..])
}

fn sublayers() -> Vec<Sublayer> {
    let mut all = Vec::new();
    for norm in [Norm::Pre, Norm::Post] {
        for dropout in [None, Some(0.3)] {
            let mask = |seed| dropout.map(|rate| Mask::new(seed, rate));
            let heads = Middle::Attention {
                n_heads: 2,
                mask: mask(5),
            };
            let kinds = [Activation::Gelu, Activation::GeluTanh, Activation::Relu];
            for middle in kinds.map(Middle::FeedForward).into_iter().chain([heads]) {
                all.push(Sublayer {
                    norm,
                    epsilon: 1e-5,
                    middle,
                    mask: mask(7),
                });
            }
        }
    }
    all
}

#[test]
fn it_is_what_its_operations_are_one_by_one() {
    for of in sublayers() {
        for (batch, seq, d, biased) in [(1, 1, 6, true), (7, 33, 10, false), (5, 70, 34, true)] {
            let case = Case::new(batch, seq, d, of.middle, biased);
            let (expected, slopes) = one_by_one(&of, &case);
            let (y, kept) = of.forward(&case.operands());
            let what = format!("{of:?} {batch}x{seq}x{d}");
            assert_close(&y, &wide(&expected), 2e-5, &what);
            assert!(of.output(&case.operands()) == y, "{what}");
            let found = of.backward(&case.operands(), &kept, &case.dy);
            for (found, expected) in all(&found).into_iter().zip(all(&slopes)) {
                assert_eq!(found.len(), expected.len(), "{what}");
                assert_close(found, &wide(expected), 1e-4, &what);
            }
        }
    }
}

#[test]
fn units_are_told_in_rows_whatever_pieces_they_were_computed_in() {
    for of in sublayers() {
        let Middle::FeedForward(kind) = of.middle else {
            continue;
        };
        let case = Case::new(5, 70, 34, of.middle, true);
        let operands = case.operands();
        let (_, kept) = of.forward(&operands);
        let read = match of.norm {
            Norm::Pre => layer_norm::forward(&case.x, &case.gamma, operands.beta, of.epsilon).0,
            Norm::Post => case.x.clone(),
        };
        let Affine {
            weight,
            bias,
            n_in,
            n_out,
        } = operands.first;
        let mut units = linear::forward(&read, weight, bias, n_in, n_out);
        activation::apply(kind, &mut units);
        assert!(operands.pieces().len() > 2);
        for tokens in [0, 1, 70, 210, 350] {
            let found = of.units(&operands, &kept, tokens);
            assert_eq!(found.len(), tokens * n_out);
            assert_close(&found, &wide(&units[..tokens * n_out]), 2e-5, "units");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for of in sublayers() {
        let case = Case::new(9, 50, 20, of.middle, true);
        let run = || {
            let (y, kept) = of.forward(&case.operands());
            let gradients = of.backward(&case.operands(), &kept, &case.dy);
            let all = all(&gradients).concat();
            (y, all)
        };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(run)
        };
        let one = on(1);
        assert!(one == on(2) && one == on(5), "{of:?}");
    }
}

#[test]
fn pieces_and_sets_cover_all_tokens() {
    for (batch, seq) in [(1, 1), (1, 5000), (12, 64), (16, 128), (33, 7), (256, 96)] {
        let rows = rows_of_piece(batch, seq);
        assert!(
            rows <= batch && (rows * seq >= TOKENS || rows == batch),
            "{batch} {seq}"
        );
    }
}
