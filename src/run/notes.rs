//! `notes.json`: what a person says about a run. Tags, a note, and the names the run had before it was renamed.
//!
//! Nothing of it changes what the run is; a run without the file has no notes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::dir::write_json;
use super::{RunError, RunFile};

/// The longest tag, in characters.
const LONGEST_TAG: usize = 32;
/// The longest note, in bytes.
const LONGEST_NOTE: usize = 64 << 10;

/// What is said about a run. Unknown fields of a later version are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// In the order in which they were given; none twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Names of the folder before this one, oldest first: other runs may name this one as their parent by them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub formerly: Vec<String>,
    #[serde(flatten)]
    pub(super) others: serde_json::Map<String, serde_json::Value>,
}

impl Notes {
    /// The notes of the run in `dir`; none where there is no file.
    ///
    /// # Errors
    /// [`RunError::Damaged`] where the file is not what it should be, so that it is not written over; I/O errors.
    pub fn read(dir: &Path) -> Result<Self, RunError> {
        let path = dir.join(RunFile::Notes.name());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Notes::default());
            }
            Err(error) => return Err(RunError::io("read", &path)(error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| RunError::Damaged {
            path,
            reason: error.to_string(),
        })
    }

    /// Writes them whole.
    ///
    /// # Errors
    /// I/O errors.
    pub fn write(&self, dir: &Path) -> Result<(), RunError> {
        write_json(&dir.join(RunFile::Notes.name()), self)
    }

    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.note.is_empty()
    }

    /// Gives or, with a `-` before it, takes away tags: `baseline -old`. Separated by blanks or commas.
    ///
    /// # Errors
    /// What is wrong with a tag, in words; nothing is changed then.
    pub fn change_tags(&mut self, words: &str) -> Result<(), String> {
        let mut tags = self.tags.clone();
        for word in words
            .split([' ', ',', '\t', '\n'])
            .filter(|w| !w.is_empty())
        {
            let (remove, tag) = match word.strip_prefix('-') {
                Some(tag) => (true, tag),
                None => (false, word.strip_prefix('+').unwrap_or(word)),
            };
            check_tag(tag)?;
            tags.retain(|other| other != tag || !remove);
            if !remove && !tags.iter().any(|other| other == tag) {
                tags.push(tag.to_string());
            }
        }
        self.tags = tags;
        Ok(())
    }

    /// Replaces all tags by these, separated by blanks or commas.
    ///
    /// # Errors
    /// As [`Notes::change_tags`].
    pub fn set_tags(&mut self, words: &str) -> Result<(), String> {
        let before = std::mem::take(&mut self.tags);
        self.change_tags(words).inspect_err(|_| self.tags = before)
    }

    /// # Errors
    /// A note that is too long, in words.
    pub fn set_note(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text.len() > LONGEST_NOTE {
            return Err(format!(
                "the note has {} bytes; at most {LONGEST_NOTE} are allowed",
                text.len()
            ));
        }
        self.note = text.to_string();
        Ok(())
    }
}

/// A tag can be written in a filter without quotes.
fn check_tag(tag: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    if tag.is_empty() {
        return Err("a tag cannot be empty".to_string());
    }
    if let Some(bad) = tag.chars().find(|c| !allowed(*c)) {
        return Err(format!(
            "tag `{tag}`: `{bad}` is not allowed; letters, digits and - _ . / : are"
        ));
    }
    if tag.chars().count() > LONGEST_TAG {
        return Err(format!("tag `{tag}`: longer than {LONGEST_TAG} characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_given_once_and_taken_away() {
        let mut notes = Notes::default();
        notes.change_tags("baseline, good +good").unwrap();
        assert_eq!(notes.tags, ["baseline", "good"]);
        notes.change_tags("-baseline lr/high").unwrap();
        assert_eq!(notes.tags, ["good", "lr/high"]);
        let message = notes.change_tags("fine a&b").unwrap_err();
        assert!(message.contains("`a&b`: `&` is not allowed"), "{message}");
        assert_eq!(notes.tags, ["good", "lr/high"], "nothing of it was taken");
        assert!(notes.set_tags("x\u{7}").is_err());
        assert_eq!(notes.tags, ["good", "lr/high"]);
        notes.set_tags("").unwrap();
        assert!(notes.tags.is_empty());
        assert!(notes.change_tags(&"x".repeat(33)).is_err());
    }

    #[test]
    fn notes_are_whole_on_disk_and_a_later_version_keeps_its_fields() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Notes::read(dir.path()).unwrap(), Notes::default());
        std::fs::write(
            dir.path().join("notes.json"),
            r#"{"tags":["a"],"colour":"red"}"#,
        )
        .unwrap();
        let mut notes = Notes::read(dir.path()).unwrap();
        notes.set_note("  what\nhappened  ").unwrap();
        notes.write(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("notes.json")).unwrap();
        assert!(text.contains("red"), "{text}");
        assert_eq!(Notes::read(dir.path()).unwrap().note, "what\nhappened");
        // What cannot be read is said, not written over.
        std::fs::write(dir.path().join("notes.json"), "{").unwrap();
        assert!(matches!(
            Notes::read(dir.path()),
            Err(RunError::Damaged { .. })
        ));
    }
}
