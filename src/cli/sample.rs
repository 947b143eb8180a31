//! `fireside sample`: Let a trained model write

use std::io::{BufRead, IsTerminal, Read, Write};

use super::open::{self, Opened, parse_which};
use super::prompt::{Answer, Prompt, QUIT};
use super::{CliError, Exit};
use crate::config::SampleConfig;
use crate::generate::{Batch, GenerateError, Pick};
use crate::run::checkpoint::Which;
use crate::tokenizer::{Tokenizer, UnknownText};

/// Let a trained model write
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run: its folder, its name below the runs folder, or `last`
    run: String,
    /// What to go on from; `-` reads it from standard input (default: the run's first prompt)
    #[arg(long, short)]
    prompt: Option<String>,
    /// Ask for prompts, one after another; they are remembered in the state folder
    #[arg(long, short, conflicts_with_all = ["prompt", "json"])]
    interactive: bool,
    /// Tokens to generate
    #[arg(long, short = 'n')]
    length: Option<usize>,
    /// How many texts, generated side by side: with the seed, the seed plus one, and so on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// 0 is greedy
    #[arg(long, short)]
    temperature: Option<f64>,
    /// Only the K likeliest tokens; 0 is off
    #[arg(long)]
    top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability; 1 is off
    #[arg(long)]
    top_p: Option<f64>,
    /// Only tokens at least this probable, as a share of the likeliest; 0 is off
    #[arg(long)]
    min_p: Option<f64>,
    /// Above 1 makes tokens that were there already less likely; 1 is off
    #[arg(long)]
    repetition_penalty: Option<f64>,
    /// The same seed gives the same text
    #[arg(long)]
    seed: Option<u64>,
    /// Print each token as it comes (the default on a terminal; several texts are printed whole)
    #[arg(long, conflicts_with = "json")]
    stream: bool,
    /// One JSON object a text, with the probabilities of each token: as drawn, and under the model
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
    let settings = settings(&args, &opened.config.sample)?;
    if args.interactive {
        return interact(&args, &opened, settings);
    }
    let prompt = match args.prompt.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| {
                    CliError::failed(format!("standard input cannot be read: {error}"))
                })?;
            // A pipe from `echo` ends in a line break that nobody meant.
            text.strip_suffix('\n').map(str::to_string).unwrap_or(text)
        }
        Some(prompt) => prompt.to_string(),
        None => settings.prompts.first().cloned().unwrap_or_default(),
    };
    match write_texts(&args, &opened, &settings, &prompt)? {
        Written::All | Written::NobodyReads => Ok(Exit::Success),
    }
}

/// A prompt a line, until the end of input: with editing and history on a terminal, as they come otherwise.
fn interact(args: &Args, opened: &Opened, mut settings: SampleConfig) -> Result<Exit, CliError> {
    let unreadable =
        |error: std::io::Error| CliError::failed(format!("standard input cannot be read: {error}"));
    let mut prompt = match std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        true => Some(Prompt::new().map_err(unreadable)?),
        false => None,
    };
    if prompt.is_some() {
        super::complain(&format!(
            "type a prompt and Enter, arrow keys for earlier ones; {QUIT} or Ctrl-C ends"
        ));
    }
    loop {
        let answer = match &mut prompt {
            Some(prompt) => prompt.ask(),
            None => next_line(),
        };
        let line = match answer.map_err(unreadable)? {
            Answer::Line(line) => line,
            Answer::Quit => return Ok(Exit::Success),
            Answer::Interrupted => return Ok(Exit::Interrupted),
        };
        match write_texts(args, opened, &settings, &line) {
            Ok(Written::All) => {
                settings.seed = settings.seed.wrapping_add(u64::from(args.count));
            }
            Ok(Written::NobodyReads) => return Ok(Exit::Success),
            // A prompt that cannot be read is no reason to leave.
            Err(CliError::Usage(message) | CliError::Failed(message)) => {
                super::complain(&format!("error: {message}"));
            }
        }
    }
}

/// A line as it comes; the end of input is the end of the conversation.
fn next_line() -> std::io::Result<Answer> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line)? {
        0 => Ok(Answer::Quit),
        _ => Ok(Answer::Line(
            line.trim_end_matches(['\n', '\r']).to_string(),
        )),
    }
}

/// The run's sampler settings with what the command line changes.
fn settings(args: &Args, base: &SampleConfig) -> Result<SampleConfig, CliError> {
    let settings = SampleConfig {
        length: args.length.unwrap_or(base.length),
        temperature: args.temperature.unwrap_or(base.temperature),
        top_k: args.top_k.unwrap_or(base.top_k),
        top_p: args.top_p.unwrap_or(base.top_p),
        min_p: args.min_p.unwrap_or(base.min_p),
        repetition_penalty: args.repetition_penalty.unwrap_or(base.repetition_penalty),
        seed: args.seed.unwrap_or(base.seed),
        ..base.clone()
    };
    let checks = [
        (
            settings.temperature >= 0.0 && settings.temperature.is_finite(),
            "--temperature must be 0 or more",
        ),
        (
            (0.0..=1.0).contains(&settings.top_p),
            "--top-p must be between 0 and 1",
        ),
        (
            (0.0..=1.0).contains(&settings.min_p),
            "--min-p must be between 0 and 1",
        ),
        (
            settings.repetition_penalty > 0.0 && settings.repetition_penalty.is_finite(),
            "--repetition-penalty must be above 0",
        ),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, message)) => Err(CliError::usage(message)),
        None => Ok(settings),
    }
}

enum Written {
    All,
    NobodyReads,
}

/// Why a text broke off.
enum NotWritten {
    Output(std::io::Error),
    Text(GenerateError),
}

