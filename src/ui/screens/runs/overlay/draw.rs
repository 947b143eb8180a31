//! How an overlay is drawn: the chart, and the legend beside or below it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::curves::{Curve, columns, newest, value_at};
use super::{By, Of, OverlayView, places};
use crate::ui::layout::{fit_end, pane, scroll_offset, write, write_line};
use crate::ui::panes::{edit_markers, look, symbols};
use crate::ui::screens::runs::RunsScreen;
use crate::ui::theme::{ColorDepth, Theme};
use crate::ui::widgets::chart::{
    Axis, Chart, Crosshair, Layer, Pattern, Sample, Scale, Unit, clock, fit as fit_values, reading,
};

/// One a line, in order; more runs than these have none.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl OverlayView {
    fn title(&self) -> String {
        let mut title = format!("Overlay: {}, {}", self.unit.label(), self.of.label());
        if self.smoothing > 0.0 && self.of != Of::Validation {
            title.push_str(&format!(", smooth {}", self.smoothing));
        }
        title.push_str(&format!(", by {}", self.by.label()));
        if self.scale == Scale::Log {
            title.push_str(", log");
        }
        if self.viewport.is_frozen() {
            title.push_str(", frozen");
        } else if !self.viewport.follows() {
            title.push_str(", zoomed");
        }
        title
    }
}

/// Colours go round first; then the pattern changes. Without colours the pattern changes at once.
fn style(at: usize, theme: &Theme) -> (Style, Pattern) {
    let patterns = [Pattern::Solid, Pattern::Dashed, Pattern::Dotted];
    let colours = theme.chart.series;
    if theme.depth == ColorDepth::None || colours.windows(2).all(|pair| pair[0] == pair[1]) {
        return (colours[0], patterns[at % patterns.len()]);
    }
    (
        colours[at % colours.len()],
        patterns[at / colours.len() % patterns.len()],
    )
}

fn letter(at: usize) -> char {
    LETTERS.get(at).map_or('*', |letter| char::from(*letter))
}

impl RunsScreen {
    pub(in crate::ui::screens::runs) fn render_overlay(
        &self,
        view: &OverlayView,
        theme: &Theme,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let (chart_area, legend_area) = places(area, view.runs.len());
        let curves = self.curves(view);
        let inner = pane(theme, &view.title(), 1, true, chart_area, buffer);
        self.chart(view, &curves, theme, Chart::plot(inner))
            .render(inner, buffer);
        let title = match view.crosshair {
            Some(x) => format!("at {}", place_text(view.by, x)),
            None if view.runs.len() == 1 => "1 run".to_string(),
            None => format!("{} runs", view.runs.len()),
        };
        let legend = pane(theme, &title, 0, false, legend_area, buffer);
        self.render_legend(view, &curves, theme, legend, buffer);
    }

    fn chart(&self, view: &OverlayView, curves: &[Curve], theme: &Theme, plot: Rect) -> Chart {
        let range = view.viewport.range(Self::extent(curves));
        let x = Axis::new(range, Scale::Linear);
        let count = Chart::columns(plot, symbols(theme));
        let mut lines: Vec<(usize, Vec<Sample>)> = curves
            .iter()
            .map(|curve| {
                let values = match view.of {
                    Of::Validation => &curve.validation,
                    Of::Train | Of::Both => &curve.train,
                };
                (curve.at, columns(values, &x, count))
            })
            .collect();
        // The line under the cursor lies on top.
        lines.sort_by_key(|(at, _)| *at == view.cursor);
        let shown = |values: &[(f64, f64)]| -> Vec<(f64, f64)> {
            let (low, high) = x.range();
            let inside =
                |(place, value): &&(f64, f64)| (low..=high).contains(place) && value.is_finite();
            values.iter().filter(inside).copied().collect()
        };
        let points: Vec<(usize, Vec<(f64, f64)>)> = match view.of {
            Of::Both => curves
                .iter()
                .map(|curve| (curve.at, shown(&curve.validation)))
                .collect(),
            _ => Vec::new(),
        };
        let of_lines = lines
            .iter()
            .flat_map(|(_, line)| line)
            .filter_map(|s| match s {
                Sample::Value(value) => Some(*value),
                _ => None,
            });
        let of_points = points
            .iter()
            .flat_map(|(_, points)| points)
            .map(|(_, y)| *y);
        let fitted = fit_values(of_lines.chain(of_points));
        let y = Axis::new(fitted.unwrap_or((0.0, 1.0)), view.scale).padded(0.03);
        let mut chart = Chart::new(x, y, look(theme));
        chart.x_unit = match view.by {
            By::Time => Unit::Seconds,
            By::Step | By::Tokens => Unit::Count,
            By::Compute => Unit::Number,
        };
        if fitted.is_none() {
            chart.message = Some(self.why_empty(view, theme));
            return chart;
        }
        let bold = |at: usize| match at == view.cursor {
            true => style(at, theme).0.add_modifier(Modifier::BOLD),
            false => style(at, theme).0,
        };
        let mut ends = Vec::new();
        for (at, line) in lines {
            let last = line.iter().rposition(|s| matches!(s, Sample::Value(_)));
            if let Some((place, Sample::Value(value))) = last.map(|at| (at, line[at])) {
                let place = x.value_at((place as f64 + 0.5) / count as f64);
                ends.push((at, (place, value)));
            }
            chart.layers.push(Layer::Line {
                columns: line,
                style: bold(at),
                pattern: style(at, theme).1,
            });
        }
        for (at, points) in points {
            chart.layers.push(Layer::Points {
                points,
                symbol: 'o',
                style: bold(at),
            });
        }
        let edited = if theme.symbols.unicode { '◇' } else { '!' };
        for curve in curves {
            let points = curve.edited.iter().filter_map(|place| {
                let value = value_at(view, curve, *place)?;
                x.place(*place).map(|_| (*place, value))
            });
            chart.layers.push(Layer::Points {
                points: points.collect(),
                symbol: edited,
                style: bold(curve.at),
            });
            if curve.at == view.cursor {
                let at = |step: u64| {
                    let edit = curve.edits.iter().position(|edit| edit.step == step);
                    edit.and_then(|edit| curve.edited.get(edit).copied())
                        .unwrap_or(f64::NAN)
                };
                chart.markers = edit_markers(&curve.edits, theme, at);
            }
        }
        // Over an edit at the end: the letter says whose line it is.
        for (at, end) in ends {
            chart.layers.push(Layer::Points {
                points: vec![end],
                symbol: letter(at),
                style: bold(at).add_modifier(Modifier::BOLD),
            });
        }
        chart.crosshair = view.crosshair.map(|x| {
            let mut rows: Vec<(f64, (String, Style))> = curves
                .iter()
                .filter_map(|curve| {
                    let value = value_at(view, curve, x)?;
                    let text = format!("{} {}", letter(curve.at), reading(value));
                    Some((value, (text, bold(curve.at))))
                })
                .collect();
            // As the lines lie: the highest first.
            rows.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut texts = vec![(place_text(view.by, x), theme.chart.crosshair)];
            texts.extend(rows.into_iter().map(|(_, row)| row));
            Crosshair {
                x,
                rows: texts,
                style: theme.chart.crosshair,
            }
        });
        chart
    }

