//! The texts that are part of the program: written for this project, under its licence (see `corpora/README.md`).

/// A text that needs no file and no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltinText {
    /// What `corpus.name` calls it.
    pub name: &'static str,
    /// For lists and headings.
    pub title: &'static str,
    /// One line on what it is.
    pub description: &'static str,
    /// All of it, in ASCII.
    pub text: &'static str,
}

/// Every built-in text. The generator `stories` is not among them: its text has no fixed length.
pub const TEXTS: &[BuiltinText] = &[
    BuiltinText {
        name: "fables",
        title: "Fables",
        description: "Short fables of animals, trades and kings, each with a title in capitals",
        text: include_str!("../../corpora/fables.txt"),
    },
    BuiltinText {
        name: "play",
        title: "The Lighthouse of Corran",
        description: "A play in blank verse and a short comedy: acts, scenes, speaker names in capitals",
        text: include_str!("../../corpora/play.txt"),
    },
    BuiltinText {
        name: "encyclopaedia",
        title: "A Small Encyclopaedia",
        description: "Plain articles on nature, tools and ideas, from abacus to zinc",
        text: include_str!("../../corpora/encyclopaedia.txt"),
    },
];

/// The text of that name.
pub fn find(name: &str) -> Option<&'static BuiltinText> {
    TEXTS.iter().find(|text| text.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_are_found_by_name() {
        assert_eq!(
            find("play").map(|text| text.title),
            Some("The Lighthouse of Corran")
        );
        assert!(find("stories").is_none());
        let names: HashSet<&str> = TEXTS.iter().map(|text| text.name).collect();
        assert_eq!(names.len(), TEXTS.len());
    }

    #[test]
    fn texts_are_clean() {
        for BuiltinText { name, text, .. } in TEXTS {
            assert!(
                text.is_ascii(),
                "{name}: a small alphabet keeps the char vocabulary small"
            );
            assert!(
                !text.contains('\r') && !text.contains('\t') && !text.contains("\n\n\n\n"),
                "{name}"
            );
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}");
            assert!(
                text.lines().all(|line| line == line.trim_end()),
                "{name}: spaces at a line's end"
            );
        }
    }

    #[test]
    fn long_paragraphs_are_not_repeated() {
        for BuiltinText { name, text, .. } in TEXTS {
            let mut seen = HashSet::new();
            for paragraph in text
                .split("\n\n")
                .map(str::trim)
                .filter(|paragraph| paragraph.len() > 60)
            {
                assert!(seen.insert(paragraph), "{name}: twice: {paragraph}");
            }
        }
    }
}
