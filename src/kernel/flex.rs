//! The fused operations on the flex backend: tensors in, slices to the kernels, tensors out.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::TensorData;
use burn::backend::flex::FlexTensor;

use super::cpu::activation::Activation;
use super::cpu::{
    activation, additive, dot_attention, embedding, head, layer_norm, linear, recurrent, sublayer,
    sums,
};
use super::ops::{Fused, FusedOps, Kernels};

/// What the backward pass of an operation needs.
#[derive(Debug, Clone)]
pub struct Saved {
    inputs: Vec<FlexTensor>,
    /// The output or a gradient prepared in the forward pass, where one is kept.
    tensor: Option<FlexTensor>,
    /// Row statistics: log-denominators, or mean and 1/deviation.
    rows: [Vec<f32>; 2],
    /// Of a sublayer.
    sublayer: Option<Arc<sublayer::Kept>>,
}

impl Saved {
    fn inputs(inputs: Vec<FlexTensor>) -> Self {
        Self {
            inputs,
            tensor: None,
            rows: [Vec::new(), Vec::new()],
            sublayer: None,
        }
    }
}

fn dims(tensor: &FlexTensor) -> &[usize] {
    tensor.layout().shape()
}

fn last(tensor: &FlexTensor) -> usize {
    dims(tensor).last().copied().unwrap_or(1)
}

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.is_contiguous() && tensor.layout().start_offset() == 0;
    if whole {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("operands were made contiguous")
}

fn tensor(data: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, shape.into()))
}

/// The values, to be changed in place: not copied when nobody else holds them.
fn take(tensor: FlexTensor) -> (Vec<f32>, Vec<usize>) {
    let shape = dims(&tensor).to_vec();
    let data = tensor
        .into_data()
        .try_into_vec()
        .expect("operands are float32");
    (data, shape)
}

fn with_last(tensor: &FlexTensor, last: usize) -> Vec<usize> {
    let mut shape = dims(tensor).to_vec();
    if let Some(size) = shape.last_mut() {
        *size = last;
    }
    shape
}

/// Gradients as tensors of the shapes of the operands.
fn wanted_gradients<const N: usize>(
    found: [Vec<f32>; N],
    inputs: &[FlexTensor],
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let pairs = found.into_iter().zip(inputs).zip(wanted);
    pairs
        .map(|((found, input), wanted)| wanted.then(|| tensor(found, dims(input))))
        .collect()
}

/// The output layer among the operands x, weight and perhaps bias.
fn head(inputs: &[FlexTensor], transposed: bool, label_smoothing: f32) -> head::Head<'_> {
    let weight = &inputs[1];
    let [rows, columns] = [dims(weight)[0], dims(weight)[1]];
    let (d, vocab) = match transposed {
        true => (columns, rows),
        false => (rows, columns),
    };
    head::Head {
        weight: slice(weight),
        transposed,
        bias: inputs.get(2).map(slice),
        d,
        vocab,
        label_smoothing,
    }
}

fn mean(sum: f64, count: usize) -> FlexTensor {
    tensor(vec![(sum / count as f64) as f32], [1])
}

fn additive_sizes(inputs: &[FlexTensor], span: usize) -> additive::Sizes {
    let (queries, values) = (dims(&inputs[0]), dims(&inputs[3]));
    additive::Sizes {
        batch: queries[0],
        queries: queries[1],
        keys: values[1],
        d: queries[2],
        width: values[2],
        span,
    }
}

fn dot_sizes(hidden: &FlexTensor, past: usize, span: usize, scale: f32) -> dot_attention::Sizes {
    dot_attention::Sizes {
        batch: dims(hidden)[0],
        seq: dims(hidden)[1],
        past,
        width: dims(hidden)[2],
        span,
        scale,
    }
}

fn recurrent_sizes(projected: &FlexTensor, weight: &FlexTensor) -> recurrent::Sizes {
    recurrent::Sizes {
        batch: dims(projected)[0],
        seq: dims(projected)[1],
        hidden: dims(weight)[0],
    }
}

