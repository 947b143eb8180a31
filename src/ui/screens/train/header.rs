//! The lines above the panes: what is training and how far it is, and, when training stands still, why and what
//! can be done next.
//!
//! ```text
//! gpt · stories · flex ── step 1 240/5 000 ── epoch 0.4 ── 31.2k tok/s ── ETA 1:52 ── training ●
//! ✗ the loss is not a number since step 812 (blocks.2) …  } lower the learning rate, space resume
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use unicode_width::UnicodeWidthStr;

use super::view::RunView;
use crate::control::Role;
use crate::protocol::{FinishReason, FinishReport, Phase, unknown_words};
use crate::ui::keymap::{Action, Context, KeyMap};
use crate::ui::panes::{grouped, wrap};
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{clock, reading, short};

/// The word for a phase, and its style.
pub fn phase_words(run: &RunView, theme: &Theme) -> (String, Style) {
    let share = |done: u64, total: u64| (100.0 * done as f64 / total.max(1) as f64).min(100.0);
    match &run.phase {
        Phase::Idle => ("waiting".into(), theme.dim),
        Phase::Loading {
            what,
            done,
            total: Some(total),
        } => (format!("{what} {:.0} %", share(*done, *total)), theme.info),
        Phase::Loading { what, .. } => (what.clone(), theme.info),
        Phase::Compiling => ("compiling kernels".into(), theme.info),
        Phase::Training => ("training".into(), theme.good),
        Phase::Evaluating { done, total } => (
            format!("evaluating {:.0} %", share(*done, *total)),
            theme.info,
        ),
        Phase::Sampling => ("sampling".into(), theme.info),
        Phase::Paused => ("paused".into(), theme.warning),
        Phase::Diverged { .. } => ("diverged".into(), theme.error),
        Phase::Stopping => ("saving".into(), theme.info),
        // A run that diverged stays diverged, however it is put away.
        Phase::Finished if run.diverged => ("diverged".into(), theme.error),
        Phase::Finished if was_stopped(run) => ("stopped".into(), theme.text),
        Phase::Finished => ("finished".into(), theme.good),
        Phase::Failed => ("failed".into(), theme.error),
    }
}

/// Somebody ended it before its last step.
fn was_stopped(run: &RunView) -> bool {
    let stopped = |report: &FinishReport| report.reason == FinishReason::Stopped;
    run.finish.as_ref().is_some_and(stopped)
}

/// Who steers, where it is not this process alone.
fn whose(run: &RunView) -> Option<String> {
    if run.finish.is_some() || run.failure.is_some() {
        return None;
    }
    match (&run.trainer, run.steered_by) {
        (Some(trainer), _) => Some(match (trainer.role.role, trainer.role.controller) {
            (Role::Control, _) => "attached".to_string(),
            (Role::Watch, Some(pid)) => format!("watching, {pid} controls"),
            (Role::Watch, None) => "watching".to_string(),
        }),
        (None, Some(pid)) => Some(format!("{pid} controls")),
        (None, None) => None,
    }
}

/// Seconds left at the present pace; `None` while it cannot be known.
fn seconds_left(run: &RunView) -> Option<f64> {
    let left = run.total_steps().checked_sub(run.step)?;
    let each = run.seconds_per_step();
    (left > 0 && each > 0.0 && run.failure.is_none() && run.finish.is_none())
        .then_some(left as f64 * each)
}

/// A fact of the header.
struct Piece {
    /// The least goes first where there is no room.
    importance: u8,
    text: String,
    /// Says the same in fewer cells.
    short: Option<String>,
    style: Style,
}

