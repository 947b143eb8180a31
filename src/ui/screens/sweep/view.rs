//! Drawing the sweep.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Ended, Overlay, Snapshot, SweepPane, SweepScreen, coordinates};
use crate::config;
use crate::run::sweep::{Curve, SweepState, TrialStatus, trial_name};
use crate::ui::keymap::{Action, KeyMap};
use crate::ui::layout::{Hint, SMALLEST, footer, pane, too_small, wrap, write, write_line};
use crate::ui::panes::plot::{empty, look, symbols};
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{Axis, Chart, Layer, Pattern, Sample, Scale, fit, fit_robust};
use crate::ui::widgets::table::{Column, Table};
use crate::words::counted;

/// How much of the old average a training loss leaves.
const SMOOTHING: f64 = 0.9;
/// From this width on losses and values stand side by side.
const WIDE: u16 = 110;

pub(super) fn render(
    screen: &SweepScreen,
    theme: &Theme,
    keymap: &KeyMap,
    area: Rect,
    buffer: &mut Buffer,
) {
    if area.is_empty() {
        return;
    }
    buffer.set_style(area, theme.text);
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return too_small(theme, area, buffer);
    }
    write_line(buffer, area, 0, &header(screen, theme));
    let body = Rect {
        y: area.y + 1,
        height: area.height - 2,
        ..area
    };
    match &screen.snapshot {
        Some(snapshot) => {
            for (which, place) in places(screen, snapshot.state.trials.len(), body) {
                draw(screen, snapshot, which, theme, place, buffer);
            }
        }
        None => {
            let inner = pane(theme, "Sweep", 0, true, body, buffer);
            let text = match &screen.problem {
                Some(problem) => problem.clone(),
                None => format!("reading the sweep{}", theme.symbols.ellipsis),
            };
            for (row, line) in wrap(&text, inner.width.into()).iter().enumerate() {
                write(buffer, inner, row as u16, line, theme.dim);
            }
        }
    }
    let foot = Rect {
        y: area.bottom() - 1,
        height: 1,
        ..area
    };
    // What has ended is not stopped any more.
    let now = |action, hint| match action {
        Action::StopRun if screen.ended.is_some() => None,
        _ => Some(Hint::usual(hint)),
    };
    footer(theme, keymap, &screen.contexts(), &now, foot, buffer);
    match &screen.overlay {
        Some(Overlay::Help(help)) => help.render(
            theme,
            keymap,
            &[crate::ui::keymap::Context::Sweep],
            Some(screen.help()),
            area,
            buffer,
        ),
        Some(Overlay::Question(modal)) => modal.render(theme, area, buffer),
        None => {}
    }
}

fn header(screen: &SweepScreen, theme: &Theme) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    if let Some(Snapshot { state, .. }) = &screen.snapshot {
        let name = state.dir.file_name().unwrap_or_default().to_string_lossy();
        spans.push(Span::styled(name.into_owned(), theme.strong));
    }
    let (state, style) = match (&screen.ended, screen.stopping) {
        (Some(Ended::Finished), _) => ("finished".to_string(), theme.good),
        (Some(Ended::Interrupted), _) => ("interrupted".to_string(), theme.warning),
        (Some(Ended::Failed(why)), _) => (format!("failed: {why}"), theme.error),
        (None, true) => (
            format!("saving the trials{}", theme.symbols.ellipsis),
            theme.warning,
        ),
        (None, false) => ("running".to_string(), theme.info),
    };
    spans.push(Span::styled(format!("   {state}"), style));
    if let Some(Snapshot { state, .. }) = &screen.snapshot {
        let results = state.trials.iter().filter(|trial| trial.rank.is_some());
        let plan = &state.plan;
        let rung = current_rung(state);
        if plan.rungs.len() > 1 {
            spans.push(Span::styled(
                format!(
                    "   rung {}/{} to step {}",
                    rung + 1,
                    plan.rungs.len(),
                    plan.rungs[rung]
                ),
                theme.text,
            ));
        }
        spans.push(Span::styled(
            format!(
                "   results of {} of {}",
                results.count(),
                counted(plan.trials.len(), "trial")
            ),
            theme.text,
        ));
    }
    Line::from(spans)
}

