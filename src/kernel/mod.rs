//! Fused CPU operations behind burn's backend extension, each with a composed form that every backend can run.
//!
//! - [`simd`]: run-time choice of vector instructions, and the element-wise mathematics.
//! - [`cpu`]: the operations on plain slices, forward and backward.
//! - [`ops`]: the operations on tensors, recorded for the backward pass.
//! - [`memory`]: what becomes of a step's memory.
//! - `flex`: how the flex backend runs them.
//!
//! The composed forms are in `model::layers`, one function per operation; each asks [`takes`] first.

pub mod cpu;
#[cfg(feature = "flex")]
mod flex;
pub mod memory;
pub mod ops;
pub mod simd;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor, TensorData};

pub use cpu::activation::{Activation, Mask};
pub use cpu::recurrent::Cell;
use cpu::recurrent::Initial;
pub use cpu::sublayer::{Middle, Norm, Sublayer};
pub use ops::Observed;
use ops::{Fused, FusedOps};

static ENABLED: AtomicBool = AtomicBool::new(true);

/// Turns all kernels on or off in this process: off, the composed forms run everywhere. For comparisons.
pub fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Whether the kernels run operations on this tensor: it lies on the flex backend, as float32.
pub fn takes<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "flex")]
    {
        ENABLED.load(Ordering::Relaxed)
            && tensor.dtype() == burn::tensor::DType::F32
            && tensor.device().inner() == burn::tensor::Device::flex()
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = tensor;
        false
    }
}

fn unary<const D: usize, const E: usize>(op: Fused, a: Tensor<D>) -> Tensor<E> {
    Tensor::from_dispatch(Dispatch::fused1(op, a.into_dispatch()))
}

fn with_weights<const D: usize, const W: usize>(
    op: Fused,
    x: Tensor<D>,
    weight: Tensor<W>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::fused3(op, x, weight, bias.into_dispatch()),
        None => Dispatch::fused2(op, x, weight),
    })
}

/// y = x·W + b.
///
/// # Shapes
/// - x: `[.., n_in]`, weight: `[n_in, n_out]`, bias: `[n_out]`
/// - output: `[.., n_out]`
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    with_weights(Fused::Linear, x, weight, bias)
}

/// # Shapes
/// - x and output: `[.., d]`, weight and bias: `[d]`
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Option<Tensor<1>>,
    epsilon: f64,
) -> Tensor<D> {
    let op = Fused::LayerNorm {
        epsilon: epsilon as f32,
    };
    with_weights(op, x, weight, bias)
}

/// y = activation(x·W + b).
///
/// # Shapes
/// - x: `[.., n_in]`, weight: `[n_in, n_out]`, bias: `[n_out]`
/// - output: `[.., n_out]`
pub fn linear_activation<const D: usize>(
    kind: Activation,
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    with_weights(Fused::LinearActivation(kind), x, weight, bias)
}

/// The parameters of a sublayer: gamma and beta of its norm, and its two affine maps. Biases are there together or not at all.
#[derive(Debug)]
pub struct SublayerParameters {
    /// `[d]`
    pub gamma: Tensor<1>,
    /// `[d, n]`
    pub first: Tensor<2>,
    /// `[m, d]`; of attention `m` is `d` and `n` is `3·d`, else they are the same.
    pub second: Tensor<2>,
    /// Beta `[d]` and the biases of the first map, `[n]`, and of the second, `[d]`.
    pub biases: Option<[Tensor<1>; 3]>,
}

/// A sublayer of a transformer block, its norm and its residual connection.
///
/// # Shapes
/// - x and output: `[batch, seq, d]`
pub fn sublayer(
    of: Sublayer,
    x: Tensor<3>,
    parameters: SublayerParameters,
    observed: Option<Observed>,
) -> Tensor<3> {
    let op = Fused::Sublayer { of, observed };
    let SublayerParameters {
        gamma,
        first,
        second,
        biases,
    } = parameters;
    let (x, gamma) = (x.into_dispatch(), gamma.into_dispatch());
    let (first, second) = (first.into_dispatch(), second.into_dispatch());
    Tensor::from_dispatch(match biases {
        None => Dispatch::fused4(op, x, gamma, first, second),
        Some(biases) => {
            let [beta, first_bias, second_bias] = biases.map(Tensor::into_dispatch);
            Dispatch::fused7(op, x, gamma, beta, first, first_bias, second, second_bias)
        }
    })
}

/// # Shapes
/// - input and output: any
pub fn dropout<const D: usize>(x: Tensor<D>, mask: Mask) -> Tensor<D> {
    unary(Fused::Dropout(mask), x)
}

/// Mean cross-entropy, nats, of the output layer x·W + b with its targets, smoothed by `label_smoothing`: the logits never exist
/// together.
///
/// # Shapes
/// - x: `[batch, seq, d]`, weight: `[d, vocab]`, or `[vocab, d]` when `transposed`, bias: `[vocab]`
/// - targets: `[batch, seq]`
/// - output: `[1]`
pub fn head_loss(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    targets: Tensor<2, Int>,
    transposed: bool,
    label_smoothing: f64,
) -> Tensor<1> {
    let op = Fused::HeadLoss {
        targets: ids(targets),
        transposed,
        label_smoothing: label_smoothing as f32,
    };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::fused3(op, x, weight, bias.into_dispatch()),
        None => Dispatch::fused2(op, x, weight),
    })
}

