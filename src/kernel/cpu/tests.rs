//! Every kernel against its definition in float64, and every gradient against central differences of it.

use super::activation::{self, Activation, Mask};
use super::attention::{self, Sizes};
use super::{embedding, layer_norm, linear};

/// Reproducible values in about `[-1.5, 1.5]`.
pub(super) fn values(len: usize, salt: u64) -> Vec<f32> {
    let mix = |i| crate::kernel::simd::mix(salt, i) as f32 / u32::MAX as f32;
    (0..len as u64).map(|i| 3.0 * mix(i) - 1.5).collect()
}

pub(super) fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*f) - e).abs() / scale;
        assert!(error < tolerance, "{what}[{i}]: {f} instead of {e}");
    }
}

/// Gradient of `weights·f(x)` by central differences in float64.
pub(super) fn numeric_gradient(
    x: &[f32],
    weights: &[f32],
    f: &dyn Fn(&[f64]) -> Vec<f64>,
) -> Vec<f64> {
    let mut x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let h = 1e-5;
    let value = |x: &[f64]| -> f64 {
        let out = f(x);
        out.iter()
            .zip(weights)
            .map(|(o, w)| o * f64::from(*w))
            .sum()
    };
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + h;
            let above = value(&x);
            x[i] = at - h;
            let below = value(&x);
            x[i] = at;
            (above - below) / (2.0 * h)
        })
        .collect()
}

pub(super) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

fn attention_definition(qkv: &[f64], sizes: Sizes, mask: Option<Mask>) -> Vec<f64> {
    let Sizes {
        batch,
        seq,
        n_heads,
        d_head,
    } = sizes;
    let d = n_heads * d_head;
    let at = |b: usize, t: usize, part: usize, h: usize, e: usize| {
        qkv[(b * seq + t) * 3 * d + part * d + h * d_head + e]
    };
    let mut out = vec![0.0; batch * seq * d];
    for b in 0..batch {
        for h in 0..n_heads {
            for i in 0..seq {
                let score = |j: usize| -> f64 {
                    let dot: f64 = (0..d_head)
                        .map(|e| at(b, i, 0, h, e) * at(b, j, 1, h, e))
                        .sum();
                    dot / (d_head as f64).sqrt()
                };
                let exps: Vec<f64> = (0..=i).map(|j| score(j).exp()).collect();
                let sum: f64 = exps.iter().sum();
                for (j, exp) in exps.iter().enumerate() {
                    let index = (((b * n_heads + h) * seq + i) * seq + j) as u64;
                    let keep = mask.map_or(1.0, |m| f64::from(m.factor(index)));
                    for e in 0..d_head {
                        out[(b * seq + i) * d + h * d_head + e] +=
                            keep * exp / sum * at(b, j, 2, h, e);
                    }
                }
            }
        }
    }
    out
}

/// Sizes, mask, input, output and log-denominators; the output is that of the definition.
type AttentionCase = (Sizes, Option<Mask>, Vec<f32>, Vec<f32>, Vec<f32>);

fn attention_case([batch, seq, n_heads, d_head]: [usize; 4], dropout: f64) -> AttentionCase {
    let sizes = Sizes {
        batch,
        seq,
        n_heads,
        d_head,
    };
    let mask = (dropout > 0.0).then(|| Mask::new(9, dropout));
    let qkv = values(batch * seq * 3 * n_heads * d_head, 1);
    let (out, logs) = attention::forward(&qkv, sizes, mask);
    let expected = attention_definition(&wide(&qkv), sizes, mask);
    assert_close(&out, &expected, 2e-6, "output");
    (sizes, mask, qkv, out, logs)
}

#[test]
fn attention_matches_its_definition_and_its_gradient() {
    for (batch, seq, n_heads, d_head, dropout) in [
        (1, 1, 1, 1, 0.0),
        (2, 7, 2, 3, 0.0),
        (1, 5, 1, 4, 0.3),
        (1, 70, 2, 2, 0.0),
        (1, 66, 1, 2, 0.2),
    ] {
        let (sizes, mask, qkv, out, logs) = attention_case([batch, seq, n_heads, d_head], dropout);
        if seq > 10 {
            continue; // Differences over long inputs take minutes; the blocks are covered below.
        }
        let grad = values(out.len(), 2);
        let found = attention::backward(&qkv, &out, &logs, &grad, sizes, mask);
        let expected = numeric_gradient(&qkv, &grad, &|x| attention_definition(x, sizes, mask));
        assert_close(&found, &expected, 1e-5, "gradient");
    }
}

