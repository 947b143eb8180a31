//! The colours of each theme, as `0xRRGGBB`.
//!
//! `okabe-ito` takes the eight colours of Okabe and Ito, "Color Universal Design" (2008), which people with the
//! common forms of colour blindness tell apart.

use super::depth::NO_PAINT;

/// The names, in the order in which the theme key goes through them.
pub const NAMES: &[&str] = &["dark", "light", "okabe-ito", "ember", "monochrome"];

#[derive(Clone)]
pub(super) struct Palette {
    pub name: &'static str,
    pub text: u32,
    pub dim: u32,
    pub strong: u32,
    pub accent: u32,
    pub border: u32,
    pub selection: u32,
    pub changed: u32,
    pub good: u32,
    pub warning: u32,
    pub error: u32,
    pub tokens: [u32; 4],
    pub series: [u32; 6],
}

impl Palette {
    /// The colours of one of [`super::colors::ROLES`]; none of any other.
    pub fn role(&mut self, role: &str) -> &mut [u32] {
        use std::slice::from_mut;
        match role {
            "text" => from_mut(&mut self.text),
            "dim" => from_mut(&mut self.dim),
            "strong" => from_mut(&mut self.strong),
            "accent" => from_mut(&mut self.accent),
            "border" => from_mut(&mut self.border),
            "selection" => from_mut(&mut self.selection),
            "changed" => from_mut(&mut self.changed),
            "good" => from_mut(&mut self.good),
            "warning" => from_mut(&mut self.warning),
            "error" => from_mut(&mut self.error),
            "tokens" => &mut self.tokens,
            "series" => &mut self.series,
            _ => &mut [],
        }
    }

    pub fn is_monochrome(&self) -> bool {
        self.name == MONOCHROME.name
    }
}

pub(super) fn named(name: &str) -> &'static Palette {
    [&DARK, &LIGHT, &OKABE_ITO, &EMBER, &MONOCHROME]
        .into_iter()
        .find(|palette| palette.name == name)
        .unwrap_or(&DARK)
}

const DARK: Palette = Palette {
    name: "dark",
    text: 0xc8ccd4,
    dim: 0x7f8794,
    strong: 0xf2f4f8,
    accent: 0xf0a45d,
    border: 0x4b5261,
    selection: 0x3a3f4b,
    changed: 0xe6c35c,
    good: 0x8fc97a,
    warning: 0xe6c35c,
    error: 0xec6a6a,
    tokens: [0x8ab8f0, 0xf0b48a, 0x9fd4a0, 0xd6a5e3],
    series: [0x6ea8ee, 0xf0a45d, 0x8fc97a, 0xd08fe0, 0x5fc9c4, 0xe6c35c],
};

const LIGHT: Palette = Palette {
    name: "light",
    text: 0x2e3440,
    dim: 0x6b7280,
    strong: 0x000000,
    accent: 0xa84300,
    border: 0xa0a6b0,
    selection: 0xdfe5ef,
    changed: 0x8a6100,
    good: 0x1e7a34,
    warning: 0x8a6100,
    error: 0xb3202a,
    tokens: [0x1d4f9e, 0xa04a00, 0x1e6e34, 0x7a2f94],
    series: [0x1d5fbf, 0xc24a00, 0x1e7a34, 0x8a35a8, 0x007a80, 0x8a6100],
};

const OKABE_ITO: Palette = Palette {
    name: "okabe-ito",
    text: 0xd0d0d0,
    dim: 0x8a8a8a,
    strong: 0xffffff,
    accent: 0xe69f00,
    border: 0x5a5a5a,
    selection: 0x303a44,
    changed: 0xf0e442,
    good: 0x56b4e9,
    warning: 0xf0e442,
    error: 0xd55e00,
    tokens: [0x56b4e9, 0xe69f00, 0x009e73, 0xcc79a7],
    series: [0x56b4e9, 0xe69f00, 0x009e73, 0xcc79a7, 0xf0e442, 0xd55e00],
};

const EMBER: Palette = Palette {
    name: "ember",
    text: 0xe0cdb8,
    dim: 0x96806c,
    strong: 0xfff3e2,
    accent: 0xff8a3c,
    border: 0x5e4a3c,
    selection: 0x4a3426,
    changed: 0xffd166,
    good: 0xb5c46a,
    warning: 0xffd166,
    error: 0xff5d4d,
    tokens: [0xffb37a, 0xd9c27a, 0xe08a6a, 0xc9a3a0],
    series: [0xffb37a, 0xff5d4d, 0xffd166, 0xc98fb0, 0xb5c46a, 0xe0cdb8],
};

pub(super) const MONOCHROME: Palette = Palette {
    name: "monochrome",
    text: NO_PAINT,
    dim: NO_PAINT,
    strong: NO_PAINT,
    accent: NO_PAINT,
    border: NO_PAINT,
    selection: NO_PAINT,
    changed: NO_PAINT,
    good: NO_PAINT,
    warning: NO_PAINT,
    error: NO_PAINT,
    tokens: [NO_PAINT; 4],
    series: [NO_PAINT; 6],
};
