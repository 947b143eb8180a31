//! Where spaces go when words become text again.
//!
//! The word tokenizer drops spaces, so they are put back by rule: none before closing marks, none after opening
//! ones, none around dashes and line breaks, and none inside a number such as `3.50`. Straight double quotes
//! open and close in turn, and start anew on every line. A text that follows the same rules comes back exactly;
//! for any other, the words, marks and line breaks come back, the spacing may not.

use serde_json::{Value, json};

/// No space before these.
const CLOSING: &str = ",.;:!?)]}’”…%\n-–—/";
/// No space after these.
const OPENING: &str = "([{‘“'$#\n-–—/";

/// What has been written so far, as far as it matters to the next token.
#[derive(Debug, Clone, Default)]
pub(super) struct Spacing {
    /// The last character written, and the one before the last token.
    last: Option<char>,
    before_last: Option<char>,
    /// A straight double quote is open.
    quoted: bool,
    /// The last token was a straight double quote that opened.
    just_opened: bool,
}

impl Spacing {
    /// Takes note of `token`; true when a space belongs before it.
    pub(super) fn before(&mut self, token: &str) -> bool {
        let (Some(first), Some(end)) = (token.chars().next(), token.chars().next_back()) else {
            return false;
        };
        let closes = token == "\"" && self.quoted;
        let in_number = self.last.is_some_and(|c| matches!(c, '.' | ',' | ':'))
            && self.before_last.is_some_and(char::is_numeric)
            && first.is_numeric();
        let tight = self.last.is_none_or(|last| OPENING.contains(last))
            || CLOSING.contains(first)
            || self.just_opened
            || closes
            || in_number;
        self.just_opened = token == "\"" && !closes;
        self.quoted = match token {
            "\"" => !closes,
            "\n" => false,
            _ => self.quoted,
        };
        // A sign counts as being inside a number only when it touches the number.
        self.before_last = self.last.filter(|_| tight);
        self.last = Some(end);
        !tight
    }
}

/// The same rules for other programs that read the `tokenizer.json`, straight quotes left out: a space before
/// every token, then the ones that do not belong are taken away.
pub(super) fn decoder() -> Value {
    let class = |marks: &str| {
        marks
            .chars()
            .map(|c| match c {
                '\n' => "\\n".to_string(),
                c if c.is_ascii() => format!("\\{c}"),
                c => c.to_string(),
            })
            .collect::<String>()
    };
    let extra = format!(
        r"\A |(?<=[{}]) | (?=[{}])|(?<=\p{{N}} [.,:]) (?=\p{{N}})",
        class(OPENING),
        class(CLOSING)
    );
    json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"Regex": r"\A"}, "content": " "},
        {"type": "Fuse"},
        {"type": "Replace", "pattern": {"Regex": extra}, "content": ""},
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(tokens: &[&str]) -> String {
        let mut spacing = Spacing::default();
        tokens.iter().fold(String::new(), |mut text, token| {
            if spacing.before(token) {
                text.push(' ');
            }
            text + token
        })
    }

    #[test]
    fn prose_gets_its_spaces_back() {
        let cases: [(&[&str], &str); 6] = [
            (&["Yes", ",", "sir", "!", "\n", "Go", "."], "Yes, sir!\nGo."),
            (
                &[
                    "He", "said", "\"", "no", "\"", "and", "\"", "yes", ".", "\"",
                ],
                "He said \"no\" and \"yes.\"",
            ),
            (
                &["\"", "open", "\n", "\"", "again", "\""],
                "\"open\n\"again\"",
            ),
            (&["3", ".", "50", "or", "3", ",", "000"], "3.50 or 3,000"),
            (
                &["'", "tis", "well", "-", "known", "(", "here", ")"],
                "'tis well-known (here)",
            ),
            (&["“", "Ah", "”", "—", "she"], "“Ah”—she"),
        ];
        for (tokens, expected) in cases {
            assert_eq!(join(tokens), expected);
        }
    }
}
