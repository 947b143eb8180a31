//! What can be changed while it trains: the value in force, and beside it the one that is pending.
//!
//! ```text
//! ┌ 6 Knobs ─────────── 2 pending ┐
//! │ learning rate                 │
//! │ ▸ learning rate ×      1 → 0.5│  pending: shown here and in the chart, not applied
//! │   learning_rate          0.001│
//! │ optimizer                     │
//! │   weight_decay     0.01 → 0.02│
//! │ a apply  esc discard          │
//! │ Multiplies whatever the sched…│  about the line under the cursor, or what is wrong with it
//! └───────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::frame::{frame, inside};
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::ui::keymap::{Action, Context};
use crate::ui::layout::{fit, scroll_offset, wrap, write, write_line, write_right};
use crate::ui::screens::train::{Knob, RunView};
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::short;

pub const SPEC: PaneSpec = PaneSpec {
    id: "knobs",
    title: "Knobs",
    help: "Everything that can change while the run goes on, with its value in force; what has no meaning beside the others \
           is left out. Left and right nudge the value under the cursor, Enter types one. A new value is only pending at first: \
           it stands behind the arrow, and the learning-rate chart draws the schedule as it would be, dotted. Several \
           pending values are applied together, at the next step, after a checkpoint; then they leave a line in the charts and \
           in the events, and `u` takes them back. A value that cannot be used is marked, and nothing is sent. The \
           multiplier scales whatever the schedule says.",
    context: Context::Knobs,
    importance: 60,
};

/// The cursor and what is pending belong to the run ([`RunView::knobs`]): the charts show it too.
#[derive(Debug, Default)]
pub struct KnobsPane;

pub fn new() -> Box<dyn Pane> {
    Box::new(KnobsPane)
}

/// A line of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Group(&'static str),
    Knob(usize),
}

fn rows(run: &RunView) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut group = "";
    for (at, knob) in run.knobs.rows().iter().enumerate() {
        if knob.group() != group {
            group = knob.group();
            rows.push(Row::Group(group));
        }
        rows.push(Row::Knob(at));
    }
    rows
}

/// Lines kept at the bottom: more where something is wrong, so that all of it can be read.
fn foot_height(run: &RunView, inner: Rect) -> u16 {
    let here = run.knobs.rows().get(run.knobs.at());
    let wrong = here.is_some_and(|knob| run.knobs.problem(knob.key()).is_some());
    match (inner.height, wrong) {
        (0..=4, _) => 0,
        (5..=9, false) => 1,
        (5..=9, true) | (10..=15, false) => 2,
        _ => 3,
    }
}

fn offset(rows: &[Row], run: &RunView, height: usize) -> usize {
    let here = Row::Knob(run.knobs.at());
    let at = rows.iter().position(|row| *row == here).unwrap_or(0);
    scroll_offset(at, rows.len(), height)
}

/// The knob drawn at this place of a pane with this area.
pub fn knob_at(run: &RunView, area: Rect, at: Position) -> Option<usize> {
    let inner = inside(area);
    let height = inner.height - foot_height(run, inner);
    let list = Rect { height, ..inner };
    if !list.contains(at) {
        return None;
    }
    let rows = rows(run);
    let line = offset(&rows, run, height.into()) + usize::from(at.y - list.y);
    match rows.get(line) {
        Some(Row::Knob(at)) => Some(*at),
        _ => None,
    }
}

/// Name, value in force, pending value.
fn words(run: &RunView, knob: Knob) -> (&'static str, String, Option<String>) {
    match knob {
        Knob::Multiplier => (
            "learning rate ×",
            short(run.multiplier),
            run.knobs.pending_multiplier().map(short),
        ),
        Knob::Key(field) => {
            let shown = |text: String| {
                if text.is_empty() {
                    "(empty)".into()
                } else {
                    text
                }
            };
            let in_force = match run.knobs.applies(field.key) {
                true => shown(run.knobs.in_force(field.key)),
                false => String::new(),
            };
            let pending = run.knobs.pending(field.key).map(shown);
            (field.name(), in_force, pending)
        }
    }
}

