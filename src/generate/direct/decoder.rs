//! Rungs 4 and 5 over plain weights, with keys and values of the positions read so far.

use super::math::{add, softmax};
use super::matrix::Matrix;
use super::{tensor_values, values};
use crate::config::NormKind;
use crate::kernel::cpu::activation::{self, Activation};
use crate::kernel::cpu::layer_norm;
use crate::kernel::cpu::team::Team;
use crate::kernel::simd::{MulAdd, vectorize};
use crate::model::decoder::Decoder as Model;
use crate::model::layers::activation::kernel_kind;
use crate::model::layers::layer_norm::{EPSILON, LayerNorm};
use crate::model::layers::transformer_block::TransformerBlock;

/// Positions whose scores are summed at a time.
const BLOCK: usize = 64;
/// Dimensions of a head whose sums are kept in registers.
const WIDE: usize = 32;

#[derive(Debug)]
pub struct Decoder {
    d_model: usize,
    n_heads: usize,
    context_length: usize,
    /// `[vocab, d_model]`, scaled where the model scales it.
    embedding: Vec<f32>,
    /// `[context_length, d_model]`; empty where there are no positions.
    positions: Vec<f32>,
    blocks: Vec<Block>,
    final_norm: Option<Norm>,
    head: Matrix,
}

#[derive(Debug)]
struct Block {
    norm: NormKind,
    attention_norm: Norm,
    qkv: Matrix,
    output: Matrix,
    feed_forward_norm: Norm,
    up: Matrix,
    down: Matrix,
    activation: Activation,
}

#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// Keys and values of one sequence.
#[derive(Debug, Clone)]
pub struct Cache {
    layers: Vec<Layer>,
    length: usize,
}

#[derive(Debug, Clone)]
struct Layer {
    /// `[n_heads, d_head, capacity]`: the scores of neighbouring positions are computed side by side.
    keys: Vec<f32>,
    /// `[n_heads, capacity, d_head]`
    values: Vec<f32>,
}

impl Cache {
    /// Positions read.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// One token and where it stands.
#[derive(Debug, Clone, Copy)]
struct Row {
    sequence: usize,
    position: usize,
}

impl Norm {
    fn of(norm: &LayerNorm) -> Self {
        Norm {
            weight: values(&norm.weight),
            bias: norm.bias.as_ref().map(values),
        }
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let width = self.weight.len();
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            layer_norm::row(y, x, &self.weight, self.bias.as_deref(), EPSILON as f32);
        }
        y
    }
}

impl Block {
    fn of(block: &TransformerBlock) -> Self {
        Block {
            norm: block.norm,
            attention_norm: Norm::of(&block.attention_norm),
            qkv: Matrix::of(&block.attention.qkv),
            output: Matrix::of(&block.attention.output),
            feed_forward_norm: Norm::of(&block.feed_forward_norm),
            up: Matrix::of(&block.feed_forward.up),
            down: Matrix::of(&block.feed_forward.down),
            activation: kernel_kind(block.feed_forward.activation),
        }
    }

    fn feed_forward(&self, x: &[f32], team: &mut Team) -> Vec<f32> {
        let mut hidden = self.up.apply(x, team);
        activation::apply(self.activation, &mut hidden);
        self.down.apply(&hidden, team)
    }
}

impl Decoder {
    pub fn of(model: &Model) -> Self {
        let table = values(&model.token_embedding.weight);
        let [vocab, d_model] = model.token_embedding.weight.val().dims();
        let head = match &model.head {
            Some(head) => Matrix::of(head),
            None => Matrix::transposed(&table, [vocab, d_model]),
        };
        let mut embedding = table;
        if let Some(scale) = model.embedding_scale {
            embedding.iter_mut().for_each(|v| *v *= scale as f32);
        }
        let positions = match (&model.position_embedding, &model.sinusoids) {
            (Some(learned), _) => values(&learned.weight),
            (None, Some(fixed)) => tensor_values(fixed.clone()),
            (None, None) => Vec::new(),
        };
        Decoder {
            d_model,
            n_heads: model.blocks.first().map_or(1, |b| b.attention.n_heads),
            context_length: model.context_length(),
            embedding,
            positions,
            blocks: model.blocks.iter().map(Block::of).collect(),
            final_norm: model.final_norm.as_ref().map(Norm::of),
            head,
        }
    }

    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Positions of a cache, in whole blocks.
    fn capacity(&self) -> usize {
        self.context_length.next_multiple_of(BLOCK)
    }

