//! Matrix products on strided views, through the `gemm` crate.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use gemm::Parallelism;

use super::Unwritten;

/// A matrix in a slice: `rows × columns`, with the distance between neighbours in each direction.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
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
    fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
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

/// Rows that are summed at a time in [`over_rows`]: what is read of both factors then stays in the caches.
const DEPTH: usize = 256;
/// Rows of a block of its result.
const HEIGHT: usize = 256;
/// Columns of a block: the first of these that makes an even number of blocks, so that two threads get as many.
const WIDTHS: [usize; 3] = [128, 96, 64];
/// Products of more rows than these are cut in two.
const TALL: usize = 1536;

/// `aᵀ·b` of two matrices with the same, large number of rows, as a new row-major matrix: a sum over rows.
pub fn over_rows(a: View, b: View, threads: Threads) -> Vec<f32> {
    let mut out = Unwritten::new(a.columns * b.columns);
    let place = Place {
        to: out.slots().as_mut_ptr().cast(),
        stride: b.columns,
    };
    // SAFETY: the blocks cover the output, which nobody else has; every value of a block is written first and then added to.
    #[allow(unsafe_code)]
    unsafe {
        let whole = (0..a.columns, 0..b.columns);
        let (blocks, threads) = match threads {
            Threads::One => (blocks(a.columns, b.columns), Threads::One),
            Threads::All => (vec![whole], Threads::All),
        };
        for block in blocks {
            place.sum_over_rows([a, b], block, Output::Replace, threads);
        }
        out.written()
    }
}

/// What a product and a sum over rows are cut into: rows of the result and its columns. It follows from the sizes alone.
fn blocks(rows: usize, columns: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let high = rows.div_ceil(HEIGHT);
    let even = |width: &usize| (high * columns.div_ceil(*width)).is_multiple_of(2);
    let width = WIDTHS.into_iter().find(even).unwrap_or(WIDTHS[0]);
    let cut = |len: usize, by: usize| (0..len).step_by(by).map(move |at| at..(at + by).min(len));
    cut(columns, width)
        .flat_map(|columns| cut(rows, HEIGHT).map(move |rows| (rows, columns.clone())))
        .collect()
}

/// Where a result of its own begins, and how far apart its rows are.
#[derive(Clone, Copy)]
struct Place {
    to: *mut f32,
    stride: usize,
}

// SAFETY: a place is only written to, by tasks that each have other values of it.
#[allow(unsafe_code)]
unsafe impl Send for Place {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Place {}

impl Place {
    /// `a·b`.
    ///
    /// # Safety
    ///
    /// The place must have room for it, and nobody else may use it meanwhile.
    #[allow(unsafe_code)]
    unsafe fn product(self, a: View, b: View, threads: Threads) {
        if a.rows == 0 || a.columns == 0 || b.columns == 0 {
            return;
        }
        let parallelism = parallelism(a.rows * a.columns * b.columns, threads);
        // SAFETY: the caller's promise; `Replace` reads nothing of the place.
        unsafe {
            run(
                self.to,
                self.stride,
                a,
                b,
                1.0,
                Output::Replace,
                parallelism,
            )
        }
    }

    /// `a·b`, in pieces of rows.
    ///
    /// # Safety
    ///
    /// As [`Place::product`], until the tasks are done.
    #[allow(unsafe_code)]
    unsafe fn rows<'a>(self, a: View<'a>, b: View<'a>) -> Vec<Task<'a>> {
        let height = match a.rows {
            rows if rows > TALL => rows.div_ceil(2),
            rows => rows.max(1),
        };
        let piece = |from: usize| -> Task<'a> {
            let rows = from..(from + height).min(a.rows);
            let size = rows.len() * a.columns * b.columns;
            let part = move || {
                // SAFETY: these rows lie in the place and are no other task's.
                unsafe {
                    let to = Place {
                        to: { self }.to.add(rows.start * self.stride),
                        ..self
                    };
                    to.product(a.part(rows, 0..a.columns), b, Threads::One);
                }
            };
            (size, Box::new(part))
        };
        (0..a.rows).step_by(height).map(piece).collect()
    }

