//! A list of fields by section, one of which can be edited in place.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::ui::layout::{fit, scroll_offset, wrap, write, write_line, write_right};
use crate::ui::theme::Theme;

use super::text_input::TextInput;

/// One field as it is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct FormField {
    pub section: &'static str,
    pub key: &'static str,
    pub label: &'static str,
    pub value: String,
    /// What may be given, in short.
    pub range: String,
    /// One sentence, shown while the field has the cursor.
    pub description: &'static str,
    pub changed: bool,
    pub problem: Option<String>,
}

/// A form ready to be drawn.
#[derive(Debug)]
pub struct Form<'a> {
    pub fields: &'a [FormField],
    /// Index in `fields`.
    pub cursor: usize,
    pub editing: Option<&'a TextInput>,
    pub focused: bool,
}

/// A line of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Section(&'static str),
    Field(usize),
}

impl Form<'_> {
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.fields.len() + 12);
        let mut section = None;
        for (at, field) in self.fields.iter().enumerate() {
            if section != Some(field.section) {
                section = Some(field.section);
                if !field.section.is_empty() {
                    rows.push(Row::Section(field.section));
                }
            }
            rows.push(Row::Field(at));
        }
        rows
    }

    /// Lines kept at the bottom for the description or the problem of the field with the cursor.
    fn foot_height(area: Rect) -> u16 {
        match area.height {
            0..=5 => 0,
            6..=9 => 1,
            _ => 3,
        }
    }

    /// The field drawn at this line of the form's area.
    pub fn field_at(&self, line: u16, area: Rect) -> Option<usize> {
        let rows = self.rows();
        let height = usize::from(area.height - Self::foot_height(area));
        if usize::from(line) >= height {
            return None;
        }
        let offset = self.offset(&rows, height);
        match rows.get(offset + usize::from(line)) {
            Some(Row::Field(at)) => Some(*at),
            _ => None,
        }
    }

    fn offset(&self, rows: &[Row], height: usize) -> usize {
        let at = rows.iter().position(|r| *r == Row::Field(self.cursor));
        scroll_offset(at.unwrap_or(0), rows.len(), height)
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let foot = Self::foot_height(area);
        let body = Rect {
            height: area.height - foot,
            ..area
        };
        let rows = self.rows();
        let offset = self.offset(&rows, body.height.into());
        let label_width = self
            .fields
            .iter()
            .map(|f| f.label.width())
            .max()
            .unwrap_or(0);
        let label_width = label_width.min(usize::from(area.width) / 2);
        for (line, row) in rows
            .iter()
            .skip(offset)
            .take(body.height.into())
            .enumerate()
        {
            let line = line as u16;
            match row {
                Row::Section(name) => write(buffer, body, line, name, theme.heading),
                Row::Field(at) => self.render_field(theme, *at, label_width, body, line, buffer),
            }
        }
        if offset > 0 {
            write_right(buffer, body, 0, theme.symbols.up, theme.dim);
        }
        if offset + usize::from(body.height) < rows.len() {
            write_right(buffer, body, body.height - 1, theme.symbols.down, theme.dim);
        }
        if foot > 0 {
            let place = Rect {
                y: body.bottom(),
                height: foot,
                ..area
            };
            self.render_foot(theme, place, buffer);
        }
    }

    fn render_field(
        &self,
        theme: &Theme,
        at: usize,
        label_width: usize,
        body: Rect,
        line: u16,
        buffer: &mut Buffer,
    ) {
        let field = &self.fields[at];
        let here = at == self.cursor;
        let (mark, label_style) = match (here, self.focused) {
            (true, true) => (theme.symbols.cursor, theme.selected),
            (true, false) => (theme.symbols.cursor, theme.selected_unfocused),
            _ => (" ", theme.text),
        };
        let value_style = if field.problem.is_some() {
            theme.error
        } else if field.changed {
            theme.changed
        } else {
            theme.strong
        };
        let label = fit(field.label, label_width, theme.symbols.ellipsis);
        let pad = " ".repeat(label_width.saturating_sub(label.width()));
        let changed = if field.problem.is_some() {
            theme.symbols.cross
        } else if field.changed {
            theme.symbols.bullet
        } else {
            " "
        };
        let head = format!("{mark} {label}{pad} ");
        let head_width = head.width() + 2;
        let room = usize::from(body.width).saturating_sub(head_width + 2);
        if here && let Some(input) = self.editing {
            let (sign, sign_style) = match &field.problem {
                Some(_) => (format!("{} ", theme.symbols.cross), theme.error),
                None => ("> ".to_string(), theme.key),
            };
            let line_of = Line::from(vec![
                Span::styled(head, label_style),
                Span::styled(sign, sign_style),
            ]);
            write_line(buffer, body, line, &line_of);
            let x = body.x + u16::try_from(head_width).unwrap_or(0).min(body.width);
            let mut field_area =
                Rect::new(x, body.y + line, body.right() - x, 1).intersection(body);
            // What is allowed stays in sight while it is typed.
            let hint = u16::try_from(field.range.width()).unwrap_or(u16::MAX);
            if hint > 0 && hint.saturating_add(12) <= field_area.width {
                field_area.width -= hint + 1;
                write_right(buffer, body, line, &field.range, theme.dim);
            }
            let style = if field.problem.is_some() {
                theme.error
            } else {
                theme.input
            };
            input.render(style, theme.cursor, field_area, buffer);
            return;
        }
        let value = if field.value.is_empty() {
            theme.symbols.dash.to_string()
        } else {
            field.value.clone()
        };
        let value = fit(&value, room, theme.symbols.ellipsis);
        let used = head_width + value.width();
        let spans = vec![
            Span::styled(head, label_style),
            Span::styled(format!("{changed} "), value_style),
            Span::styled(value, value_style),
        ];
        write_line(buffer, body, line, &Line::from(spans));
        if here || field.problem.is_some() {
            let hint = fit(&field.range, 28, theme.symbols.ellipsis);
            if used + hint.width() + 4 <= usize::from(body.width) {
                let place = Rect {
                    width: body.width.saturating_sub(2),
                    ..body
                };
                let style = if field.problem.is_some() {
                    theme.error
                } else {
                    theme.dim
                };
                write_right(buffer, place, line, &hint, style);
            }
        }
    }

    fn render_foot(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let Some(field) = self.fields.get(self.cursor) else {
            return;
        };
        let (text, style) = match &field.problem {
            Some(problem) => (problem.as_str(), theme.error),
            None => (field.description, theme.dim),
        };
        let mut lines = wrap(text, area.width.into());
        lines.truncate(area.height.into());
        let first = area.height - lines.len() as u16;
        for (at, line) in lines.iter().enumerate() {
            write(buffer, area, first + at as u16, line, style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(n: usize) -> Vec<FormField> {
        (0..n)
            .map(|i| FormField {
                section: if i < n / 2 { "model" } else { "train" },
                key: "model.n_layers",
                label: "n_layers",
                value: i.to_string(),
                range: "1-24".into(),
                description: "Blocks on top of each other.",
                changed: i == 1,
                problem: (i == 2).then(|| "must be from 1 to 24".to_string()),
            })
            .collect()
    }

    fn draw(form: &Form<'_>, width: u16, height: u16) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        form.render(&Theme::default(), area, &mut buffer);
        buffer.content.iter().map(|c| c.symbol()).collect()
    }

    #[test]
    fn sections_changes_and_problems_are_visible() {
        let fields = fields(4);
        let form = Form {
            fields: &fields,
            cursor: 2,
            editing: None,
            focused: true,
        };
        let text = draw(&form, 44, 14);
        for wanted in ["model", "train", "●", "✗", "must be from 1 to 24", "1-24"] {
            assert!(text.contains(wanted), "{wanted} not in {text}");
        }
    }

    #[test]
    fn any_size_draws_and_clicks_find_the_field() {
        let fields = fields(40);
        let input = TextInput::new("12");
        for (width, height) in [(0, 0), (1, 1), (3, 2), (40, 6), (80, 30)] {
            let form = Form {
                fields: &fields,
                cursor: 39,
                editing: Some(&input),
                focused: true,
            };
            draw(&form, width, height);
        }
        let form = Form {
            fields: &fields,
            cursor: 0,
            editing: None,
            focused: true,
        };
        let area = Rect::new(0, 0, 40, 20);
        assert_eq!(form.field_at(0, area), None, "a section heading");
        assert_eq!(form.field_at(1, area), Some(0));
        assert_eq!(form.field_at(19, area), None, "the description");
    }
}
