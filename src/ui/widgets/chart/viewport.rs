//! Which stretch of the horizontal axis is shown: everything, the latest so many, or a fixed window.

/// The state behind zoom, pan, follow and freeze.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Viewport {
    /// From the first point to the last.
    #[default]
    Everything,
    /// The last `span`, moving with the data.
    Latest { span: f64 },
    /// A window that stays.
    Fixed { start: f64, span: f64 },
    /// A window that stays while the data goes on; thawing returns to what was before.
    Frozen {
        start: f64,
        span: f64,
        latest: Option<f64>,
    },
}

/// A window is never wider than this many times the data.
const WIDEST: f64 = 4.0;

impl Viewport {
    /// The stretch shown of data that lies in `extent`.
    pub fn range(&self, extent: (f64, f64)) -> (f64, f64) {
        match *self {
            Viewport::Everything => extent,
            Viewport::Latest { span } => {
                let span = span.min((extent.1 - extent.0).max(f64::MIN_POSITIVE));
                (extent.1 - span, extent.1)
            }
            Viewport::Fixed { start, span } | Viewport::Frozen { start, span, .. } => {
                (start, start + span)
            }
        }
    }

    pub fn is_frozen(&self) -> bool {
        matches!(self, Viewport::Frozen { .. })
    }

    /// Whether the newest point is always in view.
    pub fn follows(&self) -> bool {
        matches!(self, Viewport::Everything | Viewport::Latest { .. })
    }

    /// Shows `1 / factor` as much, around `centre` (0 left edge, 1 right edge). While following, the right
    /// edge stays at the newest point. `finest` is the narrowest window.
    pub fn zoom(&mut self, factor: f64, centre: f64, extent: (f64, f64), finest: f64) {
        let (low, high) = self.range(extent);
        let whole = (extent.1 - extent.0).max(finest);
        let span = ((high - low) / factor).clamp(finest.min(whole), whole * WIDEST);
        *self = if self.follows() && centre > 0.95 {
            if span >= whole {
                Viewport::Everything
            } else {
                Viewport::Latest { span }
            }
        } else {
            let start = low + (high - low - span) * centre.clamp(0.0, 1.0);
            let frozen = self.is_frozen();
            if span >= whole && !frozen {
                Viewport::Everything
            } else {
                self.placed(start, span)
            }
        };
    }

    /// Moves by `share` of the window; moved past the newest point it follows again.
    pub fn pan(&mut self, share: f64, extent: (f64, f64)) {
        let (low, high) = self.range(extent);
        let span = high - low;
        let start = (low + span * share).max(extent.0 - span / 2.0);
        if !self.is_frozen() && start + span >= extent.1 {
            *self = if span >= extent.1 - extent.0 {
                Viewport::Everything
            } else {
                Viewport::Latest { span }
            };
            return;
        }
        *self = self.placed(start.min(extent.1 - span / 2.0), span);
    }

    /// Goes to the first point, at the left edge.
    pub fn to_start(&mut self, extent: (f64, f64)) {
        let (low, high) = self.range(extent);
        let span = high - low;
        *self = match !self.is_frozen() && span >= extent.1 - extent.0 {
            true => Viewport::Everything,
            false => self.placed(extent.0, span),
        };
    }

    fn placed(&self, start: f64, span: f64) -> Viewport {
        match *self {
            Viewport::Frozen { latest, .. } => Viewport::Frozen {
                start,
                span,
                latest,
            },
            _ => Viewport::Fixed { start, span },
        }
    }

    /// Everything, following.
    pub fn reset(&mut self) {
        *self = Viewport::Everything;
    }

    /// Goes to the newest point and stays with it, frozen or not.
    pub fn follow(&mut self, extent: (f64, f64)) {
        if self.is_frozen() {
            self.toggle_freeze(extent);
        }
        self.pan(1e9, extent);
    }

    /// Holds the window still, or lets it follow again.
    pub fn toggle_freeze(&mut self, extent: (f64, f64)) {
        let (low, high) = self.range(extent);
        *self = match *self {
            Viewport::Frozen { latest: None, .. } => Viewport::Everything,
            Viewport::Frozen {
                latest: Some(span), ..
            } => Viewport::Latest { span },
            Viewport::Everything => Viewport::Frozen {
                start: low,
                span: high - low,
                latest: None,
            },
            Viewport::Latest { span } | Viewport::Fixed { span, .. } => Viewport::Frozen {
                start: low,
                span: high - low,
                latest: Some(span),
            },
        };
    }

    /// The same window on another axis, where `translate` carries a place over.
    pub fn translated(&self, translate: impl Fn(f64) -> f64, extent: (f64, f64)) -> Viewport {
        let (low, high) = self.range(extent);
        let (start, end) = (translate(low), translate(high));
        let span = (end - start).max(f64::MIN_POSITIVE);
        match *self {
            Viewport::Everything => Viewport::Everything,
            Viewport::Latest { .. } => Viewport::Latest { span },
            Viewport::Fixed { .. } => Viewport::Fixed { start, span },
            Viewport::Frozen { latest, .. } => Viewport::Frozen {
                start,
                span,
                latest: latest.map(|_| span),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_until_moved_and_follows_again_at_the_end() {
        let mut view = Viewport::default();
        view.zoom(2.0, 1.0, (0.0, 100.0), 1.0);
        assert_eq!(view.range((0.0, 100.0)), (50.0, 100.0));
        assert_eq!(view.range((0.0, 120.0)), (70.0, 120.0));
        view.pan(-0.5, (0.0, 120.0));
        assert_eq!(view.range((0.0, 200.0)), (45.0, 95.0));
        view.pan(9.0, (0.0, 200.0));
        assert!(view.follows());
        view.zoom(0.01, 1.0, (0.0, 200.0), 1.0);
        assert_eq!(view, Viewport::Everything);
    }

    #[test]
    fn frozen_stays_and_thaws_to_what_it_was() {
        let mut view = Viewport::Latest { span: 10.0 };
        view.toggle_freeze((0.0, 100.0));
        assert_eq!(view.range((0.0, 500.0)), (90.0, 100.0));
        view.pan(-1.0, (0.0, 500.0));
        assert!(view.is_frozen());
        view.toggle_freeze((0.0, 500.0));
        assert_eq!(view, Viewport::Latest { span: 10.0 });
    }

    #[test]
    fn both_ends_of_the_data_go_to_the_edges() {
        let extent = (1.0, 101.0);
        let mut view = Viewport::Latest { span: 10.0 };
        view.to_start(extent);
        assert_eq!(view.range(extent), (1.0, 11.0));
        view.follow(extent);
        assert_eq!(view.range(extent), (91.0, 101.0));
        let mut view = Viewport::Everything;
        view.to_start(extent);
        assert_eq!(view, Viewport::Everything);
        let mut view = Viewport::Latest { span: 10.0 };
        view.toggle_freeze(extent);
        view.to_start(extent);
        assert!(view.is_frozen());
        assert_eq!(view.range(extent), (1.0, 11.0));
    }

    #[test]
    fn zoom_stops_at_the_finest_window() {
        let mut view = Viewport::default();
        for _ in 0..100 {
            view.zoom(2.0, 0.5, (0.0, 1000.0), 4.0);
        }
        let (low, high) = view.range((0.0, 1000.0));
        assert!((high - low - 4.0).abs() < 1e-9 && (low - 498.0).abs() < 1e-6);
    }
}