fn draw_knob(
    run: &RunView,
    at: usize,
    theme: &Theme,
    focused: bool,
    row: Rect,
    buffer: &mut Buffer,
) {
    let knob = run.knobs.rows()[at];
    let here = at == run.knobs.at();
    let (mark, name_style) = match (here, focused) {
        (true, true) => (theme.symbols.cursor, theme.selected),
        (true, false) => (theme.symbols.cursor, theme.selected_unfocused),
        _ => (" ", theme.text),
    };
    let (name, in_force, pending) = words(run, knob);
    let name = name.replace('×', theme.symbols.times);
    let problem = run.knobs.problem(knob.key());
    let width = usize::from(row.width);
    if here && let Some(input) = run.knobs.input() {
        let sign = if problem.is_some() {
            theme.symbols.cross
        } else {
            ">"
        };
        let room = (width / 2).min(name.width() + 3);
        let head = format!(
            "{mark} {}",
            fit(&name, room.saturating_sub(3), theme.symbols.ellipsis)
        );
        let (style, sign_style) = match problem {
            Some(_) => (theme.error, theme.error),
            None => (theme.input, theme.key),
        };
        let line = Line::from(vec![
            Span::styled(format!("{head} "), name_style),
            Span::styled(format!("{sign} "), sign_style),
        ]);
        let used = u16::try_from(line.width())
            .unwrap_or(u16::MAX)
            .min(row.width);
        write_line(buffer, row, 0, &line);
        let field = Rect::new(row.x + used, row.y, row.width - used, 1).intersection(row);
        return input.render(style, theme.cursor, field, buffer);
    }
    let arrow = if theme.symbols.unicode { "→" } else { "->" };
    let value_style = match &problem {
        Some(_) => theme.error,
        None => theme.changed,
    };
    // A name is still known by its beginning, a number is not; long texts (prompts) give way.
    let most = width.saturating_sub(name.width().min(8) + 3);
    let mut spans: Vec<(String, Style)> = Vec::new();
    match &pending {
        None => spans.push((fit(&in_force, most, theme.symbols.ellipsis), theme.strong)),
        Some(pending) => {
            let cross = match problem {
                Some(_) => format!("{} ", theme.symbols.cross),
                None => String::new(),
            };
            let both = format!("{in_force} {arrow} {cross}{pending}").width();
            if both <= most && !in_force.is_empty() {
                spans.push((format!("{in_force} "), theme.dim));
            }
            let text = format!("{arrow} {cross}{pending}");
            spans.push((fit(&text, most, theme.symbols.ellipsis), value_style));
        }
    }
    let used: usize = spans.iter().map(|(text, _)| text.width()).sum();
    let room = width.saturating_sub(used + 1);
    let name = fit(&format!("{mark} {name}"), room, theme.symbols.ellipsis);
    let pad = " ".repeat((room + 1).saturating_sub(name.width()));
    let mut line = vec![Span::styled(name, name_style), Span::raw(pad)];
    line.extend(
        spans
            .into_iter()
            .map(|(text, style)| Span::styled(text, style)),
    );
    write_line(buffer, row, 0, &Line::from(line));
}

/// The keys that apply and discard, and what there is to say about the line under the cursor.
fn draw_foot(run: &RunView, context: &PaneContext<'_>, foot: Rect, buffer: &mut Buffer) {
    let theme = context.theme;
    let Some(knob) = run.knobs.rows().get(run.knobs.at()) else {
        return;
    };
    let problem = run.knobs.problem(knob.key());
    let (text, style) = match (problem, run.knobs.is_typing()) {
        (Some(problem), _) => (problem, theme.error),
        (None, true) if !knob.range().is_empty() => {
            (format!("allowed: {}", knob.range()), theme.dim)
        }
        _ => (knob.description().to_string(), theme.dim),
    };
    let mut row = 0;
    let keys_too = style == theme.dim && (foot.height > 1 || !run.knobs.is_typing());
    if run.knobs.is_pending() && keys_too {
        let key = |action| {
            let contexts = [Context::Knobs, Context::Train, Context::Global];
            context
                .keymap
                .key_for(&contexts, action)
                .unwrap_or_default()
        };
        let line = match run.knobs.is_typing() {
            true => Line::from(vec![
                Span::styled("enter", theme.key),
                Span::styled(" take it  ", theme.dim),
                Span::styled("esc", theme.key),
                Span::styled(" leave it", theme.dim),
            ]),
            false => Line::from(vec![
                Span::styled(key(Action::ApplyEdit), theme.key),
                Span::styled(" apply  ", theme.dim),
                Span::styled("esc", theme.key),
                Span::styled(" discard", theme.dim),
            ]),
        };
        write_line(buffer, foot, 0, &line);
        row = 1;
    }
    for line in wrap(&text, foot.width.into()) {
        if row == foot.height {
            break;
        }
        write(buffer, foot, row, &line, style);
        row += 1;
    }
}

impl Pane for KnobsPane {
    fn spec(&self) -> &'static PaneSpec {
        &SPEC
    }

    fn act(&mut self, _action: Action, _run: &RunView) -> Handled {
        Handled::No
    }

    fn mouse(&mut self, _mouse: PaneMouse, _area: Rect, _run: &RunView) -> Handled {
        Handled::No
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let right = match (run.knobs.problems().len(), run.knobs.count()) {
            (0, 0) => Vec::new(),
            (0, n) => vec![Span::styled(format!("{n} pending"), theme.changed)],
            (n, _) => vec![Span::styled(format!("{n} wrong"), theme.error)],
        };
        let inner = frame(&context, SPEC.title, Vec::new(), right, area, buffer);
        if inner.is_empty() {
            return;
        }
        let foot = foot_height(run, inner);
        let list = Rect {
            height: inner.height - foot,
            ..inner
        };
        let rows = rows(run);
        let height = usize::from(list.height);
        let first = offset(&rows, run, height);
        for (line, row) in rows.iter().skip(first).take(height).enumerate() {
            let place = Rect {
                y: list.y + line as u16,
                height: 1,
                ..list
            };
            match row {
                Row::Group(name) => write(buffer, place, 0, name, theme.heading),
                Row::Knob(at) => draw_knob(run, *at, theme, context.focused, place, buffer),
            }
        }
        if first > 0 {
            write_right(buffer, list, 0, theme.symbols.up, theme.dim);
        }
        let place = Rect {
            y: list.bottom(),
            height: foot,
            ..inner
        };
        draw_foot(run, &context, place, buffer);
    }
}
