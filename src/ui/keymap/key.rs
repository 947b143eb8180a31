//! One key press, as it is written in the table, in the settings file and on screen: `ctrl-c`, `space`, `+`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::config::closest;

/// A key with its modifiers. Shift is part of the character (`G`), and is kept only for named keys (`shift-tab`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyPress {
    pub code: KeyCode,
    pub modifiers: KeyModifiers,
}

/// Why a key's text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key{advice}", advice = advice(.0))]
pub struct KeyProblem(pub String);

/// The key that was meant, or how keys are written.
fn advice(text: &str) -> String {
    let (before, name) = match text.rfind('-') {
        Some(at) => text.split_at(at + 1),
        None => ("", text),
    };
    let guess = closest(name, NAMES.iter().map(|(name, _)| *name));
    match guess.map(|guess| format!("{before}{guess}")) {
        Some(guess) if KeyPress::parse(&guess).is_ok() => format!("; did you mean `{guess}`?"),
        _ => ": write a character (`g`, `+`) or a name (`space`, `up`, `f1` …), and before it `ctrl-`, `alt-` or `shift-`"
            .to_string(),
    }
}

const NAMES: &[(&str, KeyCode)] = &[
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("tab", KeyCode::Tab),
    ("esc", KeyCode::Esc),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

impl KeyPress {
    /// Brings what terminals report into one form: Shift-Tab, and shifted characters without the Shift.
    pub fn from_event(event: KeyEvent) -> Self {
        let kept =
            event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        match event.code {
            KeyCode::BackTab => Self {
                code: KeyCode::Tab,
                modifiers: kept | KeyModifiers::SHIFT,
            },
            KeyCode::Char(c) => Self {
                code: KeyCode::Char(if kept.contains(KeyModifiers::CONTROL) {
                    c.to_ascii_lowercase()
                } else {
                    c
                }),
                modifiers: kept - KeyModifiers::SHIFT,
            },
            code => Self {
                code,
                modifiers: kept,
            },
        }
    }

    /// Reads `ctrl-c`, `space`, `G`, `f1`.
    pub fn parse(text: &str) -> Result<Self, KeyProblem> {
        let problem = || KeyProblem(text.to_string());
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('-') {
            // A `-` alone, or after the last prefix, is the key itself.
            if before.is_empty() || after.is_empty() {
                break;
            }
            modifiers |= match before.to_ascii_lowercase().as_str() {
                "ctrl" => KeyModifiers::CONTROL,
                "alt" => KeyModifiers::ALT,
                "shift" => KeyModifiers::SHIFT,
                _ => return Err(problem()),
            };
            rest = after;
        }
        let mut characters = rest.chars();
        if let (Some(c), None) = (characters.next(), characters.next()) {
            let c = if modifiers.contains(KeyModifiers::SHIFT) {
                c.to_ascii_uppercase()
            } else if modifiers.contains(KeyModifiers::CONTROL) {
                c.to_ascii_lowercase()
            } else {
                c
            };
            return Ok(Self {
                code: KeyCode::Char(c),
                modifiers: modifiers - KeyModifiers::SHIFT,
            });
        }
        let lower = rest.to_ascii_lowercase();
        if let Some((_, code)) = NAMES.iter().find(|(name, _)| *name == lower) {
            return Ok(Self {
                code: *code,
                modifiers,
            });
        }
        match lower.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()) {
            Some(n @ 1..=12) => Ok(Self {
                code: KeyCode::F(n),
                modifiers,
            }),
            _ => Err(problem()),
        }
    }
}

impl std::fmt::Display for KeyPress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.modifiers.contains(KeyModifiers::CONTROL) {
            f.write_str("ctrl-")?;
        }
        if self.modifiers.contains(KeyModifiers::ALT) {
            f.write_str("alt-")?;
        }
        if self.modifiers.contains(KeyModifiers::SHIFT) {
            f.write_str("shift-")?;
        }
        if let Some((name, _)) = NAMES.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(n) => write!(f, "f{n}"),
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads_back_as_itself() {
        for text in [
            "a",
            "G",
            "+",
            "-",
            "?",
            ":",
            "ctrl-c",
            "alt-x",
            "shift-tab",
            "space",
            "enter",
            "f5",
            "pageup",
            "ctrl--",
        ] {
            let key = KeyPress::parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn what_terminals_report_is_brought_into_one_form() {
        let event = KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT);
        assert_eq!(KeyPress::from_event(event).to_string(), "shift-tab");
        let event = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(KeyPress::from_event(event).to_string(), "G");
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for text in ["", "hyper-x", "hyper-delte", "f13"] {
            let error = KeyPress::parse(text).expect_err(text).to_string();
            assert!(error.contains("ctrl-"), "{error}");
        }
        for (text, meant) in [("spacebar", "space"), ("ctrl-delte", "ctrl-delete")] {
            let error = KeyPress::parse(text).expect_err(text).to_string();
            let wanted = format!("did you mean `{meant}`?");
            assert!(error.contains(&wanted), "{error}");
        }
    }
}
