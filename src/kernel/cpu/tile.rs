//! Products of small matrices that are at hand in the caches, without the packing and the bookkeeping of `gemm`, which pay for large
//! ones only: a tile of the result stays in registers while the rows of one factor are streamed past it.
//!
//! Each value of a result is one sum, taken in order with fused multiply-adds where the machine has them: it depends neither on the
//! size of the tiles nor on the number of threads.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;

use super::matmul::{Output, View};
use crate::kernel::simd::{mul_add, run};

/// Rows of the result that are worked on together.
pub const STRIP: usize = 8;
/// Float32 values in the widest vectors there are.
pub const LANES: usize = 16;
/// Vectors beside each other in a tile.
pub(super) const ACROSS: usize = 2;
/// Columns of the widest tile, and of the panels that the factors of large products lie in.
pub const WIDTH: usize = ACROSS * LANES;

/// Values in a line of the cache.
const LINE: usize = 16;

/// Factors that lie anyhow.
pub(super) const ANY: usize = 0;
/// Terms that are written out one after the other where it is known how far apart they lie: what counts them takes the places of arithmetic.
const TOGETHER: usize = 4;

/// What is computed of a strip of rows: columns from the first on, and the terms of each sum.
pub struct Part {
    pub columns: usize,
    pub depth: Range<usize>,
}

/// Where a product goes: rows `stride` apart. Several tasks may each fill a part of one matrix.
#[derive(Clone, Copy)]
pub struct Target {
    pub to: *mut f32,
    pub stride: usize,
}

/// `out = alpha·a·b`, or `out += alpha·a·b`; of each strip of [`STRIP`] rows, given by its rows, the part that `part` tells. The rows of
/// `b` must be contiguous.
///
/// # Safety
///
/// `out` must be valid for writing what the parts cover, and for reading it with [`Output::Accumulate`]; nobody else may use it
/// meanwhile.
#[allow(unsafe_code)]
pub unsafe fn product(
    out: Target,
    a: View,
    b: View,
    alpha: f32,
    mode: Output,
    part: impl Fn(Range<usize>) -> Part,
) {
    assert_eq!(b.column_stride, 1);
    assert_eq!(a.columns, b.rows);
    struct Strips<'a, F>(Work<'a>, F);
    impl<F: Fn(Range<usize>) -> Part> pulp::WithSimd for Strips<'_, F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(work, part) = self;
            for first in (0..work.a.rows).step_by(STRIP) {
                let rows = first..(first + STRIP).min(work.a.rows);
                let part = part(rows.clone());
                assert!(part.columns <= work.b.columns && part.depth.end <= work.b.rows);
                // SAFETY: the rows, columns and terms lie within the views, and the rest is the promise of the caller of `product`.
                unsafe {
                    // Eight rows of two vectors take half of 32 registers; with 16 it is four.
                    match S::REGISTER_COUNT >= 32 {
                        true => work.strip::<S, 8, false, ANY>(simd, rows, &part),
                        false => work.strip::<S, 4, false, ANY>(simd, rows, &part),
                    }
                };
            }
        }
    }
    let base = match mode {
        Output::Replace => None,
        Output::Accumulate => Some((out.to.cast_const(), out.stride)),
    };
    let work = Work {
        out,
        base,
        a,
        jump: 0,
        b,
        alpha,
        wanted: &Wanted::nothing(),
    };
    run(Strips(work, part));
}

/// One product, or what it is added to and that: `out = base + alpha·a·b`.
pub(super) struct Work<'a> {
    pub out: Target,
    /// With how far apart its rows are; it may be the values of `out`.
    pub base: Option<(*const f32, usize)>,
    pub a: View<'a>,
    /// How much further on than the columns before them each [`WIDTH`] columns of `a` lie, where it is in panels.
    pub jump: usize,
    pub b: View<'a>,
    pub alpha: f32,
    pub wanted: &'a Wanted<'a>,
}

