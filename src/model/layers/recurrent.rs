//! Elman RNN, GRU and LSTM layers, defined as PyTorch's `nn.RNN`, `nn.GRU` and `nn.LSTM` (both bias vectors kept).
//!
//! The input projection of all time steps is one matmul; each step then takes one recurrent matmul. GRU after Cho et al. 2014
//! (<https://arxiv.org/abs/1406.1078>), with the reset gate applied after the recurrent matmul as cuDNN and PyTorch do;
//! LSTM after Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, activation, module, s};

use super::activation::tanh;
use super::init::{Builder, Initial};
use crate::config::CellKind;
use crate::kernel;

/// One recurrent layer. `gates` below: 1 (RNN), 3 (GRU: reset, update, new) or 4 (LSTM: input, forget, cell, output).
#[derive(Module, Debug)]
pub struct Recurrent {
    /// `[inputs, gates·hidden]`
    pub weight_ih: Param<Tensor<2>>,
    /// `[hidden, gates·hidden]`
    pub weight_hh: Param<Tensor<2>>,
    /// `[gates·hidden]`
    pub bias_ih: Param<Tensor<1>>,
    /// `[gates·hidden]`
    pub bias_hh: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) cell: CellKind,
}

/// What one layer carries from step to step.
#[derive(Debug, Clone)]
pub struct LayerState {
    /// `[batch, hidden]`
    pub hidden: Tensor<2>,
    /// The LSTM's cell state: `[batch, hidden]`.
    pub cell: Option<Tensor<2>>,
}

/// What a layer reads: vectors, or token ids that select rows of the input weight (which is what multiplying a one-hot
/// vector by it does).
#[derive(Debug)]
pub enum Input {
    /// `[batch, seq, inputs]`
    Vectors(Tensor<3>),
    /// `[batch, seq]`
    OneHot(Tensor<2, Int>),
}

/// How many blocks of width `hidden` the weights of a cell have.
pub fn gates(cell: CellKind) -> usize {
    match cell {
        CellKind::Rnn => 1,
        CellKind::Gru => 3,
        CellKind::Lstm => 4,
    }
}

impl Recurrent {
    /// All parameters start at U(±1/sqrt(hidden)).
    pub fn new(builder: &Builder, [inputs, hidden]: [usize; 2], cell: CellKind) -> Self {
        let width = gates(cell) * hidden;
        let initial = Initial::Uniform {
            bound: 1.0 / (hidden as f64).sqrt(),
        };
        Recurrent {
            weight_ih: builder.parameter("weight_ih", [inputs, width], initial),
            weight_hh: builder.parameter("weight_hh", [hidden, width], initial),
            bias_ih: builder.parameter("bias_ih", [width], initial),
            bias_hh: builder.parameter("bias_hh", [width], initial),
            cell,
        }
    }

    /// Runs the layer over a sequence, from `state` or from zero.
    ///
    /// # Shapes
    /// - input: see [`Input`]
    /// - output: hidden states `[batch, seq, hidden]` and the state after the last step
    pub fn forward(&self, input: Input, state: Option<LayerState>) -> (Tensor<3>, LayerState) {
        if kernel::takes(&self.weight_hh.val()) {
            return self.forward_fused(input, state);
        }
        let [hidden, width] = self.weight_hh.dims();
        // The GRU's new gate multiplies its recurrent half by the reset gate, so the two biases stay apart there; elsewhere they only ever add up.
        let (bias_ih, bias_hh) = match self.cell {
            CellKind::Gru => (self.bias_ih.val(), Some(self.bias_hh.val())),
            CellKind::Rnn | CellKind::Lstm => (self.bias_ih.val() + self.bias_hh.val(), None),
        };
        // Time runs first, so that the slice of each step is contiguous.
        let projected = match input {
            Input::Vectors(vectors) => {
                let [batch, seq, inputs] = vectors.dims();
                let rows = vectors.swap_dims(0, 1).reshape([seq * batch, inputs]);
                module::linear(rows, self.weight_ih.val(), Some(bias_ih))
                    .reshape([seq, batch, width])
            }
            Input::OneHot(tokens) => {
                module::embedding(self.weight_ih.val(), tokens.swap_dims(0, 1))
                    + bias_ih.unsqueeze()
            }
        }; // [seq, batch, gates·hidden]
        let [_, batch, _] = projected.dims();
        let state = state.unwrap_or_else(|| {
            let zeros = Tensor::zeros([batch, hidden], &projected.device());
            LayerState {
                cell: (self.cell == CellKind::Lstm).then(|| zeros.clone()),
                hidden: zeros,
            }
        });
        let (outputs, state) =
            run_sequence(projected, self.weight_hh.val(), bias_hh, state, self.cell);
        (outputs.swap_dims(0, 1), state)
    }

