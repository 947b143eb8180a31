//! What the model writes, prompt by prompt, as it is generated and at every step before.
//!
//! ```text
//! ┌ 2 Samples ────────────────────── step 1 200 ● ┐
//! │ Once upon a time there was a small fox who    │  the prompt stands out
//! │ lived near the old mill …                     │
//! │                                               │
//! │ step 1 000 ────────────────────────────────── │  earlier ones where there is room
//! │ Once upon a time there was a smal fax who …   │
//! │ ◂ step 1 000 │ 1 200 ▸  prompt 1/2  temp 0.8  │
//! └───────────────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::frame::{frame, grouped, inside, say, wrap, write};
use super::list::Scroll;
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::protocol::{SamplePiece, SampleRecord};
use crate::ui::keymap::{Action, Context};
use crate::ui::screens::train::RunView;
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::short;

pub const SPEC: PaneSpec = PaneSpec {
    id: "samples",
    title: "Samples",
    help: "The same prompts, continued by the model at every cadence, so that you can see it learn: first noise, then \
           letters that go together, words, sentences. Earlier texts stand below it where there is room. Left and right go through the steps; the newest is followed \
           until you go back. With probabilities shown (of the newest texts), underlined tokens surprised the model itself (less \
           than one in ten), bold ones it was nearly sure of. Temperature below 1 makes it more careful, above 1 bolder.",
    context: Context::Samples,
    importance: 90,
};

/// Which step is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Newest,
    Step(u64),
}

#[derive(Debug, Default)]
pub struct Samples {
    prompt: usize,
    at: At,
    scroll: Scroll,
    /// The step that the one shown is held against.
    against: Option<u64>,
    probabilities: bool,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(Samples::default())
}

/// One text on screen, finished or not.
struct Shown<'a> {
    step: u64,
    prompt: &'a str,
    record: Option<&'a SampleRecord>,
    pieces: &'a [SamplePiece],
}

impl Samples {
    /// Steps of which this prompt has a text, oldest first.
    fn steps(&self, run: &RunView) -> Vec<u64> {
        let mut steps: Vec<u64> = run
            .samples
            .iter()
            .filter(|sample| sample.record.prompt_index == self.prompt)
            .map(|sample| sample.record.step)
            .collect();
        if let Some(live) = run.live.as_ref().filter(|live| live.prompt == self.prompt) {
            steps.push(live.step);
        }
        steps.dedup();
        steps
    }

    fn prompts(run: &RunView) -> usize {
        let seen = run.samples.iter().map(|s| s.record.prompt_index + 1).max();
        let live = run.live.as_ref().map(|live| live.prompt + 1);
        seen.max(live)
            .unwrap_or(0)
            .max(run.config.sample.prompts.len())
    }

