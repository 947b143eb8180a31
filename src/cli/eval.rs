//! `fireside eval`: Measure a trained model on a text

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::open::{self, parse_which};
use super::{CliError, Exit};
use crate::config::{BatchingKind, CorpusConfig};
use crate::corpus;
use crate::data::TokenIds;
use crate::progress;
use crate::run::checkpoint::Which;
use crate::train::{Evaluation, bits_per_byte, mean_loss, perplexity, windows};

/// Measure a trained model on a text: loss, perplexity, bits per byte
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run: its folder, its name below the runs folder, or `last`
    run: String,
    /// A built-in or downloaded corpus, read whole (default: the held-out part of the run's own text)
    #[arg(long, conflicts_with = "path")]
    corpus: Option<String>,
    /// Text files, folders or globs, or `-` for standard input; read whole
    #[arg(long)]
    path: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// `newest`, `best` or a step
    #[arg(long, value_name = "WHICH", default_value = "newest", value_parser = parse_which)]
    checkpoint: Which,
    /// Where to compute
    #[arg(long, default_value = "auto")]
    device: String,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let opened = open::open(&args.run, args.checkpoint, &args.device)?;
    let own = args.corpus.is_none() && args.path.is_empty();
    let source = CorpusConfig {
        name: args
            .corpus
            .clone()
            .unwrap_or_else(|| opened.config.corpus.name.clone()),
        path: match (own, &args.corpus) {
            (true, _) => opened.config.corpus.path.clone(),
            (false, Some(_)) => Vec::new(),
            (false, None) => args.path.clone(),
        },
        ..opened.config.corpus.clone()
    };
    let corpus = corpus::open(&source, &mut progress::ignore).map_err(CliError::failed)?;
    let text = match own {
        true => corpus.split(source.validation_fraction).1,
        false => corpus.text(),
    };
    let ids = opened.tokenizer.encode(text);
    let unknown = unknown_text(&opened, text, &ids);
    let evaluation = Evaluation {
        batch_size: opened.config.train.batch_size,
        context_length: opened.config.model.context_length(),
        batches: 0,
        carry: opened.model.supports_carried_state()
            && opened.config.train.batching == BatchingKind::Stream,
    };
    let windows = windows(ids.len(), evaluation);
    if windows.is_empty() {
        return Err(CliError::failed(format!(
            "{} gives {} tokens; at least two are needed",
            corpus.name,
            ids.len()
        )));
    }
    let model = burn::module::Module::valid(&opened.model);
    let loss = mean_loss(
        &model,
        &TokenIds::from_ids(&ids),
        &windows,
        &opened.device,
        &AtomicBool::new(false),
        &mut || {},
    )
    .map_err(CliError::failed)?
    .ok_or_else(|| CliError::failed("the evaluation was stopped"))?;
    let (perplexity, bits) = (
        perplexity(loss),
        bits_per_byte(loss, ids.len(), text.len() as u64),
    );
    if let Some(sentence) = &unknown {
        super::complain(&format!("warning: {sentence}"));
    }
    let line = match args.json {
        true => serde_json::json!({
            "run": opened.dir,
            "step": opened.entry.step,
            "corpus": corpus.name,
            "part": if own { "validation" } else { "whole" },
            "bytes": text.len(),
            "tokens": ids.len(),
            "loss": loss,
            "perplexity": perplexity,
            "bits_per_byte": bits,
            "complete": unknown.is_none(),
        })
        .to_string(),
        false => format!(
            "{} of {} at step {}: loss {loss:.4}  perplexity {perplexity:.2}  {bits:.4} bits/byte  ({} tokens, {} bytes)",
            if own { "held-out part" } else { "whole" },
            corpus.name,
            opened.entry.step,
            ids.len(),
            text.len()
        ),
    };
    super::train::print(&format!("{line}\n"))?;
    Ok(Exit::Success)
}

/// What the vocabulary could not read of the text.
fn unknown_text(opened: &open::Opened, text: &str, ids: &[u32]) -> Option<String> {
    let unknown = opened.tokenizer.encode_strict(text).err()?;
    Some(match opened.tokenizer.unknown_id() {
        Some(id) => {
            let count = ids.iter().filter(|token| **token == id).count();
            format!(
                "{count} of {} tokens are unknown words, the first of them {unknown}; bits per byte is too low by what they hide",
                ids.len()
            )
        }
        None => {
            format!("{unknown}; such characters are left out, and bits per byte is too low by them")
        }
    })
}
