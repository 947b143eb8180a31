//! A frame of the terminal as a picture: SVG, and PNG made from it.
//!
//! - [`svg`]: cells as rectangles, text in a monospace font, and braille dots, box drawing and block elements as
//!   shapes, so that charts and borders look the same wherever the file is opened.
//! - [`pictures`]: the screens that the project shows of itself.
//! - [`png`]: that SVG rasterised with the system's monospace font.

mod shapes;

use std::fmt::Write;

use crossterm::event::Event as Input;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use crate::chart;

use super::app::{App, Message};
use super::keymap::Action;
use super::theme::{ColorDepth, Symbols, Theme};

/// Size of a cell in user units; a font of [`FONT_SIZE`] fits it.
const CELL: (f64, f64) = (8.4, 17.0);
const FONT_SIZE: f64 = 14.0;
/// Free space around the screen.
const MARGIN: f64 = 12.0;
const FONTS: &str =
    "'DejaVu Sans Mono','JetBrains Mono','Fira Code',Menlo,Consolas,'Liberation Mono',monospace";

pub use crate::chart::png::PictureError;

/// Colours where the terminal's own would be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paper {
    /// `0xRRGGBB`.
    pub foreground: u32,
    pub background: u32,
}

impl Default for Paper {
    fn default() -> Self {
        Self {
            foreground: 0xd8dee9,
            background: 0x11151c,
        }
    }
}

impl Paper {
    /// What goes with a theme.
    pub fn of(theme: &Theme) -> Self {
        match theme.name {
            "light" => Self {
                foreground: 0x2e3440,
                background: 0xfaf8f4,
            },
            _ => Self::default(),
        }
    }
}

/// A drawn screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// File name without its ending.
    pub name: &'static str,
    /// Width in cells.
    pub columns: u16,
    pub svg: String,
}

/// What the project shows of itself: Home, the dashboard of a run and its help, at several sizes and in several
/// themes. Drawn by the application itself, footer and all.
pub fn pictures(home: &mut App, train: &mut App) -> Vec<Picture> {
    const HOME: &[(&str, &str, u16, u16)] = &[
        ("home-120x40", "dark", 120, 40),
        ("home-80x24", "dark", 80, 24),
    ];
    const TRAIN: &[(&str, &str, u16, u16)] = &[
        ("train-120x40", "dark", 120, 40),
        ("train-80x24", "dark", 80, 24),
        ("train-200x60", "dark", 200, 60),
        ("train-light-120x40", "light", 120, 40),
        ("train-okabe-ito-120x40", "okabe-ito", 120, 40),
    ];
    const HELP: &[(&str, &str, u16, u16)] = &[("help-120x40", "dark", 120, 40)];
    let mut pictures = Vec::new();
    pictures.extend(HOME.iter().map(|shot| picture(home, *shot)));
    pictures.extend(TRAIN.iter().map(|shot| picture(train, *shot)));
    // A key does nothing here but open and close the overlay.
    train.act(Action::Help, &mut Vec::new());
    pictures.extend(HELP.iter().map(|shot| picture(train, *shot)));
    train.act(Action::Close, &mut Vec::new());
    pictures
}