/// Values that are read after a product: they come to the cache while it is computed, some at each run of [`WIDTH`] terms.
pub(super) struct Wanted<'a> {
    rest: [Cell<&'a [f32]>; 2],
    each_time: [usize; 2],
}

impl<'a> Wanted<'a> {
    pub fn nothing() -> Self {
        Self::of([&[]; 2], 1)
    }

    /// In so many runs.
    pub fn of(values: [&'a [f32]; 2], runs: usize) -> Self {
        Self {
            rest: values.map(Cell::new),
            each_time: values.map(|values| values.len().div_ceil(LINE * runs.max(1)) * LINE),
        }
    }

    #[inline(always)]
    fn fetch_some(&self) {
        for (rest, count) in self.rest.iter().zip(self.each_time) {
            let values = rest.get();
            let (now, later) = values.split_at(count.min(values.len()));
            for line in now.chunks(LINE) {
                prefetch::<false>(line.as_ptr());
            }
            rest.set(later);
        }
    }
}

// SAFETY of all of them: `rows` lie within `a`, columns and depth within `b`, and `out` is the caller's to write, `base` to read.
#[allow(unsafe_code)]
impl Work<'_> {
    /// Rows, `R` at a time as long as there are as many. `AHEAD` is for results that lie far from the processor: they are fetched before they are
    /// written.
    #[inline(always)]
    pub(super) unsafe fn strip<S: Simd, const R: usize, const AHEAD: bool, const STEP: usize>(
        &self,
        simd: S,
        rows: Range<usize>,
        part: &Part,
    ) {
        let mut row = rows.start;
        // SAFETY: as above, for parts of the rows.
        unsafe {
            // Eight rows are two tiles of four rather than one of six and two rows alone.
            while row + R <= rows.end && (R != 6 || rows.end - row != 8) {
                self.rows::<S, R, AHEAD, STEP>(simd, row, part);
                row += R;
            }
            if R > 8 && row + 8 <= rows.end {
                self.rows::<S, 8, AHEAD, STEP>(simd, row, part);
                row += 8;
            }
            while row + 4 <= rows.end {
                self.rows::<S, 4, AHEAD, STEP>(simd, row, part);
                row += 4;
            }
            if row + 2 <= rows.end {
                self.rows::<S, 2, AHEAD, STEP>(simd, row, part);
                row += 2;
            }
            if row < rows.end {
                self.rows::<S, 1, AHEAD, STEP>(simd, row, part);
            }
        }
    }

    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize, const AHEAD: bool, const STEP: usize>(
        &self,
        simd: S,
        row: usize,
        part: &Part,
    ) {
        let (lanes, mut column) = (S::F32_LANES, 0);
        // SAFETY: as above, for parts of the columns.
        unsafe {
            while column + ACROSS * lanes <= part.columns {
                self.tile::<S, R, ACROSS, AHEAD, STEP>(simd, row, column, &part.depth);
                column += ACROSS * lanes;
            }
            while column + lanes <= part.columns {
                self.tile::<S, R, 1, AHEAD, STEP>(simd, row, column, &part.depth);
                column += lanes;
            }
            if column < part.columns {
                self.edge::<S, R>(simd, row, column..part.columns, &part.depth);
            }
        }
    }

