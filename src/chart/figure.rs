//! What a chart shows, taken out of what runs wrote. Every value in range is kept; thinning out is left to the picture.

use crate::protocol::{Edit, EvalReport, StepReport};
use crate::run::{History, LeftBranch, Record};

use super::scale::{Scale, reading, short};
use super::{Across, ChartError, Quantity, Source, View};

/// A chart as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub quantity: Quantity,
    pub across: Across,
    pub scale: Scale,
    /// 0 where nothing is smoothed.
    pub smoothing: f64,
    /// Of the horizontal axis.
    pub range: (f64, f64),
    pub runs: Vec<RunFigure>,
}

/// What a run has in it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFigure {
    pub name: String,
    /// Model, corpus, size and device, in words.
    pub about: String,
    pub curves: Vec<Curve>,
    pub marks: Vec<Mark>,
    pub references: Vec<Reference>,
}

/// A line, or points.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub kind: CurveKind,
    pub points: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurveKind {
    /// One value a step.
    Train,
    /// One value an evaluation.
    Validation,
    /// Steps after this checkpoint's, which the run left when it went back there.
    Left { step: u64 },
    /// The schedule from now on.
    Ahead,
    /// What an edit that is not applied yet would make of it.
    Pending,
}

impl CurveKind {
    /// Its name in tables and legends.
    pub fn label(self) -> String {
        match self {
            CurveKind::Train => "train".to_string(),
            CurveKind::Validation => "validation".to_string(),
            CurveKind::Left { step } => format!("left at step {step}"),
            CurveKind::Ahead => "ahead".to_string(),
            CurveKind::Pending => "pending".to_string(),
        }
    }
}

/// A value, and where it lies on each axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub step: u64,
    pub tokens: u64,
    pub seconds: f64,
    /// Multiplications and additions of training up to here; NaN where the size of the model is not known.
    pub operations: f64,
    /// May be no number.
    pub value: f64,
    /// The exponential average up to here; NaN where nothing is smoothed, and before the first number.
    pub smoothed: f64,
}

