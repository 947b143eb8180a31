//! Products with matrices in panels: as many columns as a tile has lie together, row after row, one panel behind the other, which is how the
//! arithmetic reads them. A matrix that several others are multiplied by, such as the weight of a layer, is laid out once, where `gemm`
//! would do so for each of them; and what one product gives and the next reads can stay in panels between them, as what is done element
//! by element does not mind the order.

mod copies;
#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use super::Unwritten;
use super::matmul::{Threads, View};
use super::tile::{ACROSS, ANY, LANES, Part, Target, WIDTH, Wanted, Work, slots};
use crate::kernel::simd::run;
pub use copies::lay_out;
use copies::{copy_narrow_rows, copy_rows};

/// Values of the left factor that are worked on before the next: they stay in a cache while all panels go past.
const BLOCK: usize = 96 * 1024;
/// Rows that are copied together where they lie across the memory: with a panel of the usual depth they stay in the cache that is nearest.
const GATHERED: usize = 4 * ROWS;
/// Pieces of a product that threads share.
const SHARED: usize = 4;
/// Rows of a tile on machines with 32 vector registers, of which its sums take 24; with 16 registers it is half of them.
const ROWS: usize = 12;

/// A matrix in panels of [`WIDTH`] columns, of which the last may have fewer.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Read after the product.
    wanted: [&'a [f32]; 2],
}

