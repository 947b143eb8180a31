//! `fireside tokenizer`: see what a tokenizer makes of a text, or train one.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::corpus::{Meter, argument, print};
use super::{CliError, Exit};
use crate::config::{self, CorpusConfig, RunConfig, Source, TokenizerKind};
use crate::corpus;
use crate::progress::{Flow, Update};
use crate::run;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Train tokenizers, and see what they make of a text
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a text as tokens with their ids
    Show {
        #[command(flatten)]
        choice: Choice,
        /// The text, or `-` for standard input
        text: String,
    },
    /// Train a tokenizer on a corpus and write tokenizer.json
    Train {
        #[command(flatten)]
        choice: Choice,
        #[arg(short, long, value_name = "FILE", default_value = "tokenizer.json")]
        output: PathBuf,
    },
}

/// Which tokenizer.
#[derive(Debug, clap::Args)]
struct Choice {
    /// Train one of this kind
    #[arg(long, value_name = "KIND")]
    tokenizer: Option<Kind>,
    /// Take corpus and tokenizer from a preset or a TOML file
    #[arg(long, value_name = "CONFIG")]
    config: Option<String>,
    /// Override a key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Train it on this corpus: a name, a file, a folder or a glob
    #[arg(long, value_name = "CORPUS")]
    corpus: Option<String>,
    /// Take the tokenizer of a run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["tokenizer", "config", "sets", "corpus", "file"])]
    run: Option<PathBuf>,
    /// Take a tokenizer.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tokenizer", "config", "sets", "corpus"])]
    file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Char,
    Word,
    Bpe,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Kind::Char => "char",
            Kind::Word => "word",
            Kind::Bpe => "bpe",
        }
    }
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    match args.command {
        Command::Show { choice, text } => {
            let text = match text.as_str() {
                "-" => standard_input()?,
                _ => text,
            };
            let colours = Colours::of_terminal();
            print(&shown(&choice.tokenizer()?, &text, colours))
        }
        Command::Train { choice, output } => {
            let tokenizer = choice.tokenizer()?;
            tokenizer.save(&output).map_err(CliError::failed)?;
            print(&format!(
                "{}: {} with {} tokens\n",
                output.display(),
                name(tokenizer.kind()),
                tokenizer.vocab_size()
            ))
        }
    }
}

fn name(kind: TokenizerKind) -> &'static str {
    match kind {
        TokenizerKind::Char => Kind::Char.key(),
        TokenizerKind::Word => Kind::Word.key(),
        TokenizerKind::Bpe => Kind::Bpe.key(),
    }
}

fn standard_input() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::failed(format!("cannot read standard input: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let position = error.utf8_error().valid_up_to();
        CliError::failed(format!(
            "standard input is not UTF-8: the first bad byte is at position {position}"
        ))
    })
}

impl Choice {
    fn tokenizer(&self) -> Result<Tokenizer, CliError> {
        if let Some(dir) = &self.run {
            return load(&run_folder(dir)?.join("tokenizer.json"));
        }
        if let Some(file) = &self.file {
            return load(file);
        }
        let mut config = self.config()?;
        if let Some(corpus) = &self.corpus {
            config.corpus = CorpusConfig {
                validation_fraction: config.corpus.validation_fraction,
                ..argument(corpus, config.corpus.lossy)?
            };
        }
        train(&config)
    }

    fn config(&self) -> Result<RunConfig, CliError> {
        let mut sets = Vec::new();
        if let Some(kind) = self.tokenizer {
            sets.push(format!("tokenizer.kind={}", kind.key()));
        }
        sets.extend(self.sets.iter().cloned());
        let source = match &self.config {
            Some(argument) => Source::from_argument(argument),
            None => Source::Text {
                name: "defaults".into(),
                text: String::new(),
            },
        };
        config::load(source, &sets).map_err(CliError::usage)
    }
}

/// A folder as given, or a run's name below the folder of runs.
fn run_folder(dir: &Path) -> Result<PathBuf, CliError> {
    if dir.is_dir() {
        return Ok(dir.to_path_buf());
    }
    run::find(&super::tui::runs_root(), &dir.to_string_lossy()).map_err(CliError::failed)
}

fn load(path: &Path) -> Result<Tokenizer, CliError> {
    Tokenizer::load(path).map_err(|error| match error {
        TokenizerError::Read { .. } => CliError::failed(error),
        error => CliError::failed(format!("{}: {error}", path.display())),
    })
}

