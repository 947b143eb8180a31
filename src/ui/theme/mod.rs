//! Colours and symbols, by role. Screens ask for a role and never name a colour or a border character.
//!
//! A theme is written in true colour and brought down to what the terminal has: 256 colours, 16, or none
//! (`NO_COLOR`), where only bold, underline and reverse are left.

mod colors;
mod depth;
mod palettes;
mod symbols;

pub use colors::{Colors, ROLES};
pub use depth::{ColorDepth, Environment};
pub use palettes::NAMES;
pub use symbols::Symbols;

use ratatui::style::{Color, Modifier, Style};

/// Styles by role, for one terminal.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    pub name: &'static str,
    pub depth: ColorDepth,
    pub symbols: Symbols,
    /// What the user has put in place of the theme's colours.
    colors: Colors,
    /// Ordinary text.
    pub text: Style,
    /// Labels, hints, axes: there, but behind.
    pub dim: Style,
    /// Values that matter.
    pub strong: Style,
    /// Headings inside a pane.
    pub heading: Style,
    pub border: Style,
    pub border_focused: Style,
    pub title: Style,
    pub title_focused: Style,
    /// The line with the cursor, in the pane with the focus.
    pub selected: Style,
    /// The line with the cursor, in a pane without the focus.
    pub selected_unfocused: Style,
    /// Keys in footers and help.
    pub key: Style,
    /// The text field being typed into.
    pub input: Style,
    /// The cursor in a text field or a chart.
    pub cursor: Style,
    /// A value that differs from the preset's.
    pub changed: Style,
    pub good: Style,
    pub warning: Style,
    pub error: Style,
    pub info: Style,
    /// Neighbouring tokens, told apart.
    pub tokens: [Style; 4],
    pub chart: ChartStyles,
}

/// Styles of everything a chart draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChartStyles {
    pub train: Style,
    pub validation: Style,
    pub learning_rate: Style,
    /// What is still to come.
    pub ahead: Style,
    /// What an edit that is not applied yet would do.
    pub pending: Style,
    pub grad_norm: Style,
    pub throughput: Style,
    /// Further series, in order.
    pub series: [Style; 6],
    /// The raw values behind a smoothed line.
    pub faint: Style,
    pub reference: Style,
    pub axis: Style,
    pub crosshair: Style,
    pub mark_edit: Style,
    pub mark_checkpoint: Style,
    /// A value that is not a number.
    pub mark_bad: Style,
}

impl Default for Theme {
    fn default() -> Self {
        Self::new("dark", ColorDepth::TrueColor, Symbols::unicode())
    }
}

impl Theme {
    /// The theme of this name (`dark` when there is none such), for a terminal of this depth.
    pub fn new(name: &str, depth: ColorDepth, symbols: Symbols) -> Self {
        Self::with_colors(name, depth, symbols, Colors::default())
    }

    fn with_colors(name: &str, depth: ColorDepth, symbols: Symbols, colors: Colors) -> Self {
        let mut palette = match depth {
            ColorDepth::None => palettes::MONOCHROME,
            _ => palettes::named(name).clone(),
        };
        if !palette.is_monochrome() {
            colors.apply(&mut palette);
        }
        build(&palette, depth, symbols, colors)
    }

    /// What `environment` says about the terminal decides depth and symbols.
    pub fn for_terminal(name: &str, colors: Colors, environment: &Environment) -> Self {
        let symbols = if environment.unicode() {
            Symbols::unicode()
        } else {
            Symbols::ascii()
        };
        Self::with_colors(name, environment.depth(), symbols, colors)
    }

    /// Another theme, for the same terminal and with the same colours of the user's own.
    pub fn named(&self, name: &str) -> Self {
        Self::with_colors(name, self.depth, self.symbols, self.colors.clone())
    }

    /// The theme after this one.
    pub fn next(&self) -> Self {
        let at = NAMES
            .iter()
            .position(|name| *name == self.name)
            .map_or(0, |at| (at + 1) % NAMES.len());
        self.named(NAMES[at])
    }

    /// The border of a pane.
    pub fn border_of(&self, focused: bool) -> Style {
        if focused {
            self.border_focused
        } else {
            self.border
        }
    }

    pub fn title_of(&self, focused: bool) -> Style {
        if focused {
            self.title_focused
        } else {
            self.title
        }
    }
}