    /// `R` rows of `V` whole vectors.
    #[inline(always)]
    unsafe fn tile<
        S: Simd,
        const R: usize,
        const V: usize,
        const AHEAD: bool,
        const STEP: usize,
    >(
        &self,
        simd: S,
        row: usize,
        column: usize,
        depth: &Range<usize>,
    ) {
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        // SAFETY: every address lies within the views, or is the caller's to write.
        unsafe {
            // A pointer to each row: one that walked over them would be a chain of additions, longer than the arithmetic.
            let lefts: [*const f32; R] = std::array::from_fn(|r| self.left(row + r, depth.start));
            let start = depth.start * self.b.row_stride + column;
            let mut right = self.b.data.as_ptr().wrapping_add(start);
            let mut along = 0;
            let runs = depth.len().div_ceil(WIDTH);
            let mut asked = 0;
            for run in 0..runs {
                // What is written comes to the cache meanwhile; asked for in turn, as only so many lines can be on their way.
                while AHEAD && asked < R * (run + 1) / runs {
                    for at in 0..V {
                        let (row, column) = (row + asked, column + at * S::F32_LANES);
                        prefetch::<true>(self.out.to.wrapping_add(row * self.out.stride + column));
                        if let Some((base, stride)) = self.base {
                            prefetch::<true>(base.wrapping_add(row * stride + column));
                        }
                    }
                    asked += 1;
                }
                let terms = WIDTH.min(depth.len() - run * WIDTH);
                let together = match STEP != ANY && S::REGISTER_COUNT < 32 {
                    false => 1,
                    true => TOGETHER,
                };
                let (step, row_stride) = match STEP {
                    ANY => (self.a.column_stride, self.b.row_stride),
                    _ => (STEP, WIDTH),
                };
                let mut term = |along: usize, right: *const f32| {
                    let mut vectors = [simd.splat_f32s(0.0); V];
                    for (at, vector) in vectors.iter_mut().enumerate() {
                        *vector = right
                            .add(at * S::F32_LANES)
                            .cast::<S::f32s>()
                            .read_unaligned();
                    }
                    for (sums, left) in sums.iter_mut().zip(lefts) {
                        let value = simd.splat_f32s(*left.add(along));
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = mul_add(simd, value, vector, *sum);
                        }
                    }
                };
                for _ in 0..terms / together {
                    for at in 0..together {
                        term(along + at * step, right.wrapping_add(at * row_stride));
                    }
                    along += together * step;
                    right = right.wrapping_add(together * row_stride);
                }
                for _ in 0..terms % together {
                    term(along, right);
                    along += step;
                    right = right.wrapping_add(row_stride);
                }
                along += self.jump;
                if AHEAD {
                    self.wanted.fetch_some();
                }
            }
            let alpha = simd.splat_f32s(self.alpha);
            for (r, sums) in sums.iter().enumerate() {
                for (at, sum) in sums.iter().enumerate() {
                    let (row, column) = (row + r, column + at * S::F32_LANES);
                    let to = self.out.to.add(row * self.out.stride + column);
                    let to = to.cast::<S::f32s>();
                    to.write_unaligned(match self.base {
                        None => simd.mul_f32s(*sum, alpha),
                        Some((base, stride)) => {
                            let base = base.add(row * stride + column).cast::<S::f32s>();
                            mul_add(simd, *sum, alpha, base.read_unaligned())
                        }
                    });
                }
            }
        }
    }

    /// `R` rows of less than a vector.
    #[inline(always)]
    unsafe fn edge<S: Simd, const R: usize>(
        &self,
        simd: S,
        row: usize,
        columns: Range<usize>,
        depth: &Range<usize>,
    ) {
        let mut sums = [simd.splat_f32s(0.0); R];
        // SAFETY: every address lies within the views, or is the caller's to write.
        unsafe {
            let mut left = self.left(row, depth.start);
            for (done, p) in depth.clone().enumerate() {
                if done > 0 && done % WIDTH == 0 {
                    left = left.wrapping_add(self.jump);
                }
                let from = self
                    .b
                    .data
                    .as_ptr()
                    .add(p * self.b.row_stride + columns.start);
                let vector = std::slice::from_raw_parts(from, columns.len());
                let vector = simd.partial_load_f32s(vector);
                for (r, sum) in sums.iter_mut().enumerate() {
                    let value = simd.splat_f32s(*left.add(r * self.a.row_stride));
                    *sum = mul_add(simd, value, vector, *sum);
                }
                left = left.wrapping_add(self.a.column_stride);
            }
            let alpha = simd.splat_f32s(self.alpha);
            for (r, sum) in sums.iter().enumerate() {
                let (row, column) = (row + r, columns.start);
                let to = self.out.to.add(row * self.out.stride + column);
                let value = match self.base {
                    None => simd.mul_f32s(*sum, alpha),
                    Some((base, stride)) => {
                        let base = base.add(row * stride + column);
                        let base = std::slice::from_raw_parts(base, columns.len());
                        mul_add(simd, *sum, alpha, simd.partial_load_f32s(base))
                    }
                };
                let mut values = [0.0f32; LANES];
                simd.partial_store_f32s(&mut values[..columns.len()], value);
                std::ptr::copy_nonoverlapping(values.as_ptr(), to, columns.len());
            }
        }
    }

    /// Where a value of `a` lies; beyond the view where a sum has no terms.
    #[inline(always)]
    fn left(&self, row: usize, column: usize) -> *const f32 {
        let at = row * self.a.row_stride + column * self.a.column_stride;
        self.a.data.as_ptr().wrapping_add(at)
    }
}