/// The latest rung that a trial has entered.
fn current_rung(state: &SweepState) -> usize {
    let plan = &state.plan;
    let trials = plan.trials.len();
    let known = |rung: &usize| {
        crate::run::sweep::halving::entering(
            trials,
            plan.halving,
            plan.metric,
            &state.results,
            *rung,
        )
        .is_some_and(|entered| !entered.is_empty())
    };
    (0..plan.rungs.len()).rev().find(known).unwrap_or(0)
}

/// Where each pane lies. On a narrow screen losses and values take turns.
fn places(screen: &SweepScreen, trials: usize, body: Rect) -> Vec<(SweepPane, Rect)> {
    if screen.zoomed {
        return vec![(screen.focus, body)];
    }
    let wanted = u16::try_from(trials + 3).unwrap_or(u16::MAX);
    let table = wanted.clamp(5, (body.height / 2).max(5));
    let top = Rect {
        height: table,
        ..body
    };
    let below = Rect {
        y: body.y + table,
        height: body.height - table,
        ..body
    };
    let mut places = vec![(SweepPane::Trials, top)];
    if body.width >= WIDE {
        let left = below.width / 2;
        let losses = Rect {
            width: left,
            ..below
        };
        let values = Rect {
            x: below.x + left,
            width: below.width - left,
            ..below
        };
        places.push((SweepPane::Losses, losses));
        places.push((SweepPane::Values, values));
    } else {
        let which = match screen.focus {
            SweepPane::Values => SweepPane::Values,
            _ => SweepPane::Losses,
        };
        places.push((which, below));
    }
    places
}

fn draw(
    screen: &SweepScreen,
    snapshot: &Snapshot,
    which: SweepPane,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let focused = screen.focus == which;
    match which {
        SweepPane::Trials => {
            let order = if screen.by_rank {
                "by rank"
            } else {
                "in order"
            };
            let title = format!("Trials {order}");
            let inner = pane(theme, &title, 1, focused, area, buffer);
            trials(screen, &snapshot.state, focused, theme, inner, buffer);
        }
        SweepPane::Losses => {
            let inner = pane(theme, "Losses", 2, focused, area, buffer);
            let plot = Chart::plot(inner);
            losses(screen, snapshot, theme, plot).render(inner, buffer);
        }
        SweepPane::Values => {
            let inner = pane(theme, "Values", 3, focused, area, buffer);
            coordinates::render(&snapshot.state, screen.selected, theme, inner, buffer);
        }
    }
}

/// In eight cells: a number that is cut says something else.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_string(),
        Some(value) if value.is_finite() && value.abs() >= 100.0 => {
            let plain = format!("{value:.1}");
            match plain.len() <= 8 {
                true => plain,
                false => format!("{value:.1e}"),
            }
        }
        Some(value) => format!("{value:.4}"),
    }
}

fn trials(
    screen: &SweepScreen,
    state: &SweepState,
    focused: bool,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let column = |title, width, right, importance| Column {
        title,
        width,
        right,
        importance,
    };
    let mut columns = vec![column("rank", 4, true, 9), column("trial", 10, false, 8)];
    let keys = state.plan.trials.first().map(|trial| &trial.values);
    for (at, (key, _)) in keys.into_iter().flatten().enumerate() {
        // A key of a sweep of another version may be gone from the table.
        let title = config::field(key).map_or("?", |field| field.name());
        let values = state.plan.trials.iter().filter_map(|t| t.values.get(at));
        let widest = values.map(|(_, value)| value.chars().count()).max();
        let width = widest.unwrap_or(0).max(title.len()).min(24) as u16;
        columns.push(column(title, width, true, 7));
    }
    // As wide as at the last step, so that the others stay where they are.
    let steps = 2 * state.plan.steps.to_string().len() + 1;
    columns.extend([
        column("step", steps.max(11) as u16, true, 5),
        column("loss", 8, true, 2),
        column("val loss", 8, true, 6),
        column("bits/byte", 9, true, 3),
        column("status", 0, false, 8),
    ]);
    let row = |trial: &usize| {
        let it = &state.trials[*trial];
        let rank = it.rank.map_or("-".to_string(), |rank| rank.to_string());
        let mut row = vec![rank, trial_name(*trial)];
        let values = state.plan.trials[*trial].values.iter();
        row.extend(values.map(|(_, value)| value.clone()));
        row.extend([
            format!("{}/{}", it.step, state.plan.steps),
            number(it.train_loss),
            number(it.val_loss),
            number(it.bits_per_byte),
            it.status.label().to_string(),
        ]);
        row
    };
    let rows: Vec<Vec<String>> = screen.order.iter().map(row).collect();
    // What went wrong with the trial under the cursor takes the last line.
    let why = state
        .trials
        .get(screen.selected)
        .and_then(|it| it.message.clone());
    let table = Rect {
        height: area.height.saturating_sub(u16::from(why.is_some())),
        ..area
    };
    Table {
        columns: &columns,
        rows: &rows,
        cursor: screen.cursor(),
        focused,
    }
    .render(theme, table, buffer);
    if let Some(why) = why {
        let text = format!(
            " {}: {}",
            trial_name(screen.selected),
            why.replace('\n', " ")
        );
        write(
            buffer,
            area,
            area.height.saturating_sub(1),
            &text,
            theme.error,
        );
    }
}