#[test]
fn attention_gradients_cross_block_borders() {
    let sizes = Sizes {
        batch: 1,
        seq: 67,
        n_heads: 1,
        d_head: 1,
    };
    let qkv = values(67 * 3, 5);
    let (out, logs) = attention::forward(&qkv, sizes, None);
    let grad = values(67, 6);
    let found = attention::backward(&qkv, &out, &logs, &grad, sizes, None);
    let expected = numeric_gradient(&qkv, &grad, &|x| attention_definition(x, sizes, None));
    assert_close(&found, &expected, 1e-5, "gradient");
}

#[test]
fn attention_over_several_blocks_and_odd_sizes_has_the_right_slope() {
    for (batch, seq, n_heads, d_head, dropout) in [
        (1, 150, 2, 20, 0.0),
        (1, 129, 1, 33, 0.2),
        (2, 64, 1, 16, 0.0),
        (1, 65, 2, 8, 0.1),
    ] {
        let (sizes, mask, qkv, out, logs) = attention_case([batch, seq, n_heads, d_head], dropout);
        // Along a direction that favours no value, for each of the three parts by itself.
        let grad = values(out.len(), 2);
        let found = attention::backward(&qkv, &out, &logs, &grad, sizes, mask);
        let (d_model, along) = (n_heads * d_head, values(qkv.len(), 3));
        for part in 0..3 {
            let of_part = |at: usize| at / d_model % 3 == part;
            let step = |h: f64| {
                let moved: Vec<f64> = (0..qkv.len())
                    .map(|at| {
                        let by = if of_part(at) {
                            f64::from(along[at])
                        } else {
                            0.0
                        };
                        f64::from(qkv[at]) + h * by
                    })
                    .collect();
                let out = attention_definition(&moved, sizes, mask);
                let products = out.iter().zip(&grad).map(|(o, g)| o * f64::from(*g));
                products.sum::<f64>()
            };
            let expected = (step(1e-4) - step(-1e-4)) / 2e-4;
            let slope: f64 = (0..qkv.len())
                .filter(|at| of_part(*at))
                .map(|at| f64::from(found[at]) * f64::from(along[at]))
                .sum();
            let size: f64 = found.iter().map(|v| f64::from(v.abs())).sum();
            assert!(
                (slope - expected).abs() < 1e-6 * size + 1e-5,
                "{seq} {d_head} part {part}: {slope} {expected}"
            );
        }
    }
}

#[test]
fn attention_survives_extreme_scores() {
    let sizes = Sizes {
        batch: 1,
        seq: 3,
        n_heads: 1,
        d_head: 2,
    };
    let qkv: Vec<f32> = values(18, 3).iter().map(|v| v * 1e4).collect();
    let (out, logs) = attention::forward(&qkv, sizes, None);
    let gradient = attention::backward(&qkv, &out, &logs, &values(6, 4), sizes, None);
    assert!(out.iter().chain(&gradient).all(|v| v.is_finite()));
}

fn layer_norm_definition(x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let d = gamma.len();
    let mut out = Vec::new();
    for row in x.chunks(d) {
        let mean = row.iter().sum::<f64>() / d as f64;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
        let scale = 1.0 / (variance + 1e-5).sqrt();
        out.extend(
            row.iter()
                .zip(gamma.iter().zip(beta))
                .map(|(v, (g, b))| (v - mean) * scale * g + b),
        );
    }
    out
}

