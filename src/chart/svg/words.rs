//! Words and colours as SVG has them, and about how much room they take.

pub(super) fn color(value: u32) -> String {
    format!("#{:06x}", value & 0xff_ffff)
}

/// About how wide a text is, in a font of `size`; rather too wide than too narrow.
pub(super) fn wide(text: &str, size: f64) -> f64 {
    let em: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | '[' | ']'
            | ' ' | 'f' | 't' | 'I' | '-' | '/' => 0.40,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.98,
            c if c.is_ascii_uppercase() => 0.74,
            c if (c as u32) < 0x2e80 => 0.64,
            // East Asian scripts, and pictures.
            _ => 1.05,
        })
        .sum();
    em * size
}

/// `text` as far as it fits, with an ellipsis where it does not.
pub(super) fn cut(text: &str, size: f64, room: f64) -> String {
    if wide(text, size) <= room {
        return text.to_string();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if wide(&out, size) + size > room {
            break;
        }
    }
    out.push('…');
    out
}

/// What XML cannot hold is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
