//! A box over the screen: a question with choices, a field to fill, or both.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use crate::ui::layout::{centered, pane, wrap, write, write_line};
use crate::ui::theme::Theme;

use super::text_input::TextInput;

/// One answer, with the letter that takes it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub letter: char,
    pub label: String,
    /// What will happen, shown while the choice is marked.
    pub detail: String,
}

/// What a modal shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modal {
    pub title: String,
    pub message: String,
    /// Shown below the message, when there is something to type.
    pub input: Option<TextInput>,
    /// What is wrong with the text.
    pub problem: Option<String>,
    pub choices: Vec<Choice>,
    pub selected: usize,
}

impl Modal {
    pub fn question(title: &str, message: String, choices: Vec<Choice>) -> Self {
        Self {
            title: title.to_string(),
            message,
            input: None,
            problem: None,
            choices,
            selected: 0,
        }
    }

    pub fn field(title: &str, message: String, text: &str) -> Self {
        Self {
            title: title.to_string(),
            message,
            input: Some(TextInput::new(text)),
            problem: None,
            choices: Vec::new(),
            selected: 0,
        }
    }

    pub fn next(&mut self, by: isize) {
        let n = self.choices.len() as isize;
        if n > 0 {
            self.selected = (self.selected as isize + by).rem_euclid(n) as usize;
        }
    }

    /// The choice that this letter takes.
    pub fn choice_of(&self, letter: char) -> Option<usize> {
        self.choices
            .iter()
            .position(|choice| choice.letter.eq_ignore_ascii_case(&letter))
    }

    /// Where each choice is drawn, for the mouse; same order as `choices`.
    pub fn choice_areas(&self, screen: Rect) -> Vec<Rect> {
        let area = self.area(screen);
        let inner_width = area.width.saturating_sub(4);
        let first = area.y + 2 + self.message_lines(inner_width).len() as u16;
        (0..self.choices.len() as u16)
            .map(|at| Rect::new(area.x + 1, first + at, area.width.saturating_sub(2), 1))
            .map(|row| row.intersection(area))
            .collect()
    }

    fn message_lines(&self, width: u16) -> Vec<String> {
        wrap(&self.message, width.into())
    }

    fn area(&self, screen: Rect) -> Rect {
        let widest = self.choices.iter().map(|c| c.label.width() + 10).max();
        let wanted = self.message.width().clamp(44, 62).max(widest.unwrap_or(0));
        let width = u16::try_from(wanted + 4)
            .unwrap_or(u16::MAX)
            .min(screen.width);
        let inner = width.saturating_sub(4);
        let mut height = self.message_lines(inner).len() + 3;
        height += self.choices.len();
        height += if self.choices.is_empty() {
            0
        } else {
            1 + self.detail_height(inner)
        };
        height += if self.input.is_some() { 2 } else { 0 };
        height += usize::from(self.input.is_some() && !self.choices.is_empty());
        centered(screen, width, u16::try_from(height).unwrap_or(u16::MAX))
    }

    fn detail_height(&self, width: u16) -> usize {
        let heights = self
            .choices
            .iter()
            .map(|c| wrap(&c.detail, width.into()).len());
        heights.max().unwrap_or(0)
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
        for line in self.message_lines(inner.width) {
            write(buffer, inner, row, &line, theme.text);
            row += 1;
        }
        row += 1;
        for (at, choice) in self.choices.iter().enumerate() {
            let marked = at == self.selected;
            let style = if marked { theme.selected } else { theme.text };
            let cursor = if marked { theme.symbols.cursor } else { " " };
            let text = format!("{cursor} {}", choice.label);
            let pad = usize::from(inner.width).saturating_sub(text.width() + 2);
            // Where there is a field, letters type.
            let letter = match self.input {
                Some(_) => ' ',
                None => choice.letter,
            };
            let line = Line::from(vec![
                Span::styled(format!("{text}{}", " ".repeat(pad)), style),
                Span::styled(letter.to_string(), theme.key.patch(style)),
                Span::styled(" ", style),
            ]);
            write_line(buffer, inner, row, &line);
            row += 1;
        }
        if let Some(choice) = self.choices.get(self.selected) {
            row += 1;
            for line in wrap(&choice.detail, inner.width.into()) {
                write(buffer, inner, row, &line, theme.dim);
                row += 1;
            }
            row += 1;
        }
        if let Some(input) = &self.input {
            let field = Rect::new(inner.x, inner.y + row, inner.width, 1).intersection(inner);
            input.render(theme.input, theme.cursor, field, buffer);
            if let Some(problem) = &self.problem {
                write(buffer, inner, row + 1, problem, theme.error);
            }
        }
    }
}