/// x·W of the operands x, weight and perhaps bias.
fn before_bias(inputs: &[FlexTensor]) -> Vec<f32> {
    let [n_in, n_out] = [dims(&inputs[1])[0], dims(&inputs[1])[1]];
    linear::forward(slice(&inputs[0]), slice(&inputs[1]), None, n_in, n_out)
}

/// The gradients of x·W + b with respect to the operands x, weight and perhaps bias.
fn linear_gradients(inputs: &[FlexTensor], dy: &[f32], wanted: &[bool]) -> Vec<Option<FlexTensor>> {
    let (x, weight) = (&inputs[0], &inputs[1]);
    let [n_in, n_out] = [dims(weight)[0], dims(weight)[1]];
    let operands = [
        wanted[0],
        wanted[1],
        wanted.get(2).is_some_and(|wanted| *wanted),
    ];
    let [dx, dw, db] = linear::gradients(slice(x), slice(weight), dy, [n_in, n_out], operands);
    let found = [
        dx.map(|dx| tensor(dx, dims(x))),
        dw.map(|dw| tensor(dw, [n_in, n_out])),
        db.map(|db| tensor(db, [n_out])),
    ];
    found.into_iter().take(wanted.len()).collect()
}

impl Kernels for Flex {
    type Saved = Saved;

    fn forward(op: &Fused, inputs: Vec<FlexTensor>) -> FlexTensor {
        match op {
            Fused::HeadLoss {
                targets,
                transposed,
                label_smoothing,
            } => {
                let inputs: Vec<FlexTensor> = inputs.into_iter().map(contiguous).collect();
                let sum =
                    head(&inputs, *transposed, *label_smoothing).loss(slice(&inputs[0]), targets);
                mean(sum, targets.len())
            }
            Fused::LinearActivation(kind) => {
                let inputs: Vec<FlexTensor> = inputs.into_iter().map(contiguous).collect();
                let mut y = before_bias(&inputs);
                activation::with_bias(*kind, &mut y, inputs.get(2).map(slice));
                let n_out = last(&inputs[1]);
                tensor(y, with_last(&inputs[0], n_out))
            }
            Fused::Sublayer { of, observed: None } => {
                let inputs: Vec<FlexTensor> = inputs.into_iter().map(contiguous).collect();
                let y = of.output(&sublayer_operands(&inputs));
                tensor(y, dims(&inputs[0]))
            }
            _ => Self::forward_saving(op, inputs).0,
        }
    }

