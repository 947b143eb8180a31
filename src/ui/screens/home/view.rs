//! Drawing the panes of the home screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::config::Draft;
use crate::run::RunSummary;
use crate::ui::format;
use crate::ui::layout::{pane, wrap, write_line};
use crate::ui::theme::Theme;
use crate::ui::widgets::form::{Form, FormField};

use super::ladder::{self, Ladder};
use super::places::Places;
use super::preview::PreviewPane;
use super::{Entry, HomePane, HomeScreen, PANES, Typing};

impl HomeScreen {
    pub(super) fn places(&self, area: Rect) -> Places {
        match self.zoomed {
            true => Places::only(self.focus, area),
            false => Places::new(area, self.splits, self.focus),
        }
    }

    pub(super) fn ladder(&self) -> Ladder<'_> {
        Ladder {
            runs: &self.runs,
            own: &self.own,
            cursor: self.cursor,
            chosen: self.chosen,
            focused: self.focus == HomePane::Ladder,
        }
    }

    pub(super) fn form<'a>(&'a self, fields: &'a [FormField]) -> Form<'a> {
        Form {
            fields,
            cursor: fields
                .iter()
                .position(|field| field.key == self.field)
                .unwrap_or(0),
            editing: match &self.typing {
                Some(Typing::Field { input, .. }) => Some(input),
                _ => None,
            },
            focused: self.focus == HomePane::Form,
        }
    }

    /// The form's lines, below the filter where there is one.
    pub(super) fn form_body(&self, inner: Rect) -> Rect {
        let filter =
            u16::from(!self.filter.is_empty() || matches!(self.typing, Some(Typing::Filter(_))));
        let filter = filter.min(inner.height);
        Rect {
            y: inner.y + filter,
            height: inner.height - filter,
            ..inner
        }
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let places = self.places(area);
        if let Some(tabs) = places.tabs {
            self.render_tabs(theme, tabs, buffer);
        }
        if !places.ladder.is_empty() {
            let inner = pane(
                theme,
                "Ladder",
                1,
                self.focus == HomePane::Ladder,
                places.ladder,
                buffer,
            );
            self.ladder().render(theme, inner, buffer);
        }
        if !places.form.is_empty() {
            self.render_form(theme, places.form, buffer);
        }
        if !places.preview.is_empty() {
            self.render_preview(theme, places.preview, buffer);
        }
    }

    fn render_tabs(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let mut spans = vec![Span::raw(" ")];
        for (at, pane) in PANES.into_iter().enumerate() {
            let name = match pane {
                HomePane::Ladder => "Ladder",
                HomePane::Form => "Config",
                HomePane::Preview => "Preview",
            };
            let style = if pane == self.focus {
                theme.selected
            } else {
                theme.dim
            };
            spans.push(Span::styled(format!(" {} {name} ", at + 1), style));
            spans.push(Span::raw(" "));
        }
        write_line(buffer, area, 0, &Line::from(spans));
    }

    /// A run brings its own config: what stands in the form would mislead.
    fn render_run_config(&self, run: &RunSummary, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let inner = pane(
            theme,
            "Config",
            2,
            self.focus == HomePane::Form,
            area,
            buffer,
        );
        let config = run.dir.join("config.toml");
        let text = format!(
            "{} keeps the configuration it was started with:\n{}\n\nEnter goes on with it from step {}. For a new run \
             choose one of the models: its settings stand here then.",
            run.name,
            config.display(),
            format::grouped(run.step)
        );
        for (row, line) in wrap(&text, inner.width.into()).into_iter().enumerate() {
            write_line(buffer, inner, row as u16, &Line::styled(line, theme.dim));
        }
    }

    fn render_form(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if let Entry::Run(at) = self.cursor
            && let Some(run) = self.runs.get(at)
        {
            return self.render_run_config(run, theme, area, buffer);
        }
        let fields = self.form_fields();
        let all = self.draft().map(|draft| (draft.visible(), draft));
        let changed = all.map_or(0, |(fields, draft)| {
            fields.iter().filter(|f| draft.changed(f.key)).count()
        });
        let name = self.config_name().unwrap_or("none");
        let title = match changed {
            0 => format!("Config: {name}"),
            n => format!("Config: {name}, {n} changed"),
        };
        let inner = pane(theme, &title, 2, self.focus == HomePane::Form, area, buffer);
        let body = self.form_body(inner);
        if body.y > inner.y {
            let label = "filter: ";
            let field = Rect::new(inner.x + 8, inner.y, inner.width.saturating_sub(8), 1)
                .intersection(inner);
            write_line(buffer, inner, 0, &Line::styled(label, theme.key));
            match &self.typing {
                Some(Typing::Filter(input)) => {
                    input.render(theme.input, theme.cursor, field, buffer)
                }
                _ => write_line(
                    buffer,
                    field,
                    0,
                    &Line::styled(self.filter.clone(), theme.strong),
                ),
            }
        }
        if fields.is_empty() {
            let text = "no field contains this; Esc shows all again";
            write_line(buffer, body, 0, &Line::styled(text, theme.dim));
            return;
        }
        self.form(&fields).render(theme, body, buffer);
    }

    fn render_preview(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let focused = self.focus == HomePane::Preview;
        if let Entry::Run(at) = self.cursor {
            let inner = pane(theme, "This run", 3, focused, area, buffer);
            if let Some(run) = self.runs.get(at) {
                let mut row = 0;
                for (label, value) in ladder::run_lines(run, self.runs_read) {
                    let room = usize::from(inner.width).saturating_sub(16);
                    for (i, part) in wrap(&value, room).into_iter().enumerate() {
                        let label = if i == 0 { label.as_str() } else { "" };
                        let line = Line::from(vec![
                            Span::styled(format!("{label:<16}"), theme.dim),
                            Span::styled(part, theme.text),
                        ]);
                        write_line(buffer, inner, row, &line);
                        row += 1;
                    }
                }
            }
            return;
        }
        let inner = pane(theme, "Preview", 3, focused, area, buffer);
        let problems = self.draft().map(Draft::problems).unwrap_or_default();
        let steps = self
            .draft()
            .and_then(|draft| draft.get("train.steps").parse().ok())
            .unwrap_or(0);
        let unknown = matches!(self.preview.shown, Some(Err(_)));
        let config = self
            .draft()
            .filter(|_| unknown)
            .and_then(|draft| draft.build().ok());
        PreviewPane {
            state: &self.preview,
            steps,
            config: config.as_ref(),
            problems: &problems,
        }
        .render(theme, inner, buffer);
    }
}