/// One row. Where there is no room, what matters less is left out; but not for what a shorter form gains.
pub fn draw(run: &RunView, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let (phase, style) = phase_words(run, theme);
    let mut tail = format!("{phase} {}", theme.symbols.bullet);
    if let Some(whose) = whose(run) {
        tail = format!("{tail} {whose}");
    }
    let piece = |importance, text, style| Piece {
        importance,
        text,
        short: None,
        style,
    };
    let mut pieces: Vec<Piece> = Vec::new();
    let config = &run.config;
    let corpus = match config.corpus.path.first() {
        Some(path) => path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        ),
        None => config.corpus.name.clone(),
    };
    let device = run
        .info
        .as_ref()
        .map_or(&config.device, |info| &info.device);
    // `CPU, burn-flex, 2 threads`: the rest is in the events.
    let device = device.split([',', '(']).next().unwrap_or_default().trim();
    let dot = if theme.symbols.unicode { "·" } else { "-" };
    let name = format!("{} {dot} {corpus}", config.model.kind().key());
    pieces.push(Piece {
        short: Some(name.clone()),
        ..piece(6, format!("{name} {dot} {device}"), theme.strong)
    });
    if let Some(lineage) = &run.lineage {
        pieces.push(piece(1, format!("from {lineage}"), theme.dim));
    }
    let steps = format!("step {}/{}", grouped(run.step), grouped(run.total_steps()));
    pieces.push(piece(7, steps, theme.text));
    if let Some(last) = run.series.last() {
        let epoch = match &run.info {
            Some(info) if info.train_tokens > 0 => last.tokens as f64 / info.train_tokens as f64,
            _ => last.epoch,
        };
        pieces.push(Piece {
            short: Some(format!("ep {epoch:.1}")),
            ..piece(3, format!("epoch {epoch:.1}"), theme.text)
        });
        // On narrow screens it stands among the single numbers below.
        let speed = format!("{} tok/s", reading(last.tokens_per_second));
        pieces.push(piece(2, speed, theme.text));
    }
    if let Some(left) = seconds_left(run) {
        let left = format!("ETA {}", clock(left.round()));
        pieces.push(piece(4, left, theme.text));
    }
    let rule = theme.symbols.dash.repeat(2);
    let width = area.width as usize;
    make_room(&mut pieces, width.saturating_sub(tail.width() + 2));
    let mut spans = vec![Span::raw(" ")];
    for piece in pieces {
        spans.push(Span::styled(piece.text, piece.style));
        spans.push(Span::styled(format!(" {rule} "), theme.border));
    }
    spans.push(Span::styled(tail, style));
    Line::from(spans).render(area, buffer);
}

/// Shortens as few pieces as it takes to keep one more, the less important first, and leaves out the rest.
fn make_room(pieces: &mut Vec<Piece>, room: usize) {
    let taken = |pieces: &[Piece]| -> usize { pieces.iter().map(|p| p.text.width() + 4).sum() };
    let gain = |piece: &Piece| {
        let short = piece.short.as_ref().map(|short| short.width());
        short.map_or(0, |short| piece.text.width().saturating_sub(short))
    };
    while taken(pieces) > room {
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_by_key(|at| pieces[*at].importance);
        let Some(least) = order.first().copied() else {
            return;
        };
        let gains: usize = pieces.iter().map(gain).sum();
        if taken(pieces) - gains > room {
            pieces.remove(least);
            continue;
        }
        let shortens = order.into_iter().find(|at| pieces[*at].short.is_some());
        if let Some(piece) = shortens.and_then(|at| pieces.get_mut(at))
            && let Some(short) = piece.short.take()
        {
            piece.text = short;
        }
    }
}