fn build(p: &palettes::Palette, depth: ColorDepth, symbols: Symbols, colors: Colors) -> Theme {
    let mono = p.is_monochrome();
    let fg = |color: u32| depth.foreground(color);
    let plain = Style::new();
    let bold = plain.add_modifier(Modifier::BOLD);
    // Without colours, roles are told apart by weight alone.
    let faint = if mono {
        plain.add_modifier(Modifier::DIM)
    } else {
        fg(p.dim)
    };
    let selected = if mono {
        plain.add_modifier(Modifier::REVERSED)
    } else {
        depth
            .background(p.selection)
            .patch(fg(p.strong))
            .add_modifier(Modifier::BOLD)
    };
    let selected = if depth == ColorDepth::Ansi16 {
        plain.add_modifier(Modifier::REVERSED)
    } else {
        selected
    };
    let token = |at: usize| {
        if mono {
            [plain, plain.add_modifier(Modifier::UNDERLINED)][at % 2]
        } else {
            fg(p.tokens[at]).add_modifier(if at.is_multiple_of(2) {
                Modifier::empty()
            } else {
                Modifier::UNDERLINED
            })
        }
    };
    Theme {
        name: p.name,
        depth,
        symbols,
        colors,
        text: fg(p.text),
        dim: faint,
        strong: fg(p.strong).add_modifier(Modifier::BOLD),
        heading: fg(p.accent).add_modifier(Modifier::BOLD),
        border: if mono { faint } else { fg(p.border) },
        border_focused: fg(p.accent).add_modifier(Modifier::BOLD),
        title: fg(p.text),
        title_focused: fg(p.accent).add_modifier(Modifier::BOLD),
        selected,
        selected_unfocused: if mono { bold } else { fg(p.accent) },
        key: fg(p.accent).add_modifier(Modifier::BOLD),
        input: if mono {
            plain.add_modifier(Modifier::UNDERLINED)
        } else {
            fg(p.strong).add_modifier(Modifier::UNDERLINED)
        },
        cursor: plain.add_modifier(Modifier::REVERSED),
        changed: fg(p.changed).add_modifier(Modifier::BOLD),
        good: fg(p.good),
        warning: fg(p.warning).add_modifier(if mono {
            Modifier::BOLD
        } else {
            Modifier::empty()
        }),
        error: fg(p.error).add_modifier(Modifier::BOLD),
        info: fg(p.accent),
        tokens: [token(0), token(1), token(2), token(3)],
        chart: ChartStyles {
            train: fg(p.series[0]),
            validation: fg(p.series[1]).add_modifier(Modifier::BOLD),
            learning_rate: fg(p.series[2]),
            ahead: faint,
            pending: fg(p.changed),
            grad_norm: fg(p.series[3]),
            throughput: fg(p.series[4]),
            series: p.series.map(fg),
            faint,
            reference: faint,
            axis: faint,
            crosshair: fg(p.strong),
            mark_edit: fg(p.changed),
            mark_checkpoint: fg(p.good),
            mark_bad: fg(p.error).add_modifier(Modifier::BOLD),
        },
    }
}

/// `0xRRGGBB` as a colour of the terminal's full depth.
pub(super) fn rgb(color: u32) -> Color {
    let [_, r, g, b] = color.to_be_bytes();
    Color::Rgb(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_theme_of_its_own() {
        let mut seen = Vec::new();
        for name in NAMES {
            let theme = Theme::new(name, ColorDepth::TrueColor, Symbols::unicode());
            assert_eq!(theme.name, *name);
            assert!(!seen.contains(&theme), "{name} looks like another theme");
            seen.push(theme);
        }
        assert!(NAMES.len() >= 4);
    }

    #[test]
    fn next_goes_round_all_themes() {
        let start = Theme::default();
        let mut theme = start.clone();
        for _ in NAMES {
            theme = theme.next();
        }
        assert_eq!(theme, start);
    }

    #[test]
    fn without_colour_no_style_names_one() {
        let theme = Theme::new("dark", ColorDepth::None, Symbols::ascii());
        for style in [
            theme.text,
            theme.error,
            theme.selected,
            theme.chart.train,
            theme.tokens[1],
        ] {
            assert_eq!((style.fg, style.bg), (None, None), "{style:?}");
        }
        assert_ne!(
            theme.selected, theme.text,
            "the cursor line must still be visible"
        );
    }

    #[test]
    fn own_colours_stay_from_theme_to_theme() {
        let mut colors = Colors::default();
        colors.set("accent", &["#010203"]).unwrap();
        let environment = Environment {
            colorterm: "truecolor".into(),
            ..Environment::default()
        };
        let mut theme = Theme::for_terminal("dark", colors, &environment);
        let own = Some(Color::Rgb(1, 2, 3));
        for _ in NAMES {
            let expected = own.filter(|_| theme.name != "monochrome");
            assert_eq!(theme.key.fg, expected, "{}", theme.name);
            theme = theme.next();
        }
    }

    #[test]
    fn an_unknown_name_falls_back_to_dark() {
        let theme = Theme::new("neon", ColorDepth::TrueColor, Symbols::unicode());
        assert_eq!(theme.name, "dark");
    }
}