/// A left factor.
#[derive(Clone, Copy)]
pub enum Left<'a> {
    Rows(View<'a>),
    Panels(Panels<'a>),
    /// Transposed.
    Across(Panels<'a>),
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub enum Base<'a> {
    Zero,
    /// To each row the same; of as many values as the result has columns.
    Row(&'a [f32]),
    /// To a result in rows, as many.
    Rows(&'a [f32]),
}

/// How a result lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Rows,
    Panels,
}

impl<'a> Panels<'a> {
    /// # Panics
    ///
    /// Where there are not as many values.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self {
            values,
            rows,
            columns,
            wanted: [&[]; 2],
        }
    }

    /// The same, in whose products those values come to the cache.
    pub fn fetching(self, wanted: [&'a [f32]; 2]) -> Self {
        Self { wanted, ..self }
    }

    /// Each panel, and its first column.
    fn each(self) -> impl Iterator<Item = (usize, View<'a>)> {
        let panels = self.values.chunks((self.rows * WIDTH).max(1));
        panels.enumerate().map(move |(at, values)| {
            let first = at * WIDTH;
            let width = WIDTH.min(self.columns - first);
            (first, View::new(values, self.rows, width))
        })
    }

    /// The first rows, one behind the other.
    pub fn first_rows(self, rows: usize) -> Vec<f32> {
        let mut copy = vec![0.0; rows * self.columns];
        for (first, panel) in self.each() {
            let from = panel.data.chunks_exact(panel.columns);
            for (to, from) in copy.chunks_exact_mut(self.columns).zip(from) {
                to[first..][..panel.columns].copy_from_slice(from);
            }
        }
        copy
    }

    /// `left` times the matrix, `[left's rows, columns]`, and `base` into `out`, all of which is written.
    ///
    /// # Panics
    ///
    /// Where the sizes do not fit, or rows are to be added to panels.
    pub fn product_into<'o>(
        self,
        out: &'o mut [MaybeUninit<f32>],
        (layout, base): (Layout, Base),
        left: Left,
        threads: Threads,
    ) -> &'o mut [f32] {
        self.fits(out, left);
        if self.rows == 0 {
            return without_terms(out, layout, base);
        }
        let base = match base {
            Base::Zero => None,
            Base::Row(row) => {
                assert_eq!(row.len(), self.columns);
                Some(Start::Row(row.as_ptr()))
            }
            Base::Rows(rows) => {
                assert_eq!(rows.len(), out.len());
                assert!(layout == Layout::Rows);
                Some(Start::Rows(rows.as_ptr()))
            }
        };
        let to = out.as_mut_ptr().cast();
        // SAFETY: the output is borrowed, and all of it is written; there is as much to add to as asserted.
        #[allow(unsafe_code)]
        unsafe {
            self.run(Out::new(to, base, layout, left), left, threads);
            out.assume_init_mut()
        }
    }

    /// As [`Panels::product_into`], as a new matrix.
    pub fn product(self, layout: Layout, left: Left, threads: Threads) -> Vec<f32> {
        let mut out = Unwritten::new(left.rows() * self.columns);
        self.product_into(out.slots(), (layout, Base::Zero), left, threads);
        // SAFETY: all of it was written.
        #[allow(unsafe_code)]
        unsafe {
            out.written()
        }
    }

    /// Adds the product to rows.
    ///
    /// # Panics
    ///
    /// As [`Panels::product_into`].
    pub fn add_product(self, out: &mut [f32], left: Left, threads: Threads) {
        // SAFETY: only values are written.
        #[allow(unsafe_code)]
        self.fits(unsafe { slots(out) }, left);
        let to = out.as_mut_ptr();
        let base = Some(Start::Rows(to.cast_const()));
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            self.run(Out::new(to, base, Layout::Rows, left), left, threads);
        }
    }

    fn fits(self, out: &[MaybeUninit<f32>], left: Left) {
        assert_eq!(left.columns(), self.rows);
        assert_eq!(out.len(), left.rows() * self.columns);
    }

    /// # Safety
    ///
    /// `out` must be valid for all values of the product, to write and those of its base to read, and nobody else may use it meanwhile; the sizes must fit.
    #[allow(unsafe_code)]
    unsafe fn run(self, out: Out, left: Left, threads: Threads) {
        let all = left.rows();
        let most = (BLOCK / self.rows.max(1)).max(1);
        let rows = match threads {
            Threads::One => most,
            Threads::All => most.min(all.div_ceil(SHARED)),
        };
        let rows = match left {
            Left::Across(_) => rows.max(1).next_multiple_of(WIDTH),
            Left::Rows(_) | Left::Panels(_) => rows.max(1).next_multiple_of(ROWS),
        };
        let block = |at: usize| {
            let rows = at * rows..((at + 1) * rows).min(all);
            // SAFETY: the caller's promise; no two blocks have a row in common.
            unsafe { self.block(&out, left, rows) }
        };
        let blocks = 0..all.div_ceil(rows);
        match threads {
            Threads::One => blocks.for_each(block),
            Threads::All => blocks.into_par_iter().for_each(block),
        }
    }

    /// Some rows of the product.
    ///
    /// # Safety
    ///
    /// As [`Panels::run`].
    #[allow(unsafe_code)]
    unsafe fn block(self, out: &Out, left: Left, rows: Range<usize>) {
        let first = rows.start;
        let depth = 0..self.rows;
        // SAFETY: the caller's promise, for parts of the rows; the sizes of the factors fit, and so do those of their parts.
        unsafe {
            match left {
                Left::Rows(a) if a.column_stride <= 1 || a.rows <= 1 => {
                    self.tiles(out, first, (a.part(rows, depth.clone()), 0), depth);
                }
                Left::Rows(a) => self.gathered(out, a, rows),
                Left::Panels(a) => {
                    let whole = a.columns / WIDTH * WIDTH;
                    let jump = (a.rows.max(1) - 1) * WIDTH;
                    let values = View {
                        data: &a.values[(first * WIDTH).min(a.values.len())..],
                        rows: rows.len(),
                        columns: whole,
                        row_stride: WIDTH,
                        column_stride: 1,
                    };
                    if whole > 0 {
                        self.tiles(out, first, (values, jump), 0..whole);
                    }
                    if whole < a.columns {
                        let rest =
                            View::new(&a.values[whole * a.rows..], a.rows, a.columns - whole);
                        let rest = rest.part(rows, 0..rest.columns);
                        let sum = Out {
                            base: match whole {
                                0 => out.base,
                                _ => Some(Start::Rows(out.to.cast_const())),
                            },
                            ..*out
                        };
                        self.tiles(&sum, first, (rest, 0), whole..a.columns);
                    }
                }
                Left::Across(a) => {
                    // Blocks begin with a panel.
                    let panels = a
                        .each()
                        .skip(first / WIDTH)
                        .take_while(|(at, _)| *at < rows.end);
                    for (first, panel) in panels {
                        self.tiles(out, first, (panel.transposed(), 0), depth.clone());
                    }
                }
            }
        }
    }

    /// As [`Panels::block`], for rows that lie across those of the memory: read as they are, each of a tile's steps would be in another page.
    #[allow(unsafe_code)]
    unsafe fn gathered(self, out: &Out, a: View, rows: Range<usize>) {
        assert_eq!(a.row_stride, 1);
        let mut copied = Vec::with_capacity(GATHERED * self.rows);
        for first in rows.clone().step_by(GATHERED) {
            let width = GATHERED.min(rows.end - first);
            let size = width * self.rows;
            copied.clear();
            copied.reserve(size);
            let slots = &mut copied.spare_capacity_mut()[..size];
            let (from, stride) = (&a.data[first..], a.column_stride);
            match width {
                GATHERED => copy_rows::<GATHERED>(slots, from, stride),
                WIDTH => copy_rows::<WIDTH>(slots, from, stride),
                LANES => copy_rows::<LANES>(slots, from, stride),
                width => copy_narrow_rows(slots, from, [width, stride]),
            }
            // SAFETY: `self.rows` rows of as many values were written.
            unsafe { copied.set_len(size) };
            let across = View::new(&copied, self.rows, width).transposed();
            // SAFETY: these rows are among the caller's.
            unsafe { self.tiles(out, first, (across, 0), 0..self.rows) };
        }
    }

    /// Rows of the product from `first` on, as many as `a` has: the terms of each sum for some of this matrix's rows, which are the columns of `a`; with
    /// how much further on than the columns before them each [`WIDTH`] columns of `a` lie.
    ///
    /// # Safety
    ///
    /// As [`Panels::run`].
    #[allow(unsafe_code)]
    unsafe fn tiles(self, out: &Out, first: usize, (a, jump): (View, usize), depth: Range<usize>) {
        let wanted = self.wanted.map(|wanted| {
            let of = |rows| wanted.len() * rows / out.rows.max(1);
            &wanted[of(first)..of(first + a.rows)]
        });
        struct Block<'a>(
            Panels<'a>,
            &'a Out,
            usize,
            (View<'a>, usize),
            Range<usize>,
            [&'a [f32]; 2],
        );
        impl pulp::WithSimd for Block<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Self(panels, all, row, (a, jump), depth, wanted) = self;
                let rows = match S::REGISTER_COUNT >= 32 {
                    true => ROWS,
                    false => ROWS / 2,
                };
                let tiles = a.rows.div_ceil(rows) * panels.columns.div_ceil(ACROSS * S::F32_LANES);
                let wanted = Wanted::of(wanted, tiles * depth.len().div_ceil(WIDTH));
                for (first, b) in panels.each() {
                    let part = Part {
                        columns: b.columns,
                        depth: 0..depth.len(),
                    };
                    let (out, base) = all.panel(row, [first, b.columns], panels.columns);
                    let work = Work {
                        out,
                        base,
                        a,
                        jump,
                        b: b.part(depth.clone(), 0..b.columns),
                        alpha: 1.0,
                        wanted: &wanted,
                    };
                    // SAFETY: the part is the whole of both views, and lies in the output.
                    unsafe {
                        let all = 0..a.rows;
                        let step = match b.columns {
                            WIDTH => a.column_stride,
                            _ => ANY,
                        };
                        match (rows, step) {
                            (ROWS, 1) => work.strip::<S, ROWS, true, 1>(simd, all, &part),
                            (ROWS, WIDTH) => work.strip::<S, ROWS, true, WIDTH>(simd, all, &part),
                            (ROWS, _) => work.strip::<S, ROWS, true, ANY>(simd, all, &part),
                            (_, 1) => work.strip::<S, { ROWS / 2 }, true, 1>(simd, all, &part),
                            (_, WIDTH) => {
                                work.strip::<S, { ROWS / 2 }, true, WIDTH>(simd, all, &part)
                            }
                            _ => work.strip::<S, { ROWS / 2 }, true, ANY>(simd, all, &part),
                        }
                    }
                }
            }
        }
        run(Block(self, out, first, (a, jump), depth, wanted));
    }
}

