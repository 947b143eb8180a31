//! What can be wrong with a corpus.

use std::io;
use std::path::PathBuf;

/// Why a corpus could not be opened. Every message names the source and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    #[error(
        "there is no corpus named `{name}`: corpus.name is one of {known}; for your own text set corpus.path"
    )]
    UnknownName { name: String, known: String },
    #[error(
        "the corpus `{name}` is not on this machine yet: get it with `fireside corpus fetch {name}`"
    )]
    NotFetched { name: String },
    #[error("corpus.path: {} does not exist", path.display())]
    Missing { path: PathBuf },
    #[error("corpus.path: cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("corpus.path: `{pattern}` is not a valid glob: {problem}")]
    BadGlob { pattern: String, problem: String },
    #[error("corpus.path: `{pattern}` matches no file")]
    NoMatch { pattern: String },
    #[error("corpus.path: the folder {} holds no text files", path.display())]
    NoText { path: PathBuf },
    #[error("the corpus `{source_name}` is empty")]
    Empty { source_name: String },
    #[error(
        "corpus.path: `-` is standard input, and nothing came from it; a run that took its text from there needs the same \
         text again to go on"
    )]
    EmptyInput,
    #[error(
        "corpus.path: `-` is standard input, and here that is the keyboard; send a text to it \
         (`fireside train … --headless < book.txt`), or name a file"
    )]
    Keyboard,
    #[error("{source_name} is binary, not text: byte {position} is zero{hint}")]
    Binary {
        source_name: String,
        position: u64,
        hint: &'static str,
    },
    #[error(
        "{source_name} is not UTF-8: the first bad byte is at position {position}; to replace what cannot be read, \
         set corpus.lossy = true"
    )]
    NotUtf8 { source_name: String, position: u64 },
    #[error("cannot hold the corpus in a temporary file in {}: {error}", path.display())]
    Spool { path: PathBuf, error: io::Error },
    #[error("corpora/catalog.toml: {0}")]
    Catalog(String),
    #[error("stopped while reading the corpus")]
    Stopped,
}