    /// `xᵀ·y`, in blocks.
    ///
    /// # Safety
    ///
    /// As [`Place::sum_over_rows`], until the tasks are done.
    #[allow(unsafe_code)]
    unsafe fn blocks<'a>(self, x: View<'a>, y: View<'a>, mode: Output) -> Vec<Task<'a>> {
        let task = |block: (Range<usize>, Range<usize>)| -> Task<'a> {
            let size = block.0.len() * block.1.len() * x.rows;
            // SAFETY: blocks lie in the place and do not overlap.
            let part = move || unsafe {
                { self }.sum_over_rows([x, y], block, mode, Threads::One);
            };
            (size, Box::new(part))
        };
        blocks(x.columns, y.columns).into_iter().map(task).collect()
    }

    /// A block of `xᵀ·y`; `mode` is what happens to what is there.
    ///
    /// # Safety
    ///
    /// The block must lie in the place and, with [`Output::Accumulate`], have been written; nobody else may use its values.
    #[allow(unsafe_code)]
    unsafe fn sum_over_rows(
        self,
        [x, y]: [View; 2],
        (rows, columns): (Range<usize>, Range<usize>),
        mode: Output,
        threads: Threads,
    ) {
        assert_eq!(x.rows, y.rows);
        // SAFETY: the caller's promise; after the first part of the sum every value was written.
        unsafe {
            let to = self.to.add(rows.start * self.stride + columns.start);
            if x.rows == 0 && mode == Output::Replace {
                for row in 0..rows.len() {
                    let row = to.add(row * self.stride).cast::<MaybeUninit<f32>>();
                    std::slice::from_raw_parts_mut(row, columns.len()).fill(MaybeUninit::new(0.0));
                }
            }
            for from in (0..x.rows).step_by(DEPTH) {
                let depth = from..(from + DEPTH).min(x.rows);
                let x = x.part(depth.clone(), rows.clone()).transposed();
                let y = y.part(depth.clone(), columns.clone());
                let mode = match from {
                    0 => mode,
                    _ => Output::Accumulate,
                };
                let parallelism = parallelism(x.rows * y.columns * depth.len(), threads);
                run(to, self.stride, x, y, 1.0, mode, parallelism);
            }
        }
    }
}

/// A piece of work that two threads share, with its size.
pub type Task<'a> = (usize, Box<dyn FnOnce() + Send + 'a>);

/// Does all the tasks, the largest first: with two threads each takes the next when it is done with one, so that both end at
/// nearly the same time.
pub fn share_out(mut tasks: Vec<Task<'_>>) {
    tasks.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let tasks = Mutex::new(tasks.into_iter());
    let work = || loop {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
        match next {
            Some((_, task)) => task(),
            None => return,
        }
    };
    match rayon::current_num_threads() {
        1 => work(),
        _ => drop(rayon::join(work, work)),
    }
}

/// `a·b` and `xᵀ·y`, beside what else there is to do.
pub fn product_beside_over_rows<'a>(
    ab: [View<'a>; 2],
    xy: [View<'a>; 2],
    besides: Option<Task<'a>>,
) -> (Vec<f32>, Vec<f32>) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    append_beside_over_rows(&mut first, ab, &mut second, xy, besides);
    (first, second)
}

/// The rows of `a·b` behind those of `out`, and `xᵀ·y` added to `sums`, or in its place where it is empty; beside what else there
/// is to do.
pub fn append_beside_over_rows<'a>(
    out: &mut Vec<f32>,
    [a, b]: [View<'a>; 2],
    sums: &mut Vec<f32>,
    [x, y]: [View<'a>; 2],
    besides: Option<Task<'a>>,
) {
    assert_eq!(a.columns, b.rows);
    let (before, count) = (out.len(), a.rows * b.columns);
    if a.columns == 0 {
        out.resize(before + count, 0.0);
    }
    let (mode, size) = match sums.len() {
        0 => (Output::Replace, x.columns * y.columns),
        len => (Output::Accumulate, len),
    };
    assert_eq!(size, x.columns * y.columns);
    out.reserve(count);
    sums.reserve(size - sums.len());
    let to = Place {
        // SAFETY: `before` values are there, and room for `count` more.
        #[allow(unsafe_code)]
        to: unsafe { out.as_mut_ptr().add(before) },
        stride: b.columns,
    };
    let sum = Place {
        to: sums.as_mut_ptr(),
        stride: y.columns,
    };
    // SAFETY: the tasks have other rows of the one place, other blocks of the other, and write all of them; both are borrowed
    // here alone. With `Accumulate` all of `sums` was there before.
    #[allow(unsafe_code)]
    unsafe {
        match rayon::current_num_threads() {
            1 | 2 => {
                let mut tasks = to.rows(a, b);
                tasks.extend(sum.blocks(x, y, mode));
                tasks.extend(besides);
                share_out(tasks);
            }
            _ => {
                if let Some((_, task)) = besides {
                    task();
                }
                let whole = (0..x.columns, 0..y.columns);
                side_by_side(
                    |threads| to.product(a, b, threads),
                    |threads| sum.sum_over_rows([x, y], whole, mode, threads),
                );
            }
        }
        out.set_len(before + count);
        sums.set_len(size);
    }
}

/// Two products of the same size that need nothing of each other: with two threads each gets one, so that nobody waits within a
/// product.
pub fn side_by_side<A: Send, B: Send>(
    a: impl FnOnce(Threads) -> A + Send,
    b: impl FnOnce(Threads) -> B + Send,
) -> (A, B) {
    let threads = match rayon::current_num_threads() {
        1 => return (a(Threads::One), b(Threads::One)),
        2 => Threads::One,
        _ => Threads::All,
    };
    rayon::join(|| a(threads), || b(threads))
}

fn parallelism(work: usize, threads: Threads) -> Parallelism {
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
unsafe fn run(
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
