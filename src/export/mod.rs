//! Models that leave, and models that arrive: folders in the Hugging Face format, and plain safetensors. Runs that leave, as logs
//! of TensorBoard.
//!
//! [`export`] writes a folder that `transformers` loads as `GPT2LMHeadModel` where the model is one that a GPT-2 can
//! represent ([`gpt2::obstacles`] says why not, otherwise), or plain safetensors with a PyTorch module of ours that
//! computes the same. [`tensorboard`] writes what a run logged. [`import`] reads a GPT-2-shaped folder. Folders are written beside their place and renamed: they are
//! whole or not there.

mod folder;
pub mod gpt2;
pub mod import;
mod plain;
pub mod tensorboard;
pub mod tensors;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::config::RunConfig;
use crate::model::LanguageModel;
use crate::state::StateError;
use crate::tokenizer::Tokenizer;

pub use folder::Replace;
pub use import::{ImportError, Imported, import_hf};

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What `transformers` loads as `GPT2LMHeadModel` and `AutoTokenizer`.
    HuggingFace,
    /// Tensors under our names, with a page that lists them and a PyTorch module that loads them.
    Safetensors,
}

/// The model to be exported.
#[derive(Debug, Clone, Copy)]
pub struct Exported<'a> {
    /// Name of the run.
    pub name: &'a str,
    /// Optimizer steps it was trained for.
    pub step: u64,
    pub config: &'a RunConfig,
    pub tokenizer: &'a Tokenizer,
    pub model: &'a LanguageModel,
}

/// Why a folder was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(
        "this model is none that a GPT-2 can represent: {}; `--to safetensors` exports every model", obstacles.join("; ")
    )]
    NotGpt2 { obstacles: Vec<String> },
    #[error("{} exists already; `--force` replaces it, or choose another folder with `--out`", path.display())]
    Exists { path: PathBuf },
    #[error("{} exists and is no folder; choose another with `--out`", path.display())]
    NotAFolder { path: PathBuf },
    #[error(
        "{} holds `{entry}`, which no export wrote, so that it is not replaced; choose another folder with `--out`",
        path.display()
    )]
    Foreign { path: PathBuf, entry: String },
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tensors(#[from] StateError),
}

/// Writes `exported` as the folder `out` and returns the names and sizes in bytes of its files.
///
/// # Errors
/// [`ExportError::NotGpt2`] where [`Format::HuggingFace`] cannot hold the model; a folder that is there already and may not be
/// replaced; I/O errors. Nothing is left behind then, and what was there is as it was.
pub fn export(
    exported: &Exported<'_>,
    format: Format,
    out: &Path,
    replace: Replace,
) -> Result<Vec<(String, u64)>, ExportError> {
    let files = match format {
        Format::HuggingFace => gpt2::files(exported)?,
        Format::Safetensors => plain::files(exported),
    };
    folder::write(out, replace, &files)
}

/// One file of an export.
#[derive(Debug)]
pub(crate) struct File {
    /// A path below the folder, with `/`.
    pub name: Cow<'static, str>,
    pub bytes: Vec<u8>,
}

impl File {
    fn json(name: &'static str, value: &serde_json::Value) -> Self {
        // `{:#}` of a JSON value is its indented form and cannot fail.
        File {
            name: name.into(),
            bytes: format!("{value:#}\n").into_bytes(),
        }
    }
}