/// The application as it stands, by name, theme, width and height in cells.
fn picture(app: &mut App, (name, theme, width, height): (&'static str, &str, u16, u16)) -> Picture {
    let theme = Theme::new(theme, ColorDepth::TrueColor, Symbols::unicode());
    let paper = Paper::of(&theme);
    app.set_theme(theme);
    app.update(Message::Input(Input::Resize(width, height)));
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    app.render(area, &mut buffer);
    Picture {
        name,
        columns: width,
        svg: svg(&buffer, paper),
    }
}

/// A colour as `0xRRGGBB`; `None` for the terminal's own.
fn rgb(color: Color) -> Option<u32> {
    let value = match color {
        Color::Reset => return None,
        Color::Rgb(r, g, b) => u32::from_be_bytes([0, r, g, b]),
        Color::Black => 0x1b1f27,
        Color::Red => 0xd0605e,
        Color::Green => 0x7fae68,
        Color::Yellow => 0xd0a85c,
        Color::Blue => 0x6a94cf,
        Color::Magenta => 0xb07cc6,
        Color::Cyan => 0x5fb0b7,
        Color::Gray => 0xc3c9d3,
        Color::DarkGray => 0x6c7686,
        Color::LightRed => 0xec7f7d,
        Color::LightGreen => 0x9bcb82,
        Color::LightYellow => 0xecc678,
        Color::LightBlue => 0x8ab2ec,
        Color::LightMagenta => 0xcd9ae2,
        Color::LightCyan => 0x7fd0d6,
        Color::White => 0xf2f5f9,
        Color::Indexed(index) => return rgb_indexed(index),
    };
    Some(value)
}

/// The 256-colour table: 16 named, a 6×6×6 cube, 24 greys.
fn rgb_indexed(index: u8) -> Option<u32> {
    let level = |step: u8| {
        if step == 0 {
            0
        } else {
            55 + 40 * u32::from(step)
        }
    };
    match index {
        0..16 => {
            const NAMED: [Color; 16] = [
                Color::Black,
                Color::Red,
                Color::Green,
                Color::Yellow,
                Color::Blue,
                Color::Magenta,
                Color::Cyan,
                Color::Gray,
                Color::DarkGray,
                Color::LightRed,
                Color::LightGreen,
                Color::LightYellow,
                Color::LightBlue,
                Color::LightMagenta,
                Color::LightCyan,
                Color::White,
            ];
            rgb(NAMED[index as usize])
        }
        16..232 => {
            let at = index - 16;
            Some(level(at / 36) << 16 | level(at / 6 % 6) << 8 | level(at % 6))
        }
        _ => {
            let grey = 8 + 10 * u32::from(index - 232);
            Some(grey << 16 | grey << 8 | grey)
        }
    }
}

/// What a run of cells shares.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ink {
    foreground: u32,
    background: u32,
    bold: bool,
    italic: bool,
    underline: bool,
}

fn ink(cell: &ratatui::buffer::Cell, paper: Paper) -> Ink {
    let mut foreground = rgb(cell.fg).unwrap_or(paper.foreground);
    let mut background = rgb(cell.bg).unwrap_or(paper.background);
    if cell.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut foreground, &mut background);
    }
    if cell.modifier.contains(Modifier::DIM) {
        foreground = mixed(foreground, background);
    }
    if cell.modifier.contains(Modifier::HIDDEN) {
        foreground = background;
    }
    Ink {
        foreground,
        background,
        bold: cell.modifier.contains(Modifier::BOLD),
        italic: cell.modifier.contains(Modifier::ITALIC),
        underline: cell.modifier.contains(Modifier::UNDERLINED),
    }
}

/// Half way between two colours.
fn mixed(a: u32, b: u32) -> u32 {
    let half = |shift: u32| ((a >> shift & 0xff) + (b >> shift & 0xff)) / 2;
    half(16) << 16 | half(8) << 8 | half(0)
}

/// The frame as an SVG document.
pub fn svg(buffer: &Buffer, paper: Paper) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let width = f64::from(columns) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(rows) * CELL.1 + 2.0 * MARGIN;
    let mut backgrounds = String::new();
    let mut shapes = String::new();
    let mut texts = String::new();
    for row in 0..rows {
        let y = MARGIN + f64::from(row) * CELL.1;
        let mut column = 0;
        while column < columns {
            let cell = &buffer[(buffer.area.x + column, buffer.area.y + row)];
            let ink = ink(cell, paper);
            // A run of cells that look alike, shapes kept apart from text.
            let start = column;
            let mut run: Vec<(u16, &str)> = Vec::new();
            while column < columns {
                let cell = &buffer[(buffer.area.x + column, buffer.area.y + row)];
                if self::ink(cell, paper) != ink {
                    break;
                }
                run.push((column, cell.symbol()));
                column += (cell.symbol().width().max(1) as u16).min(columns - column);
            }
            let x = |column: u16| MARGIN + f64::from(column) * CELL.0;
            let wide = f64::from(column - start) * CELL.0;
            if ink.background != paper.background {
                let _ = write!(
                    backgrounds,
                    "<rect x='{:.1}' y='{y:.1}' width='{wide:.1}' height='{}' fill='#{:06x}'/>",
                    x(start),
                    CELL.1,
                    ink.background
                );
            }
            if ink.underline {
                let _ = write!(
                    shapes,
                    "<rect x='{:.1}' y='{:.1}' width='{wide:.1}' height='1' fill='#{:06x}'/>",
                    x(start),
                    y + CELL.1 - 2.0,
                    ink.foreground
                );
            }
            let mut path = String::new();
            for (column, symbol) in &run {
                if let Some(character) = symbol.chars().next() {
                    shapes::draw(character, (x(*column), y), CELL, &mut path);
                }
            }
            if !path.is_empty() {
                let _ = write!(shapes, "<path d='{path}' fill='#{:06x}'/>", ink.foreground);
            }
            write_words(&run, ink, x, y, &mut texts);
        }
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0}' height='{height:.0}' \
         viewBox='0 0 {width:.1} {height:.1}'><rect width='100%' height='100%' rx='8' fill='#{:06x}'/>\
         <g shape-rendering='crispEdges'>{backgrounds}</g><g>{shapes}</g>\
         <g font-family=\"{FONTS}\" font-size='{FONT_SIZE}' xml:space='preserve'>{texts}</g></svg>\n",
        paper.background
    )
}

