//! The rows of `corpus` and `tokenizer`: the text, and how it is cut.

use super::{MANY, float, integer, is};
use crate::config::fields::{Condition, Default, Field, FieldKind, Limit, Step};
use crate::config::value::Constant::{Bool, Float, Integer, List, Text};

use Default::{By, Same};

const WORD: &[Condition] = &[is("tokenizer.kind", &["word"])];
const STORIES: &[Condition] = &[
    Condition::Empty { key: "corpus.path" },
    is("corpus.name", &["stories"]),
];

pub(super) const FIELDS: &[Field] = &[
    // corpus
    Field {
        key: "corpus.name",
        kind: FieldKind::Text,
        default: Same(Text("stories")),
        conditions: &[Condition::Empty { key: "corpus.path" }],
        step: Step::Among(&[
            "stories",
            "fables",
            "play",
            "encyclopaedia",
            "enwik8",
            "names",
            "text8",
            "tiny-shakespeare",
            "tinystories-valid",
            "wikitext-2",
        ]),
        description: "A built-in text, the generator `stories`, or a downloaded text of the catalog.",
    },
    Field {
        key: "corpus.path",
        kind: FieldKind::TextList,
        default: Same(List(&[])),
        conditions: &[],
        step: Step::Typed,
        description: "Your own text: files, folders or globs, joined in order, or `-` for standard input; replaces corpus.name.",
    },
    Field {
        key: "corpus.validation_fraction",
        kind: float(Limit::Included(0.001), Limit::Included(0.5)),
        default: Same(Float(0.1)),
        conditions: &[],
        step: Step::Add(0.05),
        description: "Share of the bytes, at the end of the text, that is held out for validation.",
    },
    Field {
        key: "corpus.bytes",
        kind: integer(1_000, MANY),
        default: Same(Integer(4_000_000)),
        conditions: STORIES,
        step: Step::Multiply(2.0),
        description: "Length of the generated text in bytes.",
    },
    Field {
        key: "corpus.seed",
        kind: integer(0, i64::MAX),
        default: Same(Integer(1337)),
        conditions: STORIES,
        step: Step::Add(1.0),
        description: "Seed of the generated text: the same seed and length give the same text.",
    },
    Field {
        key: "corpus.lossy",
        kind: FieldKind::Bool,
        default: Same(Bool(false)),
        conditions: &[],
        step: Step::Next,
        description: "Accept text that is not valid UTF-8, replacing what cannot be read.",
    },
    // tokenizer
    Field {
        key: "tokenizer.kind",
        kind: FieldKind::Choice(&["char", "word", "bpe"]),
        default: By(
            "model.kind",
            &[("char-rnn", Text("char")), ("gpt", Text("bpe"))],
            Text("word"),
        ),
        conditions: &[],
        step: Step::Next,
        description: "What a token is: a character, a word, or a byte-pair piece learned from the corpus.",
    },
    Field {
        key: "tokenizer.vocab_size",
        kind: integer(16, 1_000_000),
        default: By("tokenizer.kind", &[("bpe", Integer(512))], Integer(2000)),
        conditions: &[is("tokenizer.kind", &["word", "bpe"])],
        step: Step::Multiply(2.0),
        description: "Largest vocabulary: the most frequent words, or the bytes and merges of bpe (at least 256).",
    },
    Field {
        key: "tokenizer.min_freq",
        kind: integer(1, 1_000_000),
        default: Same(Integer(2)),
        conditions: WORD,
        step: Step::Add(1.0),
        description: "Words seen fewer times in the training part become `<unk>`.",
    },
    Field {
        key: "tokenizer.lowercase",
        kind: FieldKind::Bool,
        default: Same(Bool(false)),
        conditions: WORD,
        step: Step::Next,
        description: "Fold upper case to lower case before splitting into words.",
    },
];
