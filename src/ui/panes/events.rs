//! What happened, newest last.
//!
//! ```text
//! ┌ 8 Events ───────────── checkpoints 31 MB on disk ┐
//! │   0:12    200 val 3.1, perplexity 22.2, best     │  time of training, step, words
//! │   0:12    200 checkpoint of step 200 (3.2 MB)    │
//! └──────────────────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::frame::{frame, say};
use super::list::Scroll;
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::protocol::NoticeLevel;
use crate::ui::format;
use crate::ui::keymap::{Action, Context};
use crate::ui::layout::{fit, wrap, write_line};
use crate::ui::screens::train::{LogLine, RunView};
use crate::ui::theme::Theme;

pub const SPEC: PaneSpec = PaneSpec {
    id: "events",
    title: "Events",
    help: "Evaluations, checkpoints, edits, pauses and notices with the training time and the step at which they came. \
           The newest is at the bottom and is followed until you scroll up. Above: what all checkpoints of the run \
           take on disk.",
    context: Context::List,
    importance: 45,
};

#[derive(Debug, Default)]
pub struct Events {
    scroll: Scroll,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(Events::default())
}

impl Pane for Events {
    fn spec(&self) -> &'static PaneSpec {
        &SPEC
    }

    fn act(&mut self, action: Action, run: &RunView) -> Handled {
        self.scroll.act(action, run.log.len(), true)
    }

    fn mouse(&mut self, mouse: PaneMouse, _area: Rect, run: &RunView) -> Handled {
        self.scroll.mouse(mouse, run.log.len(), true)
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let disk = run.checkpoints.last().map(|newest| {
            let size = format::bytes(newest.total_bytes);
            Span::styled(format!("checkpoints {size} on disk"), theme.dim)
        });
        let right = disk.into_iter().collect();
        let inner = frame(&context, SPEC.title, Vec::new(), right, area, buffer);
        if run.log.is_empty() {
            say(buffer, inner, "nothing has happened yet", theme.dim);
            return;
        }
        let window = self
            .scroll
            .window(run.log.len(), inner.height as usize, true);
        let at_end = window.end == run.log.len();
        let shown = run.log.range(window);
        let mut rows: Vec<Line> = shown
            .flat_map(|line| rows_of(line, theme, inner.width.into()))
            .collect();
        // Lines that go on below take room from the others: from those at the top while the newest are shown.
        let above = rows.len().saturating_sub(inner.height.into());
        if at_end {
            rows.drain(..above);
        }
        for (row, line) in rows.iter().take(inner.height.into()).enumerate() {
            write_line(buffer, inner, row as u16, line);
        }
    }
}

/// From this width on, what does not fit in a row goes on in the next.
const WRAPS: usize = 60;

/// An event as rows of a pane.
fn rows_of(line: &LogLine, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let style = match line.level {
        NoticeLevel::Info => theme.text,
        NoticeLevel::Warning => theme.warning,
        NoticeLevel::Error => theme.error,
    };
    let stamp = format!("{} ", RunView::stamp(line));
    let (indent, text) = (stamp.width(), line.text.replace('\n', " "));
    let text = text.replace('×', theme.symbols.times);
    let room = width.saturating_sub(indent);
    let texts = match width < WRAPS {
        true => vec![fit(&text, room, theme.symbols.ellipsis)],
        false => wrap(&text, room),
    };
    let before = std::iter::once(stamp).chain(std::iter::repeat(" ".repeat(indent)));
    let row = |(before, text)| {
        Line::from(vec![
            Span::styled(before, theme.dim),
            Span::styled(text, style),
        ])
    };
    before.zip(texts).map(row).collect()
}
