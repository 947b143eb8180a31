//! A sublayer of a transformer block in one operation: its norm, attention or the feed-forward layer between two affine maps, and the
//! residual connection.
//!
//! The batch is cut into pieces of a few hundred tokens, and a thread takes a piece through the whole sublayer: what one map gives the
//! next still lies in its caches, and threads wait for each other once, not after each of six steps. Both weights are laid out once for
//! all pieces (see [`Panels`]). The gradients of the weights are sums over all pieces: a thread adds what a piece gives while it lies at
//! hand, for each of a few sets of pieces, and the sums of the sets are added at the end. Pieces and sets follow from the sizes alone and
//! sums take them in order, so that results do not depend on the number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::activation::{self, Activation, Mask};
use super::attention;
use super::layer_norm;
use super::matmul::{Threads, View};
use super::panels::Panels;
use super::{Unwritten, buffer};

/// Tokens that a piece has at least, where the batch has as many: enough for the products to be efficient.
const TOKENS: usize = 96;
/// Tokens whose gradients of the weights are one sum, at least, and how many sums there are at most.
const TOKENS_OF_SET: usize = 1024;
const SETS: usize = 8;
/// Values that a thread adds at a time.
const ADDED: usize = 16 * 1024;

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

/// What the backward pass needs.
#[derive(Debug)]
pub struct Kept {
    /// What the norm gave (before the first map) or read (after the second), `[tokens, d]`.
    normed: Vec<f32>,
    means: Vec<f32>,
    inverse_deviations: Vec<f32>,
    /// Attention: what the first map gave. GELU: the slopes. Otherwise empty.
    inner: Vec<f32>,
    /// Of attention, `[batch, n_heads, seq]`.
    log_denominators: Vec<f32>,
    /// What the second map read.
    units: Vec<f32>,
}

impl Kept {
    /// What the second map read, `[tokens, n_in]`.
    pub fn units(&self) -> &[f32] {
        &self.units
    }
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

type Slots<'a> = &'a mut [MaybeUninit<f32>];

/// A piece of the forward pass: where its results go.
struct Forward<'a> {
    tokens: Tokens,
    y: Slots<'a>,
    normed: Slots<'a>,
    moments: [&'a mut [f32]; 2],
    inner: Slots<'a>,
    log_denominators: &'a mut [f32],
    units: Slots<'a>,
}

/// A set of pieces of the backward pass.
struct Set<'a> {
    pieces: &'a [Tokens],
    dx: Slots<'a>,
}

/// What a set adds to the gradients of the parameters.
struct Sums {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    first: [Vec<f32>; 2],
    second: [Vec<f32>; 2],
}

impl Sums {
    fn new(operands: &Operands) -> Self {
        let of = |map: Affine| {
            let bias = map.bias.map_or(0, <[f32]>::len);
            [map.weight.len(), bias].map(buffer)
        };
        Self {
            gamma: buffer(operands.d()),
            beta: buffer(operands.d()),
            first: of(operands.first),
            second: of(operands.second),
        }
    }

    fn add(&mut self, other: &Self) {
        let weights = self.first.iter_mut().chain(&mut self.second);
        for (sum, part) in weights.zip(other.first.iter().chain(&other.second)) {
            sum.par_chunks_mut(ADDED)
                .zip(part.par_chunks(ADDED))
                .for_each(|(sum, part)| activation::add(sum, part));
        }
        activation::add(&mut self.gamma, &other.gamma);
        activation::add(&mut self.beta, &other.beta);
    }
}

/// The tokens of a piece.
#[derive(Debug, Clone, Copy)]
struct Tokens {
    first: usize,
    count: usize,
}

