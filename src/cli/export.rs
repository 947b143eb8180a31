//! `fireside export`: Take a model, a run's log, or a chart of runs elsewhere

mod chart;
mod model;
mod tensorboard;

use std::path::{Path, PathBuf};

use super::open::parse_which;
use super::{CliError, Exit};
use crate::chart::{Across, Kind, Quantity, SIZES};
use crate::export::{Format, Replace};
use crate::run::checkpoint::Which;
use crate::run::{self, History};
use crate::words::counted;

/// Take a model, a run's log, or a chart of runs elsewhere
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs: a folder, a name below the runs folder, or `last`. Several for tensorboard, csv, json, svg and png
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
    /// `hf`: what transformers loads as GPT2LMHeadModel; `safetensors`: any model, with a PyTorch module that loads it;
    /// `tensorboard`: a log folder that TensorBoard reads; `csv`, `json`, `svg`, `png`: a chart, as a table or a picture
    #[arg(long, value_name = "FORMAT")]
    to: To,
    /// The folder (hf, safetensors, tensorboard) or file (csv, json, svg, png; `-` is standard output) to write
    /// (default: named after the run and what is written, in the current folder)
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Of a model: `last` (or `newest`, the default), `best` or a step
    #[arg(long, value_name = "WHICH", value_parser = parse_which)]
    checkpoint: Option<Which>,
    /// Of a chart: what it shows (default: loss)
    #[arg(long, value_name = "METRIC", value_parser = parse_quantity)]
    metric: Option<Quantity>,
    /// Of a chart: the horizontal axis, step (default), tokens, time or compute
    #[arg(long, value_name = "AXIS", value_parser = parse_across)]
    x: Option<Across>,
    /// Of a chart: only this stretch of the horizontal axis (steps, tokens or seconds), as FROM..TO
    #[arg(long, value_name = "FROM..TO", value_parser = parse_range)]
    range: Option<(f64, f64)>,
    /// Of a chart: weight of the past in smoothed curves, from 0 (none, the default) to below 1
    #[arg(long, value_name = "WEIGHT", value_parser = parse_weight)]
    smooth: Option<f64>,
    /// Of a chart: a logarithmic vertical axis
    #[arg(long)]
    log_y: bool,
    /// Of a picture: pixels across (default: 1600)
    #[arg(long, value_name = "PIXELS", value_parser = parse_size)]
    width: Option<u32>,
    /// Of a picture: pixels down (default: 900)
    #[arg(long, value_name = "PIXELS", value_parser = parse_size)]
    height: Option<u32>,
    /// Of a picture: a theme of the screens (default: light)
    #[arg(long, value_name = "THEME", value_parser = clap::builder::PossibleValuesParser::new(crate::ui::theme::NAMES))]
    theme: Option<String>,
    /// Replace an earlier export in that place
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    Hf,
    Safetensors,
    Tensorboard,
    Csv,
    Json,
    Svg,
    Png,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    args.check()?;
    match args.to {
        To::Hf => model::run(&args, Format::HuggingFace, "hf"),
        To::Safetensors => model::run(&args, Format::Safetensors, "safetensors"),
        To::Tensorboard => tensorboard::run(&args),
        To::Csv => chart::run(&args, Kind::Csv),
        To::Json => chart::run(&args, Kind::Json),
        To::Svg => chart::run(&args, Kind::Svg),
        To::Png => chart::run(&args, Kind::Png),
    }
}

