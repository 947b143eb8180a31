//! The catalog of public corpora, `corpora/catalog.toml`, and where a fetched one lies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;

use super::error::CorpusError;
use super::folders;

/// The value of `sha256` where the sum is taken from the first download.
const RECORD: &str = "record on first download";

/// A public corpus.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[serde(skip)]
    pub name: String,
    pub title: String,
    pub url: String,
    /// The file inside the archive, where `url` is a zip.
    pub member: Option<String>,
    /// Length of the text, where it is known.
    pub bytes: Option<u64>,
    sha256: String,
    pub licence: String,
}

impl Entry {
    /// SHA-256 of the download in hexadecimal; `None` when the first download decides.
    pub fn sha256(&self) -> Option<&str> {
        Some(self.sha256.as_str()).filter(|sum| *sum != RECORD)
    }

    /// Where the text lies once it is fetched, in the data folder `data`.
    pub fn path(&self, data: &Path) -> PathBuf {
        folder(data).join(format!("{}.txt", self.name))
    }

    /// Where the text lies, if it was fetched.
    pub fn fetched(&self) -> Option<PathBuf> {
        let path = self.path(&folders::data()?);
        path.is_file().then_some(path)
    }

    #[cfg(test)]
    pub(super) fn for_test(url: String, sha256: Option<&str>, member: Option<&str>) -> Self {
        Self {
            name: "sample".into(),
            title: "a sample".into(),
            url,
            member: member.map(String::from),
            bytes: None,
            sha256: sha256.unwrap_or(RECORD).into(),
            licence: "none".into(),
        }
    }
}

/// The folder of fetched corpora.
pub(super) fn folder(data: &Path) -> PathBuf {
    data.join("corpora")
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let entries: BTreeMap<String, Entry> =
        toml::from_str(text).map_err(|error| error.to_string())?;
    entries
        .into_iter()
        .map(|(name, entry)| {
            let hexadecimal =
                |sum: &str| sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit());
            if entry.sha256().is_some_and(|sum| !hexadecimal(sum)) {
                return Err(format!("{name}: sha256 must be 64 hexadecimal digits"));
            }
            Ok(Entry { name, ..entry })
        })
        .collect()
}

static CATALOG: LazyLock<Result<Vec<Entry>, String>> =
    LazyLock::new(|| parse(include_str!("../../corpora/catalog.toml")));

/// All entries, by name.
///
/// # Errors
/// When the catalog that was built in is malformed; a test keeps that from happening.
pub fn entries() -> Result<&'static [Entry], CorpusError> {
    match &*CATALOG {
        Ok(entries) => Ok(entries),
        Err(problem) => Err(CorpusError::Catalog(problem.clone())),
    }
}

/// The entry of this name.
pub fn find(name: &str) -> Result<Option<&'static Entry>, CorpusError> {
    Ok(entries()?.iter().find(|entry| entry.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_well_formed() {
        let names: Vec<&str> = entries().unwrap().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "enwik8",
                "names",
                "text8",
                "tiny-shakespeare",
                "tinystories-valid",
                "wikitext-2"
            ]
        );
        for entry in entries().unwrap() {
            assert!(entry.url.starts_with("https://"), "{}", entry.name);
            assert_eq!(entry.url.ends_with(".zip"), entry.member.is_some());
            assert!(!entry.licence.is_empty() && !entry.title.is_empty());
        }
        let known = find("tiny-shakespeare").unwrap().unwrap();
        assert_eq!(
            (known.bytes, known.sha256().map(str::len)),
            (Some(1_115_394), Some(64))
        );
        assert_eq!(find("text8").unwrap().unwrap().sha256(), None);
        assert!(find("nothing").unwrap().is_none());
    }

    #[test]
    fn a_bad_catalog_is_an_error() {
        let entry = |sum: &str| {
            format!("[a]\ntitle = \"t\"\nurl = \"u\"\nlicence = \"l\"\nsha256 = \"{sum}\"\n")
        };
        assert!(parse(&entry(RECORD)).is_ok());
        assert!(parse(&entry("abc")).unwrap_err().contains("64 hexadecimal"));
        assert!(parse("[a]\nurl = 3\n").is_err());
    }
}