impl Tokens {
    /// Their part of rows of `width` values.
    fn of(self, values: &[f32], width: usize) -> &[f32] {
        &values[self.first * width..][..self.count * width]
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

    /// Adds the bias to rows.
    fn add_bias(&self, y: &mut [f32]) {
        if let Some(bias) = self.bias {
            for row in y.chunks_exact_mut(self.n_out) {
                activation::add(row, bias);
            }
        }
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
    /// Values that are kept of the middle for each token, and log-denominators.
    fn kept_widths(&self, operands: &Operands) -> [usize; 2] {
        match self.middle {
            Middle::Attention { n_heads, .. } => [operands.first.n_out, n_heads],
            Middle::FeedForward(Activation::Gelu | Activation::GeluTanh) => {
                [operands.first.n_out, 0]
            }
            Middle::FeedForward(Activation::Relu | Activation::Tanh) => [0, 0],
        }
    }

    /// Dropout on what a piece adds.
    fn mask_of(&self, tokens: Tokens, d: usize) -> Option<Mask> {
        let mask = self.mask?;
        Some(mask.from((tokens.first * d) as u64))
    }

    /// The output `[batch, seq, d]`, and what the backward pass needs.
    pub fn forward(&self, operands: &Operands) -> (Vec<f32>, Kept) {
        operands.check();
        let (d, all) = (operands.d(), operands.batch * operands.seq);
        let [inner_width, logs_width] = self.kept_widths(operands);
        let mut y = Unwritten::new(all * d);
        let mut normed = Unwritten::new(all * d);
        let (mut means, mut inverse_deviations) = (buffer(all), buffer(all));
        let mut inner = Unwritten::new(all * inner_width);
        let mut log_denominators = buffer(all * logs_width);
        let units_width = operands.second.n_in;
        let mut units = Unwritten::new(all * units_width);

        let pieces = operands.pieces();
        let threads = operands.threads(&pieces);
        {
            let (mut y, mut normed) = (y.slots(), normed.slots());
            let (mut means, mut inverses) = (&mut means[..], &mut inverse_deviations[..]);
            let (mut inner, mut logs) = (inner.slots(), &mut log_denominators[..]);
            let mut units = units.slots();
            let parts = pieces.into_iter().map(|tokens| Forward {
                tokens,
                y: cut(&mut y, tokens.count * d),
                normed: cut(&mut normed, tokens.count * d),
                moments: [
                    cut(&mut means, tokens.count),
                    cut(&mut inverses, tokens.count),
                ],
                inner: cut(&mut inner, tokens.count * inner_width),
                log_denominators: cut(&mut logs, tokens.count * logs_width),
                units: cut(&mut units, tokens.count * units_width),
            });
            let parts: Vec<Forward> = parts.collect();
            let weights = Panels::of([operands.first, operands.second].map(|map| map.view()));
            parts
                .into_par_iter()
                .with_max_len(1)
                .for_each(|piece| self.forward_piece(operands, &weights, piece, threads));
        }
        // SAFETY: the pieces are all tokens, and each wrote its part of every buffer.
        #[allow(unsafe_code)]
        let [y, normed, inner, units] =
            [y, normed, inner, units].map(|slots| unsafe { slots.written() });
        let kept = Kept {
            normed,
            means,
            inverse_deviations,
            inner,
            log_denominators,
            units,
        };
        (y, kept)
    }

    fn forward_piece(
        &self,
        operands: &Operands,
        [first, second]: &[Panels; 2],
        piece: Forward,
        threads: Threads,
    ) {
        let (d, tokens) = (operands.d(), piece.tokens);
        let x = tokens.of(operands.x, d);
        let scales = operands.gamma_and_beta();
        let norm = |to, from: &[f32], moments| {
            layer_norm::rows_into(to, from, scales, self.epsilon, moments)
        };
        let matrix = |values, width| View::new(values, tokens.count, width);
        let (before, after) = match self.norm {
            Norm::Pre => {
                let normed = norm(piece.normed, x, piece.moments);
                (&*normed, None)
            }
            Norm::Post => (x, Some((piece.normed, piece.moments))),
        };
        let before = matrix(before, d);
        let units = match self.middle {
            Middle::Attention { n_heads, mask } => {
                let qkv = first.product_into(piece.inner, before, threads);
                operands.first.add_bias(qkv);
                let (sizes, mask) = operands.attention(tokens, n_heads, mask);
                attention::forward_into(piece.units, piece.log_denominators, qkv, sizes, mask)
            }
            Middle::FeedForward(kind) => {
                let units = first.product_into(piece.units, before, threads);
                operands.first.add_bias(units);
                activation::values_and_slopes(kind, units, piece.inner);
                units
            }
        };
        let units = matrix(units, operands.second.n_in);
        let add = |to: &mut [f32]| match self.mask_of(tokens, d) {
            None => {
                operands.second.add_bias(to);
                second.add_product(to, units, threads);
            }
            Some(mask) => {
                let mut added = second.product(units, threads);
                operands.second.add_bias(&mut added);
                activation::drop_some(&mut added, mask);
                activation::add(to, &added);
            }
        };
        match after {
            None => add(piece.y.write_copy_of_slice(x)),
            Some((sum, moments)) => {
                let sum = sum.write_copy_of_slice(x);
                add(sum);
                norm(piece.y, sum, moments);
            }
        }
    }

    /// The gradients, from that of the output.
    pub fn backward(&self, operands: &Operands, kept: &Kept, dy: &[f32]) -> Gradients {
        operands.check();
        assert_eq!(dy.len(), operands.x.len());
        let d = operands.d();
        let mut dx = Unwritten::new(dy.len());
        let pieces = operands.pieces();
        let sums: Vec<Sums> = {
            let mut rest = dx.slots();
            let sets = pieces.chunks(pieces_of_set(&pieces)).map(|pieces| {
                let tokens: usize = pieces.iter().map(|piece| piece.count).sum();
                let dx = cut(&mut rest, tokens * d);
                Set { pieces, dx }
            });
            let sets: Vec<Set> = sets.collect();
            let maps = [operands.first, operands.second];
            let weights = Panels::of(maps.map(|map| map.view().transposed()));
            let pass = Pass {
                of: self,
                operands,
                kept,
                dy,
                weights,
            };
            let sets = sets.into_par_iter().with_max_len(1);
            sets.map(|set| pass.set(set)).collect()
        };
        let mut sums = sums.into_iter();
        let first = sums.next().unwrap_or_else(|| Sums::new(operands));
        let all = sums.fold(first, |mut all, sums| {
            all.add(&sums);
            all
        });
        Gradients {
            // SAFETY: the sets are all tokens, and each wrote its part.
            #[allow(unsafe_code)]
            x: unsafe { dx.written() },
            gamma: all.gamma,
            beta: operands.beta.map_or_else(Vec::new, |_| all.beta),
            first: all.first,
            second: all.second,
        }
    }
}

/// A backward pass.
struct Pass<'a> {
    of: &'a Sublayer,
    operands: &'a Operands<'a>,
    kept: &'a Kept,
    dy: &'a [f32],
    /// Both transposed.
    weights: [Panels; 2],
}

/// What the backward pass of a piece gives besides the gradient of its input.
struct Found {
    /// With respect to what the first map gave.
    dinner: Vec<f32>,
    /// With respect to what the second map gave; none where that is the gradient of the output itself.
    dadded: Option<Vec<f32>>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Pass<'_> {
    /// On one or two threads what a piece gives is added while it lies in the caches; on more, which share the pieces of a set, after all of
    /// them. The sums are the same.
    fn set(&self, set: Set) -> Sums {
        let mut sums = Sums::new(self.operands);
        let mut rest = set.dx;
        let d = self.operands.d();
        let pieces = set
            .pieces
            .iter()
            .map(|tokens| (*tokens, cut(&mut rest, tokens.count * d)));
        if rayon::current_num_threads() <= 2 {
            for (tokens, dx) in pieces {
                let found = self.piece(tokens, dx);
                self.add(tokens, &found, &mut sums);
            }
            return sums;
        }
        let pieces: Vec<(Tokens, Slots)> = pieces.collect();
        let found: Vec<(Tokens, Found)> = pieces
            .into_par_iter()
            .with_max_len(1)
            .map(|(tokens, dx)| (tokens, self.piece(tokens, dx)))
            .collect();
        for (tokens, found) in &found {
            self.add(*tokens, found, &mut sums);
        }
        sums
    }