    fn why_empty(&self, view: &OverlayView, theme: &Theme) -> String {
        let waiting = view.runs.iter().any(|(dir, _)| self.course(dir).is_none());
        match (waiting, view.of) {
            (true, _) => format!("reading the curves{}", theme.symbols.ellipsis),
            (false, Of::Validation) => "no evaluations here".to_string(),
            (false, _) => "nothing to draw: hidden, or no steps yet".to_string(),
        }
    }

    fn render_legend(
        &self,
        view: &OverlayView,
        curves: &[Curve],
        theme: &Theme,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let rows = usize::from(area.height);
        let offset = scroll_offset(view.cursor, view.runs.len(), rows);
        let (solid, dashed, dotted) = match theme.symbols.unicode {
            true => ("━━━", "╍╍╍", "┅┅┅"),
            false => ("---", "- -", ". ."),
        };
        for (at, (dir, hidden)) in view.runs.iter().enumerate().skip(offset).take(rows) {
            let row = (at - offset) as u16;
            let here = at == view.cursor;
            let base = if here { theme.selected } else { theme.text };
            let (colour, pattern) = style(at, theme);
            let swatch = match pattern {
                Pattern::Solid => solid,
                Pattern::Dashed => dashed,
                Pattern::Dotted => dotted,
            };
            let run = self.find(dir);
            let value = match (run, self.course(dir)) {
                (None, _) => "gone".to_string(),
                _ if *hidden => "hidden".to_string(),
                (_, None) => theme.symbols.ellipsis.to_string(),
                (_, Some(Err(_))) => "unreadable".to_string(),
                (Some(_), Some(Ok(_))) => curves
                    .iter()
                    .find(|curve| curve.at == at)
                    .and_then(|curve| match view.crosshair {
                        Some(x) => value_at(view, curve, x),
                        None => newest(view, curve),
                    })
                    .map_or("-".to_string(), reading),
            };
            let name = match run {
                Some(run) => run.summary.name.clone(),
                None => dir.display().to_string(),
            };
            let alive = run.is_some_and(|run| run.process.is_some());
            let live = if alive { theme.symbols.bullet } else { " " };
            let room = usize::from(area.width).saturating_sub(10 + value.width());
            // Names of runs differ at their ends.
            let name = fit_end(&name, room, theme.symbols.ellipsis);
            let pad = " ".repeat(room.saturating_sub(name.width()));
            let cursor = if here { theme.symbols.cursor } else { " " };
            let line = Line::from(vec![
                Span::styled(cursor.to_string(), base),
                Span::styled(format!("{} {swatch} ", letter(at)), colour),
                Span::styled(live.to_string(), theme.good),
                Span::styled(format!(" {name}{pad} {value}"), base),
            ]);
            write_line(buffer, area, row, &line);
        }
        if view.runs.is_empty() {
            write(buffer, area, 0, "no runs", theme.dim);
        }
    }
}

fn place_text(by: By, x: f64) -> String {
    match by {
        By::Step => format!("step {}", reading(x.round())),
        By::Tokens => format!("{} tokens", reading(x.round())),
        By::Time => clock(x),
        By::Compute => format!("{x:.2e} operations"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_lines_are_told_apart() {
        for name in crate::ui::theme::NAMES {
            let theme = Theme::new(
                name,
                ColorDepth::TrueColor,
                crate::ui::theme::Symbols::unicode(),
            );
            let looks: Vec<(Style, Pattern, char)> = (0..20)
                .map(|at| {
                    let (style, pattern) = style(at, &theme);
                    (style, pattern, letter(at))
                })
                .collect();
            for (at, look) in looks.iter().enumerate() {
                assert!(!looks[..at].contains(look), "{name}: {at}");
            }
            // Neighbours differ by more than their letter.
            for pair in looks.windows(2) {
                assert_ne!((pair[0].0, pair[0].1), (pair[1].0, pair[1].1), "{name}");
            }
        }
    }
}
