//! GPT-2-shaped folders, as `transformers` writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::gpt2::{pairs, transposed};
use super::tensors;
use crate::config::{
    self, ActivationKind, ConfigErrors, InitKind, ModelConfig, NormKind, PositionKind, RunConfig,
    Source, TransformerConfig,
};
use crate::state::NamedTensor;
use crate::tokenizer::{Tokenizer, TokenizerError};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";
const HEAD: &str = "lm_head.weight";
/// Peak learning rate of an imported run: trained weights bear less than new ones do.
const LEARNING_RATE: f64 = 3e-4;

/// A model from elsewhere, as a run of ours would have it.
#[derive(Debug)]
pub struct Imported {
    /// The gpt preset with the model that the folder describes.
    pub config: RunConfig,
    pub tokenizer: Tokenizer,
    /// Under our names.
    pub tensors: Vec<NamedTensor>,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// Why a folder cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{} is no folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} has no {name}: {hint}", folder.display())]
    Missing {
        folder: PathBuf,
        name: &'static str,
        hint: String,
    },
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} describes no GPT-2: {key} is {found}, expected {expected}", path.display())]
    NotGpt2 {
        path: PathBuf,
        key: &'static str,
        found: String,
        expected: String,
    },
    #[error(
        "{}: {count} tensors of this GPT-2 are missing, the first of them `{first}`", path.display()
    )]
    MissingTensors {
        path: PathBuf,
        count: usize,
        first: String,
    },
    #[error("{}: tensor `{name}` has shape {found:?}, expected {expected:?} by {CONFIG}", path.display())]
    Shape {
        path: PathBuf,
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    #[error("{}: tensor `{name}` is not part of a GPT-2 of this size", path.display())]
    Unexpected { path: PathBuf, name: String },
    #[error(
        "{CONFIG} ties the output layer to the embedding, but `{HEAD}` in {} differs from it", path.display()
    )]
    NotTied { path: PathBuf },
    #[error(
        "{TOKENIZER} has {tokenizer} tokens, but vocab_size in {CONFIG} is {model}; they must be equal \
         (`model.resize_token_embeddings(len(tokenizer))` in transformers makes them so)"
    )]
    Vocabulary { tokenizer: usize, model: usize },
    #[error("{}: {source}", path.display())]
    Tokenizer {
        path: PathBuf,
        source: TokenizerError,
    },
    #[error("this model is outside what fireside trains: {0}")]
    Config(ConfigErrors),
}

/// Reads `config.json`, `model.safetensors` (or its shards) and `tokenizer.json`.
///
/// # Errors
/// Whatever is missing, malformed or not what a GPT-2 of ours could be, named with its file.
pub fn import_hf(folder: &Path) -> Result<Imported, ImportError> {
    if !folder.is_dir() {
        return Err(ImportError::NotAFolder(folder.to_path_buf()));
    }
    let mut notices = Vec::new();
    let path = folder.join(CONFIG);
    let described = Described::read(folder, &path, &mut notices)?;
    let tokenizer = read_tokenizer(folder)?;
    if tokenizer.vocab_size() != described.vocab {
        return Err(ImportError::Vocabulary {
            tokenizer: tokenizer.vocab_size(),
            model: described.vocab,
        });
    }
    let config = run_config(folder, &described, &tokenizer)?;
    let tensors = read_tensors(folder, &described)?;
    Ok(Imported {
        config,
        tokenizer,
        tensors,
        notices,
    })
}

/// What `config.json` says.
struct Described {
    model: TransformerConfig,
    vocab: usize,
}

