//! How many colours the terminal has, and how a colour is brought down to them.

use ratatui::style::{Color, Style};

use super::rgb;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorDepth {
    TrueColor,
    Ansi256,
    Ansi16,
    /// `NO_COLOR`: weight and reverse only.
    None,
}

/// The environment variables that describe the terminal, taken once at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    pub no_color: bool,
    pub colorterm: String,
    pub term: String,
    /// `LC_ALL`, else `LC_CTYPE`, else `LANG`.
    pub locale: String,
}

impl Environment {
    pub fn read() -> Self {
        let text = |name: &str| {
            std::env::var_os(name)
                .map(|value| value.to_string_lossy().into_owned())
                .filter(|value| !value.is_empty())
        };
        Self {
            // https://no-color.org: present and not empty.
            no_color: text("NO_COLOR").is_some(),
            colorterm: text("COLORTERM").unwrap_or_default(),
            term: text("TERM").unwrap_or_default(),
            locale: text("LC_ALL")
                .or_else(|| text("LC_CTYPE"))
                .or_else(|| text("LANG"))
                .unwrap_or_default(),
        }
    }

    pub fn depth(&self) -> ColorDepth {
        let colorterm = self.colorterm.to_ascii_lowercase();
        if self.no_color || self.term == "dumb" {
            ColorDepth::None
        } else if colorterm == "truecolor" || colorterm == "24bit" || self.term.contains("direct") {
            ColorDepth::TrueColor
        } else if self.term.contains("256") {
            ColorDepth::Ansi256
        } else {
            ColorDepth::Ansi16
        }
    }

    /// Whether the locale says that text is UTF-8. Windows terminals always take it.
    pub fn unicode(&self) -> bool {
        let locale = self.locale.to_ascii_lowercase();
        cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8")
    }
}

impl ColorDepth {
    pub(super) fn foreground(self, color: u32) -> Style {
        match self.color(color) {
            Some(color) => Style::new().fg(color),
            None => Style::new(),
        }
    }

    pub(super) fn background(self, color: u32) -> Style {
        match self.color(color) {
            Some(color) => Style::new().bg(color),
            None => Style::new(),
        }
    }

    /// The nearest colour the terminal has. `NO_PAINT` is the terminal's own.
    fn color(self, color: u32) -> Option<Color> {
        if color == NO_PAINT {
            return None;
        }
        match self {
            ColorDepth::TrueColor => Some(rgb(color)),
            ColorDepth::Ansi256 => Some(Color::Indexed(nearest_256(color))),
            ColorDepth::Ansi16 => Some(nearest_16(color)),
            ColorDepth::None => None,
        }
    }
}

/// Leave the terminal's own colour.
pub(super) const NO_PAINT: u32 = u32::MAX;

fn channels(color: u32) -> [i32; 3] {
    let [_, r, g, b] = color.to_be_bytes();
    [r, g, b].map(i32::from)
}

fn distance(a: [i32; 3], b: [i32; 3]) -> i32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// The 6×6×6 cube or the grey ramp of the xterm palette, whichever is nearer.
fn nearest_256(color: u32) -> u8 {
    const LEVELS: [i32; 6] = [0, 95, 135, 175, 215, 255];
    let wanted = channels(color);
    let level = |value: i32| {
        (0..6)
            .min_by_key(|&i| (LEVELS[i] - value).abs())
            .unwrap_or(0)
    };
    let cube = wanted.map(level);
    let cube_color = cube.map(|i| LEVELS[i]);
    let average = wanted.iter().sum::<i32>() / 3;
    let grey = ((average - 8) / 10).clamp(0, 23);
    let grey_color = [8 + 10 * grey; 3];
    let index = if distance(grey_color, wanted) < distance(cube_color, wanted) {
        232 + grey as usize
    } else {
        16 + 36 * cube[0] + 6 * cube[1] + cube[2]
    };
    u8::try_from(index).unwrap_or(7)
}

/// By hue and lightness rather than distance: the sixteen differ from terminal to terminal.
fn nearest_16(color: u32) -> Color {
    let [r, g, b] = channels(color);
    let high = r.max(g).max(b);
    let low = r.min(g).min(b);
    if high - low < 40 {
        return match high {
            0..=90 => Color::DarkGray,
            91..=190 => Color::Gray,
            _ => Color::Reset,
        };
    }
    let threshold = low + (high - low) / 2;
    let bright = high > 200;
    match (r > threshold, g > threshold, b > threshold) {
        (true, false, false) if bright => Color::LightRed,
        (true, false, false) => Color::Red,
        (false, true, false) if bright => Color::LightGreen,
        (false, true, false) => Color::Green,
        (false, false, true) if bright => Color::LightBlue,
        (false, false, true) => Color::Blue,
        (true, true, _) => Color::Yellow,
        (true, false, true) => Color::Magenta,
        (false, true, true) => Color::Cyan,
        (false, false, false) => Color::Gray,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(colorterm: &str, term: &str, locale: &str) -> Environment {
        Environment {
            no_color: false,
            colorterm: colorterm.into(),
            term: term.into(),
            locale: locale.into(),
        }
    }

    #[test]
    fn depth_follows_the_environment() {
        let depth = |c: &str, t: &str| environment(c, t, "").depth();
        assert_eq!(depth("truecolor", "xterm"), ColorDepth::TrueColor);
        assert_eq!(depth("", "screen-256color"), ColorDepth::Ansi256);
        assert_eq!(depth("", "xterm"), ColorDepth::Ansi16);
        assert_eq!(depth("", "dumb"), ColorDepth::None);
        let mut no_color = environment("truecolor", "xterm", "");
        no_color.no_color = true;
        assert_eq!(no_color.depth(), ColorDepth::None);
    }

    #[test]
    fn locale_decides_the_symbols() {
        assert!(environment("", "", "de_DE.UTF-8").unicode());
        assert!(environment("", "", "C.utf8").unicode());
        if cfg!(not(windows)) {
            assert!(!environment("", "", "C").unicode());
            assert!(!environment("", "", "").unicode());
        }
    }

    #[test]
    fn colours_come_down_to_their_neighbours() {
        assert_eq!(nearest_256(0xff0000), 196);
        assert_eq!(nearest_256(0x808080), 244);
        assert_eq!(nearest_16(0xff4040), Color::LightRed);
        assert_eq!(nearest_16(0x0072b2), Color::Cyan);
        assert_eq!(nearest_16(0xe69f00), Color::Yellow);
    }
}