    pub fn cache(&self) -> Cache {
        let layer = Layer {
            keys: vec![0.0; self.d_model * self.capacity()],
            values: vec![0.0; self.d_model * self.capacity()],
        };
        Cache {
            layers: vec![layer; self.blocks.len()],
            length: 0,
        }
    }

    /// See [`super::Weights::read`].
    pub fn read(
        &self,
        caches: &mut [&mut Cache],
        tokens: &[Vec<u32>],
        team: &mut Team,
    ) -> Vec<Vec<f32>> {
        let mut rows = Vec::new();
        let mut x = Vec::new();
        for (sequence, tokens) in tokens.iter().enumerate() {
            for (&token, position) in tokens.iter().zip(caches[sequence].length..) {
                rows.push(Row { sequence, position });
                let from = x.len();
                x.extend_from_slice(row(&self.embedding, token as usize, self.d_model));
                if !self.positions.is_empty() {
                    add(&mut x[from..], row(&self.positions, position, self.d_model));
                }
            }
        }
        for (index, block) in self.blocks.iter().enumerate() {
            self.block(index, block, &mut x, &rows, caches, team);
        }
        for (cache, tokens) in caches.iter_mut().zip(tokens) {
            cache.length += tokens.len();
        }
        // Only what follows the last token of each sequence is asked for.
        let mut last = Vec::with_capacity(tokens.len() * self.d_model);
        for (at, here) in rows.iter().enumerate() {
            let next = rows.get(at + 1).map(|row| row.sequence);
            if next != Some(here.sequence) {
                last.extend_from_slice(row(&x, at, self.d_model));
            }
        }
        let last = match &self.final_norm {
            Some(norm) => norm.apply(&last),
            None => last,
        };
        let logits = self.head.apply(&last, team);
        logits
            .chunks_exact(self.head.outputs())
            .map(<[f32]>::to_vec)
            .collect()
    }

    fn block(
        &self,
        index: usize,
        block: &Block,
        x: &mut Vec<f32>,
        rows: &[Row],
        caches: &mut [&mut Cache],
        team: &mut Team,
    ) {
        match block.norm {
            NormKind::Pre => {
                let normed = block.attention_norm.apply(x);
                add(
                    x,
                    &self.attention(index, block, &normed, rows, caches, team),
                );
                let normed = block.feed_forward_norm.apply(x);
                add(x, &block.feed_forward(&normed, team));
            }
            NormKind::Post => {
                let added = self.attention(index, block, x, rows, caches, team);
                add(x, &added);
                *x = block.attention_norm.apply(x);
                let added = block.feed_forward(x, team);
                add(x, &added);
                *x = block.feed_forward_norm.apply(x);
            }
        }
    }

    fn attention(
        &self,
        index: usize,
        block: &Block,
        x: &[f32],
        rows: &[Row],
        caches: &mut [&mut Cache],
        team: &mut Team,
    ) -> Vec<f32> {
        let d = self.d_model;
        let qkv = block.qkv.apply(x, team); // [rows, 3·d_model]
        for (row, qkv) in rows.iter().zip(qkv.chunks_exact(3 * d)) {
            let layer = &mut caches[row.sequence].layers[index];
            self.remember(layer, row.position, &qkv[d..]);
        }
        let mut mixed = vec![0.0; rows.len() * d];
        let caches: Vec<&Layer> = caches.iter().map(|cache| &cache.layers[index]).collect();
        let d_head = d / self.n_heads;
        let seen: usize = rows.iter().map(|row| row.position + 1).sum();
        let parts = team.worth(2 * seen * d);
        // Heads of all rows, dealt out in turn: later rows see more.
        let mut dealt: Vec<Vec<(usize, &mut [f32])>> = (0..parts).map(|_| Vec::new()).collect();
        for (at, mixed) in mixed.chunks_exact_mut(d_head).enumerate() {
            dealt[at % parts].push((at, mixed));
        }
        team.share(dealt, |heads| {
            let mut scores = vec![0.0f32; self.capacity()];
            for (at, mixed) in heads {
                let (row, head) = (at / self.n_heads, at % self.n_heads);
                let query = &qkv[row * 3 * d + head * d_head..][..d_head];
                let Row { sequence, position } = rows[row];
                self.attend(
                    mixed,
                    query,
                    (caches[sequence], head),
                    &mut scores[..=position],
                );
            }
        });
        block.output.apply(&mixed, team)
    }

