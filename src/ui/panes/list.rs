//! Scrolling, for the panes that are lists.

use std::cell::Cell;

use super::{Handled, PaneMouse};
use crate::ui::keymap::Action;

/// Where a list is scrolled to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scroll {
    /// Lines away from where the list starts out (its top, or its end when it follows).
    lines: usize,
    /// The most of them that there were to scroll when it was drawn: what goes beyond is not counted, or the way back would
    /// seem to hang. Only drawing knows how high the window is.
    most: Cell<usize>,
}

impl Default for Scroll {
    fn default() -> Self {
        Self {
            lines: 0,
            most: Cell::new(usize::MAX),
        }
    }
}

impl Scroll {
    /// Moves by an action; `follows` turns the directions around: the list starts out at its end.
    pub fn act(&mut self, action: Action, len: usize, follows: bool) -> Handled {
        let now = self.lines.min(self.most.get());
        let (back, on, first, last) = if follows {
            (now.saturating_add(1), now.saturating_sub(1), usize::MAX, 0)
        } else {
            (now.saturating_sub(1), now.saturating_add(1), 0, usize::MAX)
        };
        let page = |towards: usize| {
            if towards > now {
                now.saturating_add(10)
            } else {
                now.saturating_sub(10)
            }
        };
        self.lines = match action {
            Action::Up => back,
            Action::Down => on,
            Action::PageUp => page(back),
            Action::PageDown => page(on),
            Action::Top => first,
            Action::Bottom => last,
            _ => return Handled::No,
        }
        .min(len.saturating_sub(1));
        Handled::Yes
    }

    pub fn mouse(&mut self, mouse: PaneMouse, len: usize, follows: bool) -> Handled {
        let PaneMouse::Wheel { lines, .. } = mouse else {
            return Handled::No;
        };
        let action = if lines < 0 { Action::Up } else { Action::Down };
        for _ in 0..lines.unsigned_abs().min(100) {
            self.act(action, len, follows);
        }
        Handled::Yes
    }

    /// The lines shown of `len`, in a window of `height`.
    pub fn window(&self, len: usize, height: usize, follows: bool) -> std::ops::Range<usize> {
        let most = len.saturating_sub(height);
        self.most.set(most);
        let lines = self.lines.min(most);
        let start = if follows { most - lines } else { lines };
        start..(start + height).min(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_follows_stays_at_its_end_until_scrolled() {
        let mut scroll = Scroll::default();
        assert_eq!(scroll.window(100, 10, true), 90..100);
        scroll.act(Action::Up, 100, true);
        assert_eq!(scroll.window(100, 10, true), 89..99);
        scroll.act(Action::Top, 100, true);
        assert_eq!(scroll.window(100, 10, true), 0..10);
        scroll.act(Action::Bottom, 100, true);
        assert_eq!(scroll.window(100, 10, true), 90..100);
        assert_eq!(scroll.window(0, 10, true), 0..0);
        scroll.act(Action::PageDown, 100, false);
        assert_eq!(scroll.window(100, 10, false), 10..20);
    }

    #[test]
    fn the_way_back_begins_where_the_list_ends() {
        for follows in [false, true] {
            let (far, back) = match follows {
                false => (Action::Bottom, Action::Up),
                true => (Action::Top, Action::Down),
            };
            let mut scroll = Scroll::default();
            scroll.act(far, 100, follows);
            let there = scroll.window(100, 10, follows);
            scroll.act(back, 100, follows);
            assert_ne!(scroll.window(100, 10, follows), there);
            // In a higher window there is less to scroll.
            scroll.act(far, 100, follows);
            let there = scroll.window(100, 60, follows);
            scroll.act(back, 100, follows);
            assert_ne!(scroll.window(100, 60, follows), there);
        }
    }
}