impl Described {
    fn read(folder: &Path, path: &Path, notices: &mut Vec<String>) -> Result<Self, ImportError> {
        let text = read(folder, CONFIG, "a folder of transformers has one")?;
        let json: Value = serde_json::from_slice(&text).map_err(unreadable(path))?;
        let reader = Reader { path, json: &json };
        reader.demand("model_type", &"gpt2".into(), None)?;
        reader.demand("scale_attn_weights", &true.into(), Some(true.into()))?;
        for key in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
            reader.demand(key, &false.into(), Some(false.into()))?;
        }
        let epsilon = json["layer_norm_epsilon"].as_f64().unwrap_or(1e-5);
        if (epsilon - 1e-5).abs() > 1e-12 {
            return Err(reader.wrong("layer_norm_epsilon", "1e-5"));
        }
        let activation = match json["activation_function"].as_str().unwrap_or("gelu_new") {
            // One function under two names.
            "gelu_new" | "gelu_pytorch_tanh" => ActivationKind::GeluTanh,
            "gelu" => ActivationKind::Gelu,
            "relu" => ActivationKind::Relu,
            _ => {
                let expected = "gelu_new, gelu_pytorch_tanh, gelu or relu";
                return Err(reader.wrong("activation_function", expected));
            }
        };
        let d_model = reader.size("n_embd")?;
        let n_heads = reader.size("n_head")?;
        if !d_model.is_multiple_of(n_heads) {
            return Err(reader.wrong("n_head", &format!("a divisor of n_embd ({d_model})")));
        }
        let d_ff = match json["n_inner"] {
            Value::Null => 0,
            _ => match reader.size("n_inner")? {
                width if width == 4 * d_model => 0,
                width => width,
            },
        };
        let rates = ["resid_pdrop", "embd_pdrop", "attn_pdrop"]
            .map(|key| json[key].as_f64().unwrap_or(0.1));
        if rates.iter().any(|rate| *rate != rates[0]) {
            notices.push(format!(
                "dropout rates differ ({rates:?} for residuals, embeddings, attention); model.dropout is the first"
            ));
        }
        Ok(Described {
            vocab: reader.size("vocab_size")?,
            model: TransformerConfig {
                context_length: reader.size("n_positions")?,
                d_model,
                n_heads,
                n_layers: reader.size("n_layer")?,
                d_ff,
                dropout: rates[0],
                norm: NormKind::Pre,
                activation,
                positions: PositionKind::Learned,
                scale_embeddings: false,
                tied_head: json["tie_word_embeddings"].as_bool().unwrap_or(true),
                bias: true,
                qkv_bias: true,
                head_bias: false,
                init: InitKind::Gpt2,
            },
        })
    }
}

/// One `config.json`. A key that is absent has its default in `transformers`.
struct Reader<'a> {
    path: &'a Path,
    json: &'a Value,
}

impl Reader<'_> {
    fn wrong(&self, key: &'static str, expected: &str) -> ImportError {
        ImportError::NotGpt2 {
            path: self.path.to_path_buf(),
            key,
            found: match &self.json[key] {
                Value::Null => "absent".to_string(),
                value => value.to_string(),
            },
            expected: expected.to_string(),
        }
    }

    fn demand(
        &self,
        key: &'static str,
        expected: &Value,
        absent: Option<Value>,
    ) -> Result<(), ImportError> {
        let found = match &self.json[key] {
            Value::Null => absent.as_ref(),
            value => Some(value),
        };
        match found == Some(expected) {
            true => Ok(()),
            false => Err(self.wrong(key, &expected.to_string())),
        }
    }

    fn size(&self, key: &'static str) -> Result<usize, ImportError> {
        self.json[key]
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| *size > 0)
            .ok_or_else(|| self.wrong(key, "a number above 0"))
    }
}

fn read_tokenizer(folder: &Path) -> Result<Tokenizer, ImportError> {
    let path = folder.join(TOKENIZER);
    if !path.is_file() {
        return Err(ImportError::Missing {
            folder: folder.to_path_buf(),
            name: TOKENIZER,
            hint:
                "save the tokenizer beside the model (`tokenizer.save_pretrained` in transformers)"
                    .to_string(),
        });
    }
    Tokenizer::load(&path).map_err(|source| ImportError::Tokenizer { path, source })
}

/// The gpt preset around this model; checked as any configuration is.
fn run_config(
    folder: &Path,
    described: &Described,
    tokenizer: &Tokenizer,
) -> Result<RunConfig, ImportError> {
    let mut config =
        config::load(Source::Preset("gpt".to_string()), &[]).map_err(ImportError::Config)?;
    config.name = std::path::absolute(folder)
        .unwrap_or_else(|_| folder.to_path_buf())
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    config.model = ModelConfig::Gpt(described.model.clone());
    config.tokenizer.kind = tokenizer.kind();
    config.tokenizer.vocab_size = tokenizer.vocab_size();
    config.optimizer.learning_rate = LEARNING_RATE;
    RunConfig::from_toml(CONFIG, &config.to_toml()).map_err(ImportError::Config)
}

