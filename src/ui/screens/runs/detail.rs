//! The run under the cursor: its facts and a small curve beside the list, or in three lines below it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::RunsScreen;
use super::work::Course;
use crate::config::Value;
use crate::run::RunEntry;
use crate::ui::format;
use crate::ui::layout::{fit, fit_end, pane, wrap, write};
use crate::ui::panes::{edit_markers, look, symbols};
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{Axis, Chart, Layer, Pattern, Sample, Scale, fit as fit_values};

/// Fewer rows than this are no chart.
const LEAST_CHART: u16 = 7;

impl RunsScreen {
    pub(super) fn render_detail(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let run = self.selected_entry();
        let title = run.map_or("", |run| &run.summary.name);
        let room = usize::from(area.width).saturating_sub(6);
        let title = fit_end(title, room, theme.symbols.ellipsis);
        let inner = pane(theme, &title, 0, false, area, buffer);
        let Some(run) = run else { return };
        let mut row = 0;
        for (text, style) in lines(run, self.read, theme) {
            for line in wrap(&text, inner.width.into()).into_iter().take(6) {
                write(buffer, inner, row, &line, style);
                row += 1;
            }
        }
        let chart = Rect {
            y: (inner.y + row + 1).min(inner.bottom()),
            height: inner.height.saturating_sub(row + 1).min(16),
            ..inner
        };
        if chart.height < LEAST_CHART {
            return;
        }
        match self.course(&run.summary.dir) {
            None => {
                let text = format!("reading its curve{}", theme.symbols.ellipsis);
                write(buffer, chart, 0, &text, theme.dim);
            }
            Some(Err(problem)) => {
                for (at, line) in wrap(problem, chart.width.into()).into_iter().enumerate() {
                    write(buffer, chart, at as u16, &line, theme.error);
                }
            }
            Some(Ok(course)) => curve(course, theme, chart).render(chart, buffer),
        }
    }

