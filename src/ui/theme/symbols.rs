//! The characters that screens are drawn with, in Unicode and in ASCII.

use ratatui::symbols::border;

/// One set for the whole screen, chosen by the locale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbols {
    /// False where only ASCII may be written; charts then plot characters instead of braille dots.
    pub unicode: bool,
    pub border: border::Set<'static>,
    /// Before the line with the cursor.
    pub cursor: &'static str,
    pub bullet: &'static str,
    pub empty_bullet: &'static str,
    pub ellipsis: &'static str,
    pub left: &'static str,
    pub right: &'static str,
    pub up: &'static str,
    pub down: &'static str,
    pub open: &'static str,
    pub dash: &'static str,
    pub times: &'static str,
    pub check: &'static str,
    pub cross: &'static str,
    pub warning: &'static str,
    /// Marks an edit on a chart's time axis.
    pub mark: &'static str,
    pub vertical: &'static str,
    pub horizontal: &'static str,
    /// A horizontal line that is not data: references.
    pub dotted: &'static str,
    /// Line break, in a text shown on one line.
    pub newline: &'static str,
    pub enter: &'static str,
    /// Bars from empty to full.
    pub bars: &'static [&'static str],
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Symbols {
    pub const fn unicode() -> Self {
        Self {
            unicode: true,
            border: border::PLAIN,
            cursor: "▸",
            bullet: "●",
            empty_bullet: "○",
            ellipsis: "…",
            left: "◂",
            right: "▸",
            up: "▴",
            down: "▾",
            open: "▾",
            dash: "─",
            times: "×",
            check: "✓",
            cross: "✗",
            warning: "▲",
            mark: "▎",
            vertical: "│",
            horizontal: "─",
            dotted: "┄",
            newline: "↵",
            enter: "⏎",
            bars: &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
        }
    }

    pub const fn ascii() -> Self {
        Self {
            unicode: false,
            border: ASCII_BORDER,
            cursor: ">",
            bullet: "*",
            empty_bullet: "o",
            ellipsis: "~",
            left: "<",
            right: ">",
            up: "^",
            down: "v",
            open: "v",
            dash: "-",
            times: "x",
            check: "ok",
            cross: "x",
            warning: "!",
            mark: "|",
            vertical: "|",
            horizontal: "-",
            dotted: ".",
            newline: "\\n",
            enter: "Enter",
            bars: &[" ", ".", ".", ":", ":", "=", "=", "#", "#"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_ascii() {
        let s = Symbols::ascii();
        let all = [
            s.cursor,
            s.bullet,
            s.empty_bullet,
            s.ellipsis,
            s.left,
            s.right,
            s.up,
            s.down,
            s.open,
            s.dash,
            s.times,
            s.check,
            s.cross,
            s.warning,
            s.mark,
            s.vertical,
            s.horizontal,
            s.dotted,
            s.newline,
            s.enter,
            s.border.top_left,
            s.border.vertical_left,
            s.border.horizontal_top,
        ];
        for symbol in all.iter().chain(s.bars) {
            assert!(symbol.is_ascii(), "{symbol}");
        }
    }
}
