//! Token embeddings: gather forward, scatter-add backward.

use rayon::prelude::*;

use super::{buffer, rows_per_piece};

/// Rows of `weight` `[vocab, d]` by id. Ids come from our own tokenizer and lie below `vocab`.
pub fn gather(weight: &[f32], ids: &[i64], d: usize) -> Vec<f32> {
    let mut out = buffer(ids.len() * d);
    let piece = rows_per_piece(d);
    out.par_chunks_mut(piece * d)
        .zip(ids.par_chunks(piece))
        .for_each(|(out, ids)| {
            for (row, id) in out.chunks_exact_mut(d).zip(ids) {
                let start = *id as usize * d;
                row.copy_from_slice(&weight[start..start + d]);
            }
        });
    out
}

/// The gradient of the table: rows of `grad` `[ids, d]` added up by id, in the order of the ids.
pub fn scatter(grad: &[f32], ids: &[i64], vocab: usize, d: usize) -> Vec<f32> {
    let mut out = buffer(vocab * d);
    for (row, id) in grad.chunks_exact(d).zip(ids) {
        let start = *id as usize * d;
        for (total, part) in out[start..start + d].iter_mut().zip(row) {
            *total += part;
        }
    }
    out
}