impl From<std::io::Error> for NotWritten {
    fn from(error: std::io::Error) -> Self {
        NotWritten::Output(error)
    }
}

impl From<GenerateError> for NotWritten {
    fn from(error: GenerateError) -> Self {
        NotWritten::Text(error)
    }
}

#[derive(serde::Serialize)]
struct Token {
    id: u32,
    text: String,
    /// Under the distribution it was drawn from.
    probability: f32,
    model_probability: f32,
}

/// Texts that go on from one prompt, generated side by side: the first with the seed of the settings, each other with the next.
fn write_texts(
    args: &Args,
    opened: &Opened,
    settings: &SampleConfig,
    prompt: &str,
) -> Result<Written, CliError> {
    let ids = prompt_ids(opened, prompt)?;
    let settings: Vec<SampleConfig> = (0..u64::from(args.count))
        .map(|index| SampleConfig {
            seed: settings.seed.wrapping_add(index),
            ..settings.clone()
        })
        .collect();
    let batch = Batch::new(&opened.model, &ids, &settings).map_err(CliError::failed)?;
    let mut out = std::io::stdout().lock();
    let stream = args.stream || std::io::stdout().is_terminal();
    let written = if args.count == 1 && stream && !args.json {
        stream_text(&mut out, opened, &settings[0], prompt, batch)
    } else {
        let mut texts: Vec<Vec<Pick>> = vec![Vec::new(); settings.len()];
        for picks in batch.take(settings[0].length) {
            let picks = picks.map_err(CliError::failed)?;
            for (text, pick) in texts.iter_mut().zip(picks) {
                text.push(pick);
            }
        }
        let mut texts = settings.iter().zip(&texts);
        texts.try_for_each(|(settings, picks)| match args.json {
            true => write_json(&mut out, opened, settings, prompt, picks),
            false => {
                let ids: Vec<u32> = picks.iter().map(|pick| pick.id).collect();
                let text = opened.tokenizer.decode_after(prompt, &ids);
                writeln!(out, "{prompt}{text}")?;
                Ok(out.flush()?)
            }
        })
    };
    match written {
        Ok(()) => Ok(Written::All),
        Err(NotWritten::Text(error)) => Err(CliError::failed(error)),
        Err(NotWritten::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(Written::NobodyReads)
        }
        Err(NotWritten::Output(error)) => Err(CliError::failed(format!(
            "standard output cannot be written: {error}"
        ))),
    }
}

fn stream_text(
    out: &mut dyn Write,
    opened: &Opened,
    settings: &SampleConfig,
    prompt: &str,
    batch: Batch,
) -> Result<(), NotWritten> {
    write!(out, "{prompt}")?;
    out.flush()?;
    let mut decoder = opened.tokenizer.stream_decoder_after(prompt);
    for picks in batch.take(settings.length) {
        for pick in picks? {
            write!(out, "{}", decoder.push(pick.id))?;
        }
        out.flush()?;
    }
    writeln!(out, "{}", decoder.finish())?;
    Ok(out.flush()?)
}

fn write_json(
    out: &mut dyn Write,
    opened: &Opened,
    settings: &SampleConfig,
    prompt: &str,
    picks: &[Pick],
) -> Result<(), NotWritten> {
    let ids: Vec<u32> = picks.iter().map(|pick| pick.id).collect();
    let tokens: Vec<Token> = picks
        .iter()
        .map(|pick| Token {
            id: pick.id,
            text: opened.tokenizer.token_text(pick.id),
            probability: pick.probability,
            model_probability: pick.model_probability,
        })
        .collect();
    let object = serde_json::json!({
        "run": opened.dir,
        "step": opened.entry.step,
        "prompt": prompt,
        "text": opened.tokenizer.decode_after(prompt, &ids),
        "seed": settings.seed,
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "min_p": settings.min_p,
        "repetition_penalty": settings.repetition_penalty,
        "tokens": tokens,
    });
    writeln!(out, "{object}")?;
    Ok(out.flush()?)
}

/// A prompt as ids; an empty one starts from a line break.
fn prompt_ids(opened: &Opened, prompt: &str) -> Result<Vec<u32>, CliError> {
    if prompt.is_empty() {
        let ids = opened.tokenizer.encode("\n");
        return Ok(if ids.is_empty() { vec![0] } else { ids });
    }
    opened.tokenizer.encode_strict(prompt).map_err(|first| {
        CliError::usage(format!(
            "the prompt cannot be read: {}; leave it out, or train on a text that has it (or with \
             tokenizer.kind = \"bpe\", which knows every text)",
            lacking(&opened.tokenizer, prompt, first)
        ))
    })
}

/// Everything in a prompt that the vocabulary lacks, each with its place.
fn lacking(tokenizer: &Tokenizer, prompt: &str, first: UnknownText) -> String {
    /// So many are named.
    const NAMED: usize = 8;
    let sentence = first.to_string();
    let mut all = vec![first];
    let mut more = 0;
    let mut end = all[0].position + all[0].text.len();
    while let Some(rest) = prompt.get(end..).filter(|rest| !rest.is_empty()) {
        let Err(mut next) = tokenizer.encode_strict(rest) else {
            break;
        };
        next.position += end;
        end = next.position + next.text.len().max(1);
        match all.len() < NAMED {
            true => all.push(next),
            false => more += 1,
        }
    }
    if all.len() == 1 {
        return sentence;
    }
    let named: Vec<String> = all
        .iter()
        .map(|unknown| format!("{:?} at byte {}", unknown.text, unknown.position))
        .collect();
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{}{more} are not in the tokenizer's vocabulary",
        named.join(", ")
    )
}