#[test]
fn layer_norm_matches_its_definition_and_its_gradients() {
    // With two columns the gradient cancels to about zero and has no relative accuracy to speak of.
    for (rows, d) in [(1, 3), (3, 5), (4, 33)] {
        let (x, gamma, beta) = (values(rows * d, 1), values(d, 2), values(d, 3));
        let (y, saved) = layer_norm::forward(&x, &gamma, Some(&beta), 1e-5);
        let (wx, wg, wb) = (wide(&x), wide(&gamma), wide(&beta));
        assert_close(&y, &layer_norm_definition(&wx, &wg, &wb), 1e-6, "y");
        let dy = values(rows * d, 4);
        let (dx, dgamma, dbeta) = layer_norm::backward(&x, &gamma, &saved, &dy);
        let of_x = numeric_gradient(&x, &dy, &|x| layer_norm_definition(x, &wg, &wb));
        let of_gamma = numeric_gradient(&gamma, &dy, &|g| layer_norm_definition(&wx, g, &wb));
        let of_beta = numeric_gradient(&beta, &dy, &|b| layer_norm_definition(&wx, &wg, b));
        assert_close(&dx, &of_x, 2e-5, "dx");
        assert_close(&dgamma, &of_gamma, 1e-5, "dgamma");
        assert_close(&dbeta, &of_beta, 1e-5, "dbeta");
    }
}

#[test]
fn activations_match_their_definitions_and_slopes() {
    let x: Vec<f32> = (0..2001)
        .map(|i| (i as f32 - 1000.0) / 150.0 + 1e-3)
        .collect();
    let cubic = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    let tanh_form = |x: &f64| 0.5 * x * (1.0 + cubic(*x).tanh());
    let (y, slope) = activated(Activation::GeluTanh, &x);
    let expected: Vec<f64> = wide(&x).iter().map(tanh_form).collect();
    assert_close(&y, &expected, 1e-6, "gelu-tanh");
    let expected: Vec<f64> = wide(&x)
        .iter()
        .map(|x| (tanh_form(&(x + 1e-5)) - tanh_form(&(x - 1e-5))) / 2e-5)
        .collect();
    assert_close(&slope, &expected, 2e-6, "gelu-tanh slope");
    // The exact form differs from the tanh form by at most 5e-4 and has known values (torch.nn.functional.gelu).
    let (known, _) = activated(Activation::Gelu, &[-2.0, -1.0, -0.5, 0.5, 1.0, 2.0]);
    let expected = [
        -0.045_500_26,
        -0.158_655_25,
        -0.154_268_77,
        0.345_731_23,
        0.841_344_75,
        1.954_499_7,
    ];
    assert_close(&known, &expected, 1e-6, "gelu");
    let h = 1e-2f32;
    let (_, slope) = activated(Activation::Gelu, &x);
    let shifted = |by: f32| {
        let x: Vec<f32> = x.iter().map(|x| x + by).collect();
        activated(Activation::Gelu, &x).0
    };
    let expected: Vec<f64> = shifted(h)
        .iter()
        .zip(shifted(-h))
        .map(|(a, b)| f64::from(a - b) / f64::from(2.0 * h))
        .collect();
    assert_close(&slope, &expected, 2e-4, "gelu slope");
    let (y, slope) = activated(Activation::Tanh, &x);
    let expected: Vec<f64> = wide(&x).iter().map(|x| x.tanh()).collect();
    assert_close(&y, &expected, 1e-6, "tanh");
    let expected: Vec<f64> = expected.iter().map(|y| 1.0 - y * y).collect();
    assert_close(&slope, &expected, 1e-6, "tanh slope");
    let (y, slope) = activated(Activation::Relu, &[-1.0, 0.0, 2.0]);
    assert_eq!(y, [0.0, 0.0, 2.0]);
    assert_eq!(slope, [0.0, 0.0, 1.0]);
}

#[test]
fn what_is_no_number_stays_none() {
    for kind in EVERY_ACTIVATION {
        // As many as fill a vector and a rest.
        for count in [1, 21] {
            let (y, slope) = activated(kind, &vec![f32::NAN; count]);
            assert!(y.iter().all(|y| y.is_nan()), "{kind:?}: {y:?}");
            // PyTorch passes the gradient of a ReLU on at such a place.
            let hidden = slope.contains(&0.0);
            assert!(!hidden, "{kind:?}: {slope:?}");
        }
    }
}

