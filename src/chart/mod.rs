//! Charts that leave the terminal: what a chart of one run or of several shows, as a table (CSV, JSON) and as a picture
//! (SVG, PNG).
//!
//! - [`View`] says what is to be shown; [`figure`] takes it out of what runs wrote: a [`Figure`] is plain data, with every
//!   value in range.
//! - `table`: every value, as CSV and JSON. `svg`: a picture, thinned out to its pixels. `png`: that picture, rasterised.
//! - `write`: files that take the place of nothing. [`scale`]: axes and the round numbers beside them, which the
//!   terminal's charts use too.
//!
//! Nothing here knows a terminal.

mod figure;
pub mod png;
pub mod scale;
mod svg;
mod table;
#[cfg(test)]
mod tests;
pub mod write;

use std::path::PathBuf;

pub use figure::{Curve, CurveKind, Figure, Mark, MarkKind, Point, Reference, RunFigure, figure};
use scale::Scale;

use crate::run::History;

/// What the vertical axis measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Training and validation, nats per token.
    Loss,
    ValidationLoss,
    /// exp of the loss, training and validation.
    Perplexity,
    /// The loss in bits per byte of text, training and validation.
    BitsPerByte,
    LearningRate,
    GradNorm,
    TokensPerSecond,
}

impl Quantity {
    pub const ALL: [Quantity; 7] = [
        Quantity::Loss,
        Quantity::ValidationLoss,
        Quantity::Perplexity,
        Quantity::BitsPerByte,
        Quantity::LearningRate,
        Quantity::GradNorm,
        Quantity::TokensPerSecond,
    ];

    /// The word on the command line and in tables.
    pub fn key(self) -> &'static str {
        match self {
            Quantity::Loss => "loss",
            Quantity::ValidationLoss => "val_loss",
            Quantity::Perplexity => "perplexity",
            Quantity::BitsPerByte => "bits_per_byte",
            Quantity::LearningRate => "learning_rate",
            Quantity::GradNorm => "grad_norm",
            Quantity::TokensPerSecond => "tokens_per_second",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Quantity::Loss => "loss",
            Quantity::ValidationLoss => "validation loss",
            Quantity::Perplexity => "perplexity",
            Quantity::BitsPerByte => "bits per byte",
            Quantity::LearningRate => "learning rate",
            Quantity::GradNorm => "gradient norm",
            Quantity::TokensPerSecond => "speed",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Quantity::Loss | Quantity::ValidationLoss => "nats per token",
            Quantity::Perplexity => "perplexity",
            Quantity::BitsPerByte => "bits per byte",
            Quantity::LearningRate => "learning rate",
            Quantity::GradNorm => "norm before clipping",
            Quantity::TokensPerSecond => "tokens per second",
        }
    }

    /// Whether it comes in nats per token, and is shown as something made of them.
    fn is_loss(self) -> bool {
        matches!(
            self,
            Quantity::Loss
                | Quantity::ValidationLoss
                | Quantity::Perplexity
                | Quantity::BitsPerByte
        )
    }

    /// Whether smoothing means something to it: a schedule and evaluations are shown as they are.
    pub fn smooths(self) -> bool {
        !matches!(self, Quantity::LearningRate | Quantity::ValidationLoss)
    }
}

/// What the horizontal axis measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Across {
    #[default]
    Step,
    Tokens,
    /// Seconds of training, pauses left out.
    Time,
    /// Multiplications and additions of training.
    Compute,
}

impl Across {
    pub const ALL: [Across; 4] = [Across::Step, Across::Tokens, Across::Time, Across::Compute];

    /// The word on the command line and in tables.
    pub fn key(self) -> &'static str {
        match self {
            Across::Step => "step",
            Across::Tokens => "tokens",
            Across::Time => "time",
            Across::Compute => "compute",
        }
    }
}

/// What is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub quantity: Quantity,
    pub across: Across,
    /// In units of the horizontal axis; `None` is everything.
    pub range: Option<(f64, f64)>,
    /// Weight of the past, 0 for none.
    pub smoothing: f64,
    pub scale: Scale,
    /// Lines that no log has: the schedule ahead, and what a pending edit would make of it. They belong to the first run.
    pub ahead: Vec<Curve>,
}

/// A run, and the name it goes by in the chart.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub history: &'a History,
}

/// Colours as `0xRRGGBB`, and the size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub background: u32,
    pub foreground: u32,
    /// Numbers beside the axes, and whatever stands back.
    pub dim: u32,
    pub grid: u32,
    /// The curves of several runs, in order. Of one run: training, validation, learning rate, gradient norm, speed.
    pub series: [u32; 6],
    pub edit: u32,
    pub checkpoint: u32,
    pub bad: u32,
    /// Curves are told apart by their dashes alone.
    pub monochrome: bool,
}

/// Smallest and largest width and height of a picture.
pub const SIZES: (u32, u32) = (320, 8192);

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Csv,
    Json,
    Svg,
    Png,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Csv, Kind::Json, Kind::Svg, Kind::Png];

    /// The ending of the file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Kind::Csv => "csv",
            Kind::Json => "json",
            Kind::Svg => "svg",
            Kind::Png => "png",
        }
    }
}

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    #[error("{run} has nothing to show as {what} yet: {why}")]
    Nothing {
        run: String,
        what: &'static str,
        why: &'static str,
    },
    #[error(
        "there is nothing between {from} and {to} on the {axis} axis; the runs reach from {first} to {last}"
    )]
    OutOfRange {
        axis: &'static str,
        from: f64,
        to: f64,
        first: f64,
        last: f64,
    },
    #[error("{} exists already; `--force` replaces it, or choose another file with `--out`", path.display())]
    Exists { path: PathBuf },
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Picture(#[from] png::PictureError),
}

/// The file of this kind.
///
/// # Errors
/// A PNG needs a font on the system.
pub fn file(figure: &Figure, kind: Kind, look: &Look) -> Result<Vec<u8>, ChartError> {
    Ok(match kind {
        Kind::Csv => table::csv(figure).into_bytes(),
        Kind::Json => table::json(figure).into_bytes(),
        Kind::Svg => svg::draw(figure, look).into_bytes(),
        Kind::Png => png::rasterise(&svg::draw(figure, look), 1.0, png::Font::Proportional)?,
    })
}
