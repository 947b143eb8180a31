//! A chart as a table: every value in range, what is no number left empty (CSV) or null (JSON).

use std::fmt::Write;

use serde_json::{Value, json};

use super::scale::Scale;
use super::{Across, Curve, Figure, Mark, RunFigure};

/// One value a line: `run,series,step,tokens,seconds,operations,value,smoothed,note`. Marks are lines without a value, references lines
/// without a place.
pub(super) fn csv(figure: &Figure) -> String {
    let mut text = format!(
        "run,series,step,tokens,seconds,operations,{},smoothed,note\n",
        figure.quantity.key()
    );
    for run in &figure.runs {
        let name = quoted(&run.name);
        for curve in &run.curves {
            let series = quoted(&curve.kind.label());
            for point in &curve.points {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "{name},{series},{},{},{},{},{},{},",
                    point.step,
                    point.tokens,
                    number(point.seconds),
                    number(point.operations),
                    number(point.value),
                    number(point.smoothed),
                );
            }
        }
        for mark in &run.marks {
            let _ = writeln!(
                text,
                "{name},{},{},{},{},{},,,{}",
                mark.kind.key(),
                mark.step,
                mark.tokens,
                number(mark.seconds),
                number(mark.operations),
                quoted(&mark.text)
            );
        }
        for reference in &run.references {
            let _ = writeln!(
                text,
                "{name},{},,,,,{},,reference",
                reference.name,
                number(reference.value)
            );
        }
    }
    text
}

/// The shortest digits that read back as the same number.
fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        String::new()
    }
}

/// As RFC 4180 wants it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

/// One object; the values of a series are columns of equal length.
pub(super) fn json(figure: &Figure) -> String {
    let runs: Vec<Value> = figure.runs.iter().map(run).collect();
    let value = json!({
        "metric": figure.quantity.key(),
        "unit": figure.quantity.unit(),
        "x": match figure.across {
            Across::Time => "seconds",
            Across::Compute => "operations",
            across => across.key(),
        },
        "range": [figure.range.0, figure.range.1],
        "scale": match figure.scale {
            Scale::Linear => "linear",
            Scale::Log => "log",
        },
        "smoothing": figure.smoothing,
        "runs": runs,
    });
    format!("{value}\n")
}

fn run(run: &RunFigure) -> Value {
    json!({
        "run": run.name,
        "about": run.about,
        "series": run.curves.iter().map(series).collect::<Vec<_>>(),
        "marks": run.marks.iter().map(mark).collect::<Vec<_>>(),
        "references": run.references.iter().map(|reference| json!({
            "name": reference.name,
            "value": reference.value,
        })).collect::<Vec<_>>(),
    })
}

/// `json!` writes what is not finite as null.
fn series(curve: &Curve) -> Value {
    let points = &curve.points;
    let mut value = json!({
        "series": curve.kind.label(),
        "step": points.iter().map(|point| point.step).collect::<Vec<_>>(),
        "tokens": points.iter().map(|point| point.tokens).collect::<Vec<_>>(),
        "seconds": points.iter().map(|point| point.seconds).collect::<Vec<_>>(),
        "operations": points.iter().map(|point| point.operations).collect::<Vec<_>>(),
        "value": points.iter().map(|point| point.value).collect::<Vec<_>>(),
    });
    if points.iter().any(|point| point.smoothed.is_finite()) {
        value["smoothed"] = json!(
            points
                .iter()
                .map(|point| point.smoothed)
                .collect::<Vec<_>>()
        );
    }
    value
}

fn mark(mark: &Mark) -> Value {
    json!({
        "mark": mark.kind.key(),
        "step": mark.step,
        "tokens": mark.tokens,
        "seconds": mark.seconds,
        "operations": mark.operations,
        "text": mark.text,
    })
}