impl Args {
    /// Refuses what would be ignored.
    fn check(&self) -> Result<(), CliError> {
        let model = matches!(self.to, To::Hf | To::Safetensors);
        let chart = matches!(self.to, To::Csv | To::Json | To::Svg | To::Png);
        let picture = matches!(self.to, To::Svg | To::Png);
        let given = [
            (
                "--checkpoint",
                self.checkpoint.is_some(),
                model,
                "hf and safetensors",
            ),
            (
                "--metric",
                self.metric.is_some(),
                chart,
                "csv, json, svg and png",
            ),
            ("--x", self.x.is_some(), chart, "csv, json, svg and png"),
            (
                "--range",
                self.range.is_some(),
                chart,
                "csv, json, svg and png",
            ),
            (
                "--smooth",
                self.smooth.is_some(),
                chart,
                "csv, json, svg and png",
            ),
            ("--log-y", self.log_y, picture, "svg and png"),
            ("--width", self.width.is_some(), picture, "svg and png"),
            ("--height", self.height.is_some(), picture, "svg and png"),
            ("--theme", self.theme.is_some(), picture, "svg and png"),
        ];
        for (option, is_given, applies, to) in given {
            if is_given && !applies {
                return Err(CliError::usage(format!("`{option}` is for `--to` {to}")));
            }
        }
        if model && self.runs.len() > 1 {
            return Err(CliError::usage(
                "a model is exported from one run; several are for `--to` tensorboard, csv, json, svg and png",
            ));
        }
        let quantity = self.metric.unwrap_or(Quantity::Loss);
        if self.smooth.is_some_and(|weight| weight > 0.0) && !quantity.smooths() {
            return Err(CliError::usage(format!(
                "`--smooth` means nothing to {}, which is shown as it is",
                quantity.key()
            )));
        }
        let stdout = self.out.as_deref() == Some(Path::new("-"));
        if stdout && !chart {
            return Err(CliError::usage(
                "`--out -` is for `--to` csv, json, svg and png: the others write a folder",
            ));
        }
        if stdout && self.json {
            return Err(CliError::usage(
                "`--json` and `--out -` would both write to standard output",
            ));
        }
        Ok(())
    }

    fn replace(&self) -> Replace {
        match self.force {
            true => Replace::EarlierExport,
            false => Replace::Never,
        }
    }

    fn logged(&self) -> Result<Vec<Logged>, CliError> {
        let root = super::tui::runs_root();
        let mut all: Vec<Logged> = Vec::new();
        for name in &self.runs {
            let dir = run::find(&root, name).map_err(CliError::failed)?;
            let history = run::read_history(&dir).map_err(CliError::failed)?;
            if history.skipped_lines > 0 {
                super::complain(&format!(
                    "note: {} of the logs of {} could not be read: left out",
                    counted(history.skipped_lines, "line"),
                    dir.display()
                ));
            }
            let plain = name_of(&dir);
            // The same name twice, in different folders.
            let mut name = plain.clone();
            let mut number = 2;
            while all.iter().any(|other| other.name == name) {
                name = format!("{plain}-{number}");
                number += 1;
            }
            all.push(Logged { name, dir, history });
        }
        Ok(all)
    }
}

/// A run's log.
struct Logged {
    name: String,
    dir: PathBuf,
    history: History,
}

/// The name of a run's folder.
fn name_of(dir: &Path) -> String {
    let path = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    path.file_name().map_or_else(
        || "run".to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn parse_quantity(text: &str) -> Result<Quantity, String> {
    let found = Quantity::ALL
        .into_iter()
        .find(|quantity| quantity.key() == text);
    found.ok_or_else(|| {
        format!(
            "expected one of {}",
            Quantity::ALL.map(Quantity::key).join(", ")
        )
    })
}

fn parse_across(text: &str) -> Result<Across, String> {
    let found = Across::ALL.into_iter().find(|across| across.key() == text);
    found.ok_or_else(|| {
        format!(
            "expected one of {}",
            Across::ALL.map(Across::key).join(", ")
        )
    })
}

fn parse_range(text: &str) -> Result<(f64, f64), String> {
    let number = |text: &str| text.trim().replace('_', "").parse::<f64>().ok();
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some((number(from)?, number(to)?)));
    range
        .filter(|(from, to)| from.is_finite() && to.is_finite() && from < to)
        .ok_or_else(|| "expected two numbers, the first one smaller, as in 100..2000".to_string())
}

fn parse_weight(text: &str) -> Result<f64, String> {
    let weight = text.parse::<f64>().ok();
    weight
        .filter(|weight| (0.0..=0.9999).contains(weight))
        .ok_or_else(|| "expected a number from 0 to 0.9999".to_string())
}

fn parse_size(text: &str) -> Result<u32, String> {
    let size = text.parse::<u32>().ok();
    size.filter(|size| (SIZES.0..=SIZES.1).contains(size))
        .ok_or_else(|| format!("expected a whole number from {} to {}", SIZES.0, SIZES.1))
}
