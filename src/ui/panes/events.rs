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
use ratatui::widgets::Widget;

use super::frame::{frame, say};
use super::list::Scroll;
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::protocol::NoticeLevel;
use crate::ui::format;
use crate::ui::keymap::{Action, Context};
use crate::ui::screens::train::RunView;

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
        for (row, index) in window.enumerate() {
            let line = &run.log[index];
            let style = match line.level {
                NoticeLevel::Info => theme.text,
                NoticeLevel::Warning => theme.warning,
                NoticeLevel::Error => theme.error,
            };
            let line = Line::from(vec![
                Span::styled(format!("{} ", RunView::stamp(line)), theme.dim),
                Span::styled(
                    line.text
                        .replace('\n', " ")
                        .replace('×', theme.symbols.times),
                    style,
                ),
            ]);
            let y = inner.y + row as u16;
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
