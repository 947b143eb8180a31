//! Where labels go so that they cover neither each other nor, if it can be helped, the data.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::{Chart, MarkerKind};

/// Labels of reference lines: on their line, at the right or left end or in the middle, wherever they cover the
/// least and nothing of what is `taken`; those out of range at the edge with an arrow.
pub(super) fn references(chart: &Chart, mut taken: Vec<Rect>, plot: Rect, buffer: &mut Buffer) {
    let (up, down) = if chart.ascii() {
        ("^", "v")
    } else {
        ("↑", "↓")
    };
    let mut sorted: Vec<_> = chart.references.iter().collect();
    sorted.sort_by(|a, b| b.value.total_cmp(&a.value));
    for reference in sorted {
        let (row, text) = match chart.row_of(reference.value, plot) {
            Some(row) => (row, reference.label.clone()),
            None if chart.y.place(reference.value).is_none() => continue,
            None if reference.value > chart.y.range().1 => {
                (plot.y, format!("{up} {}", reference.label))
            }
            None => (plot.bottom() - 1, format!("{down} {}", reference.label)),
        };
        let width = text.width() as u16 + 2;
        if reference.label.is_empty() || width > plot.width || plot.height < 3 {
            continue;
        }
        let right = plot.right() - width;
        let places = [right, plot.x, plot.x + (plot.width - width) / 2];
        let rows = [
            row,
            row.saturating_sub(1).max(plot.y),
            (row + 1).min(plot.bottom() - 1),
        ];
        let best = rows
            .into_iter()
            .flat_map(|row| places.map(|column| Rect::new(column, row, width, 1)))
            .filter(|place| !taken.iter().any(|other| other.intersects(*place)))
            .min_by_key(|place| covered(buffer, *place));
        if let Some(place) = best
            && covered(buffer, place) <= usize::from(width) / 2
        {
            buffer.set_stringn(
                place.x,
                place.y,
                format!(" {text} "),
                width as usize,
                reference.style,
            );
            taken.push(place);
        }
    }
}

/// How many cells of a place hold anything but blanks and reference lines.
fn covered(buffer: &Buffer, place: Rect) -> usize {
    place
        .positions()
        .filter(|at| !matches!(buffer[*at].symbol(), " " | "┈" | "-"))
        .count()
}

/// Labels of vertical lines: beside the top, on the row of the first three where they cover the least and are
/// clear of the one before; else left out. Returns where they are.
pub(super) fn markers(chart: &Chart, plot: Rect, buffer: &mut Buffer) -> Vec<Rect> {
    const ROWS: u16 = 3;
    let mut taken = Vec::new();
    let mut free_from = [plot.x; ROWS as usize];
    for marker in &chart.markers {
        if marker.kind != MarkerKind::Line || marker.label.is_empty() {
            continue;
        }
        let Some(column) = chart.column_of(marker.x, plot) else {
            continue;
        };
        let width = marker.label.width() as u16;
        let start = if column + 1 + width <= plot.right() {
            column + 1
        } else if column >= plot.x + width {
            column - width
        } else {
            continue;
        };
        let best = (0..ROWS.min(plot.height / 3))
            .filter(|row| start >= free_from[*row as usize])
            .min_by_key(|row| covered(buffer, Rect::new(start, plot.y + row, width, 1)));
        if let Some(row) = best {
            let y = plot.y + row;
            buffer.set_stringn(start, y, &marker.label, width as usize, marker.style);
            free_from[row as usize] = start + width + 1;
            taken.push(Rect::new(start, y, width, 1));
        }
    }
    taken
}
