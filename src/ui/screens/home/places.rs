//! Where the panes of the home screen stand.
//!
//! Wide screens have three columns; from 72×18 the ladder stands beside the form with the preview below it;
//! smaller ones show the focused pane alone, with a line of tabs.

use ratatui::layout::{Position, Rect};

use super::{HomePane, PANES};

/// The least that a drag leaves of a pane, in cells with its border.
const LADDER: u16 = 20;
const FORM: (u16, u16) = (30, 7);
const PREVIEW: (u16, u16) = (28, 5);

/// From here on the preview has a column of its own.
const WIDE: u16 = 116;

/// What a drag has changed, in thousandths of the screen, so that it stays in proportion when the screen changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Splits {
    /// Width of the ladder beside form and preview, and beside the two above each other.
    ladder: [Option<u16>; 2],
    /// Width of the preview in a column of its own.
    preview: Option<u16>,
    /// Height of the preview below the form.
    below: Option<u16>,
}

/// What a drag moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splitter {
    Ladder,
    /// Between form and preview, whichever way they stand.
    Preview,
}

/// Areas with their borders; empty where a pane is not shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places {
    pub ladder: Rect,
    pub form: Rect,
    pub preview: Rect,
    pub tabs: Option<Rect>,
}

impl Places {
    /// All panes; `alone` has the screen for itself where they do not fit.
    pub fn new(area: Rect, splits: Splits, alone: HomePane) -> Self {
        if area.width < 72 || area.height < 18 {
            return Self::only(alone, area);
        }
        let (x, y, width, height) = (area.x, area.y, area.width, area.height);
        if is_wide(area) {
            let right = match splits.preview {
                Some(share) => part(width, share),
                None => (width * 36 / 100).clamp(40, 78),
            };
            let right = right.clamp(PREVIEW.0, width - LADDER - FORM.0);
            let side = match splits.ladder[0] {
                Some(share) => part(width, share),
                None => (width * 27 / 100).clamp(31, 48),
            };
            let side = side.clamp(LADDER, width - right - FORM.0);
            return Self {
                ladder: Rect::new(x, y, side, height),
                form: Rect::new(x + side, y, width - side - right, height),
                preview: Rect::new(x + width - right, y, right, height),
                tabs: None,
            };
        }
        let side = match splits.ladder[1] {
            Some(share) => part(width, share),
            None => (width * 36 / 100).clamp(27, 36),
        };
        let side = side.clamp(LADDER, width - FORM.0);
        let below = match splits.below {
            Some(share) => part(height, share),
            None => (height * 42 / 100).clamp(9, 16),
        };
        let below = below.clamp(PREVIEW.1, height - FORM.1);
        Self {
            ladder: Rect::new(x, y, side, height),
            form: Rect::new(x + side, y, width - side, height - below),
            preview: Rect::new(x + side, y + height - below, width - side, below),
            tabs: None,
        }
    }

    /// One pane below a line of tabs.
    pub fn only(pane: HomePane, area: Rect) -> Self {
        let mut places = Self::default();
        let mut body = area;
        if area.height > 4 {
            places.tabs = Some(Rect { height: 1, ..area });
            body.y += 1;
            body.height -= 1;
        }
        match pane {
            HomePane::Ladder => places.ladder = body,
            HomePane::Form => places.form = body,
            HomePane::Preview => places.preview = body,
        }
        places
    }

    pub fn of(&self, pane: HomePane) -> Rect {
        match pane {
            HomePane::Ladder => self.ladder,
            HomePane::Form => self.form,
            HomePane::Preview => self.preview,
        }
    }

    pub fn pane_at(&self, at: Position) -> Option<HomePane> {
        PANES.into_iter().find(|pane| self.of(*pane).contains(at))
    }

    /// The two borders beside each other between columns; between rows only the lower one, as on the dashboard.
    pub fn splitter_at(&self, at: Position) -> Option<Splitter> {
        let (ladder, form, preview) = (self.ladder, self.form, self.preview);
        if self.tabs.is_some() || !ladder.union(form).union(preview).contains(at) {
            return None;
        }
        let near = |column: u16| at.x == column || at.x + 1 == column;
        if near(form.x) {
            return Some(Splitter::Ladder);
        }
        let between = match preview.x == form.x {
            true => at.x >= form.x && at.y == preview.y,
            false => near(preview.x),
        };
        between.then_some(Splitter::Preview)
    }
}

