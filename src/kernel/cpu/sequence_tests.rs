//! The kernels over whole sequences against their definitions in float64, and their gradients against central differences.

use super::additive;
use super::dot_attention;
use super::linear;
use super::recurrent::{self, Cell, Initial, Sizes};
use super::tests::{assert_close, numeric_gradient, values, wide};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// All hidden states, and the last cell states.
fn recurrent_definition(
    cell: Cell,
    sizes: Sizes,
    [projected, weight, bias]: [&[f64]; 3],
    initial: &Initial,
) -> (Vec<f64>, Vec<f64>) {
    let Sizes { batch, seq, hidden } = sizes;
    let width = cell.gates() * hidden;
    let (mut output, mut cells) = (Vec::new(), Vec::new());
    for b in 0..batch {
        let mut h = wide(&initial.hidden[b * hidden..][..hidden]);
        let mut c = match cell {
            Cell::Lstm => wide(&initial.cell[b * hidden..][..hidden]),
            _ => Vec::new(),
        };
        for t in 0..seq {
            let x = &projected[(b * seq + t) * width..][..width];
            let a: Vec<f64> = (0..width)
                .map(|g| {
                    bias[g]
                        + (0..hidden)
                            .map(|e| h[e] * weight[e * width + g])
                            .sum::<f64>()
                })
                .collect();
            let gate = |block: usize, e: usize| x[block * hidden + e] + a[block * hidden + e];
            for e in 0..hidden {
                h[e] = match cell {
                    Cell::Rnn => gate(0, e).tanh(),
                    Cell::Gru => {
                        let (r, z) = (sigmoid(gate(0, e)), sigmoid(gate(1, e)));
                        let n = (x[2 * hidden + e] + r * a[2 * hidden + e]).tanh();
                        (1.0 - z) * n + z * h[e]
                    }
                    Cell::Lstm => {
                        let (i, f) = (sigmoid(gate(0, e)), sigmoid(gate(1, e)));
                        c[e] = f * c[e] + i * gate(2, e).tanh();
                        sigmoid(gate(3, e)) * c[e].tanh()
                    }
                };
            }
            output.extend(&h);
        }
        cells.extend(c);
    }
    (output, cells)
}

#[test]
fn recurrent_layers_match_their_definitions_and_their_gradients() {
    // 17 rows of the batch make two tasks.
    let shapes = [(1, 1, 1), (2, 5, 3), (17, 3, 2), (3, 2, 19)];
    for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
        for (batch, seq, hidden) in shapes {
            let sizes = Sizes { batch, seq, hidden };
            let width = cell.gates() * hidden;
            let projected = values(batch * seq * width, 1);
            let (weight, bias) = (values(hidden * width, 2), values(width, 3));
            let initial = Initial {
                hidden: values(batch * hidden, 4),
                cell: match cell {
                    Cell::Lstm => values(batch * hidden, 5),
                    _ => Vec::new(),
                },
            };
            let found = recurrent::forward(cell, sizes, [&projected, &weight, &bias], &initial);
            let (wx, ww, wb) = (wide(&projected), wide(&weight), wide(&bias));
            let (output, cells) =
                recurrent_definition(cell, sizes, [&wx[..], &ww[..], &wb[..]], &initial);
            assert_close(&found.output, &output, 5e-6, "output");
            assert_close(&found.last_cell, &cells, 5e-6, "cell state");

            let grad = values(found.output.len(), 6);
            let saved = [&found.output[..], &found.kept[..]];
            let [dx, dw, db] = recurrent::backward(cell, sizes, &weight, &initial, saved, &grad);
            let run =
                |operands: [&[f64]; 3]| recurrent_definition(cell, sizes, operands, &initial).0;
            let of_x = numeric_gradient(&projected, &grad, &|x| run([x, &ww[..], &wb[..]]));
            let of_w = numeric_gradient(&weight, &grad, &|w| run([&wx[..], w, &wb[..]]));
            let of_b = numeric_gradient(&bias, &grad, &|b| run([&wx[..], &ww[..], b]));
            assert_close(&dx, &of_x, 2e-5, "dprojected");
            assert_close(&dw, &of_w, 2e-5, "dweight");
            assert_close(&db, &of_b, 2e-5, "dbias");
        }
    }
}

