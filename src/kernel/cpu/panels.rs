//! Products with a matrix that several others are multiplied by, such as the weight of a layer: it is laid out once as the arithmetic
//! reads it, in panels of as many columns as a tile has, where `gemm` would do so for each of them.

use std::mem::MaybeUninit;

use pulp::Simd;
use rayon::prelude::*;

use super::Unwritten;
use super::matmul::{Output, Threads, View};
use super::tile::{LANES, Part, Target, Work, slots, transpose_into};
use crate::kernel::simd::vectorize;

/// Columns of a panel: two of the widest vectors.
const WIDTH: usize = 2 * LANES;
/// Rows of a panel that are laid out at a time: what is written then stays in the cache that is nearest.
const DEPTH: usize = 128;
/// Values of the left factor that are worked on before the next: they stay in a cache while all panels go past.
const BLOCK: usize = 96 * 1024;
/// Rows that are copied together where they lie across the memory: with a panel of the usual depth they stay in the cache that is nearest.
const GATHERED: usize = 4 * ROWS;
/// Pieces of a product that threads share.
const SHARED: usize = 4;
/// Rows of a tile on machines with 32 vector registers, of which its sums take 24; with 16 registers it is half of them.
const ROWS: usize = 12;

/// A matrix `[depth, columns]` in panels `[depth, WIDTH]`, the last one filled up with zeros.
pub struct Panels {
    values: Vec<f32>,
    depth: usize,
    columns: usize,
}

impl Panels {
    pub fn new(matrix: View) -> Self {
        let [panels] = Self::of([matrix]);
        panels
    }

    /// Of several matrices at once.
    pub fn of<const N: usize>(matrices: [View; N]) -> [Self; N] {
        let size = |matrix: &View| matrix.columns.div_ceil(WIDTH) * matrix.rows * WIDTH;
        let mut values = matrices
            .each_ref()
            .map(|matrix| Unwritten::new(size(matrix)));
        let mut panels = Vec::new();
        for (matrix, values) in matrices.iter().zip(&mut values) {
            let chunks = values.slots().chunks_mut((matrix.rows * WIDTH).max(1));
            for (at, to) in chunks.enumerate() {
                let first = at * WIDTH;
                let columns = first..(first + WIDTH).min(matrix.columns);
                panels.push((to, matrix.part(0..matrix.rows, columns)));
            }
        }
        panels
            .into_par_iter()
            .for_each(|(to, columns)| lay_out(to, columns));
        let mut matrices = matrices.into_iter();
        values.map(|values| {
            let matrix = matrices.next().expect("as many matrices as buffers");
            Self {
                // SAFETY: every panel was laid out.
                #[allow(unsafe_code)]
                values: unsafe { values.written() },
                depth: matrix.rows,
                columns: matrix.columns,
            }
        })
    }

