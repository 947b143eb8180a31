//! Measuring the screens: the cost of a frame, of a step taken in, and of the memory of a long run.
//!
//! Called by `fireside bench ui` and by `benches/ui.rs`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::keymap::KeyMap;
use super::screens::train::TrainScreen;
use super::series::{Metric, RunSeries, XAxis};
use super::theme::Theme;
use crate::config::RunConfig;
use crate::protocol::{
    CheckpointInfo, CheckpointReason, EvalReport, EventKind, LayerHealth, Phase, SamplePiece,
    SampleRecord, SchedulePoint, StepReport,
};

/// One measured number beside what is wanted of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
    /// The most it may be.
    pub limit: f64,
}

impl Measurement {
    pub fn passes(&self) -> bool {
        self.value <= self.limit
    }
}

/// Step `step` of a run that looks like a real one: a falling, noisy loss with rare spikes.
pub fn step_report(step: u64) -> StepReport {
    // A cheap hash (splitmix64's finaliser) for noise that is the same every time.
    let mut bits = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 27;
    let noise = (bits >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
    let at = step as f64;
    let spike = if bits.is_multiple_of(10_007) {
        3.0
    } else {
        0.0
    };
    StepReport {
        step,
        epoch: at / 2_000.0,
        tokens: step * 768,
        loss: 1.9 + 2.4 / (1.0 + at / 150.0) + 0.12 * noise + spike,
        learning_rate: 1e-3 * (at / 100.0).min(1.0),
        grad_norm: 0.6 + 3.0 / (1.0 + at / 60.0) + 0.3 * noise + spike,
        tokens_per_second: 31_000.0 + 2_500.0 * noise,
        ms: 24.0 + noise,
        forward_ms: 7.5 + noise,
        backward_ms: 14.0,
        optimizer_ms: 2.5,
        seconds: at * 0.0245,
    }
}

/// A text of 200 tokens, streamed and done.
fn say_sample(screen: &mut TrainScreen, step: u64) {
    let words = ["the ", "old ", "mill", "er ", "said"];
    let mut text = String::new();
    for at in 0..200 {
        let piece = words[(step as usize + at) % words.len()];
        text.push_str(piece);
        screen.on_event(EventKind::SamplePiece {
            step,
            prompt: 0,
            piece: SamplePiece {
                text: piece.to_string(),
                probability: 0.5,
            },
        });
    }
    screen.on_event(EventKind::SampleDone(SampleRecord {
        step,
        prompt_index: 0,
        prompt: "Once upon a time".to_string(),
        text,
        temperature: 0.8,
        top_k: 40,
        top_p: 1.0,
        tokens_per_second: 2_000.0,
        complete: true,
    }));
}

/// A dashboard in the middle of a run of `steps` steps, with some thousand evaluations, samples and checkpoints.
pub fn dashboard(steps: u64) -> TrainScreen {
    let mut screen = TrainScreen::new(1, RunConfig::defaults());
    screen.on_event(EventKind::Phase(Phase::Training));
    screen.on_event(EventKind::Schedule(
        (0..=200)
            .map(|at| SchedulePoint {
                step: at * steps.max(200) / 200 * 2,
                learning_rate: 1e-3 * (1.0 - at as f64 / 220.0),
            })
            .collect(),
    ));
    let every = (steps / 5_000).max(50);
    for step in 1..=steps {
        screen.on_event(EventKind::Steps(vec![step_report(step)]));
        if step % every == 0 {
            let val_loss = 2.0 + 2.4 / (1.0 + step as f64 / 150.0);
            screen.on_event(EventKind::Evaluated(EvalReport {
                step,
                tokens: step * 768,
                seconds: step as f64 * 0.0245,
                train_loss: val_loss - 0.1,
                val_loss,
                perplexity: val_loss.exp(),
                bits_per_byte: val_loss / 3.0,
                unknown_fraction: 0.0,
                best: true,
            }));
            say_sample(&mut screen, step);
            screen.on_event(EventKind::Checkpointed(CheckpointInfo {
                sequence: None,
                step,
                path: format!("runs/gpt-stories-1/checkpoints/step-{step:06}").into(),
                bytes: 10_400_000,
                total_bytes: 31_200_000,
                reason: CheckpointReason::Cadence,
                val_loss: Some(val_loss),
            }));
        }
    }
    let layers = (0..12).map(|at| LayerHealth {
        name: format!("blocks.{at}.attention"),
        grad_norm: 0.1,
        weight_norm: 9.0,
        update_ratio: 1.1e-3,
        saturation: None,
    });
    screen.on_event(EventKind::Health {
        step: steps,
        layers: layers.collect(),
    });
    screen
}

/// Draws the dashboard once at `width` × `height`.
pub fn draw(screen: &TrainScreen, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen.render(&Theme::default(), &KeyMap::default(), area, &mut buffer);
    buffer
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn timed<T>(rounds: usize, mut work: impl FnMut() -> T) -> f64 {
    let times = (0..rounds.max(1)).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    });
    median(times.collect())
}

/// What of this process is in memory, its program file left out, from Linux's `/proc`; `None` elsewhere.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Everything, with a run of `steps` steps. Takes some seconds for a million. `give_back` has the allocator return what is free.
pub fn measure(steps: u64, give_back: impl Fn()) -> Vec<Measurement> {
    const MIB: f64 = (1u64 << 20) as f64;
    let one = |name, value, unit, limit| Measurement {
        name,
        value,
        unit,
        limit,
    };
    let millions = steps as f64 / 1e6;
    // First, so that no memory is there to be used again.
    let before = resident_bytes();
    let screen = dashboard(steps);
    let frame = timed(51, || draw(&screen, 200, 60));
    let small = timed(51, || draw(&screen, 80, 24));
    // In a run of hours what is freed goes back to the system by and by; here everything happens within a second.
    give_back();
    let whole = before
        .zip(resident_bytes())
        .map(|(before, after)| after.saturating_sub(before) as f64 / MIB);
    let series_memory = screen.view.series.bytes() as f64 / MIB;
    drop(screen);

    let mut series = RunSeries::default();
    series.set_smoothing(Metric::Loss, 0.9);
    let start = Instant::now();
    for step in 1..=steps {
        series.push(&step_report(step));
    }
    let push = start.elapsed().as_secs_f64() * 1e3;
    let extent = series.extent(XAxis::Step).unwrap_or((0.0, 1.0));
    let view = timed(51, || series.view(Metric::Loss, XAxis::Step, extent, 400));
    let mut weight = 0.9;
    let smooth = timed(5, || {
        weight = 1.89 - weight;
        series.set_smoothing(Metric::Loss, weight);
    });
    let mut all = vec![
        one("frame at 200×60", frame, "ms", 8.0),
        one("frame at 80×24", small, "ms", 8.0),
        one("one metric cut to 400 columns", view, "ms", 1.0),
        one("all steps taken in", push, "ms", 250.0 * millions),
        one("another smoothing, one metric", smooth, "ms", 50.0),
        one(
            "memory of the series",
            series_memory,
            "MiB",
            50.0 * millions.max(0.1),
        ),
    ];
    all.extend(whole.map(|memory| {
        one(
            "memory of the dashboard, resident",
            memory,
            "MiB",
            50.0 * millions.max(0.4),
        )
    }));
    all
}
