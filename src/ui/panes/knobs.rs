//! What can be turned while it trains, and below it what the config has set.
//!
//! ```text
//! ┌ 6 Knobs ──────────────┐
//! │ learning rate ×  1.00 │
//! │   [ ◂   ▸ ]   → 1.25  │  pending: shown, not applied
//! │ set in the config     │
//! │ batch_size         12 │
//! └───────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use unicode_width::UnicodeWidthStr;

use super::frame::frame;
use super::list::Scroll;
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::ui::keymap::{Action, Context};
use crate::ui::layout::fit;
use crate::ui::screens::train::RunView;
use crate::ui::widgets::chart::{reading, short};

pub const SPEC: PaneSpec = PaneSpec {
    id: "knobs",
    title: "Knobs",
    help: "The learning-rate multiplier scales whatever the schedule says. What you dial is shown first, dotted in the learning-rate \
           chart; it takes effect at the next step once you apply it, and leaves a line in the charts. The values below \
           it were set in the config and stay as they are for this run.",
    context: Context::List,
    importance: 60,
};

#[derive(Debug, Default)]
pub struct Knobs {
    scroll: Scroll,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(Knobs::default())
}

/// Config keys and values, for reading.
fn settings(run: &RunView) -> Vec<(&'static str, String)> {
    let config = &run.config;
    let off = |value: f64| {
        if value == 0.0 {
            "off".to_string()
        } else {
            short(value)
        }
    };
    let every = |steps: u64| match steps {
        0 => "at the end".to_string(),
        steps => format!("every {steps}"),
    };
    let sample = &config.sample;
    vec![
        ("train.batch_size", config.train.batch_size.to_string()),
        (
            "train.gradient_accumulation",
            config.train.gradient_accumulation.to_string(),
        ),
        (
            "optimizer.learning_rate",
            short(config.optimizer.learning_rate),
        ),
        (
            "optimizer.weight_decay",
            short(config.optimizer.weight_decay),
        ),
        ("optimizer.grad_clip", off(config.optimizer.grad_clip)),
        ("eval", every(config.eval.every)),
        ("sample", every(sample.every)),
        ("checkpoint", every(config.checkpoint.every)),
        ("sample.temperature", short(sample.temperature)),
        ("sample.top_k", off(sample.top_k as f64)),
    ]
}

impl Pane for Knobs {
    fn spec(&self) -> &'static PaneSpec {
        &SPEC
    }

    fn act(&mut self, action: Action, run: &RunView) -> Handled {
        self.scroll.act(action, settings(run).len(), false)
    }

    fn mouse(&mut self, mouse: PaneMouse, _area: Rect, run: &RunView) -> Handled {
        self.scroll.mouse(mouse, settings(run).len(), false)
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let inner = frame(&context, SPEC.title, Vec::new(), Vec::new(), area, buffer);
        let key = |action| {
            context
                .keymap
                .key_for(&[Context::Train], action)
                .unwrap_or_default()
        };
        let times = theme.symbols.times;
        let mut lines = vec![Line::from(vec![
            Span::styled(
                format!("lr {times} {:<6}", short(run.multiplier)),
                theme.strong,
            ),
            Span::styled(
                format!("{} {}", key(Action::LearningRateDown), theme.symbols.left),
                theme.key,
            ),
            Span::raw(" "),
            Span::styled(
                format!("{} {}", theme.symbols.right, key(Action::LearningRateUp)),
                theme.key,
            ),
        ])];
        if let Some(pending) = run.pending_multiplier {
            lines.push(Line::from(vec![
                Span::styled(format!("pending {times}{} ", short(pending)), theme.changed),
                Span::styled(key(Action::ApplyEdit), theme.key),
                Span::styled(" apply ", theme.dim),
                Span::styled(key(Action::DiscardEdit), theme.key),
                Span::styled(" drop", theme.dim),
            ]));
        } else if let Some(last) = run.series.last() {
            let rate = reading(last.learning_rate);
            lines.push(Line::styled(format!("rate now {rate}"), theme.dim));
        }
        lines.push(Line::styled("set in the config:", theme.dim));
        for (row, line) in lines.iter().enumerate().take(inner.height as usize) {
            line.render(
                Rect {
                    y: inner.y + row as u16,
                    height: 1,
                    ..inner
                },
                buffer,
            );
        }
        let top = (lines.len() as u16).min(inner.height);
        let settings = settings(run);
        let window = self
            .scroll
            .window(settings.len(), (inner.height - top) as usize, false);
        for (row, (name, value)) in settings[window].iter().enumerate() {
            let width = inner.width as usize;
            // A narrow pane keeps the last part of the key.
            let name = if name.len() + value.len() + 1 > width {
                name.rsplit('.').next().unwrap_or(name)
            } else {
                name
            };
            let name = fit(
                name,
                width.saturating_sub(value.len() + 1),
                theme.symbols.ellipsis,
            );
            let room = width.saturating_sub(name.width());
            let line = Line::from(vec![
                Span::styled(name, theme.dim),
                Span::styled(format!("{value:>room$}"), theme.text),
            ]);
            let y = inner.y + top + row as u16;
            line.render(
                Rect {
                    y,
                    height: 1,
                    ..inner
                },
                buffer,
            );
        }
    }
}
