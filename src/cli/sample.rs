//! `fireside sample`: Let a trained model write

use std::io::{BufRead, IsTerminal, Read, Write};

use super::open::{self, Opened, parse_which};
use super::{CliError, Exit};
use crate::config::SampleConfig;
use crate::generate::{GenerateError, Generator};
use crate::run::checkpoint::Which;

/// Let a trained model write
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run: its folder, its name below the runs folder, or `last`
    run: String,
    /// What to go on from; `-` reads it from standard input (default: the run's first prompt)
    #[arg(long, short)]
    prompt: Option<String>,
    /// Ask for prompts, one after another
    #[arg(long, short, conflicts_with_all = ["prompt", "json"])]
    interactive: bool,
    /// Tokens to generate
    #[arg(long, short = 'n')]
    length: Option<usize>,
    /// How many texts
    #[arg(long, default_value_t = 1)]
    count: usize,
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
    /// Print each token as it comes (the default on a terminal)
    #[arg(long, conflicts_with = "json")]
    stream: bool,
    /// One JSON object a text, with the probability of each token
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

/// A prompt a line, until the end of input.
fn interact(args: &Args, opened: &Opened, mut settings: SampleConfig) -> Result<Exit, CliError> {
    super::complain("type a prompt and Enter; Ctrl-D ends");
    let mut lines = std::io::stdin().lock().lines();
    loop {
        let _ = write!(std::io::stderr(), "> ");
        let line = match lines.next() {
            None => return Ok(Exit::Success),
            Some(Err(error)) => {
                return Err(CliError::failed(format!(
                    "standard input cannot be read: {error}"
                )));
            }
            Some(Ok(line)) => line,
        };
        match write_texts(args, opened, &settings, &line) {
            Ok(Written::All) => settings.seed = settings.seed.wrapping_add(args.count as u64),
            Ok(Written::NobodyReads) => return Ok(Exit::Success),
            // A prompt that cannot be read is no reason to leave.
            Err(CliError::Usage(message) | CliError::Failed(message)) => {
                super::complain(&format!("error: {message}"));
            }
        }
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
    probability: f32,
}

fn write_texts(
    args: &Args,
    opened: &Opened,
    settings: &SampleConfig,
    prompt: &str,
) -> Result<Written, CliError> {
    let ids = prompt_ids(opened, prompt)?;
    let stream = !args.json && (args.stream || std::io::stdout().is_terminal());
    let mut out = std::io::stdout().lock();
    for index in 0..args.count {
        let settings = SampleConfig {
            seed: settings.seed.wrapping_add(index as u64),
            ..settings.clone()
        };
        let generator = Generator::new(&opened.model, &ids, &settings).map_err(CliError::failed)?;
        let written = match args.json {
            true => write_json(&mut out, opened, &settings, prompt, generator),
            false => write_text(&mut out, opened, &settings, prompt, generator, stream),
        };
        match written {
            Ok(()) => {}
            Err(NotWritten::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Ok(Written::NobodyReads);
            }
            Err(NotWritten::Output(error)) => {
                return Err(CliError::failed(format!(
                    "standard output cannot be written: {error}"
                )));
            }
            Err(NotWritten::Text(error)) => return Err(CliError::failed(error)),
        }
    }
    Ok(Written::All)
}

fn write_text(
    out: &mut dyn Write,
    opened: &Opened,
    settings: &SampleConfig,
    prompt: &str,
    generator: Generator,
    stream: bool,
) -> Result<(), NotWritten> {
    write!(out, "{prompt}")?;
    let mut decoder = opened.tokenizer.stream_decoder();
    for pick in generator.take(settings.length) {
        write!(out, "{}", decoder.push(pick?.id))?;
        if stream {
            out.flush()?;
        }
    }
    writeln!(out, "{}", decoder.finish())?;
    Ok(out.flush()?)
}

fn write_json(
    out: &mut dyn Write,
    opened: &Opened,
    settings: &SampleConfig,
    prompt: &str,
    generator: Generator,
) -> Result<(), NotWritten> {
    let picks: Vec<_> = generator.take(settings.length).collect::<Result<_, _>>()?;
    let ids: Vec<u32> = picks.iter().map(|pick| pick.id).collect();
    let tokens: Vec<Token> = picks
        .iter()
        .map(|pick| Token {
            id: pick.id,
            text: opened.tokenizer.token_text(pick.id),
            probability: pick.probability,
        })
        .collect();
    let object = serde_json::json!({
        "run": opened.dir,
        "step": opened.entry.step,
        "prompt": prompt,
        "text": opened.tokenizer.decode(&ids),
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
    opened.tokenizer.encode_strict(prompt).map_err(|unknown| {
        CliError::usage(format!(
            "the prompt cannot be read: {unknown}; leave it out, or train on a text that has it (or with \
             tokenizer.kind = \"bpe\", which knows every text)"
        ))
    })
}
