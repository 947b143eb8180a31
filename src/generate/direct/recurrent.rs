//! Rungs 1 to 3 over plain weights, with the state carried on.

use super::math;
use super::matrix::Matrix;
use super::values;
use crate::config::{CellKind, ScoreKind};
use crate::kernel::cpu::team::Team;
use crate::kernel::simd::{tanh, vectorize};
use crate::model::layers::embedding::Embedding;
use crate::model::layers::past_attention::PastAttention;
use crate::model::layers::recurrent::Recurrent as Layer;
use crate::model::lstm_attention::LstmAttention;
use crate::model::recurrent_model::RecurrentModel;

/// Partial sums of a scalar product.
const LANES: usize = 16;

#[derive(Debug)]
pub struct Recurrent {
    /// `[vocab, width]`; none with one-hot input.
    embedding: Option<Table>,
    layers: Vec<Weights>,
    attention: Option<Attention>,
    head: Matrix,
}

#[derive(Debug)]
struct Table {
    rows: Vec<f32>,
    width: usize,
}

#[derive(Debug)]
struct Weights {
    cell: CellKind,
    hidden: usize,
    input: Input,
    /// `[hidden, gates·hidden]`, with the bias of the recurrent half.
    recurrent: Matrix,
}

#[derive(Debug)]
enum Input {
    Vectors(Matrix),
    /// `[vocab, gates·hidden]`: a one-hot vector times the input weight, with the bias added.
    OneHot(Table),
}

#[derive(Debug)]
struct Attention {
    kind: ScoreKind,
    span: usize,
    hidden: usize,
    additive: Option<Additive>,
    /// `[2·hidden, hidden]`
    combine: Matrix,
}

#[derive(Debug)]
struct Additive {
    query: Matrix,
    key: Matrix,
    /// `[d_attention]`
    score: Vec<f32>,
}

/// What one sequence carries.
#[derive(Debug, Clone)]
pub struct Carried {
    /// One `[hidden]` a layer.
    hidden: Vec<Vec<f32>>,
    /// The same for the LSTM's cell; empty for the other cells.
    cell: Vec<Vec<f32>>,
    /// Hidden states that attention can still see, oldest first: `[seen, hidden]`.
    states: Vec<f32>,
    /// What the additive score makes of them: `[seen, d_attention]`.
    keys: Vec<f32>,
}

impl Table {
    fn row(&self, index: u32) -> &[f32] {
        &self.rows[index as usize * self.width..][..self.width]
    }

    fn of(embedding: &Embedding) -> Self {
        let [_, width] = embedding.weight.val().dims();
        Table {
            rows: values(&embedding.weight),
            width,
        }
    }
}

impl Weights {
    fn of(layer: &Layer, one_hot: bool) -> Self {
        let [hidden, width] = layer.weight_hh.val().dims();
        let (mut input_bias, mut recurrent_bias) = (values(&layer.bias_ih), values(&layer.bias_hh));
        // Only the GRU keeps the two apart: its reset gate multiplies the recurrent half, bias included.
        if layer.cell != CellKind::Gru {
            math::add(&mut recurrent_bias, &input_bias);
            input_bias.fill(0.0);
        }
        let input = if one_hot {
            let mut rows = values(&layer.weight_ih);
            for row in rows.chunks_exact_mut(width) {
                math::add(row, &input_bias);
            }
            Input::OneHot(Table { rows, width })
        } else {
            Input::Vectors(Matrix::with_bias(&layer.weight_ih, Some(input_bias)))
        };
        Weights {
            cell: layer.cell,
            hidden,
            input,
            recurrent: Matrix::with_bias(&layer.weight_hh, Some(recurrent_bias)),
        }
    }
}