    /// Puts key and value `[2·d_model]` of a position into the cache.
    fn remember(&self, layer: &mut Layer, position: usize, key_value: &[f32]) {
        let (capacity, d_head) = (self.capacity(), self.d_model / self.n_heads);
        let (key, value) = key_value.split_at(self.d_model);
        for (line, key) in layer.keys.chunks_exact_mut(capacity).zip(key) {
            line[position] = *key;
        }
        let heads = layer.values.chunks_exact_mut(capacity * d_head);
        for (head, value) in heads.zip(value.chunks_exact(d_head)) {
            head[position * d_head..][..d_head].copy_from_slice(value);
        }
    }

    /// What a query `[d_head]` takes from the first positions of a head, one for each of `weights`, which become what they weigh.
    fn attend(
        &self,
        mixed: &mut [f32],
        query: &[f32],
        (layer, head): (&Layer, usize),
        weights: &mut [f32],
    ) {
        let (capacity, d_head) = (self.capacity(), query.len());
        let keys = &layer.keys[head * d_head * capacity..][..d_head * capacity];
        let values = &layer.values[head * d_head * capacity..][..d_head * capacity];
        let scale = 1.0 / (d_head as f32).sqrt();
        vectorize!(|m| {
            for (block, weights) in weights.chunks_mut(BLOCK).enumerate() {
                let mut sums = [0.0f32; BLOCK];
                for (q, line) in query.iter().zip(keys.chunks_exact(capacity)) {
                    let q = q * scale;
                    let line = &line[block * BLOCK..][..BLOCK];
                    for (sum, key) in sums.iter_mut().zip(line) {
                        *sum = m.of(q, *key, *sum);
                    }
                }
                weights.copy_from_slice(&sums[..weights.len()]);
            }
            softmax(m, weights);
            // Sums of some dimensions stay in registers while all positions go past, those of even and odd ones apart.
            let mut first = 0;
            let (wide, narrow) = mixed.as_chunks_mut::<WIDE>();
            for mixed in wide {
                let mut sums = [[0.0f32; WIDE]; 2];
                let pairs = values.chunks_exact(2 * d_head);
                let (twos, last) = weights.as_chunks::<2>();
                for (weights, values) in twos.iter().zip(pairs) {
                    for (at, sums) in sums.iter_mut().enumerate() {
                        let values = &values[at * d_head + first..][..WIDE];
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = m.of(weights[at], *value, *sum);
                        }
                    }
                }
                if let [weight] = last {
                    let values = &values[(weights.len() - 1) * d_head + first..][..WIDE];
                    for (sum, value) in sums[0].iter_mut().zip(values) {
                        *sum = m.of(*weight, *value, *sum);
                    }
                }
                let [even, odd] = &sums;
                for ((mixed, even), odd) in mixed.iter_mut().zip(even).zip(odd) {
                    *mixed = even + odd;
                }
                first += WIDE;
            }
            narrow.fill(0.0);
            for (weight, values) in weights.iter().zip(values.chunks_exact(d_head)) {
                for (mixed, value) in narrow.iter_mut().zip(&values[first..]) {
                    *mixed = m.of(*weight, *value, *mixed);
                }
            }
        });
    }
}

fn row(table: &[f32], index: usize, width: usize) -> &[f32] {
    &table[index * width..][..width]
}
