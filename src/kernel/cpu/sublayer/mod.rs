//! A sublayer of a transformer block in one operation: its norm, attention or the feed-forward layer between two affine maps, and the
//! residual connection.
//!
//! The batch is cut into pieces of a few hundred tokens, and a thread takes a piece through the whole sublayer: what one map gives the
//! next still lies in its caches, and threads wait for each other once, not after each of six steps. Both weights are laid out once for
//! all pieces (see [`super::panels`]), and what lies between the maps of a feed-forward layer stays in panels, a piece behind the other. The gradients of the weights are sums over all pieces: a thread adds what a piece gives while it lies at
//! hand, for each of a few sets of pieces, and the sums of the sets are added at the end. Pieces and sets follow from the sizes alone and
//! sums take them in order, so that results do not depend on the number of threads.

mod backward;
mod forward;
#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use super::activation::{self, Activation, Mask};
use super::attention;
use super::matmul::{Threads, View};
use super::panels::{Base, Layout, Left, Panels};
use super::tile::WIDTH;

/// Tokens that a piece has at least, where the batch has as many: enough for the products to be efficient.
const TOKENS: usize = 96;
/// Where the norm lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// x + f(norm(x))
    Pre,
    /// norm(x + f(x))
    Post,
}

/// What lies between the two affine maps.
#[derive(Debug, Clone, Copy)]
pub enum Middle {
    /// The first map gives the queries, keys and values of all heads; dropout on the weights.
    Attention {
        n_heads: usize,
        mask: Option<Mask>,
    },
    FeedForward(Activation),
}

/// Everything about a sublayer that is not a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Sublayer {
    pub norm: Norm,
    pub epsilon: f32,
    pub middle: Middle,
    /// Dropout on what is added to the input.
    pub mask: Option<Mask>,
}

/// y = x·W + b, W `[n_in, n_out]`.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    pub weight: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub n_in: usize,
    pub n_out: usize,
}

/// The operands.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    /// `[batch, seq, d]`
    pub x: &'a [f32],
    pub batch: usize,
    pub seq: usize,
    /// Of the norm, `[d]`.
    pub gamma: &'a [f32],
    pub beta: Option<&'a [f32]>,
    pub first: Affine<'a>,
    pub second: Affine<'a>,
}

/// What the backward pass needs, as little as there is: what elementwise arithmetic gives again from the rest is not kept, as to write it to
/// memory and read it again takes as long.
#[derive(Debug)]
pub struct Kept {
    /// What the norm read after the second map, `[tokens, d]`; empty where it comes first.
    normed: Vec<f32>,
    means: Vec<f32>,
    inverse_deviations: Vec<f32>,
    /// What the first map gave, for attention, and for GELU, each piece in panels; otherwise empty.
    inner: Vec<f32>,
    /// Of attention, `[batch, n_heads, seq]`.
    log_denominators: Vec<f32>,
    /// What the second map read, for attention, and for other activations, each piece in panels; empty for GELU.
    units: Vec<f32>,
}

/// Gradients with respect to the operands; those of absent biases are empty.
pub struct Gradients {
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    /// Weight and bias.
    pub first: [Vec<f32>; 2],
    pub second: [Vec<f32>; 2],
}

/// Values that are kept for each token: see [`Kept`].
struct Widths {
    normed: usize,
    inner: usize,
    log_denominators: usize,
    units: usize,
}

type Slots<'a> = &'a mut [MaybeUninit<f32>];

/// The tokens of a piece.
#[derive(Debug, Clone, Copy)]
struct Tokens {
    first: usize,
    count: usize,
}

impl Tokens {
    /// Their part of rows of `width` values.
    fn of(self, values: &[f32], width: usize) -> &[f32] {
        let until = |token: usize| (token * width).min(values.len());
        &values[until(self.first)..until(self.first + self.count)]
    }

    /// As many behind them, of which some may not be there.
    fn next(self) -> Self {
        Self {
            first: self.first + self.count,
            ..self
        }
    }
}

/// The first `len` of what is left.
fn cut<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (head, tail) = std::mem::take(rest).split_at_mut(len);
    *rest = tail;
    head
}

/// Rows of the batch that make a piece: as few as have [`TOKENS`] tokens, but one or two more where all pieces get equal and their number
/// even by it.
fn rows_of_piece(batch: usize, seq: usize) -> usize {
    let least = TOKENS.div_ceil(seq.max(1)).clamp(1, batch.max(1));
    let even = |rows: &usize| batch.is_multiple_of(*rows) && (batch / rows).is_multiple_of(2);
    (least..=least + 2).find(even).unwrap_or(least)
}