const EVERY_ACTIVATION: [Activation; 4] = [
    Activation::Relu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Tanh,
];

/// Values and derivatives, without a bias.
fn activated(kind: Activation, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut y = x.to_vec();
    let kept = activation::with_bias_and_slope(kind, &mut y, None);
    let mut slope = vec![1.0; x.len()];
    match kind {
        Activation::Relu => activation::relu_backward(&y, &mut slope),
        Activation::Tanh => activation::tanh_backward(&y, &mut slope),
        Activation::Gelu | Activation::GeluTanh => activation::backward(&kept, &mut slope),
    }
    (y, slope)
}

#[test]
fn a_bias_is_added_before_the_activation() {
    for kind in EVERY_ACTIVATION {
        // More rows than a piece has, and a width that fills no vector.
        let (rows, width) = (3000, 7);
        let (x, bias) = (values(rows * width, 5), values(width, 6));
        let sums: Vec<f32> = x
            .iter()
            .enumerate()
            .map(|(i, x)| x + bias[i % width])
            .collect();
        let (expected, expected_slope) = activated(kind, &sums);
        let (mut y, mut plain) = (x.clone(), x.clone());
        let slope = activation::with_bias_and_slope(kind, &mut y, Some(&bias));
        activation::with_bias(kind, &mut plain, Some(&bias));
        assert_close(&y, &wide(&expected), 1e-6, "value");
        assert_close(&plain, &wide(&expected), 1e-6, "value alone");
        match kind {
            Activation::Relu | Activation::Tanh => assert!(slope.is_empty()),
            _ => assert_close(&slope, &wide(&expected_slope), 1e-5, "slope"),
        }
    }
}

#[test]
fn dropout_keeps_the_stated_share_and_the_mean() {
    let mut x = vec![1.0; 200_000];
    activation::dropout(&mut x, Mask::new(3, 0.25));
    let kept = x.iter().filter(|v| **v != 0.0).count() as f64 / x.len() as f64;
    let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    assert!(
        (kept - 0.75).abs() < 0.005 && (mean - 1.0).abs() < 0.007,
        "{kept} {mean}"
    );
}

#[test]
fn linear_and_embedding_gradients_match_differences() {
    let (rows, n_in, n_out) = (5, 3, 4);
    let (x, w, b) = (
        values(rows * n_in, 1),
        values(n_in * n_out, 2),
        values(n_out, 3),
    );
    let definition = |x: &[f64], w: &[f64], b: &[f64]| -> Vec<f64> {
        let entry = |row: &[f64], o: usize| {
            (0..n_in).map(|i| row[i] * w[i * n_out + o]).sum::<f64>() + b[o]
        };
        x.chunks(n_in)
            .flat_map(|row| (0..n_out).map(move |o| entry(row, o)))
            .collect()
    };
    let (wx, ww, wb) = (wide(&x), wide(&w), wide(&b));
    assert_close(
        &linear::forward(&x, &w, Some(&b), n_in, n_out),
        &definition(&wx, &ww, &wb),
        1e-6,
        "y",
    );
    let dy = values(rows * n_out, 4);
    let dx = numeric_gradient(&x, &dy, &|x| definition(x, &ww, &wb));
    let dw = numeric_gradient(&w, &dy, &|w| definition(&wx, w, &wb));
    let db = numeric_gradient(&b, &dy, &|b| definition(&wx, &ww, b));
    assert_close(
        &linear::input_gradient(&dy, &w, n_in, n_out),
        &dx,
        1e-5,
        "dx",
    );
    assert_close(
        &linear::weight_gradient(&x, &dy, n_in, n_out),
        &dw,
        1e-5,
        "dw",
    );
    assert_close(&linear::bias_gradient(&dy, n_out), &db, 1e-5, "db");

    let (table, ids) = (values(6, 5), [2, 0, 2]);
    assert_eq!(
        embedding::gather(&table, &ids, 2),
        [table[4], table[5], table[0], table[1], table[4], table[5]]
    );
    let scattered = embedding::scatter(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &ids, 3, 2);
    assert_eq!(scattered, [3.0, 4.0, 0.0, 0.0, 6.0, 8.0]);
}
