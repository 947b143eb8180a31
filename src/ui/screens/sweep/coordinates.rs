//! Parallel coordinates: an axis for each key that is varied, one for the result, and a line for each trial.
//!
//! Inselberg, *The plane with parallel coordinates* (1985). Numbers are placed by their logarithm where they span more than a
//! decade; words stand in the order in which they come. The result's axis has the best at the top.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::view::style_of;
use crate::run::sweep::{Metric, SweepState};
use crate::ui::layout::{fit as cut, write};
use crate::ui::panes::plot::symbols;
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{Axis, Canvas, Scale, fit, short};

/// Spans above this ratio are drawn by their logarithm.
const DECADE: f64 = 10.0;

/// One vertical axis.
#[derive(Debug, Clone, PartialEq)]
struct Coordinate {
    title: String,
    top: String,
    bottom: String,
    /// Of each trial, 0 at the bottom and 1 at the top; none where it has no value yet.
    places: Vec<Option<f64>>,
}

fn coordinates(state: &SweepState) -> Vec<Coordinate> {
    let trials = &state.plan.trials;
    let keys = trials.first().map_or(0, |trial| trial.values.len());
    let mut all: Vec<Coordinate> = (0..keys)
        .map(|at| {
            let key = trials[0].values[at].0.rsplit('.').next().unwrap_or("");
            let texts: Vec<&str> = trials
                .iter()
                .map(|trial| trial.values.get(at).map_or("", |(_, value)| value.as_str()))
                .collect();
            let numbers: Vec<Option<f64>> = texts.iter().map(|text| text.parse().ok()).collect();
            match numbers.iter().all(Option::is_some) {
                true => numeric(key, &numbers),
                false => words(key, &texts),
            }
        })
        .collect();
    let results: Vec<Option<f64>> = state
        .trials
        .iter()
        .map(|trial| match state.plan.metric {
            _ if trial.rank.is_none() => None,
            Metric::ValLoss => trial.val_loss,
            Metric::BitsPerByte => trial.bits_per_byte,
        })
        .collect();
    // Losses far above the rest press the others together: the axis ends at twice the spread of the better half.
    let mut sorted: Vec<f64> = results.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let worst = match (sorted.first(), sorted.get(sorted.len() / 2)) {
        (Some(best), Some(middle)) => best + 3.0 * (middle - best).max(0.01 * best.abs()),
        _ => f64::INFINITY,
    };
    let shown: Vec<Option<f64>> = results.iter().map(|r| r.map(|r| r.min(worst))).collect();
    let mut result = numeric(state.plan.metric.label(), &shown);
    if sorted.last().is_some_and(|last| *last > worst) {
        result.top = format!("{}+", result.top);
    }
    std::mem::swap(&mut result.top, &mut result.bottom);
    for place in result.places.iter_mut().flatten() {
        *place = 1.0 - *place;
    }
    all.push(result);
    all
}

fn numeric(title: &str, values: &[Option<f64>]) -> Coordinate {
    let range = fit(values.iter().flatten().copied());
    let (low, high) = range.unwrap_or((0.0, 0.0));
    let scale = match low > 0.0 && high / low > DECADE {
        true => Scale::Log,
        false => Scale::Linear,
    };
    let axis = Axis::new((low, high), scale);
    let text = |value: f64| match range {
        Some(_) => short(value),
        None => String::new(),
    };
    Coordinate {
        title: title.to_string(),
        top: text(high),
        bottom: text(low),
        places: values
            .iter()
            .map(|value| value.and_then(|value| axis.place(value)))
            .collect(),
    }
}

fn words(title: &str, texts: &[&str]) -> Coordinate {
    let mut different: Vec<&str> = Vec::new();
    for text in texts {
        if !different.contains(text) {
            different.push(text);
        }
    }
    let last = (different.len() - 1).max(1) as f64;
    let place = |text: &&str| {
        let at = different.iter().position(|other| other == text);
        at.map(|at| at as f64 / last)
    };
    Coordinate {
        title: title.to_string(),
        top: different.last().unwrap_or(&"").to_string(),
        bottom: different.first().unwrap_or(&"").to_string(),
        places: texts.iter().map(place).collect(),
    }
}

pub(super) fn render(
    state: &SweepState,
    selected: usize,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    if area.height < 5 || area.width < 16 {
        return;
    }
    let coordinates = coordinates(state);
    let plot = Rect {
        x: area.x + 1,
        y: area.y + 2,
        width: area.width - 2,
        height: area.height - 3,
    };
    let mut canvas = Canvas::new(plot, symbols(theme));
    let (width, height) = (canvas.width() as i64, canvas.height() as i64);
    let across = |at: usize| (width - 1) * at as i64 / (coordinates.len() as i64 - 1).max(1);
    let down = |place: f64| ((1.0 - place.clamp(0.0, 1.0)) * (height - 1) as f64).round() as i64;
    for at in 0..coordinates.len() {
        for y in 0..height {
            canvas.dot(across(at), y, 1, theme.chart.axis);
        }
    }
    for trial in 0..state.trials.len() {
        let (style, above) = style_of(state, trial, selected, theme);
        let mut before: Option<(i64, i64)> = None;
        for (at, coordinate) in coordinates.iter().enumerate() {
            let place = coordinate.places.get(trial).copied().flatten();
            let here = place.map(|place| (across(at), down(place)));
            if let (Some(from), Some(to)) = (before, here) {
                line(&mut canvas, from, to, |canvas, x, y| {
                    canvas.dot(x, y, 2 + above, style);
                });
            }
            before = here;
        }
    }
    canvas.render(buffer);
    let cells = i64::from(plot.width);
    for (at, coordinate) in coordinates.iter().enumerate() {
        let column = across(at) * cells / width.max(1);
        let room = (cells / coordinates.len().max(1) as i64).max(4) as usize;
        let texts = [
            (0, &coordinate.title, theme.strong),
            (1, &coordinate.top, theme.dim),
            (area.height - 1, &coordinate.bottom, theme.dim),
        ];
        for (row, text, style) in texts {
            let text = cut(text, room.saturating_sub(1), theme.symbols.ellipsis);
            let half = match at {
                0 => 0,
                _ if at + 1 == coordinates.len() => text.width() as i64 - 1,
                _ => text.width() as i64 / 2,
            };
            let from = (1 + column - half).clamp(0, i64::from(area.width) - 1) as u16;
            let place = Rect {
                x: area.x + from,
                width: area.width - from,
                ..area
            };
            write(buffer, place, row, &text, style);
        }
    }
}

/// Every dot of a straight line, both ends included.
fn line(
    canvas: &mut Canvas,
    from: (i64, i64),
    to: (i64, i64),
    mut dot: impl FnMut(&mut Canvas, i64, i64),
) {
    let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).max(1);
    for at in 0..=steps {
        let along = |a: i64, b: i64| a + ((b - a) as f64 * at as f64 / steps as f64).round() as i64;
        dot(canvas, along(from.0, to.0), along(from.1, to.1));
    }
}
