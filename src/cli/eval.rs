//! `fireside eval`: Measure a trained model on a text

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

use super::open::{self, parse_which};
use super::{CliError, Exit};
use crate::config::CorpusConfig;
use crate::corpus;
use crate::device;
use crate::generate::score::{self, Sliding};
use crate::progress;
use crate::run::checkpoint::Which;
use crate::train::{bits_per_byte, perplexity};

/// Measure a trained model on a text by a sliding window: loss, perplexity, bits per byte, each with its standard error
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
    /// Tokens between the starts of two windows, from 1 to the context length (default: half of it). Each token is predicted
    /// once, from at least the context length minus this many tokens; the context length itself gives windows side by side
    #[arg(long, value_name = "TOKENS")]
    stride: Option<usize>,
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
    let context_length = opened.config.model.context_length();
    let stride = args.stride.unwrap_or(context_length.div_ceil(2));
    if !(1..=context_length).contains(&stride) {
        return Err(CliError::usage(format!(
            "--stride must be between 1 and the context length of this model, {context_length}"
        )));
    }
    let sliding = Sliding {
        context_length,
        stride,
        batch_size: opened.config.train.batch_size,
    };
    let mut shown = Shown::new();
    let score = device::guarded(&opened.model.device(), || {
        let mut progress = |done, total| shown.update(done, total);
        Ok::<_, CliError>(score::sliding(&opened.model, &ids, sliding, &mut progress))
    });
    shown.clear();
    let score = score?;
    let Some(score) = score else {
        return Err(CliError::failed(format!(
            "{} gives {} tokens; at least two are needed",
            corpus.name,
            ids.len()
        )));
    };
    let perplexity = perplexity(score.loss);
    let per_byte = |nats: f64| bits_per_byte(nats, ids.len(), text.len() as u64);
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
            "context_length": context_length,
            "stride": stride,
            "windows": score.windows,
            "loss": score.loss,
            "standard_error": score.standard_error,
            "perplexity": perplexity,
            "bits_per_byte": per_byte(score.loss),
            "bits_per_byte_standard_error": score.standard_error.map(per_byte),
            "complete": unknown.is_none(),
        })
        .to_string(),
        false => {
            let error = |nats: fn(f64, f64) -> f64, scale: f64| {
                score
                    .standard_error
                    .map(|error| format!(" ± {:.4}", nats(error, scale)))
                    .unwrap_or_default()
            };
            format!(
                "{} of {} at step {}: loss {:.4}{}  perplexity {perplexity:.2}{}  {:.4}{} bits/byte\n\
                 {} tokens, {} bytes; {} of {context_length} tokens, {stride} apart; ± is one standard error",
                if own { "held-out part" } else { "whole" },
                corpus.name,
                opened.entry.step,
                score.loss,
                error(|error, _| error, 1.0),
                error(|error, perplexity| error * perplexity, perplexity),
                per_byte(score.loss),
                error(|error, bits| error * bits, per_byte(1.0)),
                ids.len(),
                text.len(),
                match score.windows {
                    1 => "1 window".to_string(),
                    n => format!("{n} windows"),
                },
            )
        }
    };
    super::train::print(&format!("{line}\n"))?;
    Ok(Exit::Success)
}

/// How far it is, on a terminal.
struct Shown {
    last: Option<Instant>,
    terminal: bool,
}

impl Shown {
    fn new() -> Self {
        Shown {
            last: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn update(&mut self, done: u64, total: u64) {
        let due = self
            .last
            .is_none_or(|last| last.elapsed().as_millis() >= 200);
        if self.terminal && due {
            self.last = Some(Instant::now());
            // Nothing to do about a terminal that went away.
            let _ = write!(std::io::stderr(), "\r{done}/{total} windows ");
        }
    }

    fn clear(&self) {
        if self.terminal && self.last.is_some() {
            let _ = write!(std::io::stderr(), "\r{:40}\r", "");
        }
    }
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
