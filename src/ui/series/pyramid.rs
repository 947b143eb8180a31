//! One metric over the whole run: every value, and above it summaries of 16, 256, 4096 … values.
//!
//! A spike of one step in a million survives, because a summary keeps the smallest and the largest value
//! below it; zooming in regains every step, because the values themselves are never thrown away.

use super::chunked::Chunked;

/// Values (or summaries) under one summary of the next level.
pub(super) const FAN_OUT: usize = 16;

/// What a stretch of values comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Smallest finite value; `+inf` where there is none.
    pub min: f32,
    /// Largest finite value; `-inf` where there is none.
    pub max: f32,
    /// Mean of the finite values; 0 where there is none.
    pub mean: f64,
    /// How many values are finite.
    pub finite: usize,
    /// How many are NaN or infinite.
    pub gaps: usize,
}

impl Summary {
    pub const EMPTY: Summary = Summary {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
        mean: 0.0,
        finite: 0,
        gaps: 0,
    };

    fn add(&mut self, value: f32) {
        if !value.is_finite() {
            self.gaps += 1;
            return;
        }
        self.finite += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.mean += (f64::from(value) - self.mean) / self.finite as f64;
    }

    fn merge(&mut self, other: &Summary) {
        self.gaps += other.gaps;
        if other.finite == 0 {
            return;
        }
        self.finite += other.finite;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.mean += (other.mean - self.mean) * other.finite as f64 / self.finite as f64;
    }
}

/// A summary as it is stored: 16 bytes for 16 values.
#[derive(Debug, Clone, Copy)]
struct Block {
    min: f32,
    max: f32,
    mean: f32,
    finite: u32,
}

impl Block {
    fn new(summary: &Summary) -> Self {
        Self {
            min: summary.min,
            max: summary.max,
            mean: summary.mean as f32,
            finite: summary.finite as u32,
        }
    }

    fn summary(&self, total: usize) -> Summary {
        Summary {
            min: self.min,
            max: self.max,
            mean: f64::from(self.mean),
            finite: self.finite as usize,
            gaps: total - self.finite as usize,
        }
    }
}

/// An append-only series of `f32` with its summaries.
#[derive(Debug, Clone, Default)]
pub struct Pyramid {
    values: Chunked<f32>,
    /// `levels[k]` holds one block for each whole stretch of `16^(k+1)` values.
    levels: Vec<Chunked<Block>>,
}

impl Pyramid {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index`, or `None` past the end.
    pub fn value(&self, index: usize) -> Option<f32> {
        (index < self.len()).then(|| self.values.get(index))
    }

    /// Adds a value; a NaN or infinity is kept as a gap. Amortised constant time.
    pub fn push(&mut self, value: f32) {
        self.values.push(value);
        if !self.values.len().is_multiple_of(FAN_OUT) {
            return;
        }
        let mut summary = Summary::EMPTY;
        for &value in self.values.tail(FAN_OUT) {
            summary.add(value);
        }
        let mut level = 0;
        loop {
            if level == self.levels.len() {
                self.levels.push(Chunked::default());
            }
            let blocks = &mut self.levels[level];
            blocks.push(Block::new(&summary));
            if !blocks.len().is_multiple_of(FAN_OUT) {
                return;
            }
            let total = FAN_OUT.pow(level as u32 + 1);
            summary = Summary::EMPTY;
            for block in blocks.tail(FAN_OUT) {
                summary.merge(&block.summary(total));
            }
            level += 1;
        }
    }

    /// Forgets everything from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        let mut unit = 1;
        for level in &mut self.levels {
            unit *= FAN_OUT;
            level.truncate(len / unit);
        }
        while self.levels.last().is_some_and(|level| level.len() == 0) {
            self.levels.pop();
        }
    }

    /// What the values `start..end` come to, in time logarithmic in the length of the stretch.
    pub fn summarise(&self, start: usize, end: usize) -> Summary {
        let mut out = Summary::EMPTY;
        let (mut low, mut high) = (start, end.min(self.len()));
        let mut unit = 1;
        let mut level = 0;
        while low < high {
            while low < high && !low.is_multiple_of(FAN_OUT) {
                self.add_item(level, unit, low, &mut out);
                low += 1;
            }
            while low < high && !high.is_multiple_of(FAN_OUT) {
                high -= 1;
                self.add_item(level, unit, high, &mut out);
            }
            low /= FAN_OUT;
            high /= FAN_OUT;
            unit *= FAN_OUT;
            level += 1;
        }
        out
    }

    fn add_item(&self, level: usize, unit: usize, index: usize, out: &mut Summary) {
        match level {
            0 => out.add(self.values.get(index)),
            _ => out.merge(&self.levels[level - 1].get(index).summary(unit)),
        }
    }

    /// Bytes held on the heap.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + self.levels.iter().map(Chunked::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(values: &[f32]) -> Summary {
        let mut summary = Summary::EMPTY;
        for &value in values {
            summary.add(value);
        }
        summary
    }

    fn filled(values: &[f32]) -> Pyramid {
        let mut pyramid = Pyramid::default();
        for &value in values {
            pyramid.push(value);
        }
        pyramid
    }

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![
            20 => -1e3f32..1e3,
            1 => Just(f32::NAN),
            1 => Just(f32::INFINITY),
            1 => Just(f32::NEG_INFINITY),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_stretch_comes_to_what_counting_it_comes_to(
            values in prop::collection::vec(value(), 0..3000),
            a in 0usize..3100,
            b in 0usize..3100,
        ) {
            let pyramid = filled(&values);
            let (start, end) = (a.min(b), a.max(b));
            let expected = naive(&values[start.min(values.len())..end.min(values.len())]);
            let found = pyramid.summarise(start, end);
            prop_assert_eq!(found.min, expected.min);
            prop_assert_eq!(found.max, expected.max);
            prop_assert_eq!(found.finite, expected.finite);
            prop_assert_eq!(found.gaps, expected.gaps);
            // Block means are stored as f32.
            prop_assert!((found.mean - expected.mean).abs() <= 1e-3);
        }

        #[test]
        fn cutting_short_is_as_if_the_rest_had_never_been(
            values in prop::collection::vec(value(), 1..2000),
            keep in 0usize..2000,
            more in prop::collection::vec(value(), 0..600),
        ) {
            let keep = keep.min(values.len());
            let mut cut = filled(&values);
            cut.truncate(keep);
            let mut all = values[..keep].to_vec();
            all.extend(&more);
            for &value in &more {
                cut.push(value);
            }
            let fresh = filled(&all);
            prop_assert_eq!(cut.len(), fresh.len());
            prop_assert_eq!(cut.summarise(0, all.len()), fresh.summarise(0, all.len()));
            prop_assert_eq!(cut.levels.len(), fresh.levels.len());
        }
    }

    #[test]
    fn one_spike_in_a_hundred_thousand_survives() {
        let mut values = vec![1.0; 100_000];
        values[54_321] = 99.0;
        let pyramid = filled(&values);
        assert_eq!(pyramid.summarise(0, 100_000).max, 99.0);
        assert_eq!(pyramid.summarise(54_000, 55_000).max, 99.0);
        assert_eq!(pyramid.summarise(0, 54_321).max, 1.0);
        assert_eq!(pyramid.value(54_321), Some(99.0));
    }
}