impl<'a> Affine<'a> {
    fn view(&self) -> View<'a> {
        View::new(self.weight, self.n_in, self.n_out)
    }

    /// What products are added to.
    fn base(&self) -> Base<'a> {
        self.bias.map_or(Base::Zero, Base::Row)
    }

    /// Adds the bias to rows.
    fn add_bias(&self, y: &mut [f32]) {
        if let Some(bias) = self.bias {
            activation::add_to_rows(y, bias);
        }
    }

    /// Adds the rows of `dy` to the gradient of the bias, if there is one.
    fn add_to_bias(sum: &mut [f32], dy: &[f32], layout: Layout) {
        if sum.is_empty() {
            return;
        }
        match layout {
            Layout::Rows => activation::add_rows(sum, dy),
            Layout::Panels => {
                let rows = dy.len() / sum.len();
                let panels = dy.chunks((rows * WIDTH).max(1));
                for (sum, panel) in sum.chunks_mut(WIDTH).zip(panels) {
                    activation::add_rows(sum, panel);
                }
            }
        }
    }
}

/// Values of so many columns as a left factor.
fn left(values: &[f32], columns: usize, layout: Layout) -> Left<'_> {
    let rows = values.len() / columns.max(1);
    match layout {
        Layout::Rows => Left::Rows(View::new(values, rows, columns)),
        Layout::Panels => Left::Panels(Panels::new(values, rows, columns)),
    }
}

impl Operands<'_> {
    fn d(&self) -> usize {
        self.gamma.len()
    }

    fn gamma_and_beta(&self) -> [&[f32]; 2] {
        [self.gamma, self.beta.unwrap_or_default()]
    }

    fn pieces(&self) -> Vec<Tokens> {
        let all = self.batch * self.seq;
        let count = (rows_of_piece(self.batch, self.seq) * self.seq).max(1);
        let piece = |first| Tokens {
            first,
            count: count.min(all - first),
        };
        (0..all).step_by(count).map(piece).collect()
    }

    /// Where there are fewer pieces than threads, the threads share each piece's products.
    fn threads(&self, pieces: &[Tokens]) -> Threads {
        match pieces.len() < rayon::current_num_threads() {
            true => Threads::All,
            false => Threads::One,
        }
    }

    fn check(&self) {
        let d = self.d();
        assert_eq!(self.x.len(), self.batch * self.seq * d);
        assert!(self.beta.is_none_or(|beta| beta.len() == d));
        assert_eq!((self.first.n_in, self.second.n_out), (d, d));
    }

    /// The sizes of the attention of a piece, and its dropout.
    fn attention(
        &self,
        tokens: Tokens,
        n_heads: usize,
        mask: Option<Mask>,
    ) -> (attention::Sizes, Option<Mask>) {
        let sizes = attention::Sizes {
            batch: tokens.count / self.seq,
            seq: self.seq,
            n_heads,
            d_head: self.second.n_in / n_heads,
        };
        // As many weights lie before it.
        let before = (tokens.first * n_heads * self.seq) as u64;
        (sizes, mask.map(|mask| mask.from(before)))
    }
}

impl Sublayer {
    /// Values that are kept for each token.
    fn widths(&self, operands: &Operands) -> Widths {
        let (first, second) = (operands.first.n_out, operands.second.n_in);
        let (inner, log_denominators, units) = match self.middle {
            Middle::Attention { n_heads, .. } => (first, n_heads, second),
            Middle::FeedForward(Activation::Gelu | Activation::GeluTanh) => (first, 0, 0),
            Middle::FeedForward(Activation::Relu | Activation::Tanh) => (0, 0, second),
        };
        let normed = match self.norm {
            Norm::Pre => 0,
            Norm::Post => operands.d(),
        };
        Widths {
            normed,
            inner,
            log_denominators,
            units,
        }
    }

    /// How what lies between the maps does.
    fn layout(&self) -> Layout {
        match self.middle {
            Middle::Attention { .. } => Layout::Rows,
            Middle::FeedForward(_) => Layout::Panels,
        }
    }

    /// What the second map read of the first tokens, `[tokens, n_in]`.
    pub fn units(&self, operands: &Operands, kept: &Kept, tokens: usize) -> Vec<f32> {
        let width = operands.second.n_in;
        let Middle::FeedForward(kind) = self.middle else {
            return kept.units[..tokens * width].to_vec();
        };
        let (values, found) = match kept.units.is_empty() {
            true => (&kept.inner, false),
            false => (&kept.units, true),
        };
        let mut rows = Vec::with_capacity(tokens * width);
        for piece in operands.pieces() {
            let wanted = piece.count.min(tokens.saturating_sub(piece.first));
            let panels = Panels::new(piece.of(values, width), piece.count, width);
            rows.extend(panels.first_rows(wanted));
        }
        if !found {
            activation::apply(kind, &mut rows);
        }
        rows
    }

    /// Dropout on what a piece adds.
    fn mask_of(&self, tokens: Tokens, d: usize) -> Option<Mask> {
        let mask = self.mask?;
        Some(mask.from((tokens.first * d) as u64))
    }
}