    fn forward_saving(op: &Fused, inputs: Vec<FlexTensor>) -> (FlexTensor, Saved) {
        let mut inputs: Vec<FlexTensor> = inputs.into_iter().map(contiguous).collect();
        match op {
            Fused::Linear => {
                let (x, weight) = (&inputs[0], &inputs[1]);
                let bias = inputs.get(2).map(slice);
                let [n_in, n_out] = [dims(weight)[0], dims(weight)[1]];
                let y = linear::forward(slice(x), slice(weight), bias, n_in, n_out);
                (tensor(y, with_last(x, n_out)), Saved::inputs(inputs))
            }
            Fused::LayerNorm { epsilon } => {
                let (x, gamma) = (&inputs[0], &inputs[1]);
                let beta = inputs.get(2).map(slice);
                let (y, found) = layer_norm::forward(slice(x), slice(gamma), beta, *epsilon);
                let y = tensor(y, dims(x));
                let rows = [found.mean, found.inverse_deviation];
                (
                    y,
                    Saved {
                        rows,
                        ..Saved::inputs(inputs)
                    },
                )
            }
            Fused::LinearActivation(kind) => {
                let mut y = before_bias(&inputs);
                let bias = inputs.get(2).map(slice);
                let slope = activation::with_bias_and_slope(*kind, &mut y, bias);
                let y = tensor(y, with_last(&inputs[0], last(&inputs[1])));
                // The output, which the next layer keeps anyway, tells the slope of ReLU and tanh.
                let slope = match kind {
                    Activation::Relu | Activation::Tanh => y.clone(),
                    Activation::Gelu | Activation::GeluTanh => tensor(slope, dims(&y)),
                };
                let saved = Saved {
                    tensor: Some(slope),
                    ..Saved::inputs(inputs)
                };
                (y, saved)
            }
            Fused::Dropout(mask) => {
                let (mut x, shape) = take(inputs.remove(0));
                activation::dropout(&mut x, *mask);
                (tensor(x, shape), Saved::inputs(inputs))
            }
            Fused::HeadLoss {
                targets,
                transposed,
                label_smoothing,
            } => {
                let scale = 1.0 / targets.len() as f32;
                let head = head(&inputs, *transposed, *label_smoothing);
                let found = head.loss_and_gradients(slice(&inputs[0]), targets, scale);
                // What is kept are the gradients, not the operands.
                let parts = [found.dx, found.dweight, found.dbias];
                let pairs = parts.into_iter().zip(&inputs);
                let gradients = pairs.map(|(part, input)| tensor(part, dims(input)));
                let saved = Saved::inputs(gradients.collect());
                (mean(found.sum, targets.len()), saved)
            }
            Fused::Sublayer { of, observed } => {
                let operands = sublayer_operands(&inputs);
                let (y, kept) = of.forward(&operands);
                if let Some(observed) = observed {
                    let units = of.units(&operands, &kept, operands.seq * observed.rows);
                    // Written once: the operation is made for one forward pass.
                    let _ = observed.units.set(units);
                }
                let y = tensor(y, dims(&inputs[0]));
                let saved = Saved {
                    sublayer: Some(Arc::new(kept)),
                    ..Saved::inputs(inputs)
                };
                (y, saved)
            }
            Fused::Embedding { ids, shape } => {
                let d = last(&inputs[0]);
                let out = embedding::gather(slice(&inputs[0]), ids, d);
                (tensor(out, [shape[0], shape[1], d]), Saved::inputs(inputs))
            }
            Fused::LinearTransposed => {
                let (x, weight) = (&inputs[0], &inputs[1]);
                let [n_out, n_in] = [dims(weight)[0], dims(weight)[1]];
                let y = linear::transposed_forward(slice(x), slice(weight), n_in, n_out);
                (tensor(y, with_last(x, n_out)), Saved::inputs(inputs))
            }
            Fused::SquareSum => {
                let sum = sums::square_sum(slice(&inputs[0]));
                (tensor(vec![sum as f32], [1]), Saved::inputs(inputs))
            }
            Fused::AdditiveAttention { span } => {
                let sizes = additive_sizes(&inputs, *span);
                let operands = [0, 1, 2, 3].map(|i| slice(&inputs[i]));
                let (out, logs) = additive::forward(operands, sizes);
                let out = tensor(out, [sizes.batch, sizes.queries, sizes.width]);
                let saved = Saved {
                    tensor: Some(out.clone()),
                    rows: [logs, Vec::new()],
                    ..Saved::inputs(inputs)
                };
                (out, saved)
            }
            Fused::AttentionalVector => {
                let pair = [slice(&inputs[0]), slice(&inputs[1])];
                let [n, n_out] = [last(&inputs[0]), last(&inputs[2])];
                let mut y = linear::pair_forward(pair, slice(&inputs[2]), n, n_out);
                activation::with_bias(Activation::Tanh, &mut y, Some(slice(&inputs[3])));
                let y = tensor(y, with_last(&inputs[0], n_out));
                let saved = Saved {
                    tensor: Some(y.clone()),
                    ..Saved::inputs(inputs)
                };
                (y, saved)
            }
            Fused::DotAttention {
                memory,
                past,
                span,
                scale,
            } => {
                let hidden = &inputs[0];
                let sizes = dot_sizes(hidden, *past, *span, *scale);
                let (out, logs) = dot_attention::forward(slice(hidden), memory, sizes);
                let out = tensor(out, dims(hidden));
                let saved = Saved {
                    tensor: Some(out.clone()),
                    rows: [logs, Vec::new()],
                    ..Saved::inputs(inputs)
                };
                (out, saved)
            }
            Fused::Recurrent {
                cell,
                initial,
                last_cell,
            } => {
                let sizes = recurrent_sizes(&inputs[0], &inputs[1]);
                let operands = [0, 1, 2].map(|i| slice(&inputs[i]));
                let found = recurrent::forward(*cell, sizes, operands, initial);
                let output = tensor(found.output, [sizes.batch, sizes.seq, sizes.hidden]);
                // Written once: the operation is made for one forward pass.
                let _ = last_cell.set(found.last_cell);
                let saved = Saved {
                    tensor: Some(output.clone()),
                    rows: [found.kept, Vec::new()],
                    ..Saved::inputs(inputs)
                };
                (output, saved)
            }
        }
    }