    /// [`Recurrent::forward`] with all time steps in one kernel. The state that comes back is detached.
    fn forward_fused(&self, input: Input, state: Option<LayerState>) -> (Tensor<3>, LayerState) {
        let [hidden, _] = self.weight_hh.dims();
        let (weight, bias) = (self.weight_ih.val(), self.bias_ih.val());
        // As in the composed form, only the GRU keeps the two biases apart.
        let (own, recurrent) = match self.cell {
            CellKind::Gru => (Some(bias), self.bias_hh.val()),
            CellKind::Rnn | CellKind::Lstm => (None, bias + self.bias_hh.val()),
        };
        let projected = match input {
            Input::Vectors(vectors) => kernel::linear(vectors, weight, own),
            Input::OneHot(tokens) => {
                let rows = kernel::embedding(weight, tokens);
                match own {
                    Some(bias) => rows + bias.unsqueeze(),
                    None => rows,
                }
            }
        }; // [batch, seq, gates·hidden]
        let [batch, seq, _] = projected.dims();
        let cell = match self.cell {
            CellKind::Rnn => kernel::Cell::Rnn,
            CellKind::Gru => kernel::Cell::Gru,
            CellKind::Lstm => kernel::Cell::Lstm,
        };
        let state = state.map(|state| (state.hidden, state.cell));
        let weight = self.weight_hh.val();
        let (output, memory) = kernel::recurrent(cell, projected, weight, recurrent, state);
        let last = output
            .clone()
            .detach()
            .slice(s![.., seq - 1.., ..])
            .reshape([batch, hidden]);
        let state = LayerState {
            hidden: last,
            cell: memory,
        };
        (output, state)
    }
}

/// The recurrence over all time steps.
///
/// # Shapes
/// - projected: `[seq, batch, gates·hidden]`, input projections with their bias
/// - weight: `[hidden, gates·hidden]`; bias: `[gates·hidden]`, added to the recurrent half (GRU only)
/// - output: hidden states `[seq, batch, hidden]` and the state after the last step
pub fn run_sequence(
    projected: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    state: LayerState,
    cell: CellKind,
) -> (Tensor<3>, LayerState) {
    let mut state = state;
    let mut outputs = Vec::new();
    for step in split_steps(projected) {
        state = match cell {
            CellKind::Rnn => rnn_step(step, &weight, state),
            CellKind::Gru => gru_step(step, &weight, bias.clone(), state),
            CellKind::Lstm => lstm_step(step, &weight, state),
        };
        outputs.push(state.hidden.clone().unsqueeze_dim::<3>(0)); // [1, batch, hidden]
    }
    (Tensor::cat(outputs, 0), state)
}

/// The steps `[batch, width]` of `[seq, batch, width]`, by halving. The gradient of a slice is a zero-filled tensor of the
/// size of what it was cut from: cut one by one they cost seq², halved they cost seq·log(seq).
fn split_steps(sequence: Tensor<3>) -> Vec<Tensor<2>> {
    let [seq, batch, width] = sequence.dims();
    if seq == 1 {
        return vec![sequence.reshape([batch, width])];
    }
    let middle = seq / 2;
    let mut steps = split_steps(sequence.clone().slice(s![0..middle, .., ..]));
    steps.extend(split_steps(sequence.slice(s![middle.., .., ..])));
    steps
}

/// `h' = tanh(x + h W)`
fn rnn_step(projected: Tensor<2>, weight: &Tensor<2>, state: LayerState) -> LayerState {
    LayerState {
        hidden: tanh(projected + state.hidden.matmul(weight.clone())),
        cell: None,
    }
}

/// `r, z = sigmoid(x + (h W + b))`, `n = tanh(x_n + r·(h W_n + b_n))`, `h' = (1 - z)·n + z·h`
fn gru_step(
    projected: Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<Tensor<1>>,
    state: LayerState,
) -> LayerState {
    let [_, hidden] = state.hidden.dims();
    let recurrent = module::linear(state.hidden.clone(), weight.clone(), bias); // [batch, 3·hidden]
    let gates = activation::sigmoid(
        projected.clone().slice(s![.., 0..2 * hidden])
            + recurrent.clone().slice(s![.., 0..2 * hidden]),
    ); // [batch, 2·hidden]
    let reset = gates.clone().slice(s![.., 0..hidden]);
    let update = gates.slice(s![.., hidden..]);
    let new =
        tanh(projected.slice(s![.., 2 * hidden..]) + reset * recurrent.slice(s![.., 2 * hidden..]));
    LayerState {
        hidden: new.clone() + update * (state.hidden - new),
        cell: None,
    }
}

/// `i, f, o = sigmoid(..)`, `g = tanh(..)`, `c' = f·c + i·g`, `h' = o·tanh(c')`
fn lstm_step(projected: Tensor<2>, weight: &Tensor<2>, state: LayerState) -> LayerState {
    let [batch, hidden] = state.hidden.dims();
    let device = state.hidden.device();
    let gates = projected + state.hidden.matmul(weight.clone()); // [batch, 4·hidden]
    let input_forget = activation::sigmoid(gates.clone().slice(s![.., 0..2 * hidden]));
    let candidate = tanh(gates.clone().slice(s![.., 2 * hidden..3 * hidden]));
    let output = activation::sigmoid(gates.slice(s![.., 3 * hidden..]));
    let old = state
        .cell
        .unwrap_or_else(|| Tensor::zeros([batch, hidden], &device));
    let cell = input_forget.clone().slice(s![.., hidden..]) * old
        + input_forget.slice(s![.., 0..hidden]) * candidate;
    LayerState {
        hidden: output * tanh(cell.clone()),
        cell: Some(cell),
    }
}