impl Splits {
    /// Puts a splitter where the mouse is, as far as the panes beside it keep their least size.
    pub fn drag(&mut self, splitter: Splitter, area: Rect, at: Position) {
        let (wide, from) = (is_wide(area), at.x.saturating_sub(area.x));
        match splitter {
            Splitter::Ladder => {
                self.ladder[usize::from(!wide)] = Some(share(from, area.width));
            }
            Splitter::Preview if wide => {
                let right = area.width.saturating_sub(from);
                self.preview = Some(share(right, area.width));
            }
            Splitter::Preview => {
                let below = area.bottom().saturating_sub(at.y);
                self.below = Some(share(below, area.height));
            }
        }
    }
}

fn is_wide(area: Rect) -> bool {
    area.width >= WIDE
}

/// Thousandths of `whole`: [`part`] gives back the very cells on every screen below 1000 of them.
fn share(cells: u16, whole: u16) -> u16 {
    let whole = u32::from(whole.max(1));
    ((u32::from(cells) * 1000 + whole / 2) / whole).min(1000) as u16
}

fn part(whole: u16, share: u16) -> u16 {
    ((u32::from(whole) * u32::from(share) + 500) / 1000) as u16
}

/// What is left inside a border.
pub(super) fn inside(area: Rect) -> Rect {
    Rect {
        x: area.x + area.width.min(1),
        y: area.y + area.height.min(1),
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn panes_fill_the_screen_without_meeting_wherever_a_splitter_is_dragged(
            width in 1u16..400,
            height in 1u16..200,
            drags in proptest::collection::vec((any::<bool>(), 0u16..420, 0u16..220, 1u16..400, 1u16..200), 0..4),
        ) {
            let mut splits = Splits::default();
            for (ladder, x, y, width, height) in drags {
                let splitter = if ladder { Splitter::Ladder } else { Splitter::Preview };
                splits.drag(splitter, Rect::new(3, 2, width, height), Position::new(x, y));
            }
            let area = Rect::new(3, 2, width, height);
            let places = Places::new(area, splits, HomePane::Form);
            let mut cells = places.tabs.map_or(0, Rect::area);
            for (index, pane) in PANES.into_iter().enumerate() {
                let place = places.of(pane);
                cells += place.area();
                prop_assert!(place.is_empty() || place.intersection(area) == place);
                for other in &PANES[index + 1..] {
                    prop_assert!(place.intersection(places.of(*other)).is_empty());
                }
            }
            prop_assert_eq!(cells, area.area());
            if places.tabs.is_none() && !places.ladder.is_empty() {
                prop_assert!(places.ladder.width >= LADDER);
                prop_assert!(places.form.width >= FORM.0 && places.form.height >= FORM.1);
                prop_assert!(places.preview.width >= PREVIEW.0 && places.preview.height >= PREVIEW.1);
            }
        }
    }

    #[test]
    fn a_splitter_follows_the_mouse_to_the_cell() {
        for (width, height) in [(80, 23), (115, 40), (116, 40), (200, 59), (399, 99)] {
            let area = Rect::new(0, 0, width, height);
            let mut splits = Splits::default();
            for x in 22..40 {
                splits.drag(Splitter::Ladder, area, Position::new(x, 5));
                let places = Places::new(area, splits, HomePane::Ladder);
                assert_eq!(places.form.x, x, "{width}×{height}");
                let at = Position::new(x, 5);
                assert_eq!(places.splitter_at(at), Some(Splitter::Ladder));
            }
            splits.drag(Splitter::Ladder, area, Position::new(25, 5));
            for by in 0..5 {
                let at = Position::new(width - 30 - by, height - 6 - by);
                splits.drag(Splitter::Preview, area, at);
                let preview = Places::new(area, splits, HomePane::Ladder).preview;
                match width < WIDE {
                    true => assert_eq!(preview.y, at.y, "{width}×{height}"),
                    false => assert_eq!(preview.x, at.x, "{width}×{height}"),
                }
            }
        }
    }
}
