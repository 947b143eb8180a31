//! `stories`: a corpus that needs no download, of any length, whose entropy is known.
//!
//! Simple children's tales from a probabilistic grammar (`grammar.txt`): a plot is chosen, its people, animals, things and
//! places are drawn, and the text follows with choices of wording. What is drawn early holds to the end (names, pronouns,
//! number, the colour of the thing that was lost), so a longer memory gives a lower loss. The format of the grammar is
//! described in `grammar`, the computation of the entropy in `entropy`.
//!
//! ```
//! let text = fireside::corpus::stories::generate(2_000, 1);
//! assert!(text.len() >= 2_000 && text.ends_with("\n\n"));
//! assert!(fireside::corpus::stories::entropy().bits_per_byte < 1.0);
//! ```

mod entropy;
mod grammar;
mod random;
#[cfg(test)]
mod unambiguous;

use std::io;
use std::sync::LazyLock;

pub use self::entropy::SourceEntropy;
use self::grammar::{Grammar, Node, Plot};
use self::random::Random;

/// Follows every story, the last one too. A story has line breaks but no blank line of its own.
pub const SEPARATOR: &str = "\n\n";

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    Grammar::read(include_str!("grammar.txt")).unwrap_or_else(|problem| {
        // The grammar is part of the program and every test of this module reads it.
        unreachable!("the built-in grammar of the stories: {problem}")
    })
});

static ENTROPY: LazyLock<SourceEntropy> = LazyLock::new(|| entropy::of_grammar(&GRAMMAR));

/// Whole stories, at least `bytes` bytes of them and no story more than needed. The same seed gives the same text for
/// ever, and a shorter text is the beginning of a longer one. Nothing is written for zero bytes.
pub fn generate(bytes: u64, seed: u64) -> String {
    let mut stories = Stories::new(seed);
    let mut text = String::with_capacity(
        usize::try_from(bytes)
            .unwrap_or(0)
            .saturating_add(4096)
            .min(1 << 30),
    );
    while (text.len() as u64) < bytes {
        stories.next_into(&mut text);
    }
    text
}

/// The text of [`generate`], written piece by piece, for lengths that should not be held in memory. Returns the number of
/// bytes written.
///
/// # Errors
/// Whatever `out` reports.
pub fn write(out: &mut impl io::Write, bytes: u64, seed: u64) -> io::Result<u64> {
    const PIECE: usize = 64 * 1024;
    let mut stories = Stories::new(seed);
    let mut piece = String::with_capacity(PIECE + 8192);
    let mut written = 0;
    while written < bytes {
        piece.clear();
        while piece.len() < PIECE && written + (piece.len() as u64) < bytes {
            stories.next_into(&mut piece);
        }
        out.write_all(piece.as_bytes())?;
        written += piece.len() as u64;
    }
    Ok(written)
}

/// The entropy of the source, exact: see the module `entropy` for how it is computed and why it is exact.
pub fn entropy() -> SourceEntropy {
    *ENTROPY
}

/// The information in one story (without the blank line after it): -log2 of the probability that the source writes
/// exactly this text, in bits. `None` when the source never writes it. It tells a story that a model made up within the
/// rules from one with a slip in it.
pub fn information(story: &str) -> Option<f64> {
    entropy::derivations(&GRAMMAR, story).first().copied()
}

/// An endless stream of stories.
#[derive(Debug, Clone)]
pub struct Stories {
    random: Random,
    drawn: Vec<usize>,
}

