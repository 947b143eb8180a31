//! What kind of character a character is, as the regular expressions in `tokenizer.json` see it.
//!
//! The `tokenizers` crate (and its Python package) splits text with Oniguruma, whose Unicode tables may be of
//! another version than Rust's. The hand-written scanners must agree with it on every character, so the classes
//! are asked from Oniguruma itself: once for ASCII, then per block of 256 characters when one is first seen.

use std::sync::{LazyLock, OnceLock};

use tokenizers::utils::SysRegex;

/// The classes that the patterns of `word` and `bpe` tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{M}`: accents and vowel signs that follow their letter.
    Mark,
    /// `\p{N}`
    Number,
    /// `\s`, line breaks left out.
    Space,
    /// `\n`
    Newline,
    /// Everything else: punctuation, signs, control characters.
    Other,
}

const BLOCK: usize = 256;
const BLOCKS: usize = 0x11_0000 / BLOCK;

type Block = [Class; BLOCK];

static PATTERNS: LazyLock<[(SysRegex, Class); 4]> = LazyLock::new(|| {
    [
        (r"\p{L}", Class::Letter),
        (r"\p{M}", Class::Mark),
        (r"\p{N}", Class::Number),
        (r"\s", Class::Space),
    ]
    .map(|(pattern, class)| {
        let regex = SysRegex::new(pattern).expect("a constant pattern that Oniguruma knows");
        (regex, class)
    })
});

static TABLE: LazyLock<Vec<OnceLock<Box<Block>>>> =
    LazyLock::new(|| (0..BLOCKS).map(|_| OnceLock::new()).collect());

static ASCII: LazyLock<[Class; 128]> = LazyLock::new(|| {
    let block = classify_block(0);
    let mut table = [Class::Other; 128];
    table.copy_from_slice(&block[..128]);
    table
});

fn classify_block(block: usize) -> Box<Block> {
    let mut classes = Box::new([Class::Other; BLOCK]);
    let first = block * BLOCK;
    let text: String = (first..first + BLOCK)
        .filter_map(|code| char::from_u32(code as u32))
        .collect();
    for (regex, class) in PATTERNS.iter() {
        for (start, end) in regex.find_iter(&text) {
            for c in text[start..end].chars() {
                classes[c as usize - first] = *class;
            }
        }
    }
    if block == 0 {
        classes[b'\n' as usize] = Class::Newline;
    }
    classes
}

/// The classes of the ASCII characters, for scanners to hold in a local.
pub(super) fn ascii() -> &'static [Class; 128] {
    &ASCII
}

/// The class of any character.
pub(super) fn class(c: char) -> Class {
    let code = c as usize;
    if code < 128 {
        return ASCII[code];
    }
    TABLE[code / BLOCK].get_or_init(|| classify_block(code / BLOCK))[code % BLOCK]
}

/// The character that starts at byte `at`, which is a character boundary inside `text`.
#[inline]
pub(super) fn char_at(text: &str, at: usize) -> char {
    let byte = text.as_bytes()[at];
    if byte < 128 {
        return byte as char;
    }
    text[at..].chars().next().unwrap_or('\u{FFFD}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_characters_have_the_class_one_expects() {
        let cases = [
            ('a', Class::Letter),
            ('é', Class::Letter),
            ('漢', Class::Letter),
            ('\u{301}', Class::Mark),
            ('7', Class::Number),
            ('½', Class::Number),
            (' ', Class::Space),
            ('\t', Class::Space),
            ('\r', Class::Space),
            ('\u{a0}', Class::Space),
            ('\u{3000}', Class::Space),
            ('\n', Class::Newline),
            ('_', Class::Other),
            ('\0', Class::Other),
            ('—', Class::Other),
            ('😀', Class::Other),
        ];
        for (c, expected) in cases {
            assert_eq!(class(c), expected, "{c:?}");
        }
    }

    #[test]
    fn lower_case_never_leaves_the_word_class() {
        // The scanner splits before it folds case, the crate folds before it splits: the same, unless a letter
        // is so new (Unicode 16) that Rust folds it and Oniguruma does not know it.
        let word = |c: char| matches!(class(c), Class::Letter | Class::Mark);
        let new = ['\u{A7CE}', '\u{A7D2}', '\u{A7D4}'];
        for c in (0..0x11_0000).filter_map(char::from_u32) {
            for lower in c.to_lowercase() {
                let same = class(lower) == class(c) || (word(lower) && word(c));
                assert!(same || new.contains(&c), "{c:?} folds to {lower:?}");
            }
        }
    }
}