impl Left<'_> {
    fn rows(&self) -> usize {
        match self {
            Left::Rows(a) => a.rows,
            Left::Panels(a) => a.rows,
            Left::Across(a) => a.columns,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Left::Rows(a) => a.columns,
            Left::Panels(a) => a.columns,
            Left::Across(a) => a.rows,
        }
    }
}

/// Where what a product is added to begins: a row for all of them, or rows that lie as those of the product.
#[derive(Clone, Copy)]
enum Start {
    Row(*const f32),
    Rows(*const f32),
}

/// Where a product goes, and what it is added to.
#[derive(Clone, Copy)]
struct Out {
    to: *mut f32,
    base: Option<Start>,
    layout: Layout,
    rows: usize,
}

// SAFETY: threads write disjoint rows (see `Panels::run`).
#[allow(unsafe_code)]
unsafe impl Sync for Out {}

impl Out {
    fn new(to: *mut f32, base: Option<Start>, layout: Layout, left: Left) -> Self {
        Self {
            to,
            base,
            layout,
            rows: left.rows(),
        }
    }

    /// Of the panel with `width` columns from the `first` on, `row` and those behind it.
    #[inline(always)]
    fn panel(
        &self,
        row: usize,
        [first, width]: [usize; 2],
        columns: usize,
    ) -> (Target, Option<(*const f32, usize)>) {
        let (offset, stride) = match self.layout {
            Layout::Rows => (row * columns + first, columns),
            Layout::Panels => (self.rows * first + row * width, width),
        };
        let to = self.to.wrapping_add(offset);
        let base = self.base.map(|base| match base {
            Start::Row(base) => (base.wrapping_add(first), 0),
            Start::Rows(base) => (base.wrapping_add(offset), stride),
        });
        (Target { to, stride }, base)
    }
}

/// What a product without terms comes to.
fn without_terms<'o>(out: &'o mut [MaybeUninit<f32>], layout: Layout, base: Base) -> &'o mut [f32] {
    let all = match base {
        Base::Rows(rows) => return out.write_copy_of_slice(rows),
        Base::Zero => vec![0.0; out.len()],
        Base::Row(row) => {
            let rows = out.len() / row.len().max(1);
            let all = row.repeat(rows);
            match layout {
                Layout::Rows => all,
                Layout::Panels => {
                    let [panels] = lay_out([View::new(&all, rows, row.len())]);
                    panels
                }
            }
        }
    };
    out.write_copy_of_slice(&all)
}
