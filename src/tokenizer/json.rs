//! Reading Hugging Face `tokenizer.json`.
//!
//! The `tokenizers` crate parses and checks the file; what kind it is shows in its parts: `word` is a WordLevel
//! model behind this crate's pattern, `char` a BPE model without merges or pre-tokenizer, `bpe` a BPE model
//! behind GPT-2's byte-level pre-tokenizer (so GPT-2's own vocabulary loads too).

use serde_json::Value;

use super::Inner;
use super::bpe::Bpe;
use super::character::Characters;
use super::error::TokenizerError;
use super::word::{PATTERN, Words};

/// The parts of a `tokenizer.json` that decide what it does.
pub(super) struct Parts {
    file: Value,
    /// By id.
    tokens: Vec<String>,
    special: Vec<u32>,
}

fn unsupported<T>(problem: impl Into<String>) -> Result<T, TokenizerError> {
    Err(TokenizerError::Unsupported(problem.into()))
}

/// Reads any of the three kinds.
pub(super) fn read(json: &str) -> Result<Inner, TokenizerError> {
    let parts = parse(json)?;
    let model = &parts.file["model"];
    match (model["type"].as_str(), parts.pre_tokenizer()) {
        (Some("WordLevel"), Some("Split")) => parts.into_words().map(Inner::Word),
        (Some("BPE"), None) => parts.into_characters().map(Inner::Char),
        (Some("BPE"), Some("ByteLevel")) => parts.into_bpe(json.to_string()).map(Inner::Bpe),
        (Some(model), pre_tokenizer) => unsupported(format!(
            "it has a {model} model with {} pre-tokenizer",
            pre_tokenizer.map_or("no".to_string(), |name| format!("a {name}"))
        )),
        (None, _) => unsupported("its model has no type"),
    }
}

/// Checks the file with the crate and takes out the vocabulary.
pub(super) fn parse(json: &str) -> Result<Parts, TokenizerError> {
    let malformed = |problem: String| TokenizerError::Malformed(problem);
    let file: Value = serde_json::from_str(json).map_err(|e| malformed(e.to_string()))?;
    let checked = tokenizers::Tokenizer::from_bytes(json).map_err(|e| malformed(e.to_string()))?;
    let mut tokens: Vec<(u32, String)> = checked
        .get_vocab(true)
        .into_iter()
        .map(|(token, id)| (id, token))
        .collect();
    tokens.sort_unstable();
    if let Some((expected, (id, _))) = (0..).zip(&tokens).find(|(at, (id, _))| at != id) {
        return unsupported(format!(
            "ids must be 0, 1, 2 …, but {id} stands where {expected} is expected"
        ));
    }
    let tokens: Vec<String> = tokens.into_iter().map(|(_, token)| token).collect();
    let special = file["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| token["id"].as_u64())
        .map(|id| id as u32)
        .collect();
    Ok(Parts {
        file,
        tokens,
        special,
    })
}

impl Parts {
    fn pre_tokenizer(&self) -> Option<&str> {
        self.file["pre_tokenizer"]["type"].as_str()
    }

    fn normalizer(&self) -> Option<&str> {
        self.file["normalizer"]["type"].as_str()
    }

    fn into_words(self) -> Result<Words, TokenizerError> {
        let split = &self.file["pre_tokenizer"];
        let ours = split["pattern"]["Regex"].as_str() == Some(PATTERN)
            && split["behavior"].as_str() == Some("Removed")
            && split["invert"].as_bool() == Some(true);
        if !ours {
            return unsupported("its words are split by another pattern");
        }
        let lowercase = match self.normalizer() {
            None => false,
            Some("Lowercase") => true,
            Some(other) => return unsupported(format!("it normalises text with {other}")),
        };
        Words::from_tokens(self.tokens, lowercase)
    }

    fn into_characters(self) -> Result<Characters, TokenizerError> {
        let merges = self.file["model"]["merges"].as_array();
        if merges.is_some_and(|merges| !merges.is_empty()) {
            return unsupported("its BPE model has merges but no byte-level pre-tokenizer");
        }
        if let Some(other) = self.normalizer() {
            return unsupported(format!("it normalises text with {other}"));
        }
        Characters::from_tokens(&self.tokens)
    }

    pub(super) fn into_bpe(self, json: String) -> Result<Bpe, TokenizerError> {
        let byte_level = &self.file["pre_tokenizer"];
        if byte_level["add_prefix_space"].as_bool() != Some(false) {
            return unsupported("it puts a space before the text");
        }
        if byte_level["use_regex"].as_bool() == Some(false) {
            return unsupported("it does not split text with GPT-2's pattern");
        }
        if let Some(other) = self.normalizer() {
            return unsupported(format!("it normalises text with {other}"));
        }
        let model = &self.file["model"];
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if model[key].as_str().is_some_and(|text| !text.is_empty()) {
                return unsupported(format!("its model uses {key}"));
            }
        }
        if model["ignore_merges"].as_bool() == Some(true) {
            return unsupported("its model uses ignore_merges");
        }
        let merges: Option<Vec<(String, String)>> = model["merges"]
            .as_array()
            .into_iter()
            .flatten()
            .map(merge)
            .collect();
        let Some(merges) = merges else {
            return unsupported("its merges are not pairs");
        };
        Bpe::from_parts(&self.tokens, &merges, &self.special, json)
    }
}

/// A merge is `["a", "b"]`, or `"a b"` in older files.
fn merge(value: &Value) -> Option<(String, String)> {
    let (left, right) = match value {
        Value::String(text) => text.split_once(' ')?,
        Value::Array(sides) => match &sides[..] {
            [left, right] => (left.as_str()?, right.as_str()?),
            _ => return None,
        },
        _ => return None,
    };
    Some((left.to_string(), right.to_string()))
}