impl Attention {
    fn of(attention: &PastAttention) -> Self {
        let [_, hidden] = attention.combine.weight.val().dims();
        let additive = match (&attention.query, &attention.key, &attention.score) {
            (Some(query), Some(key), Some(score)) => Some(Additive {
                query: Matrix::of(query),
                key: Matrix::of(key),
                score: values(&score.weight),
            }),
            _ => None,
        };
        Attention {
            kind: attention.kind,
            span: attention.span,
            hidden,
            additive,
            combine: Matrix::of(&attention.combine),
        }
    }

    /// Remembers a state and returns what attention makes of it: `[hidden]` in and out.
    fn step(&self, carried: &mut Carried, state: &[f32], team: &mut Team) -> Vec<f32> {
        let n = self.hidden;
        carried.states.extend_from_slice(state);
        if let Some(additive) = &self.additive {
            carried.keys.extend(additive.key.apply(state, team));
        }
        // What has slid out of sight is dropped now and then rather than every time.
        let count = carried.states.len() / n;
        if count >= 2 * self.span {
            let gone = count - self.span;
            carried.states.drain(..gone * n);
            let width = carried.keys.len() / count;
            carried.keys.drain(..gone * width);
        }
        let count = carried.states.len() / n;
        let seen = count.min(self.span);
        let states = &carried.states[(count - seen) * n..];
        let mut weights = match &self.additive {
            Some(additive) => {
                let width = additive.score.len();
                let query = additive.query.apply(state, team);
                additive.scores(&query, &carried.keys[(count - seen) * width..])
            }
            None => {
                let scale = match self.kind {
                    ScoreKind::ScaledDot => 1.0 / (n as f32).sqrt(),
                    ScoreKind::Dot | ScoreKind::Additive => 1.0,
                };
                states
                    .chunks_exact(n)
                    .map(|key| scale * dot(state, key))
                    .collect()
            }
        };
        let mut pair = state.to_vec();
        pair.resize(2 * n, 0.0);
        vectorize!(|m| {
            math::softmax(m, &mut weights);
            for (weight, state) in weights.iter().zip(states.chunks_exact(n)) {
                for (context, state) in pair[n..].iter_mut().zip(state) {
                    *context += weight * state;
                }
            }
        });
        let mut output = self.combine.apply(&pair, team);
        vectorize!(|m| {
            for value in &mut output {
                *value = tanh(m, *value);
            }
        });
        output
    }
}

impl Additive {
    fn scores(&self, query: &[f32], keys: &[f32]) -> Vec<f32> {
        let width = self.score.len();
        let mut scores = vec![0.0f32; keys.len() / width];
        let mut terms = vec![0.0f32; width.next_multiple_of(LANES)];
        vectorize!(|m| {
            for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
                for (((term, q), k), v) in terms.iter_mut().zip(query).zip(key).zip(&self.score) {
                    *term = v * tanh(m, q + k);
                }
                let mut lanes = [0.0f32; LANES];
                for chunk in terms.chunks_exact(LANES) {
                    for (lane, term) in lanes.iter_mut().zip(chunk) {
                        *lane += term;
                    }
                }
                let mut sum = 0.0;
                for lane in lanes {
                    sum += lane;
                }
                *score = sum;
            }
        });
        scores
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    vectorize!({
        let mut lanes = [0.0f32; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        let mut sum = 0.0;
        for lane in lanes {
            sum += lane;
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            sum += a * b;
        }
        sum
    })
}

impl Recurrent {
    pub fn of(model: &RecurrentModel) -> Self {
        Self::made_of(
            model.embedding.as_ref(),
            &model.layers,
            None,
            Matrix::of(&model.head),
        )
    }

    pub fn of_attentive(model: &LstmAttention) -> Self {
        Self::made_of(
            model.embedding.as_ref(),
            &model.layers,
            Some(Attention::of(&model.attention)),
            Matrix::of(&model.head),
        )
    }

    fn made_of(
        embedding: Option<&Embedding>,
        layers: &[Layer],
        attention: Option<Attention>,
        head: Matrix,
    ) -> Self {
        let one_hot = |index: usize| index == 0 && embedding.is_none();
        Recurrent {
            embedding: embedding.map(Table::of),
            layers: layers
                .iter()
                .enumerate()
                .map(|(index, layer)| Weights::of(layer, one_hot(index)))
                .collect(),
            attention,
            head,
        }
    }

