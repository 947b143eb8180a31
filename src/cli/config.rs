//! `fireside config`: Print, check, list and describe configurations

use std::io::{self, IsTerminal, Write};

use clap::Subcommand;

use super::{CliError, Exit};
use crate::config::{
    Field, Source, describe_field, describe_markdown, did_you_mean, fields, load_looking,
    load_with_notes, own_configs, own_folders, presets, sections,
};
use crate::corpus::{self, CorpusError};
use crate::ui::settings::{self, Settings};
use crate::{data, device};

/// Print, check, list and describe configurations
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the presets that come with the program, and your own configurations
    List,
    /// Print a configuration, complete and resolved (without CONFIG: the defaults)
    Print {
        /// A preset, a TOML file, or a run's folder
        config: Option<String>,
        /// Override a key; may be given several times
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
    },
    /// Check configurations, and that their texts are there and long enough, and report every problem
    Check {
        /// Presets, TOML files, or folders of runs
        #[arg(required = true, value_name = "CONFIG")]
        configs: Vec<String>,
        /// Override a key; may be given several times
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
    },
    /// Print the settings file of the screens (themes, colours, keys, mouse) with every default, and where it lies; what
    /// cannot be used of yours goes to standard error
    Settings,
    /// Say what a key means, its type, default and range (without KEY: all keys)
    Describe {
        /// A key (optimizer.learning_rate) or a section (optimizer)
        #[arg(conflicts_with = "markdown")]
        key: Option<String>,
        /// The whole reference as Markdown
        #[arg(long)]
        markdown: bool,
    },
}

/// `fireside --print-default-config`
pub fn print_defaults() -> Result<Exit, CliError> {
    print(None, &[])
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    match args.command {
        Command::List => show(&list()),
        Command::Print { config, sets } => print(config.as_deref(), &sets),
        Command::Check { configs, sets } => check(&configs, &sets),
        Command::Settings => settings(),
        Command::Describe { markdown: true, .. } => show(&describe_markdown()),
        Command::Describe { key, .. } => describe(key.as_deref()),
    }
}

fn list() -> String {
    let width = presets().iter().map(|p| p.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for preset in presets() {
        let name = emphasis(&format!("{:width$}", preset.name));
        text.push_str(&format!("{name}  {}\n", preset.title));
        let indent = " ".repeat(width + 2);
        for line in wrap(preset.description, 76) {
            text.push_str(&format!("{indent}{line}\n"));
        }
    }
    let own = own_configs(&own_folders());
    for own in own.configs {
        let name = emphasis(&format!("{:width$}", own.name));
        let kind = own.config.model.kind().key();
        text.push_str(&format!("{name}  yours, {kind}: {}\n", own.path.display()));
    }
    note(&own.problems);
    text
}

fn print(config: Option<&str>, sets: &[String]) -> Result<Exit, CliError> {
    let source = config.map_or(Source::Defaults, Source::from_argument);
    let loaded = load_with_notes(source, sets).map_err(CliError::usage)?;
    note(&loaded.notes);
    let mut text = String::new();
    for line in loaded.config.to_toml().lines() {
        if line.starts_with('[') {
            text.push_str(&emphasis(line));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    show(&text)
}

fn check(configs: &[String], sets: &[String]) -> Result<Exit, CliError> {
    let mut bad = Vec::new();
    let mut text = String::new();
    for config in configs {
        match load_looking(Source::from_argument(config), sets, &data::foresee) {
            Ok(loaded) => {
                note(&loaded.notes);
                if let Err(error @ CorpusError::NotFetched { .. }) =
                    corpus::known_bytes(&loaded.config.corpus)
                {
                    note(&[error.to_string()]);
                }
                if loaded.config.device != "auto"
                    && let Err(error) = device::resolve(&loaded.config.device)
                {
                    note(&[format!("{config}: {error}")]);
                }
                text.push_str(&format!("{config}: fine\n"));
            }
            Err(errors) => bad.extend(errors.problems.iter().map(|problem| problem.to_string())),
        }
    }
    show(&text)?;
    match bad.as_slice() {
        [] => Ok(Exit::Success),
        [only] => Err(CliError::usage(only)),
        _ => Err(CliError::usage(format!(
            "{} problems\n  {}",
            bad.len(),
            bad.join("\n  ")
        ))),
    }
}

fn settings() -> Result<Exit, CliError> {
    let place = settings::path().map_or_else(String::new, |path| {
        format!("# This file is {}\n", path.display())
    });
    let shown = show(&format!("{place}{}", Settings::default_toml()));
    // After the text, so that they are what is seen last.
    let (settings, mut problems) = Settings::load();
    problems.extend(settings.keymap().1);
    note(&problems);
    shown
}

fn describe(key: Option<&str>) -> Result<Exit, CliError> {
    let matching: Vec<&Field> = match key {
        None => fields().iter().collect(),
        Some(key) => fields()
            .iter()
            .filter(|field| field.key == key || (!key.is_empty() && field.section() == key))
            .collect(),
    };
    if matching.is_empty() {
        let key = key.unwrap_or_default();
        let section = crate::config::closest(key, sections());
        return Err(CliError::usage(match did_you_mean(key).or(section) {
            Some(guess) => format!("unknown key {key}; did you mean `{guess}`?"),
            None => format!(
                "unknown key {key}; sections: {}",
                sections()[1..].join(", ")
            ),
        }));
    }
    let described: Vec<String> = matching
        .iter()
        .map(|field| describe_field(field).replacen(field.key, &emphasis(field.key), 1))
        .collect();
    show(&described.join("\n"))
}

/// Notes go to standard error, so that standard output stays a configuration.
fn note(notes: &[String]) {
    for note in notes {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "note: {note}");
    }
}

/// Writes to standard output; a reader that went away (`| head`) is no failure.
fn show(text: &str) -> Result<Exit, CliError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("standard output: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}

/// Bold where a person reads it in colour.
fn emphasis(text: &str) -> String {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !no_color {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Breaks text between words, at `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
