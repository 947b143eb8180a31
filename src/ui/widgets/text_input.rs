//! One line of text being typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Text with a cursor between two characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextInput {
    text: String,
    /// A byte position at the start of a character, or the end.
    cursor: usize,
    /// A proposal: the first character that is typed takes its place.
    proposed: bool,
}

impl TextInput {
    /// With the cursor at the end.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let cursor = text.len();
        Self {
            text,
            cursor,
            proposed: false,
        }
    }

    /// As [`TextInput::new`]; what is typed first takes the place of the text, unless the cursor was moved.
    pub fn proposing(text: impl Into<String>) -> Self {
        Self {
            proposed: true,
            ..Self::new(text)
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes a key that edits or moves; false for every other.
    pub fn key(&mut self, event: KeyEvent) -> bool {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        let alt = event.modifiers.contains(KeyModifiers::ALT);
        let types = matches!(event.code, KeyCode::Char(_)) && !control && !alt;
        self.proposed &= types;
        match event.code {
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if control => self.text.truncate(self.cursor),
            KeyCode::Char('w') if control => self.remove_word(),
            KeyCode::Char(c) if !control && !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if alt => self.remove_word(),
            KeyCode::Backspace => {
                let before = self.before();
                self.text.drain(before..self.cursor);
                self.cursor = before;
            }
            KeyCode::Delete => {
                let after = self.after();
                self.text.drain(self.cursor..after);
            }
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.after(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => return false,
        }
        true
    }

    /// Line breaks become spaces, other control characters are left out.
    pub fn insert(&mut self, text: &str) {
        if std::mem::take(&mut self.proposed) {
            self.text.clear();
            self.cursor = 0;
        }
        let clean: String = text
            .replace(['\n', '\t'], " ")
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        self.text.insert_str(self.cursor, &clean);
        self.cursor += clean.len();
    }

    fn before(&self) -> usize {
        let before = &self.text[..self.cursor];
        before
            .grapheme_indices(true)
            .next_back()
            .map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let grapheme = self.text[self.cursor..].graphemes(true).next();
        self.cursor + grapheme.map_or(0, str::len)
    }

    fn remove_word(&mut self) {
        let before = self.text[..self.cursor].trim_end();
        let start = before.rfind(' ').map_or(0, |at| at + 1);
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }

    /// Draws the text so that the cursor is visible.
    pub fn render(&self, style: Style, cursor: Style, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let width = usize::from(area.width);
        let before: Vec<&str> = self.text[..self.cursor].graphemes(true).collect();
        let mut first = before.len();
        let mut used = 1; // The cursor's own cell.
        while first > 0 && used + before[first - 1].width() <= width {
            first -= 1;
            used += before[first].width();
        }
        let shown: String = before[first..].concat();
        buffer.set_stringn(area.x, area.y, " ".repeat(width), width, style);
        let (x, _) = buffer.set_stringn(area.x, area.y, &shown, width, style);
        let under = self.text[self.cursor..].graphemes(true).next();
        if x < area.right() {
            let room = usize::from(area.right() - x);
            buffer.set_stringn(x, area.y, &self.text[self.cursor..], room, style);
            let symbol = under.unwrap_or(" ");
            if symbol.width() <= room {
                buffer.set_stringn(x, area.y, symbol, room, style.patch(cursor));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut TextInput, code: KeyCode) {
        assert!(input.key(KeyEvent::from(code)));
    }

    #[test]
    fn editing_moves_by_what_people_see_as_characters() {
        let mut input = TextInput::new("a👩‍👩‍👧é");
        press(&mut input, KeyCode::Left);
        press(&mut input, KeyCode::Backspace);
        assert_eq!(input.text(), "aé");
        press(&mut input, KeyCode::Home);
        press(&mut input, KeyCode::Char('x'));
        assert_eq!(input.text(), "xaé");
        press(&mut input, KeyCode::Delete);
        assert_eq!(input.text(), "xé");
    }

    #[test]
    fn what_is_typed_takes_the_place_of_a_proposal() {
        let mut input = TextInput::proposing("100");
        press(&mut input, KeyCode::Char('5'));
        press(&mut input, KeyCode::Char('0'));
        assert_eq!(input.text(), "50");
        // Whoever moves or deletes goes on with what is there.
        let mut input = TextInput::proposing("100");
        press(&mut input, KeyCode::End);
        press(&mut input, KeyCode::Char('0'));
        assert_eq!(input.text(), "1000");
        let mut input = TextInput::proposing("100");
        press(&mut input, KeyCode::Backspace);
        assert_eq!(input.text(), "10");
    }

    #[test]
    fn pasted_line_breaks_become_spaces() {
        let mut input = TextInput::default();
        input.insert("one\ntwo\u{7}");
        assert_eq!(input.text(), "one two");
        input.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(input.text(), "one ");
    }

    #[test]
    fn control_keys_that_do_not_edit_are_left_to_others() {
        let mut input = TextInput::new("x");
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(!input.key(key));
        assert_eq!(input.text(), "x");
    }

    #[test]
    fn the_cursor_stays_in_view() {
        let area = Rect::new(0, 0, 5, 1);
        let mut buffer = Buffer::empty(area);
        let marked = Style::new().reversed();
        TextInput::new("0123456789").render(Style::new(), marked, area, &mut buffer);
        assert_eq!(buffer, {
            let mut expected = Buffer::with_lines(["6789 "]);
            expected.set_style(Rect::new(4, 0, 1, 1), marked);
            expected
        });
    }
}