fn train(config: &RunConfig) -> Result<Tokenizer, CliError> {
    let mut meter = Meter::new("tokenizer");
    let mut progress = |update: Update<'_>| match update.total {
        Some(total) if total >= 16 << 20 => meter.update(update),
        _ => Flow::Continue,
    };
    let trained = corpus::open(&config.corpus, &mut progress)
        .map_err(CliError::failed)
        .and_then(|corpus| {
            let text = match config.tokenizer.kind {
                TokenizerKind::Char => corpus.text(),
                _ => corpus.split(config.corpus.validation_fraction).0,
            };
            Tokenizer::train(&config.tokenizer, text, &mut progress).map_err(CliError::failed)
        });
    meter.end();
    trained
}

/// Whether tokens are told apart by colour or by brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Yes,
    No,
}

impl Colours {
    fn of_terminal() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match io::stdout().is_terminal() && !no_color {
            true => Colours::Yes,
            false => Colours::No,
        }
    }
}

/// Backgrounds that take turns; black text is readable on all of them.
const BACKGROUNDS: [u8; 6] = [152, 223, 182, 187, 217, 151];

/// The text in tokens, then a table of tokens and ids.
fn shown(tokenizer: &Tokenizer, text: &str, colours: Colours) -> String {
    let ids = tokenizer.encode(text);
    let mut out = String::new();
    for (at, &id) in ids.iter().enumerate() {
        let token = tokenizer.token_text(id);
        let visible = visible(&token);
        match colours {
            Colours::Yes => {
                let background = BACKGROUNDS[at % BACKGROUNDS.len()];
                out.push_str(&format!("\x1b[30;48;5;{background}m{visible}\x1b[0m"));
            }
            Colours::No => out.push_str(&format!("[{visible}]")),
        }
        out.push_str(&format!("{id} "));
        if token.ends_with('\n') {
            out.push('\n');
        }
    }
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    let unknown = tokenizer
        .unknown_id()
        .map(|unknown| ids.iter().filter(|&&id| id == unknown).count());
    out.push_str(&format!(
        "{} tokens for {} bytes ({}, vocabulary {}",
        ids.len(),
        text.len(),
        name(tokenizer.kind()),
        tokenizer.vocab_size()
    ));
    match (unknown, tokenizer.encode_strict(text)) {
        (Some(unknown), _) if unknown > 0 => {
            out.push_str(&format!(", {unknown} unknown"));
        }
        (None, Err(missing)) => {
            out.push_str(&format!("; left out: {missing}"));
        }
        _ => {}
    }
    out.push_str(")\n");
    out
}

/// One line, nothing that a terminal would act on.
fn visible(token: &str) -> String {
    token
        .chars()
        .flat_map(|c| match c {
            '\n' => vec!['\\', 'n'],
            c if c.is_control() => c.escape_default().collect(),
            c => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenizerConfig;
    use crate::progress;

    fn trained(kind: TokenizerKind) -> Tokenizer {
        let config = TokenizerConfig {
            kind,
            vocab_size: 300,
            min_freq: 1,
            lowercase: true,
        };
        Tokenizer::train(&config, "a mill, a man\n", &mut progress::ignore).unwrap()
    }

    #[test]
    fn tokens_are_shown_with_their_ids() {
        assert_eq!(
            shown(&trained(TokenizerKind::Word), "A mill\nzzz", Colours::No),
            "[a]1 [mill]2 [\\n]5 \n[<unk>]0 \n4 tokens for 10 bytes (word, vocabulary 6, 1 unknown)\n"
        );
        let text = shown(&trained(TokenizerKind::Char), "am\x1bz", Colours::No);
        assert_eq!(
            text,
            "[a]3 [m]6 \n2 tokens for 4 bytes (char, vocabulary 8; left out: \"\\u{1b}\" at byte 2 is not in the \
             tokenizer's vocabulary)\n"
        );
        let text = shown(&trained(TokenizerKind::Word), "a", Colours::Yes);
        assert!(text.starts_with("\x1b[30;48;5;152ma\x1b[0m1 "), "{text:?}");
        let text = shown(&trained(TokenizerKind::Bpe), "\x1b[2J", Colours::No);
        assert!(
            !text.contains('\x1b') && text.contains("[\\u{1b}]"),
            "{text}"
        );
    }
}