impl Point {
    pub fn x(&self, across: Across) -> f64 {
        match across {
            Across::Step => self.step as f64,
            Across::Tokens => self.tokens as f64,
            Across::Time => self.seconds,
            Across::Compute => self.operations,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub kind: MarkKind,
    pub step: u64,
    pub tokens: u64,
    pub seconds: f64,
    pub operations: f64,
    /// In words; empty for a checkpoint.
    pub text: String,
}

impl Mark {
    pub fn x(&self, across: Across) -> f64 {
        match across {
            Across::Step => self.step as f64,
            Across::Tokens => self.tokens as f64,
            Across::Time => self.seconds,
            Across::Compute => self.operations,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    Edit,
    Checkpoint,
    Resumed,
    Rewound,
    Spike,
    Diverged,
}

impl MarkKind {
    pub fn key(self) -> &'static str {
        match self {
            MarkKind::Edit => "edit",
            MarkKind::Checkpoint => "checkpoint",
            MarkKind::Resumed => "resumed",
            MarkKind::Rewound => "rewound",
            MarkKind::Spike => "spike",
            MarkKind::Diverged => "diverged",
        }
    }
}

/// A value to measure the curve by.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub name: &'static str,
    pub value: f64,
}

/// Takes what `view` asks for out of what the runs wrote.
///
/// # Errors
/// [`ChartError::Nothing`] for a run that has no such value yet, [`ChartError::OutOfRange`] where none lies in the range.
pub fn figure(sources: &[Source<'_>], view: &View) -> Result<Figure, ChartError> {
    let mut runs = Vec::new();
    for source in sources {
        if view.across == Across::Compute && source.history.info.is_none() {
            return Err(ChartError::Nothing {
                run: source.name.to_string(),
                what: view.across.key(),
                why: "its log does not say how large the model is",
            });
        }
        let run = whole(source, view);
        if run.curves.iter().all(|curve| curve.points.is_empty()) {
            return Err(ChartError::Nothing {
                run: source.name.to_string(),
                what: view.quantity.key(),
                why: match view.quantity {
                    Quantity::ValidationLoss => "it has not been evaluated",
                    _ => "it has not done a step",
                },
            });
        }
        runs.push(run);
    }
    if let Some(first) = runs.first_mut() {
        first.curves.extend(view.ahead.iter().cloned());
    }
    let all = runs.iter().flat_map(|run| &run.curves);
    let (first, last) = all
        .flat_map(|curve| &curve.points)
        .map(|point| point.x(view.across))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
    let range = view.range.unwrap_or((first, last));
    let inside = |x: f64| x >= range.0 && x <= range.1;
    for run in &mut runs {
        for curve in &mut run.curves {
            curve.points.retain(|point| inside(point.x(view.across)));
        }
        run.curves.retain(|curve| !curve.points.is_empty());
        run.marks.retain(|mark| inside(mark.x(view.across)));
    }
    if runs.iter().all(|run| run.curves.is_empty()) {
        return Err(ChartError::OutOfRange {
            axis: view.across.key(),
            from: range.0,
            to: range.1,
            first,
            last,
        });
    }
    if runs.len() > 1 {
        // A line that holds for some runs only would be read as holding for all.
        let shared: Vec<Reference> = runs[0]
            .references
            .iter()
            .filter(|reference| runs.iter().all(|run| run.references.contains(reference)))
            .cloned()
            .collect();
        for run in &mut runs {
            run.references.clone_from(&shared);
        }
    }
    Ok(Figure {
        quantity: view.quantity,
        across: view.across,
        scale: view.scale,
        smoothing: if view.quantity.smooths() {
            view.smoothing
        } else {
            0.0
        },
        range,
        runs,
    })
}

/// A run from its first step to its last.
fn whole(source: &Source<'_>, view: &View) -> RunFigure {
    let history = source.history;
    let reader = Reader {
        quantity: view.quantity,
        smoothing: view.smoothing,
        nats_per_bit: nats_per_bit(history),
        operations_per_token: history.operations_per_token().unwrap_or(f64::NAN),
    };
    let mut curves: Vec<Curve> = Vec::new();
    if view.quantity != Quantity::ValidationLoss {
        for branch in &history.left {
            let points = reader.branch(&history.steps, branch);
            let step = branch.rewound.step;
            curves.push(Curve {
                kind: CurveKind::Left { step },
                points,
            });
        }
        curves.push(Curve {
            kind: CurveKind::Train,
            points: reader.steps(history.steps.iter()),
        });
    }
    if view.quantity.is_loss() {
        curves.push(Curve {
            kind: CurveKind::Validation,
            points: history
                .evaluations
                .iter()
                .map(|report| reader.evaluation(report))
                .collect(),
        });
    }
    curves.retain(|curve| !curve.points.is_empty());
    RunFigure {
        name: source.name.to_string(),
        about: about(history),
        curves,
        marks: marks(history, reader.operations_per_token),
        references: reader.references(history),
    }
}

/// How many nats per token one bit per byte of text is.
fn nats_per_bit(history: &History) -> f64 {
    let bytes = history.info.as_ref().map_or(1.0, |i| i.bytes_per_token);
    std::f64::consts::LN_2 * if bytes > 0.0 { bytes } else { 1.0 }
}

struct Reader {
    quantity: Quantity,
    smoothing: f64,
    nats_per_bit: f64,
    operations_per_token: f64,
}

impl Reader {
    fn operations(&self, tokens: u64) -> f64 {
        tokens as f64 * self.operations_per_token
    }

    fn raw(&self, report: &StepReport) -> f64 {
        match self.quantity {
            Quantity::LearningRate => report.learning_rate,
            Quantity::GradNorm => report.grad_norm,
            Quantity::TokensPerSecond => report.tokens_per_second,
            _ => report.loss,
        }
    }

    /// A perplexity that is smoothed is that of the smoothed loss.
    fn show(&self, raw: f64) -> f64 {
        match self.quantity {
            Quantity::Perplexity => raw.exp(),
            Quantity::BitsPerByte => raw / self.nats_per_bit,
            _ => raw,
        }
    }

    fn steps<'a>(&self, steps: impl Iterator<Item = &'a StepReport>) -> Vec<Point> {
        let smoothing = self.quantity.smooths() && self.smoothing > 0.0;
        let mut average = Average::new(self.smoothing);
        steps
            .map(|report| {
                let raw = self.raw(report);
                average.add(raw);
                Point {
                    step: report.step,
                    tokens: report.tokens,
                    seconds: report.seconds,
                    operations: self.operations(report.tokens),
                    value: self.show(raw),
                    smoothed: if smoothing {
                        self.show(average.value())
                    } else {
                        f64::NAN
                    },
                }
            })
            .collect()
    }

    /// The steps of a branch; its average goes on from before the place where it was left.
    fn branch(&self, steps: &[StepReport], branch: &LeftBranch) -> Vec<Point> {
        let from = branch.rewound.step;
        let before = steps.iter().filter(|report| report.step <= from);
        let after = branch.records.iter().filter_map(|record| match record {
            Record::Step(report) => Some(report),
            _ => None,
        });
        let mut points = self.steps(before.chain(after));
        points.retain(|point| point.step > from);
        points
    }

    fn evaluation(&self, report: &EvalReport) -> Point {
        Point {
            step: report.step,
            tokens: report.tokens,
            seconds: report.seconds,
            operations: self.operations(report.tokens),
            value: match self.quantity {
                Quantity::Perplexity => report.perplexity,
                Quantity::BitsPerByte => report.bits_per_byte,
                _ => report.val_loss,
            },
            smoothed: f64::NAN,
        }
    }

    fn references(&self, history: &History) -> Vec<Reference> {
        let Some(info) = &history.info else {
            return Vec::new();
        };
        let mut all = Vec::new();
        if self.quantity.is_loss() {
            all.push(("uniform", self.show(info.uniform_loss)));
            all.push(("unigram", self.show(info.unigram_loss)));
            if let Some((bits, exact)) = info.source_entropy {
                let name = if exact { "source" } else { "source bound" };
                all.push((name, self.show(bits * self.nats_per_bit)));
            }
        }
        let clip = info.config.optimizer.grad_clip;
        if self.quantity == Quantity::GradNorm && clip > 0.0 {
            all.push(("clip", clip));
        }
        all.into_iter()
            .filter(|(_, value)| value.is_finite())
            .map(|(name, value)| Reference { name, value })
            .collect()
    }
}

/// An exponential average, corrected for having started at nothing. What is no number changes nothing.
struct Average {
    weight: f64,
    sum: f64,
    norm: f64,
}

impl Average {
    fn new(weight: f64) -> Self {
        Self {
            weight,
            sum: 0.0,
            norm: 0.0,
        }
    }

    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.sum = self.weight * self.sum + (1.0 - self.weight) * value;
            self.norm = self.weight * self.norm + (1.0 - self.weight);
        }
    }