    fn backward(
        op: &Fused,
        saved: Saved,
        grad: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let grad = contiguous(grad);
        let Saved {
            inputs,
            tensor: kept,
            rows,
            sublayer,
        } = saved;
        match op {
            Fused::Linear => linear_gradients(&inputs, slice(&grad), wanted),
            Fused::LayerNorm { .. } => {
                let (x, gamma) = (&inputs[0], &inputs[1]);
                let [mean, inverse_deviation] = rows;
                let found = layer_norm::Statistics {
                    mean,
                    inverse_deviation,
                };
                let (dx, dgamma, dbeta) =
                    layer_norm::backward(slice(x), slice(gamma), &found, slice(&grad));
                let d = dims(gamma);
                let found = [tensor(dx, dims(x)), tensor(dgamma, d), tensor(dbeta, d)];
                wanted
                    .iter()
                    .zip(found)
                    .map(|(wanted, grad)| wanted.then_some(grad))
                    .collect()
            }
            Fused::LinearActivation(kind) => {
                let (mut dy, _) = take(grad);
                let backward = match kind {
                    Activation::Relu => activation::relu_backward,
                    Activation::Tanh => activation::tanh_backward,
                    Activation::Gelu | Activation::GeluTanh => activation::backward,
                };
                let slope = kept.expect("an activation keeps its slope or its output");
                backward(slice(&slope), &mut dy);
                linear_gradients(&inputs, &dy, wanted)
            }
            Fused::Dropout(mask) => {
                let (mut dx, shape) = take(grad);
                activation::dropout(&mut dx, *mask);
                vec![Some(tensor(dx, shape))]
            }
            Fused::HeadLoss { .. } => {
                let upstream = slice(&grad)[0];
                let scaled = |gradient: FlexTensor| {
                    if upstream == 1.0 {
                        return gradient;
                    }
                    let (mut values, shape) = take(gradient);
                    for v in &mut values {
                        *v *= upstream;
                    }
                    tensor(values, shape)
                };
                let pairs = inputs.into_iter().zip(wanted);
                pairs
                    .map(|(gradient, wanted)| wanted.then(|| scaled(gradient)))
                    .collect()
            }
            Fused::Sublayer { of, .. } => {
                let kept = sublayer.expect("a sublayer keeps what it found");
                let found = of.backward(&sublayer_operands(&inputs), &kept, slice(&grad));
                let [first, first_bias] = found.first;
                let [second, second_bias] = found.second;
                let (x, gamma) = (found.x, found.gamma);
                match inputs.len() {
                    4 => wanted_gradients([x, gamma, first, second], &inputs, wanted),
                    _ => wanted_gradients(
                        [x, gamma, found.beta, first, first_bias, second, second_bias],
                        &inputs,
                        wanted,
                    ),
                }
            }
            Fused::Embedding { ids, .. } => {
                let shape = [dims(&inputs[0])[0], dims(&inputs[0])[1]];
                let dw = embedding::scatter(slice(&grad), ids, shape[0], shape[1]);
                vec![Some(tensor(dw, shape))]
            }
            Fused::LinearTransposed => {
                let (x, weight) = (slice(&inputs[0]), slice(&inputs[1]));
                let [n_out, n_in] = [dims(&inputs[1])[0], dims(&inputs[1])[1]];
                let sizes = [n_in, n_out];
                let wanted = [wanted[0], wanted[1]];
                let [dx, dw] = linear::transposed_gradients(x, weight, slice(&grad), sizes, wanted);
                vec![
                    dx.map(|dx| tensor(dx, dims(&inputs[0]))),
                    dw.map(|dw| tensor(dw, [n_out, n_in])),
                ]
            }
            Fused::SquareSum => {
                let factor = 2.0 * slice(&grad)[0];
                let dx = slice(&inputs[0]).iter().map(|x| factor * x).collect();
                vec![Some(tensor(dx, dims(&inputs[0])))]
            }
            Fused::AdditiveAttention { span } => {
                let sizes = additive_sizes(&inputs, *span);
                let out = kept.expect("attention keeps its output");
                let operands = [0, 1, 2, 3].map(|i| slice(&inputs[i]));
                let found =
                    additive::backward(operands, slice(&out), &rows[0], slice(&grad), sizes);
                wanted_gradients(found, &inputs, wanted)
            }
            Fused::AttentionalVector => {
                let (mut dy, _) = take(grad);
                let y = kept.expect("an attentional vector is kept");
                activation::tanh_backward(slice(&y), &mut dy);
                let pair = [slice(&inputs[0]), slice(&inputs[1])];
                let [n, n_out] = [last(&inputs[0]), last(&inputs[2])];
                let [dhidden, dcontext, dweight] =
                    linear::pair_gradients(pair, slice(&inputs[2]), &dy, n, n_out);
                let dbias = linear::bias_gradient(&dy, n_out);
                wanted_gradients([dhidden, dcontext, dweight, dbias], &inputs, wanted)
            }
            Fused::DotAttention {
                memory,
                past,
                span,
                scale,
            } => {
                let hidden = &inputs[0];
                let sizes = dot_sizes(hidden, *past, *span, *scale);
                let out = kept.expect("attention keeps its output");
                let operands = [slice(hidden), memory];
                let dhidden =
                    dot_attention::backward(operands, slice(&out), &rows[0], slice(&grad), sizes);
                vec![Some(tensor(dhidden, dims(hidden)))]
            }
            Fused::Recurrent { cell, initial, .. } => {
                let sizes = recurrent_sizes(&inputs[0], &inputs[1]);
                let output = kept.expect("a recurrent layer keeps its output");
                let kept = [slice(&output), &rows[0]];
                let weight = slice(&inputs[1]);
                let found = recurrent::backward(*cell, sizes, weight, initial, kept, slice(&grad));
                wanted_gradients(found, &inputs, wanted)
            }
        }
    }
}

