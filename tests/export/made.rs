//! Models with initial weights, for exports.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use fireside::config::{self, RunConfig, SampleConfig, Source};
use fireside::export::{Exported, Format, Replace, export};
use fireside::generate::Generator;
use fireside::model::{LanguageModel, load_named_tensors, named_tensors};
use fireside::tokenizer::Tokenizer;

pub const TEXT: &str =
    "Once upon a time there was an old mill by the river,\nand in the mill there lived a miller.";
pub const PROMPT: &str = "there was a mill";

/// A model with initial weights, everything moved a little so that no bias is zero and no norm is one.
pub struct Made {
    pub name: String,
    pub config: RunConfig,
    pub tokenizer: Tokenizer,
    pub model: LanguageModel,
}

impl Made {
    pub fn new(name: &str, preset: &str, sets: &[&str]) -> Self {
        let mut all = vec!["model.context_length=24".to_string()];
        all.extend(sets.iter().map(|set| set.to_string()));
        let config = config::load(Source::Preset(preset.into()), &all)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = TEXT.repeat(4);
        let tokenizer =
            Tokenizer::train(&config.tokenizer, &text, &mut fireside::progress::ignore).unwrap();
        let model = LanguageModel::new(&config.model, tokenizer.vocab_size(), 3, &Device::flex());
        let mut weights = named_tensors(&model);
        for (index, tensor) in weights.iter_mut().enumerate() {
            for (at, value) in tensor.data.iter_mut().enumerate() {
                *value += 0.05 * ((index * 31 + at * 7) as f32).sin();
            }
        }
        let model = load_named_tensors(model, &weights).unwrap();
        Made {
            name: name.to_string(),
            config,
            tokenizer,
            model,
        }
    }

    pub fn exported(&self) -> Exported<'_> {
        Exported {
            name: &self.name,
            step: 7,
            config: &self.config,
            tokenizer: &self.tokenizer,
            model: &self.model,
        }
    }

    pub fn export(&self, format: Format, out: &Path) {
        export(&self.exported(), format, out, Replace::Never)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    pub fn ids(&self) -> Vec<u32> {
        self.tokenizer.encode(PROMPT)
    }
}

/// `[seq][vocab]`
pub fn logits(model: &LanguageModel, ids: &[u32]) -> Vec<Vec<f32>> {
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let tokens =
        Tensor::<2, Int>::from_data(TensorData::new(values, [1, ids.len()]), &Device::flex());
    let (logits, _) = model.forward(tokens, None);
    let [_, _, vocab] = logits.dims();
    let values = logits.into_data().try_into_vec::<f32>().unwrap();
    values.chunks(vocab).map(<[f32]>::to_vec).collect()
}

pub fn greedy(made: &Made, count: usize) -> Vec<u32> {
    let settings = SampleConfig {
        temperature: 0.0,
        ..made.config.sample.clone()
    };
    let generator = Generator::new(&made.model, &made.ids(), &settings).unwrap();
    generator.take(count).map(|pick| pick.unwrap().id).collect()
}

pub const SMALL: [&str; 3] = ["model.d_model=32", "model.n_heads=4", "model.n_layers=2"];

pub fn decoder(name: &str, preset: &str, sets: &[&str]) -> Made {
    let mut all = SMALL.to_vec();
    all.extend(sets);
    Made::new(name, preset, &all)
}

/// Every kind of model that a GPT-2 can represent.
pub fn gpts() -> Vec<Made> {
    vec![
        decoder("gpt-tied", "gpt", &["tokenizer.vocab_size=280"]),
        decoder(
            "gpt-untied-no-bias",
            "gpt",
            &[
                "model.tied_head=false",
                "model.head_bias=false",
                "model.bias=false",
                "model.activation=\"gelu\"",
                "tokenizer.kind=\"char\"",
            ],
        ),
        decoder(
            "gpt-untied",
            "gpt",
            &[
                "model.tied_head=false",
                "model.head_bias=false",
                "model.d_ff=48",
                "tokenizer.vocab_size=280",
            ],
        ),
        decoder(
            "gpt-tied-no-bias",
            "gpt",
            &["model.bias=false", "tokenizer.kind=\"char\""],
        ),
        decoder(
            "transformer-pre",
            "transformer",
            &[
                "model.norm=\"pre\"",
                "model.head_bias=false",
                "tokenizer.min_freq=1",
            ],
        ),
        decoder(
            "transformer-pre-tied-scaled",
            "transformer",
            &[
                "model.norm=\"pre\"",
                "model.tied_head=true",
                "model.qkv_bias=false",
                "tokenizer.min_freq=1",
            ],
        ),
    ]
}

/// Every rung and its variants.
pub fn rungs() -> Vec<Made> {
    let recurrent = |name: &str, preset: &str, sets: &[&str]| {
        let mut all = vec!["model.hidden_size=24", "tokenizer.kind=\"char\""];
        all.extend(sets);
        Made::new(name, preset, &all)
    };
    let mut made = vec![
        recurrent("char-rnn", "char-rnn", &["model.input=\"one-hot\""]),
        recurrent(
            "char-lstm",
            "char-rnn",
            &["model.cell=\"lstm\"", "model.input=\"embedding\""],
        ),
        Made::new(
            "word-gru",
            "word-gru",
            &["model.hidden_size=24", "tokenizer.min_freq=1"],
        ),
        recurrent("additive", "lstm-attention", &["model.score=\"additive\""]),
        recurrent("dot", "lstm-attention", &["model.score=\"dot\""]),
        recurrent(
            "scaled-dot",
            "lstm-attention",
            &["model.score=\"scaled-dot\"", "model.cell=\"gru\""],
        ),
        decoder("transformer-post", "transformer", &["tokenizer.min_freq=1"]),
    ];
    made.extend(gpts());
    made
}