/// # Shapes
/// - weight: `[vocab, d]`, tokens: `[batch, seq]`
/// - output: `[batch, seq, d]`
pub fn embedding(weight: Tensor<2>, tokens: Tensor<2, Int>) -> Tensor<3> {
    let shape = tokens.dims();
    unary(
        Fused::Embedding {
            ids: ids(tokens),
            shape,
        },
        weight,
    )
}

/// y = x·Wᵀ.
///
/// # Shapes
/// - x: `[.., n_in]`, weight: `[n_out, n_in]`
/// - output: `[.., n_out]`
pub fn linear_transposed<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    with_weights(Fused::LinearTransposed, x, weight, None)
}

/// A recurrent layer over all time steps, from `state` (hidden and, for the LSTM, cell state) or from zero. The initial state and
/// the cell state that comes back are values: no gradient flows through them.
///
/// # Shapes
/// - projected: `[batch, seq, gates·hidden]`, the input's part of the gates
/// - weight: `[hidden, gates·hidden]`, bias: `[gates·hidden]`, added to the recurrent half
/// - states: `[batch, hidden]`
/// - output: hidden states `[batch, seq, hidden]`, and the LSTM's cell state after the last step
pub fn recurrent(
    cell: Cell,
    projected: Tensor<3>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    state: Option<(Tensor<2>, Option<Tensor<2>>)>,
) -> (Tensor<3>, Option<Tensor<2>>) {
    let [batch, _, _] = projected.dims();
    let [hidden, _] = weight.dims();
    let device = projected.device();
    let (state, memory) = state.unzip();
    let values = |state: Option<Tensor<2>>| match state {
        Some(state) => floats(state),
        None => vec![0.0; batch * hidden],
    };
    let initial = Initial {
        hidden: values(state),
        cell: match cell {
            Cell::Lstm => values(memory.flatten()),
            Cell::Rnn | Cell::Gru => Vec::new(),
        },
    };
    let last_cell = Arc::new(OnceLock::new());
    let op = Fused::Recurrent {
        cell,
        initial: Arc::new(initial),
        last_cell: last_cell.clone(),
    };
    let output = with_weights(op, projected, weight, Some(bias));
    let memory = match (cell, last_cell.get()) {
        (Cell::Lstm, Some(values)) => {
            let values = TensorData::new(values.clone(), [batch, hidden]);
            Some(Tensor::from_data(values, &device))
        }
        _ => None,
    };
    (output, memory)
}

/// Softmax over the scores `v·tanh(query + key)`, applied to the values. The queries are the last of the key positions; each sees its
/// own position and the `span - 1` before it.
///
/// # Shapes
/// - queries: `[batch, queries, d]`, keys: `[batch, keys, d]`, v: `[d, 1]`, values: `[batch, keys, width]`
/// - output: `[batch, queries, width]`
pub fn additive_attention(
    [queries, keys]: [Tensor<3>; 2],
    v: Tensor<2>,
    values: Tensor<3>,
    span: usize,
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused4(
        Fused::AdditiveAttention { span },
        queries.into_dispatch(),
        keys.into_dispatch(),
        v.into_dispatch(),
        values.into_dispatch(),
    ))
}

/// Softmax over `scale` times the products of each state with those up to itself, the `span - 1` before it included, applied to these
/// states. Those of before, `memory`, are values: no gradient flows through them.
///
/// # Shapes
/// - hidden and output: `[batch, seq, width]`, memory: `[batch, past, width]`
pub fn dot_attention(
    hidden: Tensor<3>,
    memory: Option<Tensor<3>>,
    span: usize,
    scale: f64,
) -> Tensor<3> {
    let past = memory.as_ref().map_or(0, |memory| memory.dims()[1]);
    let memory = memory.map_or_else(Vec::new, floats);
    let op = Fused::DotAttention {
        memory: Arc::new(memory),
        past,
        span,
        scale: scale as f32,
    };
    unary(op, hidden)
}

/// tanh(\[hidden; context\]·W + b): the attentional vector of Luong, Pham, Manning 2015.
///
/// # Shapes
/// - hidden, context: `[batch, seq, n]`, weight: `[2·n, n_out]`, bias: `[n_out]`
/// - output: `[batch, seq, n_out]`
pub fn attentional_vector(
    [hidden, context]: [Tensor<3>; 2],
    weight: Tensor<2>,
    bias: Tensor<1>,
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused4(
        Fused::AttentionalVector,
        hidden.into_dispatch(),
        context.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// The sum of all squares: its gradient is 2·x.
///
/// # Shapes
/// - x: any
/// - output: `[1]`
pub fn square_sum<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    unary(Fused::SquareSum, x)
}

/// The values of a float32 tensor.
fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.try_into_vec_as::<f32>().expect("float32 on the CPU")
}

/// On the CPU this copies a few kilobytes.
fn ids(tokens: Tensor<2, Int>) -> Arc<[i64]> {
    tokens.into_data().iter::<i64>().collect()
}
