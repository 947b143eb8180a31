//! Copies of matrices as products read them.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::super::Unwritten;
use super::super::matmul::View;
use super::super::tile::WIDTH;
use super::super::transpose::transpose_into;
use crate::kernel::simd::vectorize;

/// Rows of a panel that are laid out at a time: what is written then stays in the cache that is nearest.
const DEPTH: usize = 128;

/// Copies of several matrices in panels.
pub fn lay_out<const N: usize>(matrices: [View; N]) -> [Vec<f32>; N] {
    let mut copies = matrices.map(|matrix| Unwritten::new(matrix.rows * matrix.columns));
    let mut panels = Vec::new();
    for (matrix, copy) in matrices.iter().zip(&mut copies) {
        let chunks = copy.slots().chunks_mut((matrix.rows * WIDTH).max(1));
        for (at, to) in chunks.enumerate() {
            let first = at * WIDTH;
            let columns = first..(first + WIDTH).min(matrix.columns);
            panels.push((to, matrix.part(0..matrix.rows, columns)));
        }
    }
    panels
        .into_par_iter()
        .for_each(|(to, columns)| lay_out_panel(to, columns));
    // SAFETY: every panel was written.
    #[allow(unsafe_code)]
    copies.map(|copy| unsafe { copy.written() })
}

/// Copies rows of `W` values, `stride` apart, behind one another, in registers.
pub(super) fn copy_rows<const W: usize>(to: &mut [MaybeUninit<f32>], from: &[f32], stride: usize) {
    let rows = to.chunks_exact_mut(W);
    assert!(rows.len() == 0 || (rows.len() - 1) * stride + W <= from.len());
    vectorize!({
        for (at, to) in rows.enumerate() {
            // SAFETY: as many values as asserted, and as `to` has.
            #[allow(unsafe_code)]
            unsafe {
                let row = from.as_ptr().add(at * stride).cast::<[f32; W]>().read();
                to.as_mut_ptr().cast::<[f32; W]>().write(row);
            }
        }
    });
}

/// As [`copy_rows`], of any width.
pub(super) fn copy_narrow_rows(
    to: &mut [MaybeUninit<f32>],
    from: &[f32],
    [width, stride]: [usize; 2],
) {
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
        to.write_copy_of_slice(&from[..width]);
    }
}

/// Copies a matrix of at most [`WIDTH`] columns to rows of as many.
fn lay_out_panel(to: &mut [MaybeUninit<f32>], from: View) {
    let width = from.columns;
    for first in (0..from.rows).step_by(DEPTH) {
        let rows = first..(first + DEPTH).min(from.rows);
        let to = &mut to[rows.start * width..rows.end * width];
        if from.column_stride == 1 {
            let data = &from.data[rows.start * from.row_stride..];
            match width {
                WIDTH => copy_rows::<WIDTH>(to, data, from.row_stride),
                width => copy_narrow_rows(to, data, [width, from.row_stride]),
            }
            continue;
        }
        assert_eq!(from.row_stride, 1);
        let sizes = [width, rows.len(), from.column_stride];
        transpose_into(to, width, &from.data[rows.start..], sizes);
    }
}
