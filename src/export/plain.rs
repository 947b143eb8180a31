//! Any model as plain safetensors, with what it takes to use it elsewhere: a page that lists names and shapes, and a short
//! PyTorch module that loads it.

use std::fmt::Write;

use serde_json::json;

use super::{Exported, File, tensors};
use crate::model::named_tensors;
use crate::state::NamedTensor;

/// The module that loads the export; `tests/export/` holds it to our logits for every rung.
const MODULE: &str = include_str!("fireside_model.py");

pub(super) fn files(exported: &Exported<'_>) -> Vec<File> {
    let weights = named_tensors(exported.model);
    let description = json!({
        "model": exported.config.model,
        "vocab_size": exported.tokenizer.vocab_size(),
        "tokenizer": exported.config.tokenizer.kind,
        "run": exported.name,
        "step": exported.step,
        "program": concat!("fireside ", env!("CARGO_PKG_VERSION")),
    });
    vec![
        File::json("model.json", &description),
        File {
            name: "model.safetensors".into(),
            bytes: tensors::write(&weights),
        },
        File {
            name: "tokenizer.json".into(),
            bytes: exported.tokenizer.to_json().into_bytes(),
        },
        File {
            name: "fireside_model.py".into(),
            bytes: MODULE.as_bytes().to_vec(),
        },
        File {
            name: "README.md".into(),
            bytes: readme(exported, &weights).into_bytes(),
        },
    ]
}

fn readme(exported: &Exported<'_>, weights: &[NamedTensor]) -> String {
    let count: usize = weights.iter().map(|tensor| tensor.data.len()).sum();
    let mut text = format!(
        "# {name}\n\n\
         A `{kind}` language model of {count} parameters over a vocabulary of {vocab} tokens, trained with fireside for {step} \
         steps.\n\n\
         ```python\n\
         import torch\n\
         from tokenizers import Tokenizer\n\
         from fireside_model import load\n\n\
         tokens = Tokenizer.from_file(\"tokenizer.json\").encode(\"Once upon a time\").ids\n\
         logits = load(\".\")(torch.tensor([tokens]))  # [batch, seq] -> [batch, seq, vocab]\n\
         ```\n\n\
         `fireside_model.py` needs `torch` and `safetensors`; it is written for reading rather than for speed. `model.json` \
         holds the model's configuration. All tensors are float32; weights of linear layers are `[inputs, outputs]`, the \
         transpose of what `torch.nn.Linear` holds.\n\n\
         | tensor | shape |\n| --- | --- |\n",
        name = exported.name,
        kind = exported.config.model.kind().key(),
        vocab = exported.tokenizer.vocab_size(),
        step = exported.step,
    );
    for tensor in weights {
        let _ = writeln!(text, "| `{}` | `{:?}` |", tensor.name, tensor.shape);
    }
    text
}
