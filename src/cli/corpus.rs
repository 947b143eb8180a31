//! `fireside corpus`: the texts there are, fetching more, generating stories.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;

use super::{CliError, Exit};
use crate::config::{CorpusConfig, RunConfig};
use crate::corpus::fetch::{Fetched, fetch};
use crate::corpus::{self, Corpus, builtin, catalog, folders, stories};
use crate::progress::{Flow, Update};

/// List, fetch and generate corpora
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the built-in texts and the catalog, and what of it is on this machine
    List,
    /// Download corpora of the catalog into the data folder
    Fetch {
        /// Names in the catalog (see `fireside corpus list`)
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Write stories from the generator
    Generate {
        /// How many bytes, at least; the last story is finished
        #[arg(long, default_value_t = 1_000_000)]
        bytes: u64,
        /// The same seed and length give the same text
        #[arg(long, default_value_t = 1337)]
        seed: u64,
        /// Where to; without it, standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Say what a corpus holds, and print its beginning
    Show {
        /// A name (see `fireside corpus list`), a file, a folder, a glob, or `-` for standard input
        name: String,
        /// How many lines to print
        #[arg(long, value_name = "N", default_value_t = 12)]
        head: usize,
        /// Accept text that is not UTF-8
        #[arg(long)]
        lossy: bool,
    },
    /// Print the entropy of the generator `stories`: the least loss that any model can reach on it
    Entropy,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    match args.command {
        Command::List => print(&list()?),
        Command::Fetch { names } => fetch_all(&names),
        Command::Generate {
            bytes,
            seed,
            output,
        } => generate(bytes, seed, output.as_deref()),
        Command::Show { name, head, lossy } => show(&name, head, lossy),
        Command::Entropy => print(&entropy()),
    }
}

/// Writes to standard output. A reader that has closed the pipe has seen all it wanted.
pub(super) fn print(text: &str) -> Result<Exit, CliError> {
    ended(io::stdout().write_all(text.as_bytes()))
}

fn ended(result: io::Result<()>) -> Result<Exit, CliError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("cannot write: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}

fn list() -> Result<String, CliError> {
    let mut text = String::from("built in\n");
    text.push_str(&format!(
        "  {:<18} {:>10}  Simple tales from a grammar, of any length and known entropy\n",
        "stories", "any"
    ));
    for known in builtin::TEXTS {
        let (name, size) = (known.name, size(known.text.len() as u64));
        text.push_str(&format!("  {name:<18} {size:>10}  {}\n", known.title));
    }
    text.push_str("catalog (get one with `fireside corpus fetch NAME`)\n");
    for entry in catalog::entries().map_err(CliError::failed)? {
        let fetched = entry.fetched();
        let bytes = fetched
            .as_ref()
            .and_then(|path| path.metadata().ok())
            .map(|data| data.len())
            .or(entry.bytes);
        let size = bytes.map_or("?".to_string(), size);
        let here = if fetched.is_some() { "  [fetched]" } else { "" };
        text.push_str(&format!(
            "  {:<18} {size:>10}  {}{here}\n",
            entry.name, entry.title
        ));
        text.push_str(&format!("  {:<18} {:>10}  {}\n", "", "", entry.licence));
    }
    if let Some(data) = folders::data() {
        text.push_str(&format!(
            "fetched texts lie in {}\n",
            data.join("corpora").display()
        ));
    }
    Ok(text)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn fetch_all(names: &[String]) -> Result<Exit, CliError> {
    let data = folders::data()
        .ok_or_else(|| CliError::failed("there is no home folder: set FIRESIDE_DATA"))?;
    let mut entries = Vec::new();
    for name in names {
        entries.push(
            catalog::find(name)
                .map_err(CliError::failed)?
                .ok_or_else(|| {
                    let all = catalog::entries().unwrap_or_default();
                    let all: Vec<&str> = all.iter().map(|entry| entry.name.as_str()).collect();
                    CliError::usage(format!(
                        "there is no `{name}` in the catalog: it has {}",
                        all.join(", ")
                    ))
                })?,
        );
    }
    // One that does not come is no reason to leave the others.
    let mut failed = Vec::new();
    for entry in entries {
        let mut meter = Meter::new(&entry.name);
        let result = fetch(entry, &data, &mut |update| meter.update(update));
        meter.end();
        match result {
            Ok(fetched) => {
                print(&fetched_line(&entry.name, &fetched))?;
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    match failed.is_empty() {
        true => Ok(Exit::Success),
        false => Err(CliError::failed(failed.join("\n  "))),
    }
}

fn fetched_line(name: &str, fetched: &Fetched) -> String {
    let path = fetched.path.display();
    match (&fetched.sha256, fetched.recorded) {
        (None, _) => format!("{name} is already there: {path}\n"),
        (Some(sum), false) => format!("{name}: {path} (SHA-256 {sum}, as expected)\n"),
        (Some(sum), true) => {
            format!("{name}: {path} (SHA-256 {sum}, recorded: later downloads must be the same)\n")
        }
    }
}

/// Progress on standard error: a line that is drawn over and over on a terminal, else a line every tenth.
pub(super) struct Meter {
    name: String,
    terminal: bool,
    drawn: Option<Instant>,
    tenths: Option<u64>,
    what: String,
}

impl Meter {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
            terminal: io::stderr().is_terminal(),
            drawn: None,
            tenths: None,
            what: String::new(),
        }
    }

    pub(super) fn update(&mut self, update: Update<'_>) -> Flow {
        let fresh = self.what != update.what;
        if fresh {
            self.what = update.what.to_string();
            self.tenths = None;
        }
        if self.terminal {
            let due = self
                .drawn
                .is_none_or(|at| at.elapsed() >= Duration::from_millis(100));
            let done = update.total == Some(update.done);
            if due || fresh || done {
                self.drawn = Some(Instant::now());
                // Nothing to do about a standard error that is closed.
                let _ = write!(io::stderr(), "\r\x1b[K{}", self.line(update, true));
            }
        } else {
            let tenths = update
                .total
                .map(|total| update.done.saturating_mul(10) / total.max(1));
            if fresh || (tenths.is_some() && tenths != self.tenths) {
                self.tenths = tenths;
                let _ = writeln!(io::stderr(), "{}", self.line(update, false));
            }
        }
        Flow::Continue
    }

    fn line(&self, update: Update<'_>, bar: bool) -> String {
        let (name, what, done) = (&self.name, update.what, size(update.done));
        let Some(total) = update.total else {
            return format!("{name}: {what} {done}");
        };
        let share = (update.done as f64 / total.max(1) as f64).min(1.0);
        let percent = (share * 100.0) as u64;
        let total = size(total);
        if !bar {
            return format!("{name}: {what} {done} of {total} ({percent} %)");
        }
        let full = (share * 24.0) as usize;
        let bar = format!("{}{}", "#".repeat(full), "-".repeat(24 - full));
        format!("{name}: {what} [{bar}] {percent:>3} %  {done} of {total}")
    }

    pub(super) fn end(&mut self) {
        if self.terminal && self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn generate(bytes: u64, seed: u64, output: Option<&Path>) -> Result<Exit, CliError> {
    let Some(path) = output.filter(|path| *path != Path::new("-")) else {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = stories::write(&mut out, bytes, seed).map(|_| ());
        return ended(written.and_then(|()| out.flush()));
    };
    let failed =
        |error: io::Error| CliError::failed(format!("cannot write {}: {error}", path.display()));
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    let written = stories::write(&mut out, bytes, seed).map_err(failed)?;
    out.flush().map_err(failed)?;
    let name = path.display();
    print(&format!(
        "{name}: {} of stories, seed {seed}\n",
        size(written)
    ))
}

/// The corpus that an argument names: a known name first, else a path.
pub(super) fn argument(name: &str, lossy: bool) -> Result<CorpusConfig, CliError> {
    let mut config = RunConfig::defaults().corpus;
    config.lossy = lossy;
    if corpus::names().map_err(CliError::failed)?.contains(&name) {
        config.name = name.to_string();
        config.path.clear();
    } else {
        let is_path = name == "-" || name.contains(['/', '\\', '.', '*', '?', '[']);
        if !is_path && !Path::new(name).exists() {
            let known = corpus::names().map_err(CliError::failed)?;
            let guess = crate::config::closest(name, known.iter().copied());
            let guess = guess.map_or(String::new(), |guess| format!("; did you mean `{guess}`?"));
            return Err(CliError::failed(format!(
                "there is neither a corpus nor a file `{name}`{guess} (corpora: {})",
                known.join(", ")
            )));
        }
        config.path = vec![PathBuf::from(name)];
    }
    Ok(config)
}

fn show(name: &str, head: usize, lossy: bool) -> Result<Exit, CliError> {
    let config = argument(name, lossy)?;
    let mut meter = Meter::new(name);
    let corpus = corpus::open(&config, &mut |update: Update<'_>| {
        // Small texts are read in no time: no line for them.
        match update.total {
            Some(total) if total < 64 << 20 => Flow::Continue,
            _ => meter.update(update),
        }
    });
    meter.end();
    let corpus = corpus.map_err(CliError::failed)?;
    for notice in &corpus.notices {
        eprintln!("note: {notice}");
    }
    let mut text = facts(&corpus, config.validation_fraction);
    if head > 0 {
        text.push('\n');
        for line in corpus.text().lines().take(head) {
            text.push_str(line);
            text.push('\n');
        }
    }
    print(&text)
}

fn facts(corpus: &Corpus, fraction: f64) -> String {
    let text = corpus.text();
    let (mut characters, mut lines) = (0u64, 0u64);
    for &byte in text.as_bytes() {
        characters += u64::from(byte & 0xC0 != 0x80);
        lines += u64::from(byte == b'\n');
    }
    lines += u64::from(!text.ends_with('\n'));
    let (train, validation) = corpus.split(fraction);
    let mut out = format!(
        "corpus      {}\nbytes       {}\ncharacters  {characters}\nlines       {lines}\n",
        corpus.name,
        text.len()
    );
    out.push_str(&format!(
        "split       {} bytes to train on, {} to validate on\n",
        train.len(),
        validation.len()
    ));
    if let Some((bits, exact)) = corpus.source_entropy {
        let exact = if exact { "exact" } else { "upper bound" };
        out.push_str(&format!("entropy     {bits:.4} bits per byte ({exact})\n"));
    }
    out
}

fn entropy() -> String {
    let entropy = stories::entropy();
    let nats = entropy.bits_per_byte * std::f64::consts::LN_2;
    format!(
        "stories     {}\nper byte    {:.4} bits, {nats:.4} nats\nper story   {:.1} bits in {:.1} bytes\n",
        if entropy.exact {
            "exact, from the grammar"
        } else {
            "upper bound"
        },
        entropy.bits_per_byte,
        entropy.bits_per_story,
        entropy.bytes_per_story,
    )
}