/// Words with the width they take on screen, so that another font does not shift what follows.
fn write_words(run: &[(u16, &str)], ink: Ink, x: impl Fn(u16) -> f64, y: f64, texts: &mut String) {
    let is_text = |symbol: &str| {
        let character = symbol.chars().next().unwrap_or(' ');
        character != ' ' && !shapes::has(character)
    };
    let mut at = 0;
    while at < run.len() {
        if !is_text(run[at].1) {
            at += 1;
            continue;
        }
        let start = at;
        let mut word = String::new();
        let mut cells = 0;
        while at < run.len() && is_text(run[at].1) {
            word.push_str(run[at].1);
            cells += run[at].1.width().max(1);
            at += 1;
        }
        let _ = write!(
            texts,
            "<text x='{:.1}' y='{:.1}' fill='#{:06x}' textLength='{:.1}' lengthAdjust='spacingAndGlyphs'{}{}>{}</text>",
            x(run[start].0),
            y + CELL.1 * 0.76,
            ink.foreground,
            cells as f64 * CELL.0,
            if ink.bold { " font-weight='bold'" } else { "" },
            if ink.italic {
                " font-style='italic'"
            } else {
                ""
            },
            escaped(&word)
        );
    }
}

fn escaped(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .map(|character| match character {
            '&' => "&amp;".to_string(),
            '<' => "&lt;".to_string(),
            '>' => "&gt;".to_string(),
            '\'' => "&#39;".to_string(),
            '"' => "&quot;".to_string(),
            other => other.to_string(),
        })
        .collect()
}

/// An SVG of [`svg`] as PNG bytes, `scale` pixels to a user unit.
///
/// # Errors
/// No monospace font on the system; an SVG that cannot be read; a size of nothing.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PictureError> {
    chart::png::rasterise(svg, scale, chart::png::Font::Monospace)
}

/// How a chart is drawn for a picture in the colours of a theme.
pub fn chart_look(theme: &str, width: u32, height: u32) -> chart::Look {
    let theme = Theme::new(theme, ColorDepth::TrueColor, Symbols::unicode());
    let paper = Paper::of(&theme);
    let of = |style: ratatui::style::Style| {
        let color = style.fg.and_then(rgb);
        color.unwrap_or(paper.foreground)
    };
    let dim = match theme.dim.fg.and_then(rgb) {
        Some(color) => color,
        None => mixed(paper.foreground, paper.background),
    };
    chart::Look {
        width,
        height,
        background: paper.background,
        foreground: of(theme.text),
        dim,
        grid: mixed(mixed(dim, paper.background), paper.background),
        series: theme.chart.series.map(of),
        edit: of(theme.chart.mark_edit),
        checkpoint: of(theme.chart.mark_checkpoint),
        bad: of(theme.chart.mark_bad),
        monochrome: theme.chart.series[0].fg.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    fn frame() -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, "┌─ a<b ⣿█┐", Style::new().fg(Color::Rgb(1, 2, 3)));
        buffer.set_string(0, 1, "bold 好", Style::new().add_modifier(Modifier::BOLD));
        buffer
    }

    #[test]
    fn text_is_text_and_lines_are_shapes() {
        let svg = svg(&frame(), Paper::default());
        assert!(svg.contains("a&lt;b") && svg.contains("#010203"), "{svg}");
        assert!(svg.contains("font-weight='bold'") && svg.contains("好"));
        for shape in ['┌', '─', '⣿', '█'] {
            assert!(!svg.contains(shape), "{shape} was written as text");
        }
        let options = resvg::usvg::Options::default();
        assert!(resvg::usvg::Tree::from_str(&svg, &options).is_ok());
    }

    #[test]
    fn a_png_has_the_size_asked_for() {
        match png(&svg(&frame(), Paper::default()), 2.0) {
            Ok(bytes) => {
                assert_eq!(&bytes[1..4], b"PNG");
                let width = u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
                assert_eq!(width, 250);
            }
            // A machine without fonts says so.
            Err(error) => assert!(matches!(error, PictureError::NoFont(_)), "{error}"),
        }
    }
}