    /// In three lines: its whole name on a rule, what it was given, what is said about it.
    pub(super) fn render_detail_lines(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let Some(run) = self.selected_entry() else {
            return;
        };
        let width = usize::from(area.width);
        let dash = theme.symbols.horizontal;
        write(buffer, area, 0, &dash.repeat(width), theme.border);
        let name = fit_end(
            &run.summary.name,
            width.saturating_sub(6),
            theme.symbols.ellipsis,
        );
        let title = Rect {
            x: (area.x + 2).min(area.right()),
            width: area.width.saturating_sub(4),
            ..area
        };
        write(buffer, title, 0, &format!(" {name} "), theme.strong);
        let mut about = format!(
            "{}, {}, {} parameters",
            run.summary.model.key(),
            run.summary.corpus,
            format::count(run.summary.parameters)
        );
        if !run.notes.tags.is_empty() {
            about.push_str(&format!("  #{}", run.notes.tags.join(" #")));
        }
        if let Some(parent) = &run.parent {
            about.push_str(&format!(
                "  from {} @{}",
                last_part(&parent.run),
                parent.step
            ));
        }
        let about = fit(&about, width, theme.symbols.ellipsis);
        write(buffer, area, 1, &about, theme.text);
        let (text, style) = match (&run.trouble, &run.summary.problem) {
            (Some(trouble), _) => (trouble.clone(), theme.warning),
            (None, Some(problem)) => (problem.clone(), theme.error),
            (None, None) if !run.notes.note.is_empty() => {
                (run.notes.note.replace('\n', " "), theme.info)
            }
            (None, None) => (essentials(run), theme.dim),
        };
        let text = fit(&text, width, theme.symbols.ellipsis);
        write(buffer, area, 2, &text, style);
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The settings that are asked about first.
fn essentials(run: &RunEntry) -> String {
    let value = |key: &str| run.values.get(key).map(Value::to_plain);
    let words = [
        ("", "optimizer.kind"),
        ("lr ", "optimizer.learning_rate"),
        ("", "schedule.kind"),
        ("batch ", "train.batch_size"),
        ("context ", "model.context_length"),
        ("seed ", "train.seed"),
    ];
    let words: Vec<String> = words
        .into_iter()
        .filter_map(|(before, key)| value(key).map(|value| format!("{before}{value}")))
        .collect();
    words.join(", ")
}

fn lines(run: &RunEntry, now: u64, theme: &Theme) -> Vec<(String, ratatui::style::Style)> {
    let it = &run.summary;
    let mut lines = Vec::new();
    let status = match run.process {
        Some(process) => format!("{} by process {process}", it.status.label()),
        None => it.status.label().to_string(),
    };
    lines.push((status, super::table::status_style(it.status, theme)));
    if let Some(problem) = &it.problem {
        lines.push((problem.clone(), theme.error));
    }
    if let Some(trouble) = &run.trouble {
        lines.push((trouble.clone(), theme.warning));
    }
    lines.push((
        format!(
            "{}, {}, {} parameters, {} tokens known",
            it.model.key(),
            it.corpus,
            format::count(it.parameters),
            run.vocab_size
        ),
        theme.text,
    ));
    lines.push((essentials(run), theme.dim));
    if !it.device.is_empty() {
        lines.push((it.device.clone(), theme.dim));
    }
    let best = match (it.best_val_loss, it.best_step) {
        (Some(loss), Some(step)) => {
            format!("best {loss:.4} at step {}, ", format::grouped(step))
        }
        _ => String::new(),
    };
    lines.push((
        format!(
            "{best}trained {}, made {}",
            format::duration(it.seconds),
            format::ago(now.saturating_sub(it.created))
        ),
        theme.text,
    ));
    if let Some(parent) = &run.parent {
        let text = format!("from {} at step {}", parent.run, parent.step);
        lines.push((text, theme.text));
    }
    if !run.notes.formerly.is_empty() {
        let text = format!("formerly {}", run.notes.formerly.join(", "));
        lines.push((text, theme.dim));
    }
    if !run.notes.tags.is_empty() {
        lines.push((format!("#{}", run.notes.tags.join(" #")), theme.info));
    }
    if !run.notes.note.is_empty() {
        lines.push((run.notes.note.clone(), theme.info));
    }
    lines
}

/// Training loss by step, the evaluations, and where it was edited.
fn curve(course: &Course, theme: &Theme, area: Rect) -> Chart {
    let overview = &course.overview;
    let plot = Chart::plot(area);
    let columns = Chart::columns(plot, symbols(theme));
    let from = overview.buckets.first().map_or(0, |bucket| bucket.step);
    let x = Axis::new((from as f64, overview.last_step() as f64), Scale::Linear);
    let mut line = vec![Sample::Nothing; columns];
    for bucket in &overview.buckets {
        let Some(place) = x.place(bucket.step as f64) else {
            continue;
        };
        let at = ((place * columns as f64) as usize).min(columns.saturating_sub(1));
        if let Some(sample) = line.get_mut(at) {
            *sample = match bucket.count {
                0 => Sample::Gap,
                _ => Sample::Value(bucket.mean),
            };
        }
    }
    let points: Vec<(f64, f64)> = overview
        .evaluations
        .iter()
        .filter(|e| e.val_loss.is_finite())
        .map(|e| (e.step as f64, e.val_loss))
        .collect();
    let values = line.iter().filter_map(|sample| match sample {
        Sample::Value(value) => Some(*value),
        _ => None,
    });
    let range = fit_values(values.chain(points.iter().map(|(_, value)| *value)));
    let y = Axis::new(range.unwrap_or((0.0, 1.0)), Scale::Linear).padded(0.03);
    let mut chart = Chart::new(x, y, look(theme));
    if range.is_none() {
        chart.message = Some("no steps yet".to_string());
    }
    chart.layers.push(Layer::Line {
        columns: line,
        style: theme.chart.train,
        pattern: Pattern::Solid,
    });
    chart.layers.push(Layer::Points {
        points,
        symbol: if theme.symbols.unicode { '●' } else { 'o' },
        style: theme.chart.validation,
    });
    chart.markers = edit_markers(&course.edits, theme, |step| step as f64);
    chart
}