    fn piece(&self, tokens: Tokens, dx: Slots) -> Found {
        let Self {
            of, operands, kept, ..
        } = *self;
        let d = operands.d();
        let (x, dy) = (tokens.of(operands.x, d), tokens.of(self.dy, d));
        let moments = [&kept.means, &kept.inverse_deviations].map(|found| tokens.of(found, 1));
        let (mut gamma, mut beta) = (buffer(d), buffer(d));
        let mut norm = |to, from: &[f32], dy: &[f32]| {
            let sums = [&mut gamma[..], &mut beta[..]];
            layer_norm::backward_rows_into(to, [from, dy, operands.gamma], moments, sums)
        };
        let mask = of.mask_of(tokens, d);
        let masked = |dy: &[f32], mask| {
            let mut masked = dy.to_vec();
            activation::drop_some(&mut masked, mask);
            masked
        };
        let (dinner, dadded) = match of.norm {
            Norm::Pre => {
                let dadded = mask.map(|mask| masked(dy, mask));
                let dinner = self.middle(tokens, dadded.as_deref().unwrap_or(dy));
                let dnormed = self.product(0, &dinner);
                let dx = norm(dx, x, &dnormed);
                activation::add(dx, dy);
                (dinner, dadded)
            }
            Norm::Post => {
                let dsum = norm(dx, tokens.of(&kept.normed, d), dy);
                let dadded = match mask {
                    Some(mask) => masked(dsum, mask),
                    None => dsum.to_vec(),
                };
                let dinner = self.middle(tokens, &dadded);
                let rows = View::new(&dinner, tokens.count, operands.first.n_out);
                self.weights[0].add_product(dsum, rows, Threads::All);
                (dinner, Some(dadded))
            }
        };
        Found {
            dinner,
            dadded,
            gamma,
            beta,
        }
    }

