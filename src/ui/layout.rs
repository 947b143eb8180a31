//! Drawing helpers that every screen shares: panes, cut and wrapped text, scrolling, the footer.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::keymap::{Action, Context, KeyMap};
use super::theme::Theme;

/// Below this the screens say that they need more room, in one line.
pub const SMALLEST: (u16, u16) = (40, 12);

/// Draws a pane's border with its number and title; returns the area inside.
pub fn pane(
    theme: &Theme,
    title: &str,
    number: usize,
    focused: bool,
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    let mut spans = vec![Span::raw(" ")];
    if number > 0 {
        spans.push(Span::styled(format!("{number} "), theme.dim));
    }
    let room = usize::from(area.width).saturating_sub(6);
    spans.push(Span::styled(
        fit(title, room, theme.symbols.ellipsis),
        theme.title_of(focused),
    ));
    spans.push(Span::raw(" "));
    let block = Block::new()
        .borders(Borders::ALL)
        .border_set(theme.symbols.border)
        .border_style(theme.border_of(focused));
    let block = match title.is_empty() && number == 0 {
        true => block,
        false => block.title(Line::from(spans)),
    };
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

/// A box of at most this size in the middle of `area`.
pub fn centered(area: Rect, width: u16, height: u16) -> Rect {
    let width = width.min(area.width);
    let height = height.min(area.height);
    Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    )
}

/// The line at the top of a list of `len` lines, so that `cursor` stays near the middle of `height` lines.
pub fn scroll_offset(cursor: usize, len: usize, height: usize) -> usize {
    cursor
        .saturating_sub(height / 2)
        .min(len.saturating_sub(height))
}

/// `text` cut to `width` cells; what was cut is replaced by `ellipsis`.
pub fn fit(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut cut = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let w = grapheme.width();
        if used + w > room {
            break;
        }
        used += w;
        cut.push_str(grapheme);
    }
    if ellipsis.width() <= width {
        cut.push_str(ellipsis);
    }
    cut
}

/// As [`fit`], but the end is kept: of a run's name that is where its number stands.
pub fn fit_end(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut used = 0;
    let mut from = text.len();
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        used += grapheme.width();
        if used > room {
            break;
        }
        from = at;
    }
    match ellipsis.width() <= width {
        true => format!("{ellipsis}{}", &text[from..]),
        false => text[from..].to_string(),
    }
}