    /// Rows of the matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    fn panels(&self) -> impl Iterator<Item = (usize, View<'_>)> {
        let panels = self.values.chunks_exact((self.depth * WIDTH).max(1));
        panels.enumerate().map(|(at, values)| {
            let first = at * WIDTH;
            let width = WIDTH.min(self.columns - first);
            (first, View::strided(values, self.depth, width, WIDTH))
        })
    }

    /// `a` times the matrix, `[a.rows, columns]`, into `out`, all of which is written.
    ///
    /// # Panics
    ///
    /// Where the sizes do not fit.
    pub fn product_into<'o>(
        &self,
        out: &'o mut [MaybeUninit<f32>],
        a: View,
        threads: Threads,
    ) -> &'o mut [f32] {
        // SAFETY: `Replace` reads nothing of the output and writes all of it.
        #[allow(unsafe_code)]
        unsafe {
            self.run(out, a, Output::Replace, threads);
            out.assume_init_mut()
        }
    }

    /// As [`Panels::product_into`], as a new matrix.
    pub fn product(&self, a: View, threads: Threads) -> Vec<f32> {
        let mut out = Unwritten::new(a.rows * self.columns);
        self.product_into(out.slots(), a, threads);
        // SAFETY: all of it was written.
        #[allow(unsafe_code)]
        unsafe {
            out.written()
        }
    }

    /// Adds `a` times the matrix.
    ///
    /// # Panics
    ///
    /// As [`Panels::product_into`].
    pub fn add_product(&self, out: &mut [f32], a: View, threads: Threads) {
        // SAFETY: initialised values may be written as any others, and `run` writes only values.
        #[allow(unsafe_code)]
        unsafe {
            self.run(slots(out), a, Output::Accumulate, threads);
        }
    }

    /// # Safety
    ///
    /// With [`Output::Accumulate`] all of `out` must have been written.
    #[allow(unsafe_code)]
    unsafe fn run(&self, out: &mut [MaybeUninit<f32>], a: View, mode: Output, threads: Threads) {
        let stride = self.columns;
        assert_eq!((a.columns, out.len()), (self.depth, a.rows * stride));
        if self.depth == 0 && mode == Output::Replace {
            out.fill(MaybeUninit::new(0.0));
        }
        let most = (BLOCK / self.depth.max(1)).max(1);
        let rows = match threads {
            Threads::One => most,
            Threads::All => most.min(a.rows.div_ceil(SHARED)),
        };
        let rows = rows.max(1).next_multiple_of(ROWS);
        let block = |(at, out): (usize, &mut [MaybeUninit<f32>])| {
            let first = at * rows;
            let rows = first..(first + rows).min(a.rows);
            let to = out.as_mut_ptr().cast();
            // SAFETY: these rows of the output are borrowed here alone.
            unsafe { self.block(Target { to, stride }, a.part(rows, 0..self.depth), mode) };
        };
        let size = (rows * stride).max(1);
        match threads {
            Threads::One => out.chunks_mut(size).enumerate().for_each(block),
            Threads::All => out.par_chunks_mut(size).enumerate().for_each(block),
        }
    }

    /// # Safety
    ///
    /// `out` must be valid for as many rows as `a` has; else as [`Panels::run`].
    #[allow(unsafe_code)]
    unsafe fn block(&self, out: Target, a: View, mode: Output) {
        if a.column_stride <= 1 || a.rows <= 1 {
            // SAFETY: the caller's promise.
            return unsafe { self.tiles(out, a, mode) };
        }
        assert_eq!(a.row_stride, 1);
        // The rows of `a` lie across those of its memory: read as they are, each of a tile's steps would be in another page.
        let mut copied = Vec::with_capacity(GATHERED * self.depth);
        for first in (0..a.rows).step_by(GATHERED) {
            let rows = first..(first + GATHERED).min(a.rows);
            let size = rows.len() * self.depth;
            copied.clear();
            copied.reserve(size);
            let slots = &mut copied.spare_capacity_mut()[..size];
            let (from, stride) = (&a.data[first..], a.column_stride);
            match rows.len() {
                GATHERED => copy_rows::<GATHERED>(slots, from, stride, GATHERED),
                WIDTH => copy_rows::<WIDTH>(slots, from, stride, WIDTH),
                LANES => copy_rows::<LANES>(slots, from, stride, LANES),
                width => {
                    let rows = slots.chunks_exact_mut(width).zip(from.chunks(stride));
                    for (to, from) in rows {
                        to.write_copy_of_slice(&from[..width]);
                    }
                }
            }
            // SAFETY: `depth` rows of as many values were written.
            unsafe { copied.set_len(size) };
            let across = View::new(&copied, self.depth, rows.len());
            let out = Target {
                to: out.to.wrapping_add(first * out.stride),
                ..out
            };
            // SAFETY: these rows are among the caller's.
            unsafe { self.tiles(out, across.transposed(), mode) };
        }
    }

    /// # Safety
    ///
    /// As [`Panels::block`].
    #[allow(unsafe_code)]
    unsafe fn tiles(&self, out: Target, a: View, mode: Output) {
        struct Block<'a>(&'a Panels, Target, View<'a>, Output);
        impl pulp::WithSimd for Block<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Self(panels, all, a, mode) = self;
                for (first, b) in panels.panels() {
                    let part = Part {
                        columns: b.columns,
                        depth: 0..panels.depth,
                    };
                    let out = Target {
                        to: all.to.wrapping_add(first),
                        ..all
                    };
                    let alpha = 1.0;
                    let work = Work {
                        out,
                        a,
                        b,
                        alpha,
                        mode,
                    };
                    // SAFETY: the part is the whole of both views, and lies in the output.
                    unsafe {
                        match S::REGISTER_COUNT >= 32 {
                            true => work.strip::<S, ROWS, true>(simd, 0..a.rows, &part),
                            false => work.strip::<S, { ROWS / 2 }, true>(simd, 0..a.rows, &part),
                        }
                    }
                }
            }
        }
        pulp::Arch::new().dispatch(Block(self, out, a, mode));
    }
}

