//! What runs say to the same prompt, side by side.
//!
//! ```text
//! ┌ Samples: prompt 1 of 2, up to step 1 000 (3 of 5) ────────────────┐
//! │ Once upon a time                                                  │
//! │ gpt-001 at step 1 000            │ gpt-002 at step 800            │
//! │ there was an old miller who …    │ the miller said that …         │
//! └───────────────────────────────────────────────────────────────────┘
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::protocol::SampleRecord;
use crate::run::{RunEntry, RunSamples};
use crate::ui::format;
use crate::ui::keymap::Action;
use crate::ui::layout::{fit, pane, wrap, write};
use crate::ui::panes::{Handled, Scroll};
use crate::ui::theme::Theme;

/// A column is at least so wide.
const LEAST: u16 = 26;

#[derive(Debug)]
pub(super) struct SamplesView {
    pub runs: Vec<Arc<RunEntry>>,
    /// In the order of the runs; `None` until they were read.
    samples: Option<Vec<Result<RunSamples, String>>>,
    prompts: Vec<String>,
    prompt: usize,
    /// Steps at which any of the runs has a sample of the prompt.
    steps: Vec<u64>,
    step: usize,
    left: usize,
    scroll: Scroll,
}

impl SamplesView {
    pub fn new(runs: Vec<Arc<RunEntry>>) -> Self {
        SamplesView {
            runs,
            samples: None,
            prompts: Vec::new(),
            prompt: 0,
            steps: Vec::new(),
            step: 0,
            left: 0,
            scroll: Scroll::default(),
        }
    }

    pub fn set_samples(&mut self, samples: Vec<(PathBuf, Result<RunSamples, String>)>) {
        let runs = self.runs.iter();
        let found: Vec<Result<RunSamples, String>> = runs
            .map(|run| {
                let of = samples.iter().find(|(dir, _)| *dir == run.summary.dir);
                of.map_or_else(|| Err("not read".to_string()), |(_, found)| found.clone())
            })
            .collect();
        self.prompts.clear();
        for sample in found.iter().flatten().flat_map(|run| &run.samples) {
            if !self.prompts.contains(&sample.prompt) {
                self.prompts.push(sample.prompt.clone());
            }
        }
        // The prompt that most runs share comes first.
        let shared = |prompt: &String| {
            let has = |run: &&RunSamples| run.samples.iter().any(|s| s.prompt == *prompt);
            found.iter().flatten().filter(has).count()
        };
        let mut prompts = std::mem::take(&mut self.prompts);
        prompts.sort_by_key(|prompt| std::cmp::Reverse(shared(prompt)));
        self.prompts = prompts;
        self.samples = Some(found);
        self.choose_prompt(0);
    }

    fn choose_prompt(&mut self, prompt: usize) {
        self.prompt = prompt.min(self.prompts.len().saturating_sub(1));
        let mut steps: Vec<u64> = match self.prompts.get(self.prompt) {
            None => Vec::new(),
            Some(prompt) => self
                .samples
                .iter()
                .flatten()
                .flatten()
                .flat_map(|run| &run.samples)
                .filter(|sample| sample.prompt == *prompt)
                .map(|sample| sample.step)
                .collect(),
        };
        steps.sort_unstable();
        steps.dedup();
        self.step = steps.len().saturating_sub(1);
        self.steps = steps;
        self.scroll = Scroll::default();
    }

    /// What a run had said last by the chosen step.
    fn sample(&self, run: usize) -> Option<&SampleRecord> {
        let prompt = self.prompts.get(self.prompt)?;
        let step = *self.steps.get(self.step)?;
        let samples = &self.samples.as_ref()?.get(run)?.as_ref().ok()?.samples;
        let fits = |sample: &&SampleRecord| sample.prompt == *prompt && sample.step <= step;
        samples.iter().filter(fits).max_by_key(|sample| sample.step)
    }