/// Asks for the line of the cache that a value lies in, in the nearest one or the next.
#[inline(always)]
fn prefetch<const NEAREST: bool>(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which may name any address.
    #[allow(unsafe_code)]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match NEAREST {
            true => _mm_prefetch::<_MM_HINT_T0>(at.cast()),
            false => _mm_prefetch::<_MM_HINT_T1>(at.cast()),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Initialised values as places to write to.
///
/// # Safety
///
/// Only values may be written.
#[allow(unsafe_code)]
pub(super) unsafe fn slots(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    let len = values.len();
    // SAFETY: the same memory, borrowed mutably; the rest is the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cpu::tests::values;

    #[test]
    fn products_of_all_sizes_are_those_of_their_definition() {
        for (rows, depth, columns) in [
            (1, 1, 1),
            (8, 16, 32),
            (13, 5, 49),
            (7, 33, 15),
            (20, 0, 17),
            (64, 64, 64),
        ] {
            let (a, b) = (values(rows * depth, 1), values(depth * columns, 2));
            let before = values(rows * columns, 3);
            for (mode, transposed) in [
                (Output::Replace, false),
                (Output::Accumulate, false),
                (Output::Accumulate, true),
            ] {
                let mut out = before.clone();
                let left = match transposed {
                    false => View::new(&a, rows, depth),
                    true => View::new(&a, depth, rows).transposed(),
                };
                let target = Target {
                    to: out.as_mut_ptr(),
                    stride: columns,
                };
                // SAFETY: `out` has all rows and columns, and is ours.
                #[allow(unsafe_code)]
                unsafe {
                    product(
                        target,
                        left,
                        View::new(&b, depth, columns),
                        0.5,
                        mode,
                        |_| Part {
                            columns,
                            depth: 0..depth,
                        },
                    );
                }
                for row in 0..rows {
                    for column in 0..columns {
                        let term = |p: usize| {
                            let a = if transposed {
                                a[p * rows + row]
                            } else {
                                a[row * depth + p]
                            };
                            f64::from(a) * f64::from(b[p * columns + column])
                        };
                        let at = row * columns + column;
                        let base = match mode {
                            Output::Replace => 0.0,
                            Output::Accumulate => f64::from(before[at]),
                        };
                        let expected = base + 0.5 * (0..depth).map(term).sum::<f64>();
                        assert!((f64::from(out[at]) - expected).abs() < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_part_that_is_asked_for_is_computed() {
        let (a, b) = ([1.0; 20 * 4], [1.0; 4 * 40]);
        let mut out = vec![7.0; 20 * 40];
        let target = Target {
            to: out.as_mut_ptr(),
            stride: 40,
        };
        let part = |rows: Range<usize>| Part {
            columns: rows.end,
            depth: 1..(rows.start / STRIP + 2),
        };
        let (a, b) = (View::new(&a, 20, 4), View::new(&b, 4, 40));
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            product(target, a, b, 1.0, Output::Replace, part);
        }
        for (at, value) in out.iter().enumerate() {
            let (row, column) = (at / 40, at % 40);
            let strip = row / STRIP;
            let end = ((strip + 1) * STRIP).min(20);
            let expected = if column < end {
                (strip + 1) as f32
            } else {
                7.0
            };
            assert_eq!(*value, expected, "{row} {column}");
        }
    }
}