/// Copies the first `columns` values of rows `stride` apart to rows of `W`; whole rows in registers.
fn copy_rows<const W: usize>(
    to: &mut [MaybeUninit<f32>],
    from: &[f32],
    stride: usize,
    columns: usize,
) {
    let rows = to.chunks_exact_mut(W);
    if columns < W {
        for (to, from) in rows.zip(from.chunks(stride)) {
            to[..columns].write_copy_of_slice(&from[..columns]);
        }
        return;
    }
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

/// Copies a matrix of at most [`WIDTH`] columns to rows of as many, filled up with zeros.
fn lay_out(to: &mut [MaybeUninit<f32>], from: View) {
    if from.columns < WIDTH {
        to.fill(MaybeUninit::new(0.0));
    }
    for first in (0..from.rows).step_by(DEPTH) {
        let rows = first..(first + DEPTH).min(from.rows);
        if from.column_stride == 1 {
            let to = &mut to[rows.start * WIDTH..rows.end * WIDTH];
            let data = &from.data[rows.start * from.row_stride..];
            copy_rows::<WIDTH>(to, data, from.row_stride, from.columns);
            continue;
        }
        assert_eq!(from.row_stride, 1);
        let sizes = [from.columns, rows.len(), from.column_stride];
        transpose_into(
            &mut to[rows.start * WIDTH..],
            WIDTH,
            &from.data[rows.start..],
            sizes,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::values;
    use super::*;

    #[test]
    fn products_are_those_of_their_definition() {
        for (rows, depth, columns) in [
            (1, 1, 1),
            (13, 5, 33),
            (29, 131, 65),
            (12, 40, 31),
            (600, 300, 47),
            (3, 0, 4),
        ] {
            let (a, b) = (values(rows * (depth + 3), 1), values(depth * columns, 2));
            let left = View::strided(&a, rows, depth, depth + 3);
            let before = values(rows * columns, 3);
            for transposed in [false, true] {
                let matrix = match transposed {
                    false => View::new(&b, depth, columns),
                    true => View::new(&b, columns, depth).transposed(),
                };
                let panels = Panels::new(matrix);
                let product = panels.product(left, Threads::One);
                let mut added = before.clone();
                panels.add_product(&mut added, left, Threads::One);
                for (at, (product, added)) in product.iter().zip(&added).enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let term = |p: usize| {
                        let b = match transposed {
                            false => b[p * columns + column],
                            true => b[column * depth + p],
                        };
                        f64::from(a[row * (depth + 3) + p]) * f64::from(b)
                    };
                    let sum: f64 = (0..depth).map(term).sum();
                    let size: f64 = (0..depth).map(|p| term(p).abs()).sum();
                    // A rounding of float32 is 6e-8 of what is summed so far.
                    let tolerance = 1e-6 * (1.0 + size);
                    assert!((f64::from(*product) - sum).abs() < tolerance);
                    let sum = sum + f64::from(before[at]);
                    assert!((f64::from(*added) - sum).abs() < tolerance);
                }
                assert_eq!(product, panels.product(left, Threads::All));
                let turned: Vec<f32> = (0..depth * (rows + 2))
                    .map(|at| (at / (rows + 2), at % (rows + 2)))
                    .map(|(p, row)| {
                        if row < rows {
                            a[row * (depth + 3) + p]
                        } else {
                            9.0
                        }
                    })
                    .collect();
                let across = View::strided(&turned, depth, rows, rows + 2).transposed();
                assert_eq!(product, panels.product(across, Threads::One));
            }
        }
    }
}