/// The training losses, smoothed with bias correction.
fn smooth(curve: &Curve) -> Vec<(u64, f64)> {
    let mut average = 0.0;
    let mut weight = 0.0;
    let smoothed = curve.train.iter().map(|(step, loss)| {
        average = SMOOTHING * average + (1.0 - SMOOTHING) * loss;
        weight = SMOOTHING * weight + (1.0 - SMOOTHING);
        (*step, average / weight)
    });
    smoothed.collect()
}

/// How the line of a trial is drawn, and whether above the others.
pub(super) fn style_of(
    state: &SweepState,
    trial: usize,
    selected: usize,
    theme: &Theme,
) -> (Style, u8) {
    let it = &state.trials[trial];
    if trial == selected {
        (theme.strong, 3)
    } else if it.rank == Some(1) {
        (theme.good, 2)
    } else if it.status == TrialStatus::Running {
        (theme.chart.series[trial % theme.chart.series.len()], 1)
    } else {
        (theme.chart.faint, 0)
    }
}

fn losses(screen: &SweepScreen, snapshot: &Snapshot, theme: &Theme, plot: Rect) -> Chart {
    let state = &snapshot.state;
    let columns = Chart::columns(plot, symbols(theme));
    let lines: Vec<Vec<(u64, f64)>> = snapshot.curves.iter().map(smooth).collect();
    let values = lines.iter().flatten().map(|(_, loss)| *loss);
    let Some(range) = fit_robust(values).filter(|_| columns > 0) else {
        return empty(theme, "no steps yet");
    };
    let validation = snapshot.curves.iter().flat_map(|curve| &curve.validation);
    let lowest = fit(validation.map(|(_, loss)| *loss)).map_or(range.0, |v| v.0);
    // As far as the present rung goes: the first ones would be lost at the left of all steps.
    let end = state.plan.rungs[current_rung(state)];
    let x = Axis::new((0.0, end as f64), Scale::Linear);
    let scale = if screen.log {
        Scale::Log
    } else {
        Scale::Linear
    };
    let y = Axis::new((range.0.min(lowest), range.1), scale).padded(0.04);
    let mut chart = Chart::new(x, y, look(theme));
    let mut layers: Vec<(u8, Layer)> = Vec::new();
    for (trial, line) in lines.iter().enumerate().take(state.trials.len()) {
        let (style, above) = style_of(state, trial, screen.selected, theme);
        let mut samples = vec![Sample::Nothing; columns];
        for (step, loss) in line {
            let place = x.place(*step as f64).unwrap_or(0.0).clamp(0.0, 1.0);
            let at = (place * columns as f64) as usize;
            samples[at.min(columns - 1)] = Sample::Value(*loss);
        }
        layers.push((
            above,
            Layer::Line {
                columns: samples,
                style,
                pattern: Pattern::Solid,
            },
        ));
        let points = &snapshot.curves[trial].validation;
        if above >= 2 && !points.is_empty() {
            // As many as can be told apart.
            let apart = points.len().div_ceil((columns / 12).max(1));
            let bullet = theme.symbols.bullet.chars().next().unwrap_or('o');
            layers.push((
                above,
                Layer::Points {
                    points: (points.iter().rev().step_by(apart))
                        .map(|(s, l)| (*s as f64, *l))
                        .collect(),
                    symbol: bullet,
                    style,
                },
            ));
        }
    }
    layers.sort_by_key(|(above, _)| *above);
    chart.layers = layers.into_iter().map(|(_, layer)| layer).collect();
    chart
}
