//! The `?` overlay: what the focused pane shows, and all keys by context, made from the table of keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use super::keymap::{Context, KeyMap};
use super::layout::{centered, pane, wrap, write_line, write_right};
use super::theme::Theme;

/// What the pane with the focus says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaneHelp {
    pub title: &'static str,
    pub text: &'static str,
}

/// The overlay while it is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Help {
    pub offset: usize,
}

/// The least width of the column of keys.
const KEYS: usize = 18;

struct Text {
    spans: Vec<(String, Style)>,
}

impl Help {
    /// Moves by lines, as far as there is text on a screen of this size.
    pub fn scroll(
        &mut self,
        by: isize,
        keymap: &KeyMap,
        contexts: &[Context],
        pane_help: Option<PaneHelp>,
        screen: Rect,
    ) {
        let area = Self::area(screen);
        let theme = Theme::default();
        let lines = lines(
            &theme,
            keymap,
            contexts,
            pane_help,
            area.width.saturating_sub(4).into(),
        );
        let last = lines
            .len()
            .saturating_sub(area.height.saturating_sub(2).into());
        self.offset = self.offset.saturating_add_signed(by).min(last);
    }

    pub fn area(screen: Rect) -> Rect {
        centered(screen, 90, screen.height.saturating_sub(2).max(3))
    }

    pub fn render(
        &self,
        theme: &Theme,
        keymap: &KeyMap,
        contexts: &[Context],
        pane_help: Option<PaneHelp>,
        screen: Rect,
        buffer: &mut Buffer,
    ) {
        let area = Self::area(screen);
        if area.is_empty() {
            return;
        }
        Clear.render(area, buffer);
        let inner = pane(
            theme,
            "Help: scroll with arrows, Esc closes",
            0,
            true,
            area,
            buffer,
        );
        let inner = Rect {
            x: (inner.x + 1).min(inner.right()),
            width: inner.width.saturating_sub(2),
            ..inner
        };
        let lines = lines(theme, keymap, contexts, pane_help, inner.width.into());
        let height = usize::from(inner.height);
        let offset = self.offset.min(lines.len().saturating_sub(height));
        for (row, line) in lines.iter().skip(offset).take(height).enumerate() {
            let spans: Vec<Span<'_>> = line
                .spans
                .iter()
                .map(|(text, style)| Span::styled(text.as_str(), *style))
                .collect();
            write_line(buffer, inner, row as u16, &Line::from(spans));
        }
        if offset + height < lines.len() {
            write_right(
                buffer,
                inner,
                inner.height.saturating_sub(1),
                theme.symbols.down,
                theme.key,
            );
        }
    }
}

/// The contexts of the moment first, then all others.
fn lines(
    theme: &Theme,
    keymap: &KeyMap,
    contexts: &[Context],
    pane_help: Option<PaneHelp>,
    width: usize,
) -> Vec<Text> {
    let plain = |text: String, style: Style| Text {
        spans: vec![(text, style)],
    };
    let mut all = Vec::new();
    if let Some(help) = pane_help {
        all.push(plain(help.title.to_string(), theme.heading));
        for line in wrap(help.text, width) {
            all.push(plain(line, theme.text));
        }
        all.push(plain(String::new(), theme.text));
    }
    let here = contexts.iter().copied();
    let others = Context::ALL.into_iter().filter(|c| !contexts.contains(c));
    let mut parted = false;
    for context in here.chain(others) {
        if !contexts.contains(&context) && !parted {
            parted = true;
            all.push(plain(
                format!("{0}{0} elsewhere {0}{0}", theme.symbols.horizontal),
                theme.dim,
            ));
            all.push(plain(String::new(), theme.text));
        }
        let rows = rows(keymap, context, contexts);
        if rows.is_empty() {
            continue;
        }
        all.push(plain(context.title().to_string(), theme.heading));
        // As wide as the longest keys of this part, with a gap.
        let longest = rows.iter().map(|(keys, _)| keys.width() + 2).max();
        let column = longest.unwrap_or(0).max(KEYS);
        for (keys, description) in rows {
            let pad = " ".repeat(column.saturating_sub(keys.width()));
            let words = wrap(description, width.saturating_sub(column + 2).max(10));
            let mut first = Some(keys);
            for line in words {
                let keys = first.take();
                let pad = if keys.is_some() {
                    pad.clone()
                } else {
                    " ".repeat(column)
                };
                all.push(Text {
                    spans: vec![
                        (format!("  {}", keys.unwrap_or_default()), theme.key),
                        (pad, theme.text),
                        (line, theme.text),
                    ],
                });
            }
        }
        all.push(plain(String::new(), theme.text));
    }
    all
}