/// What stands in the way and what can be done about it; `None` while all is well.
pub fn trouble(run: &RunView, keymap: &KeyMap, theme: &Theme) -> Option<(String, Style)> {
    let key = |action| {
        let contexts = [Context::Train, Context::Global];
        keymap.key_for(&contexts, action).unwrap_or_default()
    };
    let cross = theme.symbols.cross;
    let check = theme.symbols.check;
    match &run.phase {
        Phase::Diverged {
            step,
            layer,
            message,
        } => {
            let place = layer
                .as_ref()
                .map_or(String::new(), |layer| format!(" in {layer}"));
            let saved = run.saved_step.map_or(String::new(), |step| {
                format!(" The checkpoint of step {} is untouched.", grouped(step))
            });
            let back = run.saved_step.map_or(String::new(), |_| {
                format!("{} go back to a checkpoint, ", key(Action::Rewind))
            });
            Some((
                format!(
                    "{cross} Diverged at step {}{place}: {message}.{saved} Next: {back}{} halve the learning rate, {} \
                     resume, or {} start over from home.",
                    grouped(*step),
                    key(Action::LearningRateHalve),
                    key(Action::TogglePause),
                    key(Action::GoHome),
                ),
                theme.error,
            ))
        }
        Phase::Failed if run.trainer.as_ref().is_some_and(|trainer| trainer.gone) => {
            let next = match run.saved_step {
                Some(step) => format!(
                    "saved is step {}: {} takes it up here",
                    grouped(step),
                    key(Action::ApplyEdit)
                ),
                None => "no checkpoint had been written".to_string(),
            };
            Some((
                format!(
                    "{cross} The process that trained this run ended without a word at step {}; {next}, {} runs, {} home.",
                    grouped(run.step),
                    key(Action::GoRuns),
                    key(Action::GoHome)
                ),
                theme.error,
            ))
        }
        Phase::Failed => {
            let message = run
                .failure
                .as_deref()
                .unwrap_or("the training thread ended");
            let saved = match run.saved_step {
                Some(step) => format!(
                    "It can be resumed from step {} ({} runs)",
                    grouped(step),
                    key(Action::GoRuns)
                ),
                None => "Nothing was saved".to_string(),
            };
            Some((
                format!(
                    "{cross} Failed: {message}. {saved}; {} home.",
                    key(Action::GoHome)
                ),
                theme.error,
            ))
        }
        Phase::Finished => {
            let report = run.finish.as_ref()?;
            let why = match report.reason {
                FinishReason::Completed => "All steps are done".to_string(),
                FinishReason::EarlyStopped => "Stopped early, no improvement any more".to_string(),
                FinishReason::Stopped => stopped_words(run),
            };
            let best = match (report.best_val_loss, report.best_step) {
                (Some(loss), Some(step)) => {
                    format!(
                        " Best validation loss {} at step {}.",
                        short(loss),
                        grouped(step)
                    )
                }
                _ => String::new(),
            };
            let back = run.saved_step.map_or(String::new(), |_| {
                format!("{} go back to a checkpoint, ", key(Action::Rewind))
            });
            Some((
                format!(
                    "{check} {why} after {}.{best} Next: {back}{} train another, {} runs, {} quit.",
                    clock(report.seconds.round()),
                    key(Action::GoHome),
                    key(Action::GoRuns),
                    key(Action::Quit),
                ),
                theme.good,
            ))
        }
        _ => None,
    }
}

/// A run that was stopped, and what of it is on disk.
fn stopped_words(run: &RunView) -> String {
    match run.saved_step {
        Some(step) if step < run.step => {
            format!("Stopped; it is saved up to step {}", grouped(step))
        }
        Some(_) => "Stopped and saved".to_string(),
        None => "Stopped; nothing was saved".to_string(),
    }
}

/// Says it on the rows of `area`.
pub fn draw_trouble(words: &str, style: Style, area: Rect, buffer: &mut Buffer) {
    let width = area.width.saturating_sub(2);
    for (row, line) in wrap([(words, style)], width as usize)
        .into_iter()
        .take(area.height as usize)
        .enumerate()
    {
        let row = Rect::new(area.x + 1, area.y + row as u16, width, 1);
        line.render(row.intersection(area), buffer);
    }
}

/// The numbers of the panes that have no place, on one row.
pub fn draw_gauges(run: &RunView, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let mut spans = vec![Span::raw(" ")];
    let mut room = usize::from(area.width).saturating_sub(1);
    let mut put = |name: &str, value: String, style: Style| {
        // One that is cut off says something else.
        let width = name.width() + 1 + value.width();
        if width > room {
            room = 0;
            return;
        }
        room = room.saturating_sub(width + 2);
        spans.push(Span::styled(format!("{name} "), theme.dim));
        spans.push(Span::styled(value, style));
        spans.push(Span::raw("  "));
    };
    // First, as it waits for the user: a key that dials must not seem dead where the knobs have no place.
    if let Some(pending) = run.knobs.pending_multiplier() {
        let text = format!("{}{}", theme.symbols.times, short(pending));
        put("pending lr", text, theme.changed);
    }
    match run.knobs.count() - usize::from(run.knobs.pending_multiplier().is_some()) {
        0 => {}
        n => put("pending knobs", n.to_string(), theme.changed),
    }
    if let Some(last) = run.series.last() {
        put("lr", reading(last.learning_rate), theme.chart.learning_rate);
        put("grad", reading(last.grad_norm), theme.chart.grad_norm);
        put(
            "tok/s",
            reading(last.tokens_per_second),
            theme.chart.throughput,
        );
        put("ms", reading(last.ms), theme.text);
    }
    if let Some(report) = run.evaluations.last() {
        put("val", reading(report.val_loss), theme.chart.validation);
        put("ppl", reading(report.perplexity), theme.text);
        if let Some(words) = unknown_words(report.unknown_fraction) {
            let percent = words.trim_end_matches(" <unk>").to_string();
            put("<unk>", percent, theme.dim);
        }
    }
    Line::from(spans).render(area, buffer);
}
