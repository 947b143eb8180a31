//! Our decoder as a GPT-2 of the `transformers` library, and back.
//!
//! There, linear layers hold `[in, out]` weights as ours do; query, key and value are one `[d, 3d]` tensor in that order; the
//! output layer `lm_head` is `[vocab, d]` and left out when it is tied to the embedding; every linear layer and norm has a bias
//! (ours, where it has none, is written as zeros); the norms' epsilon is 1e-5. Source: `modeling_gpt2.py` and
//! `configuration_gpt2.py` of <https://github.com/huggingface/transformers>.

use serde_json::{Value, json};

use super::tensors;
use super::{ExportError, Exported, File};
use crate::config::{ActivationKind, ModelConfig, NormKind, SampleConfig, TransformerConfig};
use crate::model::decoder::feed_forward_width;
use crate::model::layers::positions::sinusoids;
use crate::model::named_tensors;
use crate::state::{NamedTensor, StateError};
use crate::tokenizer::Tokenizer;

/// Tokens that end a text, where a vocabulary that came from elsewhere has one.
const END_OF_TEXT: [&str; 3] = ["<|endoftext|>", "</s>", "<eos>"];

/// What stands between this model and a GPT-2, in words; nothing where it can be represented.
///
/// Post-norm blocks and a bias of the output layer have no place there. Fixed positions do (as the table of learned ones), and
/// so do scaled embeddings (in the table of an untied model), exact GELU and ReLU.
pub fn obstacles(config: &ModelConfig) -> Vec<String> {
    let (ModelConfig::Transformer(c) | ModelConfig::Gpt(c)) = config else {
        return vec![format!(
            "model.kind is \"{}\", a recurrent network",
            config.kind().key()
        )];
    };
    let mut found = Vec::new();
    if c.norm == NormKind::Post {
        found.push("model.norm is \"post\", and a GPT-2 normalizes before each sublayer".into());
    }
    if c.head_bias && !c.tied_head {
        found.push("model.head_bias is true, and the output layer of a GPT-2 has no bias".into());
    }
    found
}

/// How `transformers` calls an activation.
pub fn activation_name(activation: ActivationKind) -> &'static str {
    match activation {
        ActivationKind::Relu => "relu",
        ActivationKind::Gelu => "gelu",
        ActivationKind::GeluTanh => "gelu_new",
    }
}

/// One tensor under both names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub ours: String,
    pub theirs: String,
    /// As GPT-2 has it.
    pub shape: Vec<usize>,
}

/// Every tensor of a GPT-2 of these sizes, the output layer left out.
pub fn pairs(config: &TransformerConfig, vocab: usize) -> Vec<Pair> {
    let (d, d_ff) = (config.d_model, feed_forward_width(config));
    let mut pairs = Vec::new();
    let mut pair = |ours: String, theirs: String, shape: &[usize]| {
        pairs.push(Pair {
            ours,
            theirs,
            shape: shape.to_vec(),
        });
    };
    pair(
        "token_embedding.weight".into(),
        "transformer.wte.weight".into(),
        &[vocab, d],
    );
    pair(
        "position_embedding.weight".into(),
        "transformer.wpe.weight".into(),
        &[config.context_length, d],
    );
    let mut affine = |ours: String, theirs: String, weight: &[usize], bias: usize| {
        pair(format!("{ours}.weight"), format!("{theirs}.weight"), weight);
        pair(format!("{ours}.bias"), format!("{theirs}.bias"), &[bias]);
    };
    for block in 0..config.n_layers {
        let (ours, theirs) = (
            format!("blocks.{block}."),
            format!("transformer.h.{block}."),
        );
        let mut part = |our: &str, their: &str, weight: &[usize], bias: usize| {
            affine(
                format!("{ours}{our}"),
                format!("{theirs}{their}"),
                weight,
                bias,
            );
        };
        part("attention_norm", "ln_1", &[d], d);
        part("attention.qkv", "attn.c_attn", &[d, 3 * d], 3 * d);
        part("attention.output", "attn.c_proj", &[d, d], d);
        part("feed_forward_norm", "ln_2", &[d], d);
        part("feed_forward.up", "mlp.c_fc", &[d, d_ff], d_ff);
        part("feed_forward.down", "mlp.c_proj", &[d_ff, d], d);
    }
    affine("final_norm".into(), "transformer.ln_f".into(), &[d], d);
    pairs
}

/// Whether the exported model shares its embedding with its output layer. Scaled embeddings do not allow it: GPT-2 has no
/// place for the scale but the table itself.
fn stays_tied(config: &TransformerConfig) -> bool {
    config.tied_head && !config.scale_embeddings
}

