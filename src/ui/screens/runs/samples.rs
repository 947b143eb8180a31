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
use unicode_width::UnicodeWidthStr;

use crate::protocol::SampleRecord;
use crate::run::{RunEntry, RunSamples};
use crate::ui::format;
use crate::ui::keymap::Action;
use crate::ui::layout::{fit, fit_end, pane, wrap, write};
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
    /// The step that was gone to: another prompt is shown as near to it as its own steps allow.
    wanted: Option<u64>,
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
            wanted: None,
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

    /// The latest step that is not after the wanted one, else the first; without a wanted one the last.
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
        let until = match self.wanted {
            Some(wanted) => steps.partition_point(|step| *step <= wanted),
            None => steps.len(),
        };
        self.step = until.saturating_sub(1);
        self.wanted = self.wanted.or_else(|| steps.last().copied());
        self.steps = steps;
        self.scroll = Scroll::default();
    }

    fn go(&mut self, step: usize) {
        self.step = step.min(self.steps.len().saturating_sub(1));
        self.wanted = self.steps.get(self.step).copied();
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
            Action::NextPrompt | Action::PreviousPrompt if count == 1 => {}
            Action::NextPrompt => self.choose_prompt((self.prompt + 1) % count),
            Action::PreviousPrompt => self.choose_prompt((self.prompt + count - 1) % count),
            Action::Left => self.go(self.step.saturating_sub(1)),
            Action::Right => self.go(self.step + 1),
            Action::Top => self.go(0),
            Action::Bottom => self.go(usize::MAX),
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

    /// There are no runs further right.
    pub fn all_fit(&self, area: Rect) -> bool {
        self.runs.len() <= columns_in(area.width.saturating_sub(2))
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
        let fits = columns_in(inner.width);
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
        let width = usize::from(area.width);
        let head = match self.sample(run) {
            Some(sample) => heading(name, sample.step, width, theme.symbols.ellipsis),
            None => fit_end(name, width, theme.symbols.ellipsis),
        };
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

/// Columns that stand beside each other.
fn columns_in(width: u16) -> usize {
    usize::from((width / LEAST).max(1))
}

/// `gpt-001 at step 1 000`, and where that has no room `…t-001 @1 000`: the step is never cut.
fn heading(name: &str, step: u64, width: usize, ellipsis: &str) -> String {
    let step = format::grouped(step);
    let whole = format!("{name} at step {step}");
    if whole.width() <= width {
        return whole;
    }
    let room = width.saturating_sub(step.width() + 2);
    format!("{} @{step}", fit_end(name, room, ellipsis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_keeps_the_whole_step_and_the_end_of_the_name() {
        let head = |width| heading("sweep-rnn-001/trial-003", 1500, width, "…");
        assert_eq!(head(40), "sweep-rnn-001/trial-003 at step 1 500");
        assert_eq!(head(30), "sweep-rnn-001/trial-003 @1 500");
        assert_eq!(head(24), "…nn-001/trial-003 @1 500");
    }

    #[test]
    fn another_prompt_is_shown_at_a_step_near_the_chosen_one() {
        let sample = |prompt: &str, step| SampleRecord {
            step,
            prompt_index: 0,
            prompt: prompt.into(),
            text: "once".into(),
            temperature: 0.8,
            top_k: 0,
            top_p: 1.0,
            tokens_per_second: 900.0,
            complete: true,
        };
        let told = [
            ("one", 100),
            ("one", 200),
            ("one", 300),
            ("two", 150),
            ("two", 250),
        ];
        let mut view = SamplesView::new(Vec::new());
        view.samples = Some(vec![Ok(RunSamples {
            dir: PathBuf::new(),
            samples: told.map(|(prompt, step)| sample(prompt, step)).to_vec(),
        })]);
        view.prompts = vec!["one".into(), "two".into()];
        view.choose_prompt(0);
        let step = |view: &SamplesView| view.steps[view.step];
        assert_eq!(step(&view), 300);
        view.act(Action::Left);
        assert_eq!(step(&view), 200);
        view.act(Action::NextPrompt);
        assert_eq!(step(&view), 150);
        // Back again it is the step that was gone to.
        view.act(Action::PreviousPrompt);
        assert_eq!(step(&view), 200);
        view.act(Action::Top);
        view.act(Action::NextPrompt);
        assert_eq!(step(&view), 150, "none is as early: the first");
    }
}