/// All tensors under our names, each of the shape that the configuration asks for.
fn read_tensors(folder: &Path, described: &Described) -> Result<Vec<NamedTensor>, ImportError> {
    let (path, files) = weight_files(folder)?;
    let mut found: BTreeMap<String, NamedTensor> = BTreeMap::new();
    for file in files {
        let bytes = std::fs::read(&file).map_err(unreadable(&file))?;
        for tensor in tensors::read(&bytes, is_parameter).map_err(unreadable(&file))? {
            let name = full_name(&tensor.name);
            found.insert(name, tensor);
        }
    }
    let (model, vocab) = (&described.model, described.vocab);
    let wanted = pairs(model, vocab);
    let mut missing: Vec<&str> = wanted
        .iter()
        .filter(|pair| !found.contains_key(&pair.theirs))
        .map(|pair| pair.theirs.as_str())
        .collect();
    if !model.tied_head && !found.contains_key(HEAD) {
        missing.push(HEAD);
    }
    if let Some(first) = missing.first() {
        return Err(ImportError::MissingTensors {
            first: (*first).to_string(),
            count: missing.len(),
            path,
        });
    }
    let shaped =
        |tensor: NamedTensor, name: &str, expected: &[usize]| match tensor.shape == expected {
            true => Ok(tensor.data),
            false => Err(ImportError::Shape {
                path: path.clone(),
                name: name.to_string(),
                found: tensor.shape,
                expected: expected.to_vec(),
            }),
        };
    let mut ours = Vec::new();
    for pair in wanted {
        if let Some(tensor) = found.remove(&pair.theirs) {
            ours.push(NamedTensor {
                data: shaped(tensor, &pair.theirs, &pair.shape)?,
                name: pair.ours,
                shape: pair.shape,
            });
        }
    }
    if let Some(head) = found.remove(HEAD) {
        let data = shaped(head, HEAD, &[vocab, model.d_model])?;
        if model.tied_head {
            // Some programs write the shared tensor twice.
            if ours.first().is_none_or(|embedding| embedding.data != data) {
                return Err(ImportError::NotTied { path });
            }
        } else {
            ours.push(NamedTensor {
                name: "head.weight".to_string(),
                shape: vec![model.d_model, vocab],
                data: transposed(&data, vocab, model.d_model),
            });
        }
    }
    match found.into_values().next() {
        Some(NamedTensor { name, .. }) => Err(ImportError::Unexpected { path, name }),
        None => Ok(ours),
    }
}

/// The file that messages name, and the files that hold the tensors.
fn weight_files(folder: &Path) -> Result<(PathBuf, Vec<PathBuf>), ImportError> {
    let single = folder.join(WEIGHTS);
    if single.is_file() {
        return Ok((single.clone(), vec![single]));
    }
    let path = folder.join(INDEX);
    if !path.is_file() {
        let hint = match folder.join("pytorch_model.bin").is_file() {
            true => {
                "it has a pytorch_model.bin, which is a program rather than data; save the model with safetensors"
            }
            false => "neither that nor its shards' index, model.safetensors.index.json",
        };
        return Err(ImportError::Missing {
            folder: folder.to_path_buf(),
            name: WEIGHTS,
            hint: hint.to_string(),
        });
    }
    let index = std::fs::read(&path).map_err(unreadable(&path))?;
    let index: Value = serde_json::from_slice(&index).map_err(unreadable(&path))?;
    let mut shards: Vec<&str> = index["weight_map"]
        .as_object()
        .ok_or_else(|| unreadable(&path)("it has no weight_map"))?
        .values()
        .filter_map(Value::as_str)
        .collect();
    shards.sort_unstable();
    shards.dedup();
    // A shard lies beside its index: a name that leads elsewhere is none.
    if let Some(name) = shards.iter().find(|name| name.contains(['/', '\\'])) {
        return Err(unreadable(&path)(format!(
            "`{name}` is no name of a file beside it"
        )));
    }
    let files = shards.iter().map(|name| folder.join(name)).collect();
    Ok((path, files))
}

/// Causal masks were once stored beside the weights.
fn is_parameter(name: &str) -> bool {
    !name.ends_with(".attn.bias") && !name.ends_with(".attn.masked_bias")
}

/// A bare GPT2Model has names without the leading `transformer.`.
fn full_name(name: &str) -> String {
    match name.starts_with("transformer.") || name == HEAD {
        true => name.to_string(),
        false => format!("transformer.{name}"),
    }
}

fn read(folder: &Path, name: &'static str, hint: &str) -> Result<Vec<u8>, ImportError> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(ImportError::Missing {
            folder: folder.to_path_buf(),
            name,
            hint: hint.to_string(),
        }),
        Err(error) => Err(unreadable(&path)(error)),
    }
}

fn unreadable<E: ToString>(path: &Path) -> impl FnOnce(E) -> ImportError {
    let path = path.to_path_buf();
    move |reason| ImportError::Unreadable {
        path,
        reason: reason.to_string(),
    }
}
