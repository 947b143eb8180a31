//! Copies of small matrices as tiles read them: rows behind one another, and rows that become columns.

use std::mem::MaybeUninit;

use super::tile::slots;

/// Copies rows that are `stride` apart behind one another.
pub fn gather(to: &mut [f32], from: &[f32], width: usize, stride: usize) {
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
        to.copy_from_slice(&from[..width]);
    }
}

/// `rows` rows of `width` values, `stride` apart, become columns: `to` has `width` rows, `to_stride` apart.
pub fn transpose(to: &mut [f32], to_stride: usize, from: &[f32], sizes: [usize; 3]) {
    // SAFETY: only values are written.
    #[allow(unsafe_code)]
    transpose_into(unsafe { slots(to) }, to_stride, from, sizes);
}

/// As [`transpose`], into memory that may be uninitialised.
pub(super) fn transpose_into(
    to: &mut [MaybeUninit<f32>],
    to_stride: usize,
    from: &[f32],
    [rows, width, stride]: [usize; 3],
) {
    assert!(rows == 0 || width == 0 || (rows - 1) * stride + width <= from.len());
    assert!(rows == 0 || width == 0 || (width - 1) * to_stride + rows <= to.len());
    let (whole, across) = (rows / SIDE * SIDE, width / SIDE * SIDE);
    for row in (0..whole).step_by(SIDE) {
        for column in (0..across).step_by(SIDE) {
            // SAFETY: the last place of both lies within its slice, and so do all before.
            #[allow(unsafe_code)]
            unsafe {
                let from = from.as_ptr().add(row * stride + column);
                let to = to.as_mut_ptr().cast::<f32>().add(column * to_stride + row);
                transpose_block(to, to_stride, from, stride);
            }
        }
    }
    for row in 0..rows {
        let rest = match row < whole {
            true => across..width,
            false => 0..width,
        };
        for column in rest {
            to[column * to_stride + row].write(from[row * stride + column]);
        }
    }
}

/// Rows and columns of a block that [`transpose_block`] exchanges.
const SIDE: usize = 4;

/// # Safety
///
/// Both must have four rows of four values, as far apart as told.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn transpose_block(to: *mut f32, to_stride: usize, from: *const f32, stride: usize) {
    // SAFETY: the caller's promise. Every x86-64 machine has SSE.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
            let [mut a, mut b, mut c, mut d] =
                [0, 1, 2, 3].map(|row| _mm_loadu_ps(from.add(row * stride)));
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            for (column, values) in [a, b, c, d].into_iter().enumerate() {
                _mm_storeu_ps(to.add(column * to_stride), values);
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        for (row, column) in (0..SIDE * SIDE).map(|at| (at / SIDE, at % SIDE)) {
            *to.add(column * to_stride + row) = *from.add(row * stride + column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cpu::tests::values;

    #[test]
    fn rows_become_columns() {
        for (rows, width, stride) in [(1, 1, 1), (16, 16, 20), (35, 33, 40), (7, 48, 48)] {
            let from = values(rows * stride, 4);
            let mut to = vec![9.0; width * (rows + 3)];
            transpose(&mut to, rows + 3, &from, [rows, width, stride]);
            for (at, value) in to.iter().enumerate() {
                let (column, row) = (at / (rows + 3), at % (rows + 3));
                let expected = if row < rows {
                    from[row * stride + column]
                } else {
                    9.0
                };
                assert_eq!(*value, expected);
            }
            let mut gathered = vec![0.0; rows * width];
            gather(&mut gathered, &from, width, stride);
            assert_eq!(gathered[(rows - 1) * width], from[(rows - 1) * stride]);
        }
    }
}
