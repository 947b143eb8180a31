//! A learning-rate range test without screens: its curve as a small chart, or as one JSON object a line.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Format, Outcome, PATIENCE, RUN, Streams};
use crate::config::RunConfig;
use crate::protocol::{
    Command, Engine, EventKind, Notice, NoticeLevel, Phase, RatePoint, RateReport, RateSweep,
};

/// How often a line says how far the test is.
const PROGRESS: Duration = Duration::from_secs(2);
/// Rows of the chart, and cells of its bars.
const ROWS: usize = 24;
const BAR: usize = 40;

/// A line of `fireside find-rate --json`; the names are documented in `docs/scripting.md`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    RatePoint(RatePoint),
    RateFound {
        steps: usize,
        suggestion: Option<f64>,
        reason: &'a str,
        complete: bool,
    },
    Notice {
        level: NoticeLevel,
        message: &'a str,
    },
    Failed {
        message: &'a str,
    },
}

/// Makes the test, writing to `streams`. `interrupts` as for [`super::run`]: the first ends the test early, with what it has.
///
/// # Errors
/// A sentence, when the test could not be made.
pub fn find_rate(
    engine: &Engine,
    config: RunConfig,
    sweep: RateSweep,
    interrupts: &AtomicUsize,
    streams: Streams<'_>,
) -> Result<Outcome, super::Failure> {
    engine.commands.send(Command::FindRate {
        run: RUN,
        config: Box::new(config),
        sweep,
    });
    let mut reader = Reader {
        streams,
        sweep,
        closed: false,
        last_loading: String::new(),
        last_progress: Instant::now(),
    };
    let mut seen = 0;
    let mut ended = None;
    loop {
        let count = interrupts.load(Ordering::Relaxed);
        if count > seen {
            seen = count;
            if count > 1 {
                return Ok(Outcome::Hurried);
            }
            engine.commands.send(Command::Stop);
        }
        match engine.events.recv_timeout(PATIENCE) {
            Ok(event) if event.run != RUN => {}
            Ok(event) => {
                if let Some(end) = reader.event(event.kind) {
                    ended = Some(end);
                    engine.commands.send(Command::Shutdown);
                }
                if reader.closed && seen == 0 {
                    seen = 1;
                    engine.commands.send(Command::Stop);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    match ended {
        Some(_) if seen > 0 => Ok(Outcome::Interrupted),
        Some(Ok(())) => Ok(Outcome::Finished),
        Some(Err(failure)) => Err(failure),
        None => Err("the training thread ended without a last word"
            .to_string()
            .into()),
    }
}

struct Reader<'a> {
    streams: Streams<'a>,
    sweep: RateSweep,
    /// Nobody reads the output any more.
    closed: bool,
    last_loading: String,
    last_progress: Instant,
}

impl Reader<'_> {
    /// The end of the test, when this is it.
    fn event(&mut self, kind: EventKind) -> Option<Result<(), super::Failure>> {
        match kind {
            EventKind::Phase(Phase::Loading { what, .. }) if what != self.last_loading => {
                self.say(&format!("{what}…"));
                self.last_loading = what;
            }
            EventKind::Phase(Phase::Compiling) => self.say("compiling kernels…"),
            EventKind::RatePoint(point) => {
                self.json(&Line::RatePoint(point));
                if self.last_progress.elapsed() >= PROGRESS {
                    self.last_progress = Instant::now();
                    self.say(&format!(
                        "step {}/{}  rate {:.1e}  loss {:.3}",
                        point.step, self.sweep.steps, point.learning_rate, point.loss
                    ));
                }
            }
            EventKind::Notice(Notice { level, message }) => {
                self.json(&Line::Notice {
                    level,
                    message: &message,
                });
                if self.streams.format == Format::Lines {
                    self.say(&format!("note: {message}"));
                }
            }
            EventKind::RateFound(report) => {
                self.json(&Line::RateFound {
                    steps: report.points.len(),
                    suggestion: report.suggestion,
                    reason: &report.reason,
                    complete: report.complete,
                });
                if self.streams.format == Format::Lines {
                    self.print(text(&report).trim_end());
                }
                return Some(Ok(()));
            }
            EventKind::Failed { message, keys } => {
                self.json(&Line::Failed { message: &message });
                return Some(Err(super::Failure { message, keys }));
            }
            _ => {}
        }
        None
    }

    fn json(&mut self, line: &Line<'_>) {
        if self.streams.format == Format::Json {
            match serde_json::to_string(line) {
                Ok(text) => self.print(&text),
                Err(error) => self.say(&format!("error: {error}")),
            }
        }
    }

    fn print(&mut self, text: &str) {
        let out = &mut self.streams.out;
        self.closed |= writeln!(out, "{text}").and_then(|()| out.flush()).is_err();
    }

    fn say(&mut self, line: &str) {
        // With nobody to read it, there is nothing to do about it.
        let _ = writeln!(self.streams.err, "{line}");
    }
}

/// The curve as a chart, and what it speaks for.
fn text(report: &RateReport) -> String {
    let mut text = String::new();
    let finite: Vec<&RatePoint> = (report.points.iter())
        .filter(|point| point.smoothed.is_finite())
        .collect();
    if let (Some(first), Some(_)) = (finite.first(), finite.get(1)) {
        // What rises above the beginning says no more than that it does.
        let lowest = finite.iter().map(|p| p.smoothed).fold(f64::MAX, f64::min);
        let highest = first.smoothed + 0.25 * (first.smoothed - lowest);
        let span = (highest - lowest).max(1e-9);
        text.push_str("learning rate   loss (smoothed)\n");
        let chunk = finite.len().div_ceil(ROWS);
        for points in finite.chunks(chunk) {
            let point = points[points.len() / 2];
            let share = ((point.smoothed - lowest) / span).clamp(0.0, 1.0);
            let bar = "#".repeat(1 + (share * (BAR - 1) as f64) as usize);
            let beyond = if point.smoothed > highest { ">" } else { "" };
            let holds = |rate: f64| {
                let (low, high) = (points[0], points[points.len() - 1]);
                (low.learning_rate..=high.learning_rate).contains(&rate)
            };
            let mark = match report.suggestion {
                Some(rate) if holds(rate) => "  <- suggested",
                _ => "",
            };
            text.push_str(&format!(
                "{:>13.1e}   {:>8.4}  {bar}{beyond}{mark}\n",
                point.learning_rate, point.smoothed
            ));
        }
        text.push('\n');
    }
    if !report.complete {
        text.push_str("stopped early\n");
    }
    match report.suggestion {
        Some(rate) => text.push_str(&format!(
            "suggested learning rate: {rate:e}\n{}\n--set optimizer.learning_rate={rate:e}\n",
            report.reason
        )),
        None => text.push_str(&format!("no suggestion: {}\n", report.reason)),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(losses: &[f64], suggestion: Option<f64>) -> RateReport {
        let points = losses.iter().enumerate().map(|(at, loss)| RatePoint {
            step: at as u64 + 1,
            learning_rate: 10f64.powi(at as i32 - 6),
            loss: *loss,
            smoothed: *loss,
        });
        RateReport {
            points: points.collect(),
            suggestion,
            reason: "because".to_string(),
            complete: true,
        }
    }

    #[test]
    fn the_chart_marks_the_suggestion_and_names_the_setting() {
        let text = text(&report(&[5.0, 5.0, 4.0, 2.0, 90.0], Some(1e-4)));
        let marked: Vec<&str> = text.lines().filter(|l| l.contains("suggested")).collect();
        assert!(
            marked[0].contains("1.0e-4") && marked[0].contains("4.0000"),
            "{text}"
        );
        assert!(text.contains("90.0000") && text.contains("#>"), "{text}");
        assert!(
            text.ends_with("because\n--set optimizer.learning_rate=1e-4\n"),
            "{text}"
        );
    }

    #[test]
    fn odd_curves_are_drawn_too() {
        for losses in [&[][..], &[1.0], &[f64::NAN, 2.0, 2.0], &[2.0; 300]] {
            let text = text(&report(losses, None));
            assert!(text.contains("no suggestion: because"), "{text}");
            assert!(text.lines().count() < ROWS + 6);
        }
    }
}