    pub fn state(&self) -> Carried {
        let zeros = |layer: &Weights| vec![0.0; layer.hidden];
        let lstm = |layer: &&Weights| layer.cell == CellKind::Lstm;
        Carried {
            hidden: self.layers.iter().map(zeros).collect(),
            cell: self.layers.iter().filter(lstm).map(zeros).collect(),
            states: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// See [`super::Weights::read`].
    pub fn read(
        &self,
        carried: &mut [&mut Carried],
        tokens: &[Vec<u32>],
        team: &mut Team,
    ) -> Vec<Vec<f32>> {
        // Rows are the tokens of the first sequence, then those of the second, and so on.
        let starts: Vec<usize> = tokens
            .iter()
            .scan(0, |next, tokens| {
                let start = *next;
                *next += tokens.len();
                Some(start)
            })
            .collect();
        let flat: Vec<u32> = tokens.concat();
        let mut x: Vec<f32> = match &self.embedding {
            Some(table) => flat.iter().flat_map(|&t| table.row(t)).copied().collect(),
            None => Vec::new(),
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let projected = match &layer.input {
                Input::Vectors(matrix) => matrix.apply(&x, team),
                Input::OneHot(table) => flat.iter().flat_map(|&t| table.row(t)).copied().collect(),
            }; // [rows, gates·hidden]
            x = layer.run(index, &projected, carried, tokens, &starts, team);
        }
        let width = x.len() / flat.len();
        let mut last = Vec::with_capacity(tokens.len() * width);
        for ((carried, &start), tokens) in carried.iter_mut().zip(&starts).zip(tokens) {
            let rows = x[start * width..][..tokens.len() * width].chunks_exact(width);
            match &self.attention {
                // Earlier outputs are nobody's input, but the states behind them are remembered.
                Some(attention) => {
                    let mut output = Vec::new();
                    for row in rows {
                        output = attention.step(carried, row, team);
                    }
                    last.extend(output);
                }
                None => last.extend(rows.last().into_iter().flatten()),
            }
        }
        let logits = self.head.apply(&last, team);
        logits
            .chunks_exact(self.head.outputs())
            .map(<[f32]>::to_vec)
            .collect()
    }
}

impl Weights {
    /// All sequences, step by step: `[rows, gates·hidden]` to `[rows, hidden]`.
    fn run(
        &self,
        index: usize,
        projected: &[f32],
        carried: &mut [&mut Carried],
        tokens: &[Vec<u32>],
        starts: &[usize],
        team: &mut Team,
    ) -> Vec<f32> {
        let (n, width) = (self.hidden, self.recurrent.outputs());
        let rows = projected.len() / width;
        let mut output = vec![0.0; rows * n];
        let steps = tokens.iter().map(Vec::len).max().unwrap_or(0);
        for step in 0..steps {
            let active: Vec<usize> = (0..tokens.len())
                .filter(|&sequence| step < tokens[sequence].len())
                .collect();
            let hidden: Vec<f32> = active
                .iter()
                .flat_map(|&sequence| &carried[sequence].hidden[index])
                .copied()
                .collect();
            let gates = self.recurrent.apply(&hidden, team);
            for (&sequence, gates) in active.iter().zip(gates.chunks_exact(width)) {
                let row = starts[sequence] + step;
                let x = &projected[row * width..][..width];
                let carried = &mut *carried[sequence];
                let h = &mut carried.hidden[index];
                match self.cell {
                    CellKind::Rnn => math::rnn(x, gates, h),
                    CellKind::Gru => math::gru(x, gates, h),
                    CellKind::Lstm => math::lstm(x, gates, h, &mut carried.cell[index]),
                }
                output[row * n..][..n].copy_from_slice(h);
            }
        }
        output
    }
}