/// The five files.
pub(super) fn files(exported: &Exported<'_>) -> Result<Vec<File>, ExportError> {
    let found = obstacles(&exported.config.model);
    let (ModelConfig::Transformer(config) | ModelConfig::Gpt(config)) = &exported.config.model
    else {
        return Err(ExportError::NotGpt2 { obstacles: found });
    };
    if !found.is_empty() {
        return Err(ExportError::NotGpt2 { obstacles: found });
    }
    let weights = weights(exported, config)?;
    let end = end_of_text(exported.tokenizer);
    Ok(vec![
        File::json(
            "config.json",
            &config_json(config, exported.tokenizer.vocab_size(), end.as_ref()),
        ),
        File {
            name: "model.safetensors".into(),
            bytes: tensors::write(&weights),
        },
        File {
            name: "tokenizer.json".into(),
            bytes: exported.tokenizer.to_json().into_bytes(),
        },
        File::json(
            "tokenizer_config.json",
            &tokenizer_config(config.context_length, end.as_ref()),
        ),
        File::json(
            "generation_config.json",
            &generation_config(&exported.config.sample, end.as_ref()),
        ),
    ])
}

fn weights(
    exported: &Exported<'_>,
    config: &TransformerConfig,
) -> Result<Vec<NamedTensor>, StateError> {
    let mut ours = named_tensors(exported.model);
    let vocab = exported.tokenizer.vocab_size();
    let mut take = |name: &str| -> Option<NamedTensor> {
        let at = ours.iter().position(|tensor| tensor.name == name)?;
        Some(ours.swap_remove(at))
    };
    let mut weights = Vec::new();
    for pair in pairs(config, vocab) {
        let count = pair.shape.iter().product();
        let mut data = match take(&pair.ours) {
            Some(tensor) if tensor.shape != pair.shape => {
                return Err(StateError::Shape {
                    name: pair.ours,
                    expected: pair.shape,
                    found: tensor.shape,
                });
            }
            Some(tensor) => tensor.data,
            None if pair.ours.ends_with(".bias") => vec![0.0; count],
            None if pair.ours == "position_embedding.weight" => {
                let device = exported.model.device().without_autodiff();
                let table = sinusoids(config.context_length, config.d_model, &device);
                table
                    .into_data()
                    .try_into_vec::<f32>()
                    .map_err(|_| StateError::Missing(pair.ours.clone()))?
            }
            None => return Err(StateError::Missing(pair.ours)),
        };
        if pair.ours == "token_embedding.weight" {
            let output = match config.tied_head {
                true if stays_tied(config) => None,
                true => Some(data.clone()),
                false => {
                    let head = take("head.weight")
                        .ok_or_else(|| StateError::Missing("head.weight".into()))?;
                    Some(transposed(&head.data, config.d_model, vocab))
                }
            };
            weights.extend(output.map(|data| NamedTensor {
                name: "lm_head.weight".to_string(),
                shape: vec![vocab, config.d_model],
                data,
            }));
            if config.scale_embeddings {
                let scale = (config.d_model as f64).sqrt() as f32;
                data.iter_mut().for_each(|value| *value *= scale);
            }
        }
        weights.push(NamedTensor {
            name: pair.theirs,
            shape: pair.shape,
            data,
        });
    }
    weights.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(weights)
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| data[row * columns + column]))
        .collect()
}

/// The token that ends a text and its id, where the vocabulary has one.
fn end_of_text(tokenizer: &Tokenizer) -> Option<(u64, String)> {
    let json: Value = serde_json::from_str(&tokenizer.to_json()).ok()?;
    json["added_tokens"].as_array()?.iter().find_map(|token| {
        let text = token["content"].as_str()?;
        let id = token["id"].as_u64()?;
        END_OF_TEXT.contains(&text).then(|| (id, text.to_string()))
    })
}

fn config_json(config: &TransformerConfig, vocab: usize, end: Option<&(u64, String)>) -> Value {
    let end = end.map(|(id, _)| id);
    json!({
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": vocab,
        "n_positions": config.context_length,
        "n_ctx": config.context_length,
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": feed_forward_width(config),
        "activation_function": activation_name(config.activation),
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": stays_tied(config),
        "scale_attn_weights": true,
        "scale_attn_by_inverse_layer_idx": false,
        "reorder_and_upcast_attn": false,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "initializer_range": 0.02,
        "use_cache": true,
        // Their default, 50256, is outside a small vocabulary.
        "bos_token_id": end,
        "eos_token_id": end,
        "dtype": "float32",
        "torch_dtype": "float32",
    })
}

fn tokenizer_config(context_length: usize, end: Option<&(u64, String)>) -> Value {
    let end = end.map(|(_, text)| text);
    json!({
        // GPT2Tokenizer would add a token of its own to the vocabulary.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": false,
        "bos_token": end,
        "eos_token": end,
    })
}

/// The run's sampler settings under the names of `transformers`.
fn generation_config(sample: &SampleConfig, end: Option<&(u64, String)>) -> Value {
    let end = end.map(|(id, _)| id);
    let mut config = json!({
        "bos_token_id": end,
        "eos_token_id": end,
        "max_new_tokens": sample.length,
        "do_sample": sample.temperature > 0.0,
    });
    if sample.temperature > 0.0 {
        config["temperature"] = json!(sample.temperature);
        config["top_k"] = json!(sample.top_k);
        config["top_p"] = json!(sample.top_p);
        if sample.min_p > 0.0 {
            config["min_p"] = json!(sample.min_p);
        }
    }
    if sample.repetition_penalty != 1.0 {
        config["repetition_penalty"] = json!(sample.repetition_penalty);
    }
    config
}
