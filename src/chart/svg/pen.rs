//! Lines, thinned out to what pixels show.

use std::fmt::Write;

/// Draws a line and leaves out what no pixel shows.
#[derive(Debug, Default)]
pub(super) struct Pen {
    pub path: String,
    /// The column of pixels in hand, and what is kept of it.
    column: Option<i64>,
    kept: Vec<(f64, f64)>,
    down: bool,
}

impl Pen {
    pub fn go(&mut self, x: f64, y: f64) {
        let column = Some(x.floor() as i64);
        if self.column != column {
            self.put();
            self.column = column;
        }
        let kept = &mut self.kept;
        kept.push((x, y));
        if kept.len() > 4 {
            // First and last stay, and of those between the lowest and the highest.
            let inner = 1..kept.len() - 1;
            let low = inner
                .clone()
                .min_by(|a, b| kept[*a].1.total_cmp(&kept[*b].1));
            let high = inner.max_by(|a, b| kept[*a].1.total_cmp(&kept[*b].1));
            let last = kept.len() - 1;
            let mut at = 0;
            kept.retain(|_| {
                let stays = at == 0 || at == last || Some(at) == low || Some(at) == high;
                at += 1;
                stays
            });
        }
    }

    fn put(&mut self) {
        for (x, y) in self.kept.drain(..) {
            let letter = if self.down { 'L' } else { 'M' };
            // Writing to a string cannot fail.
            let _ = write!(self.path, "{letter}{x:.1},{y:.1}");
            if !self.down {
                // A lone value is a dot.
                self.path.push_str("h.01");
            }
            self.down = true;
        }
    }

    pub fn lift(&mut self) {
        self.put();
        self.column = None;
        self.down = false;
    }
}
