//! Rows and columns with a cursor line. The window follows the cursor, so there is no scroll state.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use crate::ui::layout::{fit, scroll_offset, write};
use crate::ui::theme::Theme;

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// Cells; the column with 0 takes what is left.
    pub width: u16,
    pub right: bool,
    /// On a narrow screen, columns with a lower number go first.
    pub importance: u8,
}

/// A table ready to be drawn.
#[derive(Debug)]
pub struct Table<'a> {
    pub columns: &'a [Column],
    /// One text per column in every row.
    pub rows: &'a [Vec<String>],
    pub cursor: usize,
    pub focused: bool,
}

impl Table<'_> {
    /// The columns that fit, with their widths.
    fn fitting(&self, width: u16) -> Vec<(usize, u16)> {
        const FLEXIBLE: u16 = 18;
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        let needed = |kept: &[usize]| -> u16 {
            kept.iter()
                .map(|&i| match self.columns[i].width {
                    0 => FLEXIBLE + 1,
                    w => w + 1,
                })
                .sum()
        };
        while kept.len() > 1 && needed(&kept) > width.saturating_sub(2) {
            let least = kept
                .iter()
                .copied()
                .min_by_key(|&i| self.columns[i].importance);
            kept.retain(|&i| Some(i) != least);
        }
        let spare = width.saturating_sub(2).saturating_sub(needed(&kept));
        kept.into_iter()
            .map(|i| match self.columns[i].width {
                0 => (i, FLEXIBLE + spare),
                w => (i, w),
            })
            .collect()
    }

    /// The row drawn at this line of the table's area, heading included.
    pub fn row_at(&self, line: u16, height: u16) -> Option<usize> {
        let body = usize::from(height.saturating_sub(1));
        let offset = scroll_offset(self.cursor, self.rows.len(), body);
        let row = offset + usize::from(line.checked_sub(1)?);
        (row < self.rows.len() && row < offset + body).then_some(row)
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let columns = self.fitting(area.width);
        let line = |cells: &dyn Fn(usize) -> String| -> String {
            let mut text = String::new();
            for (column, width) in &columns {
                let cell = fit(&cells(*column), (*width).into(), theme.symbols.ellipsis);
                let pad = " ".repeat(usize::from(*width).saturating_sub(cell.width()));
                if self.columns[*column].right {
                    text.push_str(&pad);
                    text.push_str(&cell);
                } else {
                    text.push_str(&cell);
                    text.push_str(&pad);
                }
                text.push(' ');
            }
            text
        };
        let heading = line(&|column| self.columns[column].title.to_string());
        write(buffer, area, 0, &format!("  {heading}"), theme.dim);
        let body = usize::from(area.height.saturating_sub(1));
        let offset = scroll_offset(self.cursor, self.rows.len(), body);
        for (at, row) in self.rows.iter().enumerate().skip(offset).take(body) {
            let text = line(&|column| row.get(column).cloned().unwrap_or_default());
            let (mark, style) = match (at == self.cursor, self.focused) {
                (true, true) => (theme.symbols.cursor, theme.selected),
                (true, false) => (theme.symbols.cursor, theme.selected_unfocused),
                _ => (" ", theme.text),
            };
            let row = (at - offset + 1) as u16;
            write(buffer, area, row, &format!("{mark} {text}"), style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column {
            title: "name",
            width: 0,
            right: false,
            importance: 9,
        },
        Column {
            title: "step",
            width: 6,
            right: true,
            importance: 5,
        },
        Column {
            title: "size",
            width: 6,
            right: true,
            importance: 1,
        },
    ];

    #[test]
    fn narrow_tables_shed_the_least_important_column() {
        let rows = vec![vec!["fables".into(), "120".into(), "3 MB".into()]];
        let table = Table {
            columns: COLUMNS,
            rows: &rows,
            cursor: 0,
            focused: true,
        };
        let text = |width: u16| {
            let area = Rect::new(0, 0, width, 2);
            let mut buffer = Buffer::empty(area);
            table.render(&Theme::default(), area, &mut buffer);
            buffer
                .content
                .iter()
                .map(|c| c.symbol())
                .collect::<String>()
        };
        assert!(text(40).contains("3 MB"));
        assert!(!text(30).contains("3 MB"));
        assert!(text(30).contains("120"));
        assert_eq!(text(0), "");
    }

    #[test]
    fn clicks_find_their_row() {
        let rows: Vec<Vec<String>> = (0..50).map(|i| vec![i.to_string()]).collect();
        let table = Table {
            columns: COLUMNS,
            rows: &rows,
            cursor: 30,
            focused: true,
        };
        assert_eq!(table.row_at(0, 11), None);
        assert_eq!(table.row_at(1, 11), Some(25));
        assert_eq!(table.row_at(10, 11), Some(34));
    }
}
