//! Scrolling, for the panes that are lists.

use super::{Handled, PaneMouse};
use crate::ui::keymap::Action;

/// Where a list is scrolled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scroll {
    /// Lines away from where the list starts out (its top, or its end when it follows).
    pub lines: usize,
}

impl Scroll {
    /// Moves by an action; `follows` turns the directions around: the list starts out at its end.
    pub fn act(&mut self, action: Action, len: usize, follows: bool) -> Handled {
        let (back, on, first, last) = if follows {
            (
                self.lines.saturating_add(1),
                self.lines.saturating_sub(1),
                usize::MAX,
                0,
            )
        } else {
            (
                self.lines.saturating_sub(1),
                self.lines.saturating_add(1),
                0,
                usize::MAX,
            )
        };
        let page = |towards: usize| {
            if towards > self.lines {
                self.lines.saturating_add(10)
            } else {
                self.lines.saturating_sub(10)
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
}