#[test]
fn recurrent_layers_do_not_depend_on_the_number_of_threads() {
    let sizes = Sizes {
        batch: 37,
        seq: 4,
        hidden: 24,
    };
    let width = Cell::Lstm.gates() * sizes.hidden;
    let run = || {
        let projected = values(sizes.batch * sizes.seq * width, 1);
        let (weight, bias) = (values(sizes.hidden * width, 2), values(width, 3));
        let initial = Initial {
            hidden: values(sizes.batch * sizes.hidden, 4),
            cell: values(sizes.batch * sizes.hidden, 5),
        };
        let found = recurrent::forward(Cell::Lstm, sizes, [&projected, &weight, &bias], &initial);
        let saved = [&found.output[..], &found.kept[..]];
        let grad = values(found.output.len(), 6);
        recurrent::backward(Cell::Lstm, sizes, &weight, &initial, saved, &grad)
    };
    let narrow = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let wide = rayon::ThreadPoolBuilder::new().num_threads(3).build();
    assert_eq!(narrow.unwrap().install(run), wide.unwrap().install(run));
}

#[test]
fn the_transposed_weight_gives_the_product_and_its_gradients() {
    let (rows, n_in, n_out) = (5, 3, 4);
    let (x, w) = (values(rows * n_in, 1), values(n_out * n_in, 2));
    let definition = |x: &[f64], w: &[f64]| -> Vec<f64> {
        let dot = |row: &[f64], o: usize| (0..n_in).map(|i| row[i] * w[o * n_in + i]).sum::<f64>();
        x.chunks(n_in)
            .flat_map(|row| (0..n_out).map(move |o| dot(row, o)))
            .collect()
    };
    let (wx, ww) = (wide(&x), wide(&w));
    let y = linear::transposed_forward(&x, &w, n_in, n_out);
    assert_close(&y, &definition(&wx, &ww), 1e-6, "y");
    let dy = values(rows * n_out, 3);
    let dx = numeric_gradient(&x, &dy, &|x| definition(x, &ww));
    let dw = numeric_gradient(&w, &dy, &|w| definition(&wx, w));
    let found = |wanted| linear::transposed_gradients(&x, &w, &dy, [n_in, n_out], wanted);
    let [found_dx, found_dw] = found([true, true]);
    assert_close(&found_dx.clone().unwrap(), &dx, 1e-5, "dx");
    assert_close(&found_dw.clone().unwrap(), &dw, 1e-5, "dw");
    assert_eq!(found([true, false]), [found_dx, None]);
    assert_eq!(found([false, true]), [None, found_dw]);
}

#[test]
fn gradients_side_by_side_are_those_one_by_one() {
    // Below and above every size at which the work is cut otherwise.
    for (rows, n_in, n_out) in [
        (70, 65, 90),
        (1, 3, 2),
        (300, 260, 384),
        (1600, 40, 130),
        (1537, 300, 64),
    ] {
        let (x, w) = (values(rows * n_in, 1), values(n_in * n_out, 2));
        let dy = values(rows * n_out, 3);
        let exact: Vec<f64> = (0..n_in)
            .flat_map(|i| (0..n_out).map(move |j| (i, j)))
            .map(|(i, j)| {
                (0..rows)
                    .map(|row| f64::from(x[row * n_in + i]) * f64::from(dy[row * n_out + j]))
                    .sum()
            })
            .collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let alone = [
                    linear::input_gradient(&dy, &w, n_in, n_out),
                    linear::weight_gradient(&x, &dy, n_in, n_out),
                    linear::bias_gradient(&dy, n_out),
                ];
                let together = linear::gradients(&x, &w, &dy, [n_in, n_out], [true; 3]);
                (alone, together.map(Option::unwrap))
            })
        };
        let (one, _) = on(1);
        assert_close(&one[1], &exact, 1e-5, "dw");
        for threads in [1, 2, 3] {
            let (alone, together) = on(threads);
            assert_eq!(alone, one, "{rows}x{n_in}x{n_out}, {threads} threads");
            assert_eq!(together, one, "{rows}x{n_in}x{n_out}, {threads} threads");
        }
    }
}