    /// dx of one of the maps.
    fn product(&self, map: usize, dy: &[f32]) -> Vec<f32> {
        let panels = &self.weights[map];
        let rows = dy.len() / panels.depth().max(1);
        panels.product(View::new(dy, rows, panels.depth()), Threads::All)
    }

    /// From the gradient of what the second map gave to that of what the first did.
    fn middle(&self, tokens: Tokens, dadded: &[f32]) -> Vec<f32> {
        let Self {
            of, operands, kept, ..
        } = *self;
        let units = tokens.of(&kept.units, operands.second.n_in);
        let [inner_width, logs_width] = of.kept_widths(operands);
        let inner = tokens.of(&kept.inner, inner_width);
        let mut dunits = self.product(1, dadded);
        match of.middle {
            Middle::Attention { n_heads, mask } => {
                let logs = tokens.of(&kept.log_denominators, logs_width);
                let (sizes, mask) = operands.attention(tokens, n_heads, mask);
                attention::backward(inner, units, logs, &dunits, sizes, mask)
            }
            Middle::FeedForward(kind) => {
                activation::backward_on_this_thread(kind, units, inner, &mut dunits);
                dunits
            }
        }
    }

    /// Adds what a piece gives to the gradients of the parameters.
    fn add(&self, tokens: Tokens, found: &Found, sums: &mut Sums) {
        let Operands {
            x, first, second, ..
        } = *self.operands;
        let d = self.operands.d();
        let read = match self.of.norm {
            Norm::Pre => &self.kept.normed,
            Norm::Post => x,
        };
        let read = tokens.of(read, d);
        let units = tokens.of(&self.kept.units, second.n_in);
        let dy = tokens.of(self.dy, d);
        let dadded = found.dadded.as_deref().unwrap_or(dy);
        activation::add(&mut sums.gamma, &found.gamma);
        activation::add(&mut sums.beta, &found.beta);
        for (map, x, dy, [weight, bias]) in [
            (first, read, &found.dinner[..], &mut sums.first),
            (second, units, dadded, &mut sums.second),
        ] {
            let x = View::new(x, tokens.count, map.n_in).transposed();
            let panels = Panels::new(View::new(dy, tokens.count, map.n_out));
            panels.add_product(weight, x, Threads::All);
            if !bias.is_empty() {
                for row in dy.chunks_exact(map.n_out) {
                    activation::add(bias, row);
                }
            }
        }
    }
}

/// How many pieces make a set.
fn pieces_of_set(pieces: &[Tokens]) -> usize {
    let tokens: usize = pieces.iter().map(|piece| piece.count).sum();
    let sets = (tokens / TOKENS_OF_SET).clamp(2, SETS);
    pieces.len().div_ceil(sets).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::linear;
    use super::super::tests::{assert_close, values, wide};
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
                activation::backward_on_this_thread(kind, &units, &slopes, &mut dunits);
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
            for (batch, seq, d, biased) in [(1, 1, 6, true), (7, 33, 10, false), (5, 70, 34, true)]
            {
                let case = Case::new(batch, seq, d, of.middle, biased);
                let (expected, slopes) = one_by_one(&of, &case);
                let (y, kept) = of.forward(&case.operands());
                let what = format!("{of:?} {batch}x{seq}x{d}");
                assert_close(&y, &wide(&expected), 2e-5, &what);
                let found = of.backward(&case.operands(), &kept, &case.dy);
                for (found, expected) in all(&found).into_iter().zip(all(&slopes)) {
                    assert_eq!(found.len(), expected.len(), "{what}");
                    assert_close(found, &wide(expected), 1e-4, &what);
                }
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
}
