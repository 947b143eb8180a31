//! The backward pass of a sublayer.

use rayon::prelude::*;

use super::super::matmul::{Threads, View};
use super::super::panels::{Layout, Left, Panels, lay_out};
use super::super::{Unwritten, activation, attention, buffer, layer_norm};
use super::{Affine, Gradients, Kept, Middle, Norm, Operands, Slots, Sublayer, Tokens, cut, left};

/// Tokens whose gradients of the weights are one sum, at least, and how many sums there are at most.
const TOKENS_OF_SET: usize = 1024;
const SETS: usize = 8;
/// Values that a thread adds at a time.
const ADDED: usize = 16 * 1024;

/// A set of pieces of the backward pass.
struct Set<'a> {
    pieces: &'a [Tokens],
    dx: Slots<'a>,
}

/// What a set adds to the gradients of the parameters. Those of the weights are empty until the first piece writes them.
struct Sums {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    first: [Vec<f32>; 2],
    second: [Vec<f32>; 2],
}

impl Sums {
    fn new(operands: &Operands) -> Self {
        let of = |map: Affine| [0, map.bias.map_or(0, <[f32]>::len)].map(buffer);
        Self {
            gamma: buffer(operands.d()),
            beta: buffer(operands.beta.map_or(0, <[f32]>::len)),
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

impl Sublayer {
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
            let weights = lay_out(maps.map(|map| map.view().transposed()));
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
        let mut all = sums.fold(first, |mut all, sums| {
            all.add(&sums);
            all
        });
        // Where there was no piece.
        all.first[0].resize(operands.first.weight.len(), 0.0);
        all.second[0].resize(operands.second.weight.len(), 0.0);
        Gradients {
            // SAFETY: the sets are all tokens, and each wrote its part.
            #[allow(unsafe_code)]
            x: unsafe { dx.written() },
            gamma: all.gamma,
            beta: all.beta,
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
    /// Both transposed, in panels.
    weights: [Vec<f32>; 2],
}

/// What the backward pass of a piece gives besides the gradient of its input.
struct Found {
    /// With respect to what the first map gave; of a feed-forward layer in panels.
    dinner: Vec<f32>,
    /// With respect to what the second map gave; none where that is the gradient of the output itself.
    dadded: Option<Vec<f32>>,
    /// What the maps read, where it was not kept; in panels.
    normed: Option<Vec<f32>>,
    units: Option<Vec<f32>>,
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
                let next = tokens.next().of(self.dy, d);
                self.add(tokens, &found, &mut sums, next);
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
            self.add(*tokens, found, &mut sums, &[]);
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
        let beta = operands.beta.map_or(0, <[f32]>::len);
        let (mut gamma, mut beta) = (buffer(d), buffer(beta));
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
        let (dinner, dadded, normed, units) = match of.norm {
            Norm::Pre => {
                let dadded = mask.map(|mask| masked(dy, mask));
                let (dinner, units) = self.middle(tokens, dadded.as_deref().unwrap_or(dy));
                let left = left(&dinner, operands.first.n_out, of.layout());
                let weights = self.weights(0).fetching([x, &[]]);
                let dnormed = weights.product(Layout::Rows, left, Threads::All);
                let dx = norm(dx, x, &dnormed);
                activation::add(dx, dy);
                let scales = operands.gamma_and_beta();
                let normed = layer_norm::again_in_panels(x, scales, moments);
                (dinner, dadded, Some(normed), units)
            }
            Norm::Post => {
                let dsum = norm(dx, tokens.of(&kept.normed, d), dy);
                let dadded = match mask {
                    Some(mask) => masked(dsum, mask),
                    None => dsum.to_vec(),
                };
                let (dinner, units) = self.middle(tokens, &dadded);
                let left = left(&dinner, operands.first.n_out, of.layout());
                self.weights(0).add_product(dsum, left, Threads::All);
                (dinner, Some(dadded), None, units)
            }
        };
        Found {
            dinner,
            dadded,
            normed,
            units,
            gamma,
            beta,
        }
    }

    /// Of a map, transposed.
    fn weights(&self, map: usize) -> Panels<'_> {
        let Affine { n_in, n_out, .. } = [self.operands.first, self.operands.second][map];
        Panels::new(&self.weights[map], n_out, n_in)
    }

    /// From the gradient of what the second map gave to that of what the first did; and what the second read, where it was not kept.
    fn middle(&self, tokens: Tokens, dadded: &[f32]) -> (Vec<f32>, Option<Vec<f32>>) {
        let Self {
            of, operands, kept, ..
        } = *self;
        let widths = of.widths(operands);
        let units = tokens.of(&kept.units, widths.units);
        let inner = tokens.of(&kept.inner, widths.inner);
        let left = left(dadded, operands.second.n_out, Layout::Rows);
        let weights = self.weights(1).fetching([inner, units]);
        let mut dunits = weights.product(of.layout(), left, Threads::All);
        match of.middle {
            Middle::Attention { n_heads, mask } => {
                let logs = tokens.of(&kept.log_denominators, widths.log_denominators);
                let (sizes, mask) = operands.attention(tokens, n_heads, mask);
                let dqkv = attention::backward(inner, units, logs, &dunits, sizes, mask);
                (dqkv, None)
            }
            Middle::FeedForward(kind) if inner.is_empty() => {
                activation::backward_from_values(kind, units, &mut dunits);
                (dunits, None)
            }
            Middle::FeedForward(kind) => {
                let units = activation::backward_with_values(kind, inner, &mut dunits);
                (dunits, Some(units))
            }
        }
    }

    /// Adds what a piece gives to the gradients of the parameters. What is read next comes to the cache meanwhile.
    fn add(&self, tokens: Tokens, found: &Found, sums: &mut Sums, next: &[f32]) {
        let Operands {
            x, first, second, ..
        } = *self.operands;
        let d = self.operands.d();
        let across = |values, width, layout| match layout {
            Layout::Rows => Left::Rows(View::new(values, tokens.count, width).transposed()),
            Layout::Panels => Left::Across(Panels::new(values, tokens.count, width)),
        };
        let read = match &found.normed {
            Some(normed) => across(normed, d, Layout::Panels),
            None => across(tokens.of(x, d), d, Layout::Rows),
        };
        let layout = self.of.layout();
        let units = match &found.units {
            Some(units) => units,
            None => tokens.of(&self.kept.units, second.n_in),
        };
        let units = across(units, second.n_in, layout);
        let dy = tokens.of(self.dy, d);
        let dadded = found.dadded.as_deref().unwrap_or(dy);
        activation::add(&mut sums.gamma, &found.gamma);
        activation::add(&mut sums.beta, &found.beta);
        let dinner = (&found.dinner[..], layout);
        let dadded = (dadded, Layout::Rows);
        for (n_out, x, (dy, layout), [weight, bias], next) in [
            (first.n_out, read, dinner, &mut sums.first, &[][..]),
            (second.n_out, units, dadded, &mut sums.second, next),
        ] {
            let copy;
            let panels = match layout {
                Layout::Panels => dy,
                Layout::Rows => {
                    [copy] = lay_out([View::new(dy, tokens.count, n_out)]);
                    &copy
                }
            };
            let panels = Panels::new(panels, tokens.count, n_out).fetching([next, &[]]);
            match weight.is_empty() {
                true => *weight = panels.product(Layout::Rows, x, Threads::All),
                false => panels.add_product(weight, x, Threads::All),
            }
            Affine::add_to_bias(bias, dy, layout);
        }
    }
}

/// How many pieces make a set.
fn pieces_of_set(pieces: &[Tokens]) -> usize {
    let tokens: usize = pieces.iter().map(|piece| piece.count).sum();
    let sets = (tokens / TOKENS_OF_SET).clamp(2, SETS);
    pieces.len().div_ceil(sets).max(1)
}