#[test]
fn a_pair_of_inputs_is_as_both_in_one_row() {
    let (rows, n, n_out) = (21, 5, 7);
    let (a, b) = (values(rows * n, 1), values(rows * n, 2));
    let (w, dy) = (values(2 * n * n_out, 3), values(rows * n_out, 4));
    let joined: Vec<f32> = a
        .chunks(n)
        .zip(b.chunks(n))
        .flat_map(|(a, b)| [a, b].concat())
        .collect();
    let y = linear::forward(&joined, &w, None, 2 * n, n_out);
    assert_close(
        &linear::pair_forward([&a, &b], &w, n, n_out),
        &wide(&y),
        1e-6,
        "y",
    );
    let [da, db, dw] = linear::pair_gradients([&a, &b], &w, &dy, n, n_out);
    let dx = wide(&linear::input_gradient(&dy, &w, 2 * n, n_out));
    let half = |which: usize| -> Vec<f64> {
        dx.chunks(2 * n)
            .flat_map(|row| row[which * n..][..n].to_vec())
            .collect()
    };
    assert_close(&da, &half(0), 1e-6, "da");
    assert_close(&db, &half(1), 1e-6, "db");
    let expected = wide(&linear::weight_gradient(&joined, &dy, 2 * n, n_out));
    assert_close(&dw, &expected, 1e-6, "dw");
}

fn additive_definition([q, k, v, values]: [&[f64]; 4], sizes: additive::Sizes) -> Vec<f64> {
    let additive::Sizes {
        batch,
        queries,
        keys,
        d,
        width,
        span,
    } = sizes;
    let mut out = vec![0.0; batch * queries * width];
    for b in 0..batch {
        for i in 0..queries {
            let position = keys - queries + i;
            let seen = (position + 1).saturating_sub(span)..=position;
            let score = |j: usize| -> f64 {
                (0..d)
                    .map(|e| {
                        v[e] * (q[(b * queries + i) * d + e] + k[(b * keys + j) * d + e]).tanh()
                    })
                    .sum()
            };
            let sum: f64 = seen.clone().map(|j| score(j).exp()).sum();
            for j in seen {
                let weight = score(j).exp() / sum;
                for e in 0..width {
                    out[(b * queries + i) * width + e] +=
                        weight * values[(b * keys + j) * width + e];
                }
            }
        }
    }
    out
}

#[test]
fn additive_attention_matches_its_definition_and_its_gradients() {
    // Whole past; a memory before the queries; a short span across a border between blocks of queries; wide enough for vectors.
    for (batch, queries, keys, d, width, span) in [
        (1, 1, 1, 1, 1, 1),
        (2, 4, 4, 3, 2, 4),
        (1, 5, 9, 2, 3, 4),
        (1, 19, 21, 2, 2, 3),
        (2, 2, 3, 35, 18, 9),
    ] {
        let sizes = additive::Sizes {
            batch,
            queries,
            keys,
            d,
            width,
            span,
        };
        let (q, k) = (values(batch * queries * d, 1), values(batch * keys * d, 2));
        let (v, x) = (values(d, 3), values(batch * keys * width, 4));
        let operands = [&q[..], &k[..], &v[..], &x[..]];
        let (out, logs) = additive::forward(operands, sizes);
        let exact = operands.map(wide);
        let run = |changed: usize, with: &[f64]| {
            let mut operands = [0, 1, 2, 3].map(|i| &exact[i][..]);
            operands[changed] = with;
            additive_definition(operands, sizes)
        };
        assert_close(&out, &run(0, &exact[0]), 5e-6, "context");
        let grad = values(out.len(), 5);
        let found = additive::backward(operands, &out, &logs, &grad, sizes);
        for (i, found) in found.iter().enumerate() {
            // A query that sees one key only takes all of it: the gradients of the scores are exactly zero.
            let expected = numeric_gradient(operands[i], &grad, &|x| run(i, x));
            assert_close(found, &expected, 5e-5, ["dq", "dk", "dv", "dvalues"][i]);
        }
    }
}

