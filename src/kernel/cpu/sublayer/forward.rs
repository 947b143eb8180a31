//! The forward pass of a sublayer.

use rayon::prelude::*;

use super::super::matmul::Threads;
use super::super::panels::{Base, Layout, Panels, lay_out};
use super::super::{Unwritten, activation, attention, buffer, layer_norm};
use super::{Affine, Kept, Middle, Norm, Operands, Slots, Sublayer, Tokens, cut, left};

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

impl Sublayer {
    /// The output `[batch, seq, d]`, and what the backward pass needs.
    pub fn forward(&self, operands: &Operands) -> (Vec<f32>, Kept) {
        operands.check();
        let (d, all) = (operands.d(), operands.batch * operands.seq);
        let widths = self.widths(operands);
        let mut y = Unwritten::new(all * d);
        let mut normed = Unwritten::new(all * widths.normed);
        let (mut means, mut inverse_deviations) = (buffer(all), buffer(all));
        let mut inner = Unwritten::new(all * widths.inner);
        let mut log_denominators = buffer(all * widths.log_denominators);
        let mut units = Unwritten::new(all * widths.units);

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
                normed: cut(&mut normed, tokens.count * widths.normed),
                moments: [
                    cut(&mut means, tokens.count),
                    cut(&mut inverses, tokens.count),
                ],
                inner: cut(&mut inner, tokens.count * widths.inner),
                log_denominators: cut(&mut logs, tokens.count * widths.log_denominators),
                units: cut(&mut units, tokens.count * widths.units),
            });
            let parts: Vec<Forward> = parts.collect();
            let weights = lay_out([operands.first, operands.second].map(|map| map.view()));
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

    /// The output alone, `[batch, seq, d]`: the rest is there for one piece at a time.
    pub fn output(&self, operands: &Operands) -> Vec<f32> {
        operands.check();
        let d = operands.d();
        let logs = self.widths(operands).log_denominators;
        let mut y = Unwritten::new(operands.x.len());
        let pieces = operands.pieces();
        let threads = operands.threads(&pieces);
        let weights = lay_out([operands.first, operands.second].map(|map| map.view()));
        let mut rest = y.slots();
        let parts = pieces.into_iter().map(|tokens| {
            let y = cut(&mut rest, tokens.count * d);
            (tokens, y)
        });
        let parts: Vec<(Tokens, Slots)> = parts.collect();
        parts
            .into_par_iter()
            .with_max_len(1)
            .for_each(|(tokens, y)| {
                let [mut mean, mut inverse] = [buffer(tokens.count), buffer(tokens.count)];
                let piece = Forward {
                    tokens,
                    y,
                    normed: &mut [],
                    moments: [&mut mean, &mut inverse],
                    inner: &mut [],
                    log_denominators: &mut buffer(tokens.count * logs),
                    units: &mut [],
                };
                self.forward_piece(operands, &weights, piece, threads);
            });
        // SAFETY: the pieces are all tokens, and each wrote its part.
        #[allow(unsafe_code)]
        unsafe {
            y.written()
        }
    }

    fn forward_piece(
        &self,
        operands: &Operands,
        weights: &[Vec<f32>; 2],
        piece: Forward,
        threads: Threads,
    ) {
        let (d, tokens) = (operands.d(), piece.tokens);
        let panels = |map: Affine, at: usize| Panels::new(&weights[at], map.n_in, map.n_out);
        let first = panels(operands.first, 0);
        let second = panels(operands.second, 1);
        let x = tokens.of(operands.x, d);
        let scales = operands.gamma_and_beta();
        let norm = |to, from: &[f32], moments| {
            layer_norm::rows_into(to, from, scales, self.epsilon, moments)
        };
        // For what is not kept.
        let [mut normed, mut inner, mut units] = [const { Unwritten::none() }; 3];
        let size = |width: usize| tokens.count * width;
        let normed = kept_or(piece.normed, &mut normed, size(d));
        let (before, after) = match self.norm {
            Norm::Pre => (&*norm(normed, x, piece.moments), None),
            Norm::Post => (x, Some((normed, piece.moments))),
        };
        let before = left(before, d, Layout::Rows);
        let layout = self.layout();
        let to = (layout, operands.first.base());
        let [inner_size, units_size] = [operands.first.n_out, operands.second.n_in].map(size);
        let units = match self.middle {
            Middle::Attention { n_heads, mask } => {
                let qkv = kept_or(piece.inner, &mut inner, inner_size);
                let qkv = first.product_into(qkv, to, before, threads);
                let (sizes, mask) = operands.attention(tokens, n_heads, mask);
                let units = kept_or(piece.units, &mut units, units_size);
                attention::forward_into(units, piece.log_denominators, qkv, sizes, mask)
            }
            Middle::FeedForward(kind) if piece.inner.is_empty() => {
                let units = kept_or(piece.units, &mut units, units_size);
                let units = first.product_into(units, to, before, threads);
                activation::apply(kind, units);
                units
            }
            Middle::FeedForward(kind) => {
                let inner = first.product_into(piece.inner, to, before, threads);
                activation::apply_into(kind, kept_or(&mut [], &mut units, units_size), inner)
            }
        };
        let n_in = operands.second.n_in;
        let units = left(units, n_in, layout);
        let add = |to| match self.mask_of(tokens, d) {
            None => {
                let sum = second.product_into(to, (Layout::Rows, Base::Rows(x)), units, threads);
                operands.second.add_bias(sum);
                sum
            }
            Some(mask) => {
                let mut added = Unwritten::new(size(d));
                let rows = (Layout::Rows, operands.second.base());
                let added = second.product_into(added.slots(), rows, units, threads);
                activation::drop_some(added, mask);
                let sum = to.write_copy_of_slice(x);
                activation::add(sum, added);
                sum
            }
        };
        match after {
            None => {
                add(piece.y);
            }
            Some((sum, moments)) => {
                norm(piece.y, add(sum), moments);
            }
        }
    }
}

/// Where a result goes: to what is kept of it or, where that is nothing, to memory that the next piece has again.
fn kept_or<'a>(kept: Slots<'a>, scratch: &'a mut Unwritten, size: usize) -> Slots<'a> {
    if !kept.is_empty() {
        return kept;
    }
    *scratch = Unwritten::new(size);
    scratch.slots()
}
