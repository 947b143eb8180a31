//! Our tokenizers against Python's, on real text: the numbers of `reference/tokenizer_ids.py`.

use std::path::Path;

use fireside::config::{TokenizerConfig, TokenizerKind};
use fireside::corpus::catalog;
use fireside::progress;
use fireside::tokenizer::Tokenizer;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn hexadecimal(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn reference() -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let json = std::fs::read_to_string(folder.join("tokenizer_ids.json")).unwrap();
    let reference: Value = serde_json::from_str(&json).unwrap();
    let script = std::fs::read(folder.join("tokenizer_ids.py")).unwrap();
    assert_eq!(
        reference["script"].as_str(),
        Some(hexadecimal(&script).as_str()),
        "the script has changed: run it again"
    );
    reference
}

fn check(name: &str, text: &str) {
    let reference = &reference()[name];
    assert_eq!(
        reference["text"].as_str(),
        Some(hexadecimal(text.as_bytes()).as_str()),
        "the text `{name}` has changed: run the script again"
    );
    // The script cuts after nine tenths of the characters, where a corpus is cut after nine tenths of the bytes.
    let cut = (0.9 * text.chars().count() as f64) as usize;
    let cut = text
        .char_indices()
        .nth(cut)
        .map_or(text.len(), |(at, _)| at);
    let (train, validation) = text.split_at(cut);
    for (kind, key, vocab_size) in [
        (TokenizerKind::Char, "char", 0),
        (TokenizerKind::Word, "word", 10_000),
        (TokenizerKind::Bpe, "bpe", 4096),
    ] {
        let config = TokenizerConfig {
            kind,
            vocab_size,
            min_freq: 1,
            lowercase: true,
        };
        let learned_from = if kind == TokenizerKind::Char {
            text
        } else {
            train
        };
        let tokenizer = Tokenizer::train(&config, learned_from, &mut progress::ignore).unwrap();
        let expected = &reference[key];
        assert_eq!(
            expected["vocabulary"].as_u64(),
            Some(tokenizer.vocab_size() as u64)
        );
        for (part, text) in [("train", train), ("validation", validation)] {
            let ids = tokenizer.encode(text);
            assert_eq!(expected[part]["tokens"].as_u64(), Some(ids.len() as u64));
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            assert_eq!(
                expected[part]["sha256"].as_str(),
                Some(hexadecimal(&bytes).as_str()),
                "{name}: {key} ids of the {part} part"
            );
        }
    }
}

#[test]
fn prose_gets_pythons_ids() {
    check("prose", include_str!("../src/tokenizer/tests_prose.txt"));
}

#[test]
fn tiny_shakespeare_gets_pythons_ids() {
    // Not part of the repository: checked where it has been fetched, or where TINY_SHAKESPEARE names the file.
    let path = std::env::var_os("TINY_SHAKESPEARE")
        .map(Into::into)
        .or_else(|| {
            let entry = catalog::find("tiny-shakespeare").unwrap();
            entry.and_then(|entry| entry.fetched())
        });
    match path {
        Some(path) => check("tiny-shakespeare", &std::fs::read_to_string(path).unwrap()),
        None => eprintln!("skipped: run `fireside corpus fetch tiny-shakespeare` first"),
    }
}