    /// NaN before the first number.
    fn value(&self) -> f64 {
        self.sum / self.norm
    }
}

fn about(history: &History) -> String {
    let Some(info) = &history.info else {
        return String::new();
    };
    format!(
        "{} · {} parameters · {}",
        info.model.key(),
        reading(info.parameters as f64),
        info.device
    )
}

fn marks(history: &History, operations_per_token: f64) -> Vec<Mark> {
    let steps = &history.steps;
    let mark = |kind: MarkKind, step: u64, text: String| {
        // Where the nearest step lies.
        let after = steps.partition_point(|report| report.step < step);
        let near = steps.get(after.min(steps.len().saturating_sub(1)));
        Mark {
            kind,
            step,
            tokens: near.map_or(0, |report| report.tokens),
            seconds: near.map_or(0.0, |report| report.seconds),
            operations: near.map_or(0.0, |report| report.tokens as f64 * operations_per_token),
            text,
        }
    };
    let mut all = Vec::new();
    for record in &history.edits {
        let text = match &record.edit {
            Edit::LearningRateMultiplier(multiplier) => format!("lr ×{}", short(*multiplier)),
            edit => edit.to_string(),
        };
        all.push(mark(MarkKind::Edit, record.step, text));
    }
    for step in &history.resumed {
        all.push(mark(MarkKind::Resumed, *step, "resumed".to_string()));
    }
    for branch in &history.left {
        let text = format!("back from step {}", branch.rewound.from);
        all.push(mark(MarkKind::Rewound, branch.rewound.step, text));
    }
    for spike in &history.spikes {
        let text = format!("spike {}", short(spike.loss));
        all.push(mark(MarkKind::Spike, spike.step, text));
    }
    if let Some((step, _, message)) = &history.diverged {
        all.push(mark(MarkKind::Diverged, *step, message.clone()));
    }
    for checkpoint in &history.checkpoints {
        all.push(mark(MarkKind::Checkpoint, checkpoint.step, String::new()));
    }
    all.sort_by_key(|mark| mark.step);
    all
}
