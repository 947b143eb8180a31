//! Matrix products on strided views, through the `gemm` crate.

use std::ops::Range;

use gemm::Parallelism;

/// A matrix in a slice: `rows × columns`, with the distance between neighbours in each direction.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix that fills its slice.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A row-major matrix whose rows begin `row_stride` apart.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || columns == 0 || (rows - 1) * row_stride + columns <= data.len());
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// Some of the rows, and some of the columns.
    pub(super) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let from = rows.start * self.row_stride + columns.start * self.column_stride;
        Self {
            data: &self.data[from..],
            rows: rows.len(),
            columns: columns.len(),
            ..self
        }
    }

    /// The same data, rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Where a product goes: row-major, rows `row_stride` apart.
pub struct ViewMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> ViewMut<'a> {
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || columns == 0 || (rows - 1) * row_stride + columns <= data.len());
        Self {
            data,
            rows,
            columns,
            row_stride,
        }
    }
}

/// What happens to the values that are already in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Replace,
    Accumulate,
}

/// How a product is shared out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// On the calling thread: for products inside work that is already shared out.
    One,
    /// Over rayon's threads when the product is large enough to pay.
    All,
}

/// `out = alpha·a·b`, or `out += alpha·a·b`.
pub fn matmul(out: ViewMut, a: View, b: View, alpha: f32, mode: Output, threads: Threads) {
    assert_eq!(a.columns, b.rows);
    assert_eq!((a.rows, b.columns), (out.rows, out.columns));
    if out.rows == 0 || out.columns == 0 {
        return;
    }
    let parallelism = parallelism(out.rows * out.columns * a.columns, threads);
    // SAFETY: the views were checked to lie within their slices when they were made, the output is borrowed
    // mutably and so overlaps neither input, and float32 has no invalid bit patterns.
    #[allow(unsafe_code)]
    unsafe {
        run(
            out.data.as_mut_ptr(),
            out.row_stride,
            a,
            b,
            alpha,
            mode,
            parallelism,
        );
    }
}

/// `a·b` as a new row-major matrix, whose memory is written once: it is not filled with zeros first.
pub fn product(a: View, b: View, threads: Threads) -> Vec<f32> {
    let mut out = Vec::with_capacity(a.rows * b.columns);
    append(&mut out, a, b, threads);
    out
}

/// The rows of `a·b` behind what is there, as [`product`].
pub fn append(out: &mut Vec<f32>, a: View, b: View, threads: Threads) {
    assert_eq!(a.columns, b.rows);
    let (before, count) = (out.len(), a.rows * b.columns);
    if a.columns == 0 {
        out.resize(before + count, 0.0);
        return;
    }
    if count == 0 {
        return;
    }
    out.reserve(count);
    let parallelism = parallelism(a.rows * b.columns * a.columns, threads);
    // SAFETY: as in `matmul`; the output has room for `count` values behind the first `before`, `Replace` reads none of them and
    // writes every one, so that all are initialised when the length is set.
    #[allow(unsafe_code)]
    unsafe {
        let (to, stride) = (out.as_mut_ptr().add(before), b.columns);
        run(to, stride, a, b, 1.0, Output::Replace, parallelism);
        out.set_len(before + count);
    }
}

pub(super) fn parallelism(work: usize, threads: Threads) -> Parallelism {
    match threads {
        Threads::All if work >= 64 * 64 * 64 => Parallelism::Rayon(0),
        _ => Parallelism::None,
    }
}

/// # Safety
///
/// `out` must be valid for writing `a.rows` rows of `b.columns` values, `row_stride` apart, and for reading them with
/// [`Output::Accumulate`]; it must not overlap the inputs.
#[allow(unsafe_code)]
pub(super) unsafe fn run(
    out: *mut f32,
    row_stride: usize,
    a: View,
    b: View,
    alpha: f32,
    mode: Output,
    parallelism: Parallelism,
) {
    // SAFETY: the views lie within their slices; the rest is the caller's promise.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            row_stride as isize,
            mode == Output::Accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_transposed_and_accumulated_products() {
        // [[1,2,3],[4,5,6]] with rows 4 apart.
        let a = [1.0, 2.0, 3.0, 9.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 1.0];
        let mut out = vec![1.0; 4];
        let (a, b) = (View::strided(&a, 2, 3, 4), View::new(&b, 3, 2));
        matmul(
            ViewMut::new(&mut out, 2, 2),
            a,
            b,
            2.0,
            Output::Accumulate,
            Threads::One,
        );
        assert_eq!(out, [11.0, 11.0, 29.0, 23.0]);
        let mut gram = vec![0.0; 9];
        matmul(
            ViewMut::new(&mut gram, 3, 3),
            a.transposed(),
            a,
            1.0,
            Output::Replace,
            Threads::All,
        );
        assert_eq!(gram, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }

    #[test]
    fn new_products() {
        let (a, b) = (
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            [1.0, 0.0, 2.0, 1.0, 0.0, 1.0],
        );
        let (a, b) = (View::new(&a, 2, 3), View::new(&b, 3, 2));
        let product = |a: View, b: View| product(a, b, Threads::All);
        assert_eq!(product(a, b), [5.0, 5.0, 14.0, 11.0]);
        let (a, b) = (b.transposed(), a.transposed());
        assert_eq!(product(a, b), [5.0, 14.0, 5.0, 11.0]);
        let empty = product(View::new(&[], 2, 0), View::new(&[], 0, 3));
        assert_eq!(empty, [0.0; 6]);
        assert!(product(View::new(&[], 0, 3), View::new(&[0.0; 6], 3, 2)).is_empty());
        let mut rows = vec![7.0];
        append(&mut rows, a, b, Threads::One);
        append(&mut rows, a, b, Threads::All);
        assert_eq!(rows, [7.0, 5.0, 14.0, 5.0, 11.0, 5.0, 14.0, 5.0, 11.0]);
    }

    #[test]
    fn threads_do_not_change_the_sums() {
        let (m, k, n) = (130, 257, 190);
        let a: Vec<f32> = (0..m * k)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
            .collect();
        let b: Vec<f32> = (0..k * n)
            .map(|i| ((i * 53 % 97) as f32 - 48.0) / 48.0)
            .collect();
        let run = |threads| {
            let mut out = vec![0.0; m * n];
            let (a, b) = (View::new(&a, m, k), View::new(&b, k, n));
            matmul(
                ViewMut::new(&mut out, m, n),
                a,
                b,
                1.0,
                Output::Replace,
                threads,
            );
            out
        };
        assert_eq!(run(Threads::One), run(Threads::All));
    }
}
