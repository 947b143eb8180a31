//! Drawing the whole application: reads only.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use super::{App, Overlay, Screen};
use crate::protocol::NoticeLevel;
use crate::ui::keymap::Context;
use crate::ui::layout::{
    Hint, SMALLEST, centered, fit, footer, pane, too_small, wrap, write, write_line,
};

/// So many notices are on screen at once.
pub(super) const SHOWN_NOTICES: usize = 3;
/// Lines of one notice.
const NOTICE_LINES: usize = 4;

/// Everything above the footer.
pub(super) fn body(screen: Rect) -> Rect {
    Rect {
        height: screen.height.saturating_sub(1),
        ..screen
    }
}

impl App {
    /// Draws one frame. Takes any area, down to 0×0.
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        buffer.set_style(area, self.theme.text);
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            return too_small(&self.theme, area, buffer);
        }
        let body = body(area);
        match (self.screen, &self.train) {
            (Screen::Train, Some(train)) => train.render(&self.theme, &self.keymap, body, buffer),
            (Screen::Runs, _) => self.runs.render(&self.theme, body, buffer),
            _ => self.home.render(&self.theme, body, buffer),
        }
        let foot = Rect::new(area.x, area.bottom() - 1, area.width, 1);
        let word = |action, hint| match (&self.overlay, self.screen, &self.train) {
            (Some(Overlay::RangeTest(test)), _, _) => test.key_now(action, hint),
            (_, Screen::Train, Some(train)) => train.view.key_now(action, hint),
            (_, Screen::Runs, _) => self.runs.key_now(action, hint, body),
            _ => Some(Hint::usual(hint)),
        };
        // What holds everywhere waits until the help is closed, or closes it.
        let contexts = match self.contexts() {
            [Context::Help, ..] => &[Context::Help],
            all => all,
        };
        footer(&self.theme, &self.keymap, contexts, &word, foot, buffer);
        self.render_notices(body, buffer);
        match &self.overlay {
            Some(Overlay::Help(help)) => {
                let contexts = self.screen_contexts();
                help.render(
                    &self.theme,
                    &self.keymap,
                    contexts,
                    self.pane_help(),
                    area,
                    buffer,
                );
            }
            Some(Overlay::Palette(palette)) => {
                let run = self.train.as_ref().filter(|_| self.screen == Screen::Train);
                let run = run.map(|train| &train.view);
                palette.render(
                    &self.theme,
                    &self.keymap,
                    self.screen_contexts(),
                    run,
                    area,
                    buffer,
                );
            }
            Some(Overlay::RangeTest(test)) => {
                test.render(&self.theme, &self.keymap, area, buffer);
            }
            Some(Overlay::Dialog(dialog)) => dialog.modal.render(&self.theme, area, buffer),
            Some(Overlay::Steer(steer)) => steer.render(&self.theme, area, buffer),
            None => {}
        }
        if self.leaving.is_some() {
            self.render_leaving(area, buffer);
        }
        if !self.theme.symbols.unicode {
            to_ascii(area, buffer);
        }
    }

    /// The newest notices, in a box at the bottom right.
    fn render_notices(&self, body: Rect, buffer: &mut Buffer) {
        let width = body.width.saturating_sub(4).min(76);
        let inner_width = usize::from(width).saturating_sub(6);
        let ellipsis = self.theme.symbols.ellipsis;
        let mut lines = Vec::new();
        for (_, notice) in self.notices.iter().rev().take(SHOWN_NOTICES).rev() {
            let (symbol, style) = match notice.level {
                NoticeLevel::Info => (self.theme.symbols.bullet, self.theme.info),
                NoticeLevel::Warning => (self.theme.symbols.warning, self.theme.warning),
                NoticeLevel::Error => (self.theme.symbols.cross, self.theme.error),
            };
            let mut text = wrap(&notice.message, inner_width);
            if text.len() > NOTICE_LINES {
                text.truncate(NOTICE_LINES);
                if let Some(last) = text.last_mut() {
                    let cut = fit(last, inner_width.saturating_sub(ellipsis.width()), "");
                    *last = format!("{cut}{ellipsis}");
                }
            }
            for (at, line) in text.into_iter().enumerate() {
                let mark = if at == 0 { symbol } else { " " };
                lines.push(Line::from(vec![
                    Span::styled(format!(" {mark} "), style),
                    Span::styled(line, self.theme.text),
                ]));
            }
        }
        if lines.is_empty() {
            return;
        }
        let widest = lines.iter().map(Line::width).max().unwrap_or(0);
        let width = u16::try_from(widest + 3).unwrap_or(width).min(width);
        let height = u16::try_from(lines.len() + 2)
            .unwrap_or(u16::MAX)
            .min(body.height);
        let area = Rect::new(
            body.right() - width - 1,
            body.bottom() - height,
            width,
            height,
        )
        .intersection(body);
        Clear.render(area, buffer);
        let inner = pane(&self.theme, "", 0, true, area, buffer);
        // Where not all have room, the newest have it.
        let above = lines.len().saturating_sub(inner.height.into());
        for (row, line) in lines.iter().skip(above).enumerate() {
            write_line(buffer, inner, row as u16, line);
        }
    }

    fn render_leaving(&self, area: Rect, buffer: &mut Buffer) {
        let text = format!(
            "Saving the run{}  (Ctrl-C again: do not wait)",
            self.theme.symbols.ellipsis
        );
        let place = centered(area, 52, 3);
        Clear.render(place, buffer);
        let inner = pane(&self.theme, "Quit", 0, true, place, buffer);
        write(buffer, inner, 0, &format!(" {text}"), self.theme.text);
    }
}

/// The last word on what may be written where the locale is not UTF-8: texts of corpora and samples too.
fn to_ascii(area: Rect, buffer: &mut Buffer) {
    for at in area.positions() {
        let Some(cell) = buffer.cell_mut(at) else {
            continue;
        };
        if !cell.symbol().is_ascii() {
            let plain = match cell.symbol() {
                "×" => "x",
                "÷" => "/",
                "…" => "~",
                "·" => ".",
                "≥" => ">",
                "≤" => "<",
                "–" | "—" | "−" => "-",
                "‘" | "’" => "'",
                "“" | "”" => "\"",
                _ => "?",
            };
            cell.set_symbol(plain);
        }
    }
}