/// `text` broken at spaces into lines of at most `width` cells; longer words are broken anywhere.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if width == 0 {
        return lines;
    }
    for paragraph in text.lines() {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split(' ') {
            let mut word = word.to_string();
            if used > 0 && used + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            while word.width() > width {
                let head = fit(&word, width, "");
                if head.is_empty() {
                    return lines; // A single character is wider than the line.
                }
                word = word[head.len()..].to_string();
                lines.push(head);
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            used += word.width();
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

/// Writes `text` at the left of a line of `area`, cut to its width.
pub fn write(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    if row < area.height && area.width > 0 {
        buffer.set_stringn(area.x, area.y + row, text, area.width.into(), style);
    }
}

/// Draws spans at a line of `area`, cut to its width.
pub fn write_line(buffer: &mut Buffer, area: Rect, row: u16, line: &Line<'_>) {
    if row < area.height && area.width > 0 {
        buffer.set_line(area.x, area.y + row, line, area.width);
    }
}

/// Writes `text` at the right end of a line of `area`, if it fits.
pub fn write_right(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    let width = u16::try_from(text.width()).unwrap_or(u16::MAX);
    if row < area.height && width <= area.width {
        buffer.set_string(area.right() - width, area.y + row, text, style);
    }
}

/// What a key does now, in the footer's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    pub word: &'static str,
    /// It waits for the user, and stands before the others.
    pub first: bool,
}

impl Hint {
    /// In its place among the others.
    pub fn usual(word: &'static str) -> Self {
        Hint { word, first: false }
    }

    pub fn first(word: &'static str) -> Self {
        Hint { word, first: true }
    }
}

/// The keys of the moment, on one line: as many as fit, and always help and quit. `word` says what a key does now: the word of the
/// table, another, or nothing.
pub fn footer(
    theme: &Theme,
    keymap: &KeyMap,
    contexts: &[Context],
    word: &dyn Fn(Action, &'static str) -> Option<Hint>,
    area: Rect,
    buffer: &mut Buffer,
) {
    if area.is_empty() {
        return;
    }
    let mut hints: Vec<(String, &str, bool)> = Vec::new();
    let mut seen = Vec::new();
    let mut first = 0;
    for context in contexts {
        let here = keymap.bindings().iter().filter(|b| b.context == *context);
        for binding in here.filter(|b| b.holds_in(contexts)) {
            let (Some(hint), Some(key)) = (binding.hint, binding.keys.first()) else {
                continue;
            };
            let Some(hint) = word(binding.action, hint) else {
                continue;
            };
            let known = |(_, other, _): &(String, &str, bool)| *other == hint.word;
            if seen.contains(&binding.action) || hints.iter().any(known) {
                continue;
            }
            seen.push(binding.action);
            let key = super::keymap::sequence_text(key);
            let key = match (key.as_str(), theme.symbols.unicode) {
                ("enter", _) => theme.symbols.enter.to_string(),
                ("left", true) => "←".to_string(),
                ("right", true) => "→".to_string(),
                _ => key,
            };
            let always = matches!(binding.action, Action::Help | Action::Quit | Action::Close);
            if hint.first {
                hints.insert(first, (key, hint.word, always));
                first += 1;
            } else {
                hints.push((key, hint.word, always));
            }
        }
    }
    let width = |(key, hint, _): &(String, &str, bool)| key.width() + hint.width() + 3;
    let mut room = usize::from(area.width).saturating_sub(1);
    for hint in hints.iter().filter(|h| h.2) {
        room = room.saturating_sub(width(hint));
    }
    let mut spans = vec![Span::raw(" ")];
    for hint in &hints {
        if !hint.2 {
            if width(hint) > room {
                continue;
            }
            room -= width(hint);
        }
        spans.push(Span::styled(hint.0.clone(), theme.key));
        spans.push(Span::styled(format!(" {}  ", hint.1), theme.dim));
    }
    write_line(buffer, area, 0, &Line::from(spans));
}

/// What a terminal that is too small gets.
pub fn too_small(theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let text = format!(
        "{}x{} is too small, needs {}x{}",
        area.width, area.height, SMALLEST.0, SMALLEST.1
    );
    let lines = wrap(&text, area.width.into());
    let top = usize::from(area.height).saturating_sub(lines.len()) / 2;
    for (row, line) in lines.iter().enumerate() {
        let pad = usize::from(area.width).saturating_sub(line.width()) / 2;
        let line = format!("{}{line}", " ".repeat(pad));
        write(buffer, area, (top + row) as u16, &line, theme.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_cells_not_bytes() {
        assert_eq!(fit("háček", 5, "…"), "háček");
        assert_eq!(fit("háčeknut", 5, "…"), "háče…");
        assert_eq!(fit("漢字漢字", 5, "…"), "漢字…");
        assert_eq!(fit("abc", 0, "…"), "");
    }

    #[test]
    fn the_end_of_a_text_can_be_kept() {
        assert_eq!(
            fit_end("sweep-001/trial-003", 40, "…"),
            "sweep-001/trial-003"
        );
        assert_eq!(fit_end("sweep-001/trial-003", 12, "…"), "…1/trial-003");
        assert_eq!(fit_end("漢字漢字", 4, "…"), "…字");
        assert_eq!(fit_end("abc", 1, "…"), "…");
        assert_eq!(fit_end("abc", 0, "…"), "");
    }

    #[test]
    fn wrapping_keeps_every_word_and_the_width() {
        let lines = wrap("the quick brown fox jumps overthelazydogandmore", 10);
        assert!(lines.iter().all(|l| l.width() <= 10), "{lines:?}");
        assert_eq!(lines[0], "the quick");
        assert_eq!(
            lines.concat().replace(' ', ""),
            "thequickbrownfoxjumpsoverthelazydogandmore"
        );
        assert!(wrap("漢字", 1).is_empty());
        assert!(wrap("anything", 0).is_empty());
    }

    #[test]
    fn the_cursor_is_always_inside_the_window() {
        for len in 0..30 {
            for height in 1..12 {
                for cursor in 0..len {
                    let offset = scroll_offset(cursor, len, height);
                    assert!(offset <= cursor && cursor < offset + height);
                }
            }
        }
    }
}
