//! `fireside bench tokenize`: how fast text becomes token ids.

use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;

use super::super::{CliError, Exit};
use super::checkpoint::median;
use crate::config::{self, Source};
use crate::corpus::stories;
use crate::device;
use crate::progress;
use crate::tokenizer::{Tokenizer, chunks};

/// Bytes of text that one task encodes, as when a corpus is prepared.
const TASK: usize = 1 << 20;
/// Bytes that the tokenizers crate is handed at a time: it is slower with longer texts.
const THEIR_TASK: usize = 1 << 14;
/// Bytes that the vocabulary is learned from.
const LEARNED: usize = 4_000_000;
/// The text is this many copies of itself at most, so that making it does not take longer than reading it.
const GENERATED: u64 = 25_000_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A text file; without one, tales of the generator `stories`
    #[arg(long, value_name = "FILE")]
    pub path: Option<PathBuf>,

    /// Megabytes of text, which is repeated where it is shorter
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=4000))]
    pub megabytes: u64,

    /// How often the text is read; medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,

    /// CPU threads; 0 means all
    #[arg(long, default_value_t = 0)]
    pub threads: usize,

    /// Vocabulary of word and bpe
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(256..=1_000_000))]
    pub vocab: u64,

    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    tokenizer: &'static str,
    vocab_size: usize,
    threads: usize,
    bytes: usize,
    tokens: usize,
    megabytes_per_second: f64,
    /// The same text through the `tokenizers` crate itself, in parallel over pieces.
    crate_megabytes_per_second: f64,
    /// Medians over the rounds of ours / theirs, which were timed in turn.
    ratio: f64,
}

pub fn run(args: &Args) -> Result<Exit, CliError> {
    let threads = device::set_threads(args.threads).map_err(CliError::failed)?;
    let text = text(args)?;
    if !args.json {
        println!(
            "{:10} {:>8} {:>12} {:>10} {:>16} {:>8}",
            "tokenizer", "vocab", "tokens", "MB/s", "tokenizers MB/s", "ratio"
        );
    }
    for kind in ["char", "word", "bpe"] {
        let row = measure(kind, args, &text, threads)?;
        match args.json {
            true => println!("{}", serde_json::to_string(&row).map_err(CliError::failed)?),
            false => println!(
                "{:10} {:>8} {:>12} {:>10.1} {:>16.1} {:>8.2}",
                row.tokenizer,
                row.vocab_size,
                row.tokens,
                row.megabytes_per_second,
                row.crate_megabytes_per_second,
                row.ratio
            ),
        }
    }
    Ok(Exit::Success)
}

fn text(args: &Args) -> Result<String, CliError> {
    let wanted = args.megabytes * 1_000_000;
    let piece = match &args.path {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?,
        None => stories::generate(wanted.min(GENERATED), 1),
    };
    if piece.is_empty() {
        return Err(CliError::failed("the text is empty"));
    }
    let mut text = piece.repeat((wanted as usize).div_ceil(piece.len()));
    let end = text.floor_char_boundary(wanted as usize);
    text.truncate(end);
    Ok(text)
}

fn measure(kind: &'static str, args: &Args, text: &str, threads: usize) -> Result<Row, CliError> {
    let mut sets = vec![format!("tokenizer.kind={kind}")];
    if kind != "char" {
        sets.push(format!("tokenizer.vocab_size={}", args.vocab));
    }
    let config = config::load(Source::Defaults, &sets).map_err(CliError::usage)?;
    let learned = &text[..text.floor_char_boundary(LEARNED)];
    let tokenizer = Tokenizer::train(&config.tokenizer, learned, &mut progress::ignore)
        .map_err(CliError::failed)?;
    let theirs = tokenizers::Tokenizer::from_bytes(tokenizer.to_json())
        .map_err(|error| CliError::failed(error.to_string()))?;

    let pieces = chunks(text, TASK);
    let their_pieces = chunks(text, THEIR_TASK);
    let (mut ours, mut others, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut tokens = 0;
    for _ in 0..args.rounds {
        let started = Instant::now();
        tokens = pieces
            .par_iter()
            .map(|piece| {
                let mut ids = Vec::new();
                tokenizer.encode_piece(piece, &mut ids);
                ids.len()
            })
            .sum();
        let own = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let result: Result<usize, tokenizers::Error> = their_pieces
            .par_iter()
            .map(|piece| Ok(theirs.encode_fast(*piece, false)?.get_ids().len()))
            .sum();
        let other = started.elapsed().as_secs_f64();
        result.map_err(|error| CliError::failed(error.to_string()))?;
        ours.push(text.len() as f64 / 1e6 / own);
        others.push(text.len() as f64 / 1e6 / other);
        ratios.push(other / own);
    }
    Ok(Row {
        tokenizer: kind,
        vocab_size: tokenizer.vocab_size(),
        threads,
        bytes: text.len(),
        tokens,
        megabytes_per_second: median(&mut ours),
        crate_megabytes_per_second: median(&mut others),
        ratio: median(&mut ratios),
    })
}