/// The contexts of all states `[batch, seq, width]` behind a memory.
fn dot_definition(hidden: &[f64], memory: &[f64], sizes: dot_attention::Sizes) -> Vec<f64> {
    let dot_attention::Sizes {
        batch,
        seq,
        past,
        width,
        span,
        scale,
    } = sizes;
    let mut out = vec![0.0; hidden.len()];
    for b in 0..batch {
        let state = |j: usize| match j.checked_sub(past) {
            Some(j) => &hidden[(b * seq + j) * width..][..width],
            None => &memory[(b * past + j) * width..][..width],
        };
        for i in 0..seq {
            let seen = (past + i + 1).saturating_sub(span)..=past + i;
            let score = |j: usize| -> f64 {
                let products = state(past + i).iter().zip(state(j)).map(|(q, k)| q * k);
                (products.sum::<f64>() * f64::from(scale)).exp()
            };
            let sum: f64 = seen.clone().map(score).sum();
            for j in seen {
                let weight = score(j) / sum;
                let context = &mut out[(b * seq + i) * width..][..width];
                for (c, v) in context.iter_mut().zip(state(j)) {
                    *c += weight * v;
                }
            }
        }
    }
    out
}

#[test]
fn dot_attention_matches_its_definition_and_its_gradients() {
    // Whole past; a memory before the queries; a short span across a border between blocks of queries; wide enough for vectors.
    for (batch, seq, past, width, span, scale) in [
        (1, 1, 0, 1, 1, 1.0),
        (2, 4, 0, 3, 4, 0.5),
        (1, 5, 4, 2, 4, 1.0),
        (1, 37, 2, 2, 3, 0.7),
        (2, 3, 8, 35, 9, 0.2),
        (3, 2, 1, 18, 2, 1.0),
    ] {
        let sizes = dot_attention::Sizes {
            batch,
            seq,
            past,
            width,
            span,
            scale,
        };
        let hidden = values(batch * seq * width, 1);
        let memory = values(batch * past * width, 2);
        let (out, logs) = dot_attention::forward(&hidden, &memory, sizes);
        let far = wide(&memory);
        let run = |hidden: &[f64]| dot_definition(hidden, &far, sizes);
        assert_close(&out, &run(&wide(&hidden)), 5e-6, "context");
        let grad = values(out.len(), 3);
        let operands = [&hidden[..], &memory[..]];
        let found = dot_attention::backward(operands, &out, &logs, &grad, sizes);
        assert_close(
            &found,
            &numeric_gradient(&hidden, &grad, &run),
            5e-5,
            "dhidden",
        );
    }
}

#[test]
fn dot_attention_survives_extreme_scores_and_shows_what_is_no_number() {
    let sizes = dot_attention::Sizes {
        batch: 1,
        seq: 40,
        past: 3,
        width: 8,
        span: 20,
        scale: 1.0,
    };
    let hidden: Vec<f32> = values(40 * 8, 1).iter().map(|v| v * 200.0).collect();
    let memory = values(3 * 8, 2);
    let (out, logs) = dot_attention::forward(&hidden, &memory, sizes);
    let grad = values(out.len(), 3);
    let found = dot_attention::backward([&hidden, &memory], &out, &logs, &grad, sizes);
    assert!(out.iter().chain(&logs).chain(&found).all(|v| v.is_finite()));
    let mut broken = hidden.clone();
    broken[10 * 8] = f32::NAN;
    let (out, _) = dot_attention::forward(&broken, &memory, sizes);
    // A block whose queries all stand too far behind it does not see it.
    assert!(out[32 * 8..].iter().all(|v| v.is_finite()));
    for query in 10..30 {
        assert!(out[query * 8..][..8].iter().any(|v| v.is_nan()), "{query}");
    }
}