/// Keys and description; bindings with one description share a line (`1 … 9`).
fn rows(keymap: &KeyMap, context: Context, now: &[Context]) -> Vec<(String, &'static str)> {
    let mut rows: Vec<(Vec<String>, &'static str)> = Vec::new();
    let here = keymap.bindings().iter().filter(|b| b.context == context);
    for binding in here.filter(|b| b.holds_in(now)) {
        let keys = if binding.keys.is_empty() {
            "palette".to_string()
        } else {
            binding.keys_text()
        };
        match rows.iter_mut().find(|(_, d)| *d == binding.description) {
            Some((all, _)) => all.push(keys),
            None => rows.push((vec![keys], binding.description)),
        }
    }
    rows.into_iter()
        .map(|(keys, description)| match keys.as_slice() {
            [first, .., last] => (format!("{first} … {last}"), description),
            _ => (keys.concat(), description),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(width: usize) -> String {
        let help = PaneHelp {
            title: "Loss",
            text: "Lower is better.",
        };
        let contexts = [Context::Chart, Context::Train, Context::Global];
        lines(
            &Theme::default(),
            &KeyMap::default(),
            &contexts,
            Some(help),
            width,
        )
        .iter()
        .map(|l| l.spans.iter().map(|(t, _)| t.as_str()).collect::<String>() + "\n")
        .collect()
    }

    #[test]
    fn every_binding_is_in_the_help() {
        let text = text(400);
        for binding in KeyMap::default().bindings() {
            assert!(
                text.contains(binding.description),
                "{}",
                binding.description
            );
        }
        assert!(text.contains("Lower is better."));
        assert!(text.contains("1 … 9"));
    }

    #[test]
    fn where_there_is_one_pane_no_key_of_panes_is_named() {
        for context in [Context::Overlay, Context::Difference, Context::Runs] {
            let contexts = context.stack();
            let lines = lines(&Theme::default(), &KeyMap::default(), contexts, None, 80);
            let spans = lines.iter().flat_map(|line| &line.spans);
            let text: Vec<&str> = spans.map(|(text, _)| text.as_str()).collect();
            let elsewhere = text.iter().position(|text| text.contains("elsewhere"));
            let here = text[..elsewhere.expect("there are other contexts")].concat();
            assert!(!here.contains("pane the whole screen"), "{here}");
            assert!(!here.contains("focus the"), "{here}");
            assert!(here.contains("find any command"), "{here}");
        }
    }

    #[test]
    fn keys_and_words_stand_apart() {
        let keymap = KeyMap::default();
        for binding in keymap.bindings().iter().filter(|b| !b.keys.is_empty()) {
            let keys = binding.keys_text();
            let text = text(80);
            let mut lines = text.lines().map(|line| line.trim_start());
            let apart = format!("{keys}  ");
            assert!(
                keys.len() == 1 || lines.any(|line| line.starts_with(&apart)),
                "{keys}"
            );
        }
    }

    #[test]
    fn keys_of_the_moment_come_first() {
        let text = text(80);
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle}"));
        assert!(at("Charts") < at("Training") && at("Training") < at("Everywhere"));
        assert!(at("Everywhere") < at("elsewhere") && at("elsewhere") < at("Config form"));
    }

    #[test]
    fn scrolling_stops_at_the_end() {
        let mut help = Help::default();
        let screen = Rect::new(0, 0, 80, 24);
        help.scroll(10_000, &KeyMap::default(), &[Context::Global], None, screen);
        let end = help.offset;
        assert!(end > 0);
        help.scroll(1, &KeyMap::default(), &[Context::Global], None, screen);
        assert_eq!(help.offset, end);
        help.scroll(
            -10_000,
            &KeyMap::default(),
            &[Context::Global],
            None,
            screen,
        );
        assert_eq!(help.offset, 0);
    }
}
