//! A box over the screen with a few lines to fill, each typed or, for a choice, stepped through.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use crate::ui::layout::{fit, pane, wrap, write, write_line, write_right};
use crate::ui::theme::Theme;

use super::text_input::TextInput;

/// One line of a sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct SheetLine {
    /// What the owner knows it by.
    pub key: &'static str,
    pub label: &'static str,
    pub input: TextInput,
    /// What Left and Right step through; empty for a line that is typed.
    pub choices: &'static [&'static str],
    /// What may be given, in short.
    pub range: String,
    pub description: &'static str,
    pub problem: Option<String>,
}

/// The box. A problem that belongs to no line stands at the bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    pub title: String,
    pub message: String,
    pub lines: Vec<SheetLine>,
    pub cursor: usize,
    pub problem: Option<String>,
}

const WIDTH: u16 = 66;

impl Sheet {
    pub fn text(&self, key: &str) -> &str {
        let line = self.lines.iter().find(|line| line.key == key);
        line.map_or("", |line| line.input.text())
    }

    pub fn step(&mut self, by: isize) {
        let n = self.lines.len() as isize;
        if n > 0 {
            self.cursor = (self.cursor as isize + by).rem_euclid(n) as usize;
        }
    }

    /// A key that types or steps through the choices; true when a text changed.
    pub fn key(&mut self, event: KeyEvent) -> bool {
        let Some(line) = self.lines.get_mut(self.cursor) else {
            return false;
        };
        let by = match event.code {
            KeyCode::Left => line.choices.len().saturating_sub(1),
            KeyCode::Right => 1,
            _ => 0,
        };
        if !line.choices.is_empty() && by > 0 {
            let text = line.input.text().trim();
            let at = line.choices.iter().position(|choice| *choice == text);
            let next = at.map_or(0, |at| (at + by) % line.choices.len());
            line.input = TextInput::new(line.choices[next]);
            return true;
        }
        let before = line.input.text().to_string();
        line.input.key(event);
        line.input.text() != before
    }

    pub fn paste(&mut self, text: &str) {
        if let Some(line) = self.lines.get_mut(self.cursor) {
            line.input.insert(text);
        }
    }

    /// At the right of the screen, on a low one at its top, so that the charts on the left stay in sight.
    pub fn area(&self, screen: Rect) -> Rect {
        let width = WIDTH.min(screen.width);
        let message = wrap(&self.message, usize::from(width.saturating_sub(4))).len();
        let height = (self.lines.len() + message + 7).min(usize::from(screen.height)) as u16;
        Rect {
            x: screen.right() - width,
            y: screen.y
                + if screen.height < 36 {
                    0
                } else {
                    (screen.height - height) / 3
                },
            width,
            height,
        }
    }

    pub fn render(&self, theme: &Theme, screen: Rect, buffer: &mut Buffer) {
        let area = self.area(screen);
        if area.is_empty() {
            return;
        }
        Clear.render(area, buffer);
        let inner = pane(theme, &self.title, 0, true, area, buffer);
        let inner = Rect {
            x: inner.x.saturating_add(1).min(inner.right()),
            width: inner.width.saturating_sub(2),
            ..inner
        };
        let mut row = 0;
        for line in wrap(&self.message, inner.width.into()) {
            write(buffer, inner, row, &line, theme.text);
            row += 1;
        }
        row += 1;
        let labels = self.lines.iter().map(|line| line.label.width());
        let label_width = labels.max().unwrap_or(0);
        for (at, line) in self.lines.iter().enumerate() {
            let here = at == self.cursor;
            let (mark, style) = match here {
                true => (theme.symbols.cursor, theme.selected),
                false => (" ", theme.text),
            };
            let head = format!("{mark} {:<label_width$} ", line.label);
            let used = (head.width() as u16).min(inner.width);
            write_line(buffer, inner, row, &Line::from(Span::styled(head, style)));
            let field = Rect::new(inner.x + used, inner.y + row, inner.width - used, 1);
            let field = field.intersection(inner);
            let value = match (&line.problem, here) {
                (Some(_), _) => theme.error,
                (None, true) => theme.input,
                (None, false) => theme.strong,
            };
            if here {
                line.input.render(value, theme.cursor, field, buffer);
                if !line.choices.is_empty() {
                    let arrows = format!("{} {}", theme.symbols.left, theme.symbols.right);
                    write_right(buffer, field, 0, &arrows, theme.key);
                }
            } else {
                let text = fit(
                    line.input.text(),
                    field.width.into(),
                    theme.symbols.ellipsis,
                );
                write(buffer, field, 0, &text, value);
            }
            row += 1;
        }
        row += 1;
        let line = self.lines.get(self.cursor);
        let own = line.and_then(|line| line.problem.as_ref());
        let others = self.lines.iter().filter_map(|line| line.problem.as_ref());
        let problem = own.or(self.problem.as_ref()).or(others.into_iter().next());
        let (text, style) = match (problem, line) {
            (Some(problem), _) => (problem.clone(), theme.error),
            (None, Some(line)) if line.range.is_empty() => (line.description.into(), theme.dim),
            (None, Some(line)) => (format!("{} {}", line.range, line.description), theme.dim),
            (None, None) => (String::new(), theme.dim),
        };
        for line in wrap(&text, inner.width.into()).into_iter().take(3) {
            write(buffer, inner, row, &line, style);
            row += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyModifiers;

    fn sheet() -> Sheet {
        let line = |key, choices| SheetLine {
            key,
            label: key,
            input: TextInput::new(""),
            choices,
            range: String::new(),
            description: "about it",
            problem: None,
        };
        Sheet {
            title: "A sheet".into(),
            message: "Fill it".into(),
            lines: vec![line("kind", &["a", "b"]), line("name", &[])],
            cursor: 0,
            problem: None,
        }
    }

    #[test]
    fn choices_are_stepped_through_and_texts_typed() {
        let mut sheet = sheet();
        let press = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert!(sheet.key(press(KeyCode::Right)));
        assert!(sheet.key(press(KeyCode::Right)));
        assert_eq!(sheet.text("kind"), "b");
        sheet.key(press(KeyCode::Right));
        assert_eq!(sheet.text("kind"), "a");
        sheet.step(1);
        assert!(sheet.key(press(KeyCode::Char('x'))));
        assert!(!sheet.key(press(KeyCode::Left)));
        assert_eq!(sheet.text("name"), "x");
    }

    #[test]
    fn any_size_draws() {
        for (width, height) in [(0, 0), (1, 1), (20, 4), (80, 24), (200, 60)] {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            sheet().render(&Theme::default(), area, &mut buffer);
        }
    }
}
