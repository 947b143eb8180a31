//! The border that every pane has, and small ways of writing text.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::PaneContext;

/// Draws the border with the pane's number and title, `legend` after it, `right` at the right end as far as
/// there is room; gives back the inside. The first of the legend must not be missed: `right` gives way to it.
pub fn frame(
    context: &PaneContext<'_>,
    title: &str,
    legend: Vec<Span<'_>>,
    right: Vec<Span<'_>>,
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    let area = area.intersection(buffer.area);
    if area.width < 2 || area.height < 2 {
        return Rect {
            width: 0,
            height: 0,
            ..area
        };
    }
    let theme = context.theme;
    let block = Block::bordered()
        .border_set(theme.symbols.border)
        .border_style(theme.border_of(context.focused));
    let inner = block.inner(area);
    block.render(area, buffer);

    let room = area.width as usize - 2;
    let mut spans = vec![Span::raw(" ")];
    if context.number > 0 {
        spans.push(Span::styled(format!("{} ", context.number), theme.dim));
    }
    spans.push(Span::styled(
        title.to_string(),
        theme.title_of(context.focused),
    ));
    spans.push(Span::raw(" "));
    let mut used: usize = spans.iter().map(|span| span.content.width()).sum();
    let wanted: usize = right.iter().map(|span| span.content.width()).sum::<usize>() + 2;
    let first = legend.first().map_or(0, |span| span.content.width());
    let right_fits = !right.is_empty() && used + first + wanted <= room;
    let left_room = if right_fits { room - wanted } else { room };
    for span in legend {
        let width = span.content.width();
        if used + width > left_room {
            break;
        }
        used += width;
        spans.push(span);
    }
    Line::from(spans).render(
        Rect {
            x: area.x + 1,
            width: area.width - 2,
            height: 1,
            ..area
        },
        buffer,
    );
    if right_fits {
        let mut spans = vec![Span::raw(" ")];
        spans.extend(right);
        spans.push(Span::raw(" "));
        let x = area.right() - 1 - wanted as u16;
        Line::from(spans).render(
            Rect {
                x,
                width: wanted as u16,
                height: 1,
                ..area
            },
            buffer,
        );
    }
    inner
}

/// Writes `text` on one row, cut at the right edge of `area`.
pub fn write(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    if row < area.bottom() && row >= area.y && area.width > 0 {
        buffer.set_stringn(area.x, row, text, area.width as usize, style);
    }
}

/// Says something in the middle of an empty pane.
pub fn say(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    if area.is_empty() {
        return;
    }
    let lines = wrap([(text, style)], area.width as usize);
    let top = area.y + area.height.saturating_sub(lines.len() as u16) / 2;
    for (row, line) in lines.into_iter().enumerate().take(area.height as usize) {
        let row = Rect {
            y: top + row as u16,
            height: 1,
            ..area
        };
        line.centered().render(row.intersection(area), buffer);
    }
}

/// Breaks styled text into lines of at most `width` cells, at spaces where there are any.
pub fn wrap<'a>(
    parts: impl IntoIterator<Item = (&'a str, Style)>,
    width: usize,
) -> Vec<Line<'static>> {
    let width = width.max(1);
    let mut lines: Vec<Vec<(char, Style)>> = vec![Vec::new()];
    let mut used = 0;
    for (text, style) in parts {
        for character in text.chars() {
            let Some(line) = lines.last_mut() else { break };
            if character == '\n' {
                lines.push(Vec::new());
                used = 0;
                continue;
            }
            let character = if character.is_control() {
                ' '
            } else {
                character
            };
            let cells = character.width().unwrap_or(0);
            if used + cells > width {
                if character == ' ' {
                    lines.push(Vec::new());
                    used = 0;
                    continue;
                }
                // The word begun on this line moves to the next, unless it fills the line.
                let after = line.iter().rposition(|(c, _)| *c == ' ').map(|at| at + 1);
                let carried = after.map_or_else(Vec::new, |at| line.split_off(at));
                used = carried.iter().map(|(c, _)| c.width().unwrap_or(0)).sum();
                lines.push(carried);
            }
            if let Some(line) = lines.last_mut() {
                line.push((character, style));
                used += cells;
            }
        }
    }
    lines.into_iter().map(joined).collect()
}

fn joined(characters: Vec<(char, Style)>) -> Line<'static> {
    let mut spans: Vec<(String, Style)> = Vec::new();
    for (character, style) in characters {
        match spans.last_mut() {
            Some((text, last)) if *last == style => text.push(character),
            _ => spans.push((character.to_string(), style)),
        }
    }
    let spans = spans
        .into_iter()
        .map(|(text, style)| Span::styled(text, style));
    Line::from(spans.collect::<Vec<_>>())
}

/// The inside of a pane's border.
pub fn inside(area: Rect) -> Rect {
    if area.width < 2 || area.height < 2 {
        return Rect {
            width: 0,
            height: 0,
            ..area
        };
    }
    Rect::new(area.x + 1, area.y + 1, area.width - 2, area.height - 2)
}

/// `1 240`, as people read it.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, width: usize) -> Vec<String> {
        let lines = wrap([(text, Style::new())], width);
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn wraps_at_spaces_and_cuts_what_is_too_long() {
        assert_eq!(texts("once upon a time", 9), ["once upon", "a time"]);
        assert_eq!(texts("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(texts("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(texts("好好好", 4), ["好好", "好"]);
        assert_eq!(grouped(1_234_567), "1 234 567");
    }
}
