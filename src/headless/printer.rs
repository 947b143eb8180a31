//! Events as readable lines, or as one JSON object a line.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{Format, Streams};
use crate::protocol::{
    EventKind, NoticeLevel, Phase, RunInfo, SampleRecord, StepReport, unknown_words,
};
use crate::run::Record;
use crate::run::record::reason_text;

/// Readable step lines come at most this often.
const STEP_LINE_INTERVAL: Duration = Duration::from_secs(1);

pub struct Printer<'a> {
    format: Format,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Nobody reads `out` any more.
    pub closed: bool,
    steps: u64,
    last_step_line: Option<Instant>,
    last_loading: String,
}

impl<'a> Printer<'a> {
    /// For a run of so many steps.
    pub fn new(streams: Streams<'a>, steps: u64) -> Self {
        let Streams { format, out, err } = streams;
        Self {
            format,
            out,
            err,
            closed: false,
            steps,
            last_step_line: None,
            last_loading: String::new(),
        }
    }

    pub fn show(&mut self, kind: &EventKind) {
        match self.format {
            Format::Json => {
                for record in Record::from_event(kind) {
                    self.print(&record.to_line());
                }
            }
            Format::Lines => self.lines(kind),
        }
        self.closed |= self.out.flush().is_err();
    }

    fn print(&mut self, line: &str) {
        self.closed |= !self.closed && writeln!(self.out, "{line}").is_err();
    }

    /// A sentence for people.
    pub fn say(&mut self, line: &str) {
        // With nobody to read it, there is nothing to do about it.
        let _ = writeln!(self.err, "{line}");
    }

    fn lines(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Phase(Phase::Loading { what, .. }) if *what != self.last_loading => {
                self.last_loading.clone_from(what);
                self.say(&format!("{what}…"));
            }
            EventKind::Phase(Phase::Compiling) => self.say("compiling kernels…"),
            EventKind::Started(info) => {
                self.steps = info.total_steps;
                self.print(&started_line(info));
            }
            EventKind::Steps(steps) => {
                if let Some(report) = steps.last() {
                    let due = self
                        .last_step_line
                        .is_none_or(|last| last.elapsed() >= STEP_LINE_INTERVAL);
                    if due || report.step == self.steps {
                        self.last_step_line = Some(Instant::now());
                        self.print(&step_line(report, self.steps));
                    }
                }
            }
            EventKind::Evaluated(report) => self.print(&format!(
                "eval  {:>7}  train {:.4}  validation {:.4}  perplexity {:.2}  {:.3} bits/byte{}{}",
                report.step,
                report.train_loss,
                report.val_loss,
                report.perplexity,
                report.bits_per_byte,
                unknown_words(report.unknown_fraction)
                    .map_or(String::new(), |words| format!("  {words}")),
                if report.best { "  (best)" } else { "" }
            )),
            EventKind::SampleDone(sample) => self.print(&sample_text(sample)),
            EventKind::Checkpointed(info) => self.print(&format!(
                "saved {:>7}  {:.1} MB",
                info.step,
                info.bytes as f64 / 1e6
            )),
            EventKind::Edited(record) => {
                self.print(&format!("edit  {:>7}  {}", record.step, record.edit))
            }
            EventKind::Rewound(rewound) => {
                let branch = match rewound.onto {
                    Some(_) => format!(", to a branch left at step {}", rewound.step),
                    None => String::new(),
                };
                self.print(&format!(
                    "back  {:>7}  from step {}{branch}",
                    rewound.to(),
                    rewound.from
                ));
            }
            EventKind::Notice(notice) => {
                let level = match notice.level {
                    NoticeLevel::Info => "note",
                    NoticeLevel::Warning => "warning",
                    NoticeLevel::Error => "error",
                };
                self.say(&format!("{level}: {}", notice.message));
            }
            EventKind::Remote(remote) => self.say(&format!("note: {remote}")),
            EventKind::Finished(report) => {
                let loss =
                    |loss: Option<f64>| loss.map_or("–".to_string(), |l| format!("{l:.4}"));
                self.print(&format!(
                    "{} at step {} after {}: validation {}, best {}",
                    reason_text(report.reason),
                    report.step,
                    clock(report.seconds),
                    loss(report.val_loss),
                    loss(report.best_val_loss)
                ));
            }
            _ => {}
        }
    }
}

fn started_line(info: &RunInfo) -> String {
    let from = match info.start_step {
        0 => String::new(),
        step => format!(", from step {step}"),
    };
    format!(
        "{}: {}, {} parameters, vocabulary {}, {}{from}\n{}",
        info.name,
        info.model.key(),
        info.parameters,
        info.vocab_size,
        info.device,
        info.dir.display()
    )
}

fn step_line(report: &StepReport, steps: u64) -> String {
    let left = steps.saturating_sub(report.step) as f64;
    let eta = left * report.seconds / report.step.max(1) as f64;
    format!(
        "step  {:>7}/{steps}  loss {:.4}  lr {:.2e}  grad {:.3}  {:.0} tok/s  {} left",
        report.step,
        report.loss,
        report.learning_rate,
        report.grad_norm,
        report.tokens_per_second,
        clock(eta)
    )
}

fn sample_text(sample: &SampleRecord) -> String {
    format!(
        "sample {:>6}  {}\u{2502}{}",
        sample.step, sample.prompt, sample.text
    )
}

/// `1:02:03` or `02:03`.
fn clock(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0) as u64
    } else {
        0
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