    fn shown<'a>(&self, run: &'a RunView, step: u64) -> Option<Shown<'a>> {
        let live = run
            .live
            .as_ref()
            .filter(|live| live.prompt == self.prompt && live.step == step);
        if let Some(live) = live {
            let prompt = run.config.sample.prompts.get(live.prompt);
            return Some(Shown {
                step,
                prompt: prompt.map_or("", String::as_str),
                record: None,
                pieces: &live.pieces,
            });
        }
        let sample = run
            .samples
            .iter()
            .rev()
            .find(|s| s.record.prompt_index == self.prompt && s.record.step == step)?;
        Some(Shown {
            step,
            prompt: &sample.record.prompt,
            record: Some(&sample.record),
            pieces: &sample.pieces,
        })
    }

    fn position(&self, steps: &[u64]) -> Option<usize> {
        let last = steps.len().checked_sub(1)?;
        Some(match self.at {
            At::Newest => last,
            At::Step(step) => steps.partition_point(|s| *s < step).min(last),
        })
    }

    fn go(&mut self, steps: &[u64], to: usize) {
        self.scroll = Scroll::default();
        self.at = match steps.get(to) {
            Some(step) if to + 1 < steps.len() => At::Step(*step),
            _ => At::Newest,
        };
    }

    fn lines(&self, shown: &Shown<'_>, theme: &Theme, width: u16) -> Vec<Line<'static>> {
        let mut parts: Vec<(&str, Style)> = vec![(shown.prompt, theme.heading)];
        match shown.record {
            // Pieces make up the same text, with what the model thought of each.
            Some(record) if !self.probabilities || shown.pieces.is_empty() => {
                parts.push((&record.text, theme.text));
                if !record.complete {
                    parts.push((theme.symbols.ellipsis, theme.dim));
                }
            }
            _ => {
                for piece in shown.pieces {
                    let style = if self.probabilities {
                        by_probability(piece.probability, theme)
                    } else {
                        theme.text
                    };
                    parts.push((&piece.text, style));
                }
                if shown.record.is_none() {
                    parts.push((if theme.symbols.unicode { "▌" } else { "_" }, theme.info));
                }
            }
        }
        wrap(parts, width as usize)
    }

    /// Draws texts beside each other, each in its area of the same height, scrolled together up to the end of the longest. Gives back
    /// how many rows the longest took.
    fn draw(
        &self,
        texts: &[(Option<Shown<'_>>, Rect)],
        head: bool,
        theme: &Theme,
        buffer: &mut Buffer,
    ) -> u16 {
        let mut drawn = Vec::new();
        for (shown, area) in texts {
            let Some(shown) = shown else { continue };
            let mut area = *area;
            if head && area.height > 1 {
                let text = format!("step {}", grouped(shown.step));
                write(buffer, area, area.y, &text, theme.dim);
                area.y += 1;
                area.height -= 1;
            }
            drawn.push((self.lines(shown, theme, area.width), shown, area));
        }
        let longest = drawn.iter().map(|(lines, ..)| lines.len()).max();
        let height = drawn.first().map_or(0, |(.., area)| area.height.into());
        let window = self.scroll.window(longest.unwrap_or(0), height, false);
        let top = drawn.first().map_or(0, |(.., area)| area.y);
        for (lines, shown, mut area) in drawn {
            let most = lines.len().saturating_sub(height);
            // A text that streams in is followed to its end.
            let skip = if shown.record.is_none() && window.start == 0 {
                most
            } else {
                window.start.min(most)
            };
            for line in lines.into_iter().skip(skip).take(height) {
                line.render(Rect { height: 1, ..area }, buffer);
                area.y += 1;
            }
        }
        let above = texts
            .first()
            .map_or(0, |(_, area)| top.saturating_sub(area.y));
        above + window.len() as u16
    }

    /// The texts of the steps before, newest first, in the rows that the present one leaves free.
    fn draw_earlier(
        &self,
        run: &RunView,
        steps: &[u64],
        theme: &Theme,
        mut area: Rect,
        buffer: &mut Buffer,
    ) {
        for step in steps.iter().rev() {
            let Some(shown) = self.shown(run, *step) else {
                continue;
            };
            // A rule with the step, and at least two rows of text.
            if area.height < 4 {
                return;
            }
            area.y += 1;
            area.height -= 1;
            let title = format!("step {} ", grouped(*step));
            let rule = usize::from(area.width).saturating_sub(title.len());
            let line = Line::from(vec![
                Span::styled(title, theme.dim),
                Span::styled(theme.symbols.dash.repeat(rule), theme.border),
            ]);
            line.render(Rect { height: 1, ..area }, buffer);
            area.y += 1;
            area.height -= 1;
            for mut line in self.lines(&shown, theme, area.width) {
                if area.height == 0 {
                    return;
                }
                if !self.probabilities {
                    line.spans
                        .iter_mut()
                        .for_each(|span| span.style = theme.dim);
                }
                line.render(Rect { height: 1, ..area }, buffer);
                area.y += 1;
                area.height -= 1;
            }
        }
    }

    fn footer(
        &self,
        run: &RunView,
        steps: &[u64],
        at: usize,
        theme: &Theme,
        width: u16,
    ) -> Line<'static> {
        let mut spans = Vec::new();
        if let Some(before) = at.checked_sub(1) {
            let text = format!(
                "{} step {} {} ",
                theme.symbols.left,
                grouped(steps[before]),
                theme.symbols.vertical
            );
            spans.push(Span::styled(text, theme.dim));
        }
        spans.push(Span::styled(grouped(steps[at]), theme.strong));
        if at + 1 < steps.len() {
            let text = format!(" {} {}", theme.symbols.vertical, grouped(steps[at + 1]));
            spans.push(Span::styled(text, theme.dim));
            spans.push(Span::styled(format!(" {}", theme.symbols.right), theme.dim));
        }
        let prompts = Self::prompts(run);
        if prompts > 1 {
            spans.push(Span::styled(
                format!("  prompt {}/{prompts}", self.prompt + 1),
                theme.dim,
            ));
        }
        let record = self.shown(run, steps[at]).and_then(|shown| shown.record);
        let (temperature, top_k, top_p) = match record {
            Some(record) => (record.temperature, record.top_k, record.top_p),
            None => {
                let sample = &run.config.sample;
                (sample.temperature, sample.top_k, sample.top_p)
            }
        };
        let words = if temperature == 0.0 {
            "  greedy".to_string()
        } else {
            format!("  temp {}", short(temperature))
        };
        spans.push(Span::styled(words, theme.dim));
        if top_k > 0 {
            spans.push(Span::styled(format!(" top-k {top_k}"), theme.dim));
        }
        if top_p < 1.0 {
            spans.push(Span::styled(format!(" top-p {}", short(top_p)), theme.dim));
        }
        if let Some(record) = record {
            let rate = short(record.tokens_per_second);
            spans.push(Span::styled(format!("  {rate} tok/s"), theme.dim));
        }
        // What does not fit is left out whole, never cut.
        let mut room = width as usize;
        spans.retain(|span| {
            let fits = span.width() <= room;
            room = if fits { room - span.width() } else { 0 };
            fits
        });
        Line::from(spans)
    }
}

fn by_probability(probability: f32, theme: &Theme) -> Style {
    match probability {
        p if p >= 0.9 => theme.strong,
        p if p >= 0.1 => theme.text,
        _ => theme.warning.add_modifier(Modifier::UNDERLINED),
    }
}

impl Pane for Samples {
    fn spec(&self) -> &'static PaneSpec {
        &SPEC
    }

    fn act(&mut self, action: Action, run: &RunView) -> Handled {
        let steps = self.steps(run);
        let at = self.position(&steps).unwrap_or(0);
        let prompts = Self::prompts(run).max(1);
        match action {
            Action::Left => self.go(&steps, at.saturating_sub(1)),
            Action::Right => self.go(&steps, at + 1),
            Action::Top => self.go(&steps, 0),
            Action::Bottom => self.go(&steps, usize::MAX),
            Action::Up | Action::Down | Action::PageUp | Action::PageDown => {
                return self.scroll.act(action, usize::MAX, false);
            }
            Action::NextPrompt => self.prompt = (self.prompt + 1) % prompts,
            Action::PreviousPrompt => self.prompt = (self.prompt + prompts - 1) % prompts,
            Action::CompareSamples => {
                self.against = match self.against {
                    Some(_) => None,
                    None => steps.get(at).copied(),
                }
            }
            Action::ShowProbabilities => self.probabilities = !self.probabilities,
            _ => return Handled::No,
        }
        Handled::Yes
    }

    fn mouse(&mut self, mouse: PaneMouse, area: Rect, run: &RunView) -> Handled {
        match mouse {
            PaneMouse::Wheel { .. } => self.scroll.mouse(mouse, usize::MAX, false),
            // The left and right halves of the last row go back and on.
            PaneMouse::Click(at) if at.y + 1 == inside(area).bottom() => {
                let earlier = at.x < area.x + area.width / 4;
                self.act(if earlier { Action::Left } else { Action::Right }, run)
            }
            _ => Handled::No,
        }
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let steps = self.steps(run);
        let at = self.position(&steps);
        let live =
            at.is_some_and(|at| run.live.as_ref().is_some_and(|live| live.step == steps[at]));
        let mut right = Vec::new();
        if let Some(at) = at {
            right.push(Span::styled(
                format!("step {}", grouped(steps[at])),
                theme.dim,
            ));
            if live {
                right.push(Span::styled(
                    format!(" {}", theme.symbols.bullet),
                    theme.good,
                ));
            } else if self.at != At::Newest {
                right.push(Span::styled(" held", theme.info));
            }
        }
        let inner = frame(&context, SPEC.title, Vec::new(), right, area, buffer);
        let Some(at) = at else {
            let words = if run.config.sample.every == 0 {
                "no samples: sample.every is 0".to_string()
            } else if run.finish.is_some() || run.failure.is_some() {
                "the run ended without a sample".to_string()
            } else {
                format!("the first sample comes at step {}", run.config.sample.every)
            };
            say(buffer, inner, &words, theme.dim);
            return;
        };
        let foot = u16::from(inner.height >= 4);
        let body = Rect {
            height: inner.height - foot,
            ..inner
        };
        let against = self
            .against
            .filter(|step| steps.contains(step) && body.width >= 30);
        if let Some(against) = against {
            let half = body.width / 2;
            let left = Rect {
                width: half - 1,
                ..body
            };
            let rest = Rect {
                x: body.x + half + 1,
                width: body.width - half - 1,
                ..body
            };
            for row in body.y..body.bottom() {
                write(
                    buffer,
                    Rect {
                        x: body.x + half - 1,
                        width: 1,
                        ..body
                    },
                    row,
                    theme.symbols.vertical,
                    theme.border,
                );
            }
            // Until another is gone to, the one farthest away.
            let other = match (steps[at] == against, at + 1 == steps.len()) {
                (false, _) => against,
                (true, true) => steps[0],
                (true, false) => steps[steps.len() - 1],
            };
            let (first, second) = (steps[at].min(other), steps[at].max(other));
            let texts = [
                (self.shown(run, first), left),
                (self.shown(run, second), rest),
            ];
            self.draw(&texts, true, theme, buffer);
        } else {
            let text = [(self.shown(run, steps[at]), body)];
            let rows = self.draw(&text, false, theme, buffer);
            let below = Rect {
                y: body.y + rows,
                height: body.height - rows,
                ..body
            };
            self.draw_earlier(run, &steps[..at], theme, below, buffer);
        }
        if foot == 1 {
            let row = Rect {
                y: body.bottom(),
                height: 1,
                ..inner
            };
            self.footer(run, &steps, at, theme, inner.width)
                .render(row, buffer);
        }
    }
}