impl Stories {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            drawn: Vec::new(),
        }
    }

    /// Appends the next story and the blank line after it.
    pub fn next_into(&mut self, text: &mut String) {
        let grammar = &*GRAMMAR;
        let plot = &grammar.plots[self.pick(grammar.plots.iter().map(|plot| plot.weight))];
        self.drawn.clear();
        for variable in &plot.variables {
            let rows = &grammar.classes[variable.class].rows;
            let weight_of = |row: usize| {
                if grammar.available(variable, row, &self.drawn, plot) {
                    rows[row].weight
                } else {
                    0
                }
            };
            let weights: Vec<u32> = (0..rows.len()).map(weight_of).collect();
            let row = self.pick(weights.iter().copied());
            self.drawn.push(row);
        }
        self.write_nodes(grammar, plot, &plot.body, text);
        text.push_str(SEPARATOR);
    }

    fn write_nodes(&mut self, grammar: &Grammar, plot: &Plot, nodes: &[Node], text: &mut String) {
        for node in nodes {
            match node {
                Node::Text(literal) => text.push_str(literal),
                Node::Value {
                    variable,
                    column,
                    capital,
                } => {
                    let row = &grammar.classes[plot.variables[*variable].class].rows
                        [self.drawn[*variable]];
                    text.push_str(&row.values[*column][usize::from(*capital)]);
                }
                Node::Choice(branches) => {
                    let branch = &branches[self.pick(branches.iter().map(|branch| branch.weight))];
                    self.write_nodes(grammar, plot, &branch.nodes, text);
                }
            }
        }
    }

    /// An index, with probability in proportion to its weight.
    fn pick(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let total: u32 = weights.clone().sum();
        let mut left = self.random.below(total);
        for (index, weight) in weights.enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("a number below the sum of the weights falls within one of them")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use sha2::{Digest, Sha256};

    use super::*;

    fn hash(text: &str) -> String {
        Sha256::digest(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_text_for_ever() {
        // A change of these numbers changes everyone's corpus: it must be meant, and told in the changelog.
        let text = generate(100_000, 1);
        assert_eq!(
            hash(&text),
            "bd1674bac14d4a0c861c7f6c7bd619a7d9dd4e0769b6dd91c33b99bc85878574"
        );
    }

    #[test]
    fn texts_end_at_a_story_boundary_and_extend_one_another() {
        assert_eq!(generate(0, 5), "");
        let long = generate(20_000, 5);
        for bytes in [1, 999, 5_000] {
            let text = generate(bytes, 5);
            assert!(long.starts_with(&text) && text.ends_with(SEPARATOR));
            let without_last = text
                .trim_end()
                .rfind(SEPARATOR)
                .map_or(0, |at| at + SEPARATOR.len());
            assert!((without_last as u64) < bytes && text.len() as u64 >= bytes);
        }
        assert_ne!(generate(1, 5), generate(1, 6));
    }

    #[test]
    fn the_writer_gives_the_same_bytes() {
        for bytes in [0, 1, 65_536, 300_000] {
            let mut out = Vec::new();
            let written = write(&mut out, bytes, 9).expect("a vector takes everything");
            assert_eq!(written, out.len() as u64);
            assert!(out == generate(bytes, 9).as_bytes());
        }
    }

    #[test]
    fn the_text_is_well_formed() {
        let text = generate(1_000_000, 3);
        assert!(
            text.is_ascii(),
            "a small alphabet keeps the char vocabulary small"
        );
        for bad in [
            "  ", " \n", "\n ", " .", " ,", " !", " ?", "..", ",.", "\n\n\n", " a a", " a e",
            " a i", " a o ", "the the ",
        ] {
            if let Some(at) = text.find(bad) {
                panic!(
                    "{bad:?} in {:?}",
                    &text[at.saturating_sub(60)..(at + 60).min(text.len())]
                );
            }
        }
        for line in text.lines().filter(|line| !line.is_empty()) {
            assert!(
                line.starts_with(|c: char| c.is_ascii_uppercase() || c == '"'),
                "{line}"
            );
            assert!(line.ends_with(['.', '!', '?', '"']), "{line}");
            assert!(
                line.matches('"').count() % 2 == 0,
                "quotation marks come in pairs: {line}"
            );
            for sentence in line.split(['.', '!', '?']).map(str::trim_start) {
                let begins_small = sentence.starts_with(|c: char| c.is_ascii_lowercase());
                assert!(!begins_small, "{sentence:?} in {line}");
            }
        }
    }

    #[test]
    fn a_megabyte_has_enough_words_and_no_two_equal_stories() {
        let text = generate(1_000_000, 1);
        let words: HashSet<String> = text
            .split(|c: char| !c.is_alphabetic())
            .filter(|w| !w.is_empty())
            .map(str::to_lowercase)
            .collect();
        assert!(words.len() >= 300, "{} word types", words.len());
        let mut seen = HashMap::new();
        for story in text.split(SEPARATOR).filter(|story| !story.is_empty()) {
            *seen.entry(story).or_insert(0) += 1;
        }
        assert!(seen.len() > 500);
        assert!(seen.values().all(|&n| n == 1));
    }

    #[test]
    fn a_slip_in_a_story_is_noticed() {
        let text = generate(20_000, 11);
        let mut checked = 0;
        for story in text.split_terminator(SEPARATOR) {
            assert!(information(story).is_some());
            // Somebody unknown, where the story speaks of its first character for the last time.
            let after = story.split(" named ").nth(1);
            let name = after.and_then(|rest| rest.split(['.', ',']).next());
            let name = name.expect("the hero is named");
            let (before, after) = story.rsplit_once(name).expect("and the name stands there");
            assert!(information(&format!("{before}Nobody{after}")).is_none());
            checked += 1;
        }
        assert!(checked > 10);
        assert!(information("Once upon a time nothing happened.").is_none());
    }

    #[test]
    fn every_plot_is_told() {
        let mut told = HashSet::new();
        for plot in &GRAMMAR.plots {
            assert!(plot.weight > 0 && told.insert(plot.name.as_str()));
        }
        assert!(told.len() >= 8, "several plots: {told:?}");
        let mut stories = Stories::new(11);
        let mut text = String::new();
        (0..500).for_each(|_| stories.next_into(&mut text));
        for word in [
            "birthday",
            "afraid of",
            "It is mine!",
            "Is it a ",
            "scarf",
            "new seeds",
            "knock at the door",
        ] {
            assert!(text.contains(word), "{word}");
        }
    }

    #[test]
    fn the_entropy_agrees_with_a_monte_carlo_estimate() {
        let n = 3_000;
        let mut stories = Stories::new(2);
        let (mut bits, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let mut story = String::new();
            stories.next_into(&mut story);
            bytes.push(story.len() as f64);
            let derivations = entropy::derivations(&GRAMMAR, story.trim_end());
            assert_eq!(derivations.len(), 1, "{story}");
            bits.push(derivations[0]);
        }
        let exact = entropy();
        assert!(exact.exact);
        for (samples, expected) in [
            (&bits, exact.bits_per_story),
            (&bytes, exact.bytes_per_story),
        ] {
            let mean = samples.iter().sum::<f64>() / n as f64;
            let variance = samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            let standard_error = (variance / n as f64).sqrt();
            assert!(
                (mean - expected).abs() < 3.0 * standard_error,
                "mean {mean}, exact {expected}, standard error {standard_error}"
            );
        }
        let ratio = bits.iter().sum::<f64>() / bytes.iter().sum::<f64>();
        assert!(
            (ratio - exact.bits_per_byte).abs() < 0.01 * exact.bits_per_byte,
            "{ratio} against {exact:?}"
        );
    }
}