    pub fn act(&mut self, action: Action) -> Handled {
        let count = self.prompts.len().max(1);
        match action {
            Action::NextPrompt => self.choose_prompt((self.prompt + 1) % count),
            Action::PreviousPrompt => self.choose_prompt((self.prompt + count - 1) % count),
            Action::Left => self.step = self.step.saturating_sub(1),
            Action::Right => {
                self.step = (self.step + 1).min(self.steps.len().saturating_sub(1));
            }
            Action::Top => self.step = 0,
            Action::Bottom => self.step = self.steps.len().saturating_sub(1),
            Action::Up | Action::Down | Action::PageUp | Action::PageDown => {
                self.scroll.act(action, usize::MAX, false);
            }
            Action::NextPane => {
                self.left = (self.left + 1).min(self.runs.len().saturating_sub(1));
            }
            Action::PreviousPane => self.left = self.left.saturating_sub(1),
            _ => return Handled::No,
        }
        Handled::Yes
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let title = match self.steps.get(self.step) {
            Some(step) => format!(
                "Samples: prompt {} of {}, up to step {} ({} of {})",
                self.prompt + 1,
                self.prompts.len(),
                format::grouped(*step),
                self.step + 1,
                self.steps.len()
            ),
            None => format!("Samples of {} runs", self.runs.len()),
        };
        let inner = pane(theme, &title, 1, true, area, buffer);
        if self.samples.is_none() {
            let text = format!("reading{}", theme.symbols.ellipsis);
            return write(buffer, inner, 0, &text, theme.dim);
        }
        let prompt = match self.prompts.get(self.prompt) {
            Some(prompt) if prompt.is_empty() => "(no prompt)".to_string(),
            Some(prompt) => prompt.replace('\n', theme.symbols.newline),
            None => "None of these runs has a sample yet.".to_string(),
        };
        let prompt = fit(&prompt, inner.width.into(), theme.symbols.ellipsis);
        write(buffer, inner, 0, &prompt, theme.heading);
        let fits = usize::from((inner.width / LEAST).max(1));
        let left = self.left.min(self.runs.len().saturating_sub(fits));
        let shown = self.runs.len().saturating_sub(left).min(fits);
        if shown == 0 || inner.height < 3 {
            return;
        }
        let width = inner.width / shown as u16;
        let columns: Vec<Rect> = (0..shown as u16)
            .map(|at| Rect {
                x: inner.x + width * at,
                y: inner.y + 1,
                width: width.saturating_sub(2),
                height: inner.height - 1,
            })
            .collect();
        let texts: Vec<(Vec<String>, Style)> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| self.text(left + at, theme, column.width))
            .collect();
        // All are scrolled together, up to the end of the longest.
        let longest = texts.iter().map(|(lines, _)| lines.len()).max();
        let height = usize::from(inner.height - 2);
        let top = self
            .scroll
            .window(longest.unwrap_or(0), height, false)
            .start;
        for (at, (column, (lines, style))) in columns.into_iter().zip(texts).enumerate() {
            if at > 0 {
                for row in column.y..column.bottom() {
                    let line = Rect::new(column.x - 2, row, 1, 1);
                    write(buffer, line, 0, theme.symbols.vertical, theme.border);
                }
            }
            self.render_head(left + at, theme, column, buffer);
            let top = top.min(lines.len().saturating_sub(height));
            for (row, line) in lines.iter().skip(top).take(height).enumerate() {
                write(buffer, column, row as u16 + 1, line, style);
            }
        }
        if left + shown < self.runs.len() {
            let more = format!(
                "{} more {}",
                self.runs.len() - left - shown,
                theme.symbols.right
            );
            crate::ui::layout::write_right(buffer, inner, 0, &more, theme.dim);
        }
    }

    fn render_head(&self, run: usize, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let name = &self.runs[run].summary.name;
        let head = match self.sample(run) {
            Some(sample) => format!("{name} at step {}", format::grouped(sample.step)),
            None => name.clone(),
        };
        let head = fit(&head, area.width.into(), theme.symbols.ellipsis);
        write(buffer, area, 0, &head, theme.strong);
    }

    /// What a run says to the prompt, or why it says nothing.
    fn text(&self, run: usize, theme: &Theme, width: u16) -> (Vec<String>, Style) {
        let problem = match self.samples.as_ref().and_then(|samples| samples.get(run)) {
            Some(Err(problem)) => Some(problem.as_str()),
            _ => None,
        };
        let (text, style) = match (problem, self.sample(run)) {
            (Some(problem), _) => (problem, theme.error),
            (None, Some(sample)) => (sample.text.as_str(), theme.text),
            (None, None) => ("nothing to this prompt by then", theme.dim),
        };
        (wrap(text, width.into()), style)
    }
}