/// A sublayer's operands: four without biases, seven with.
fn sublayer_operands(inputs: &[FlexTensor]) -> sublayer::Operands<'_> {
    let (beta, first, second) = match inputs.len() {
        4 => (None, (2, None), (3, None)),
        _ => (Some(2), (3, Some(4)), (5, Some(6))),
    };
    let affine = |(weight, bias): (usize, Option<usize>)| sublayer::Affine {
        weight: slice(&inputs[weight]),
        bias: bias.map(|at| slice(&inputs[at])),
        n_in: dims(&inputs[weight])[0],
        n_out: dims(&inputs[weight])[1],
    };
    sublayer::Operands {
        x: slice(&inputs[0]),
        batch: dims(&inputs[0])[0],
        seq: dims(&inputs[0])[1],
        gamma: slice(&inputs[1]),
        beta: beta.map(|at| slice(&inputs[at])),
        first: affine(first),
        second: affine(second),
    }
}

impl FusedOps for Flex {
    fn fused1(op: Fused, a: FlexTensor) -> FlexTensor {
        Self::forward(&op, vec![a])
    }

    fn fused2(op: Fused, a: FlexTensor, b: FlexTensor) -> FlexTensor {
        Self::forward(&op, vec![a, b])
    }

    fn fused3(op: Fused, a: FlexTensor, b: FlexTensor, c: FlexTensor) -> FlexTensor {
        Self::forward(&op, vec![a, b, c])
    }

    fn fused4(op: Fused, a: FlexTensor, b: FlexTensor, c: FlexTensor, d: FlexTensor) -> FlexTensor {
        Self::forward(&op, vec![a, b, c, d])
    }

    fn fused7(
        op: Fused,
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        e: FlexTensor,
        f: FlexTensor,
        g: FlexTensor,
    ) -> FlexTensor {
        Self::forward(&op, vec![a, b, c, d, e, f, g])
    }
}
