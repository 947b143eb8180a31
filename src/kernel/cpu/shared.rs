//! Products of a backward pass, shared out among threads: dx beside dW, which is a sum over rows, and what else there is to do.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Unwritten;
use super::matmul::{Output, Threads, View, parallelism, run};

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
