//! The runs on disk: what they came to, which are alive, and several of them against each other.
//!
//! ```text
//! ┌ Runs: 12 of 40 · by val_loss ▴ · 2 marked ───────────────────────────┐┌ gpt-stories-002 ────────────┐
//! │    run               status       step          val loss bits/byte   ││ running, process 4711       │
//! │▸●  gpt-stories-002   running 4711 1 200/2 000      1.913     2.512   ││ gpt, 0.81 M parameters      │
//! │ ●  gpt-stories-001   finished     2 000/2 000      1.921     2.520   ││ ⡀                           │
//! │                                                                      ││ ⠱⣀                          │
//! │/ model=gpt & val_loss<2                                              ││   ⠉⠒⠤⣀⣀                     │
//! └──────────────────────────────────────────────────────────────────────┘└─────────────────────────────┘
//! ```
//!
//! The list is read once a second while it is shown, by a thread of its own ([`work`]); so is everything else that takes the
//! disk. The state here says what it wants as [`RunsRequest`]s.

mod answers;
mod ask;
mod courses;
mod detail;
mod difference;
mod list;
mod overlay;
mod samples;
mod table;
pub mod work;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossterm::event::KeyEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::protocol::NoticeLevel;
use crate::run::filter::{Filter, FilterError};
use crate::run::{Binned, Key, Listing, RunEntry, RunSummary, SortBy, lineage};
use crate::ui::export::OverlayExport;
use crate::ui::help::PaneHelp;
use crate::ui::keymap::{Action, Context};
use crate::ui::layout::Hint;
use crate::ui::panes::Handled;
use crate::ui::screens::ScreenMouse;
use crate::ui::screens::train::Pinned;
use crate::ui::theme::Theme;
use crate::ui::widgets::text_input::TextInput;

use ask::{Answer, Question};
use courses::Known;
use difference::DifferenceView;
use overlay::OverlayView;
use samples::SamplesView;
use work::{RunsTask, Said};

/// What the screen wants of the application.
#[derive(Debug, Clone, PartialEq)]
pub enum RunsRequest {
    Task(RunsTask),
    /// Read the folder again now.
    Reload,
    /// Write what the overlay shows; the colours are those of the application's theme.
    Export(Box<OverlayExport>),
    Notice(NoticeLevel, String),
}

/// What `u` takes back.
#[derive(Debug)]
enum Undo {
    Restore(Vec<Binned>),
    Rename { dir: PathBuf, name: String },
    Notes(Vec<Said>),
}

/// The filter while it is typed.
#[derive(Debug)]
struct Typing {
    input: TextInput,
    /// What held before.
    before: String,
}

/// What is shown of the runs.
#[derive(Debug, Default)]
enum View {
    #[default]
    List,
    Overlay(OverlayView),
    Difference(DifferenceView),
    Samples(SamplesView),
}

#[derive(Debug, Default)]
pub struct RunsScreen {
    view: View,
    /// `None` until the folder was read.
    runs: Option<Result<Listing, String>>,
    /// Seconds since 1970 when it was read.
    read: u64,
    /// Indices of the runs that fit the filter, in order, with what stands before their names.
    shown: Vec<(usize, String)>,
    /// Index in `shown`.
    cursor: usize,
    /// A run that came back or has another name: the cursor goes to it once it is in the list.
    wanted: Option<PathBuf>,
    /// In the order in which they were marked.
    marked: Vec<PathBuf>,
    sort: SortBy,
    /// Each run below the one it began from.
    tree: bool,
    filter: Filter,
    filter_text: String,
    problem: Option<FilterError>,
    typing: Option<Typing>,
    question: Option<Question>,
    undo: Vec<Undo>,
    /// The folder of the run that others are held against.
    pinned: Option<PathBuf>,
    courses: HashMap<PathBuf, Known>,
    /// Courses are being read.
    reading: bool,
}

impl RunsScreen {
    pub fn set_runs(&mut self, runs: Result<Listing, String>, now: u64) {
        let selected = self.selected_entry().map(|run| run.summary.dir.clone());
        self.runs = Some(runs);
        self.read = now;
        let gone = |dir: &PathBuf| !self.all().iter().any(|run| run.summary.dir == *dir);
        let gone: Vec<PathBuf> = self
            .marked
            .iter()
            .filter(|dir| gone(dir))
            .cloned()
            .collect();
        self.marked.retain(|dir| !gone.contains(dir));
        let wanted = self.wanted.take().filter(|dir| self.find(dir).is_some());
        self.arrange(wanted.or(selected).as_deref());
    }

    fn all(&self) -> &[Arc<RunEntry>] {
        match &self.runs {
            Some(Ok(listing)) => &listing.runs,
            _ => &[],
        }
    }

    fn find(&self, dir: &Path) -> Option<&Arc<RunEntry>> {
        self.all().iter().find(|run| run.summary.dir == dir)
    }

    /// Filters and sorts again. The cursor stays on the run in `keep`.
    fn arrange(&mut self, keep: Option<&Path>) {
        let runs = self.all();
        let fits: Vec<bool> = runs
            .iter()
            .map(|run| self.filter.fits(run, self.read))
            .collect();
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by(|a, b| self.sort.compare(&runs[*a], &runs[*b], self.read));
        let shown: Vec<(usize, String)> = if self.tree {
            let sorted: Vec<Arc<RunEntry>> = order.iter().map(|at| runs[*at].clone()).collect();
            let branches = lineage(&sorted).into_iter();
            branches
                .map(|branch| (order[branch.run], list::twigs(&branch.more)))
                .filter(|(at, _)| fits[*at])
                .collect()
        } else {
            let fitting = order.into_iter().filter(|at| fits[*at]);
            fitting.map(|at| (at, String::new())).collect()
        };
        let kept = keep.and_then(|dir| {
            let same = |(at, _): &(usize, String)| runs[*at].summary.dir == dir;
            shown.iter().position(same)
        });
        let last = shown.len().saturating_sub(1);
        self.shown = shown;
        self.cursor = kept.unwrap_or(self.cursor).min(last);
    }

    /// As [`RunsScreen::arrange`], with the cursor on the run where it is.
    fn rearrange(&mut self) {
        let selected = self.selected_entry().map(|run| run.summary.dir.clone());
        self.arrange(selected.as_deref());
    }

    fn selected_entry(&self) -> Option<&Arc<RunEntry>> {
        let (at, _) = self.shown.get(self.cursor)?;
        self.all().get(*at)
    }

    /// The run under the cursor.
    pub fn selected(&self) -> Option<&RunSummary> {
        self.selected_entry().map(|run| &run.summary)
    }

    /// The pinned run, where it has been evaluated.
    pub fn pinned(&self) -> Option<Pinned> {
        let run = self.find(self.pinned.as_deref()?)?;
        let loss = run.summary.best_val_loss?;
        (run.bytes_per_token > 0.0).then(|| Pinned {
            name: run.summary.name.clone(),
            bits_per_byte: loss / std::f64::consts::LN_2 / run.bytes_per_token,
        })
    }

    /// The marked runs in the order in which they were marked, or the one under the cursor.
    fn chosen(&self) -> Vec<Arc<RunEntry>> {
        let marked: Vec<Arc<RunEntry>> = self
            .marked
            .iter()
            .filter_map(|dir| self.find(dir).cloned())
            .collect();
        match marked.is_empty() {
            true => self.selected_entry().cloned().into_iter().collect(),
            false => marked,
        }
    }

    pub fn help(&self) -> PaneHelp {
        match self.view {
            View::Overlay(_) => {
                return PaneHelp {
                    title: "Overlay",
                    text: "One line a run. By step or tokens says who learns more from the same text, by time who learns faster on \
                           this machine, by compute who makes more of the same arithmetic. Losses in nats per token compare only \
                           between runs with one tokenizer; bits per byte compare always. The training loss is smoothed, the \
                           validation loss is not. A diamond on a line is an edit; what was edited is said of the run under the cursor. The \
                           legend has the newest values, or those at the crosshair; runs that are \
                           still training go on here.",
                };
            }
            View::Difference(_) => {
                return PaneHelp {
                    title: "Difference",
                    text: "The keys of the configurations that these runs began with which are not the same in all of them, then \
                           what was changed while they went on, by step. What is not as in the first run stands out. A dash: \
                           the key has no meaning in that run.",
                };
            }
            View::Samples(_) => {
                return PaneHelp {
                    title: "Samples",
                    text: "What each run said to the same prompt, at the last sample that is not later than the chosen step.",
                };
            }
            View::List => {}
        }
        PaneHelp {
            title: "Runs",
            text: "Every run in the runs folder, with its last validation loss in nats per token, renewed every second. \
                   Losses of models with different tokenizers compare only in bits per byte. A click on a heading sorts by it. \
                   The filter takes words and comparisons, joined by & (both), | (either), ! (not) and parentheses: \
                   val_loss<1.9 & model=gpt, tags=baseline | age<2h, learning_rate<=1e-3, name~stories. Keys are the columns \
                   (name status model corpus tokenizer parameters step total_steps train_loss val_loss best_val_loss \
                   bits_per_byte duration age created tags note device parent process) and every key of the configuration.",
        }
    }

    /// What has the focus.
    pub fn context(&self) -> Context {
        match self.view {
            View::List => Context::Runs,
            View::Overlay(_) => Context::Overlay,
            View::Difference(_) => Context::Difference,
            View::Samples(_) => Context::SideBySide,
        }
    }

    /// A text field or a question of this screen takes all keys.
    pub fn takes_keys(&self) -> Option<Context> {
        match (&self.question, &self.typing) {
            (Some(question), _) if question.has_text() => Some(Context::Text),
            (Some(_), _) => Some(Context::Dialog),
            (None, Some(_)) => Some(Context::Text),
            (None, None) => None,
        }
    }

    /// What a key does at this moment, in the footer's words; nothing where it does nothing.
    pub fn key_now(&self, action: Action, hint: &'static str, area: Rect) -> Option<Hint> {
        match (&self.view, action) {
            (View::Samples(samples), Action::NextPane) if samples.all_fit(area) => None,
            _ => Some(Hint::usual(hint)),
        }
    }

    /// Enter means the run under the cursor.
    pub fn is_list(&self) -> bool {
        matches!(self.view, View::List)
    }

    /// Esc: closes one thing; false when there is none.
    pub fn close(&mut self) -> bool {
        if !self.is_list() {
            self.view = View::List;
            return true;
        }
        if !self.filter_text.is_empty() {
            self.set_filter("");
            return true;
        }
        if !self.marked.is_empty() {
            self.marked.clear();
            return true;
        }
        false
    }

    fn set_filter(&mut self, text: &str) {
        self.filter_text = text.to_string();
        match Filter::parse(text) {
            Ok(filter) => {
                self.filter = filter;
                self.problem = None;
                self.rearrange();
            }
            // The list stays as the last filter that could be read left it.
            Err(problem) => self.problem = Some(problem),
        }
    }

    pub fn act(&mut self, action: Action, requests: &mut Vec<RunsRequest>) -> Handled {
        match action {
            Action::OverlayRuns => {
                self.view = View::Overlay(OverlayView::new(&self.chosen()));
                return Handled::Yes;
            }
            Action::CompareRuns => {
                let runs = self.chosen();
                requests.push(RunsRequest::Task(RunsTask::Compare(runs.clone())));
                self.view = View::Difference(DifferenceView::new(runs));
                return Handled::Yes;
            }
            Action::CompareTexts => {
                let runs = self.chosen();
                let dirs = runs.iter().map(|run| run.summary.dir.clone()).collect();
                requests.push(RunsRequest::Task(RunsTask::Samples(dirs)));
                self.view = View::Samples(SamplesView::new(runs));
                return Handled::Yes;
            }
            _ => {}
        }
        // Taken out, so that a view and the runs can be lent at once.
        let mut view = std::mem::take(&mut self.view);
        let handled = match &mut view {
            View::List => self.act_list(action, requests),
            View::Overlay(overlay) => self.act_overlay(overlay, action, requests),
            View::Difference(difference) => difference.act(action),
            View::Samples(samples) => samples.act(action),
        };
        self.view = view;
        handled
    }

    pub fn type_key(
        &mut self,
        key: KeyEvent,
        action: Option<Action>,
        requests: &mut Vec<RunsRequest>,
    ) -> Handled {
        if let Some(question) = &mut self.question {
            let answer = question.key(key, action);
            return self.answered(answer, requests);
        }
        let Some(typing) = &mut self.typing else {
            return Handled::No;
        };
        match action {
            Some(Action::Close) => {
                let before = typing.before.clone();
                self.typing = None;
                self.set_filter(&before);
            }
            Some(Action::Accept) => {
                if self.problem.is_none() {
                    self.typing = None;
                }
            }
            _ => {
                if !typing.input.key(key) {
                    return Handled::No;
                }
                let text = typing.input.text().to_string();
                self.set_filter(&text);
            }
        }
        Handled::Yes
    }

    fn answered(&mut self, answer: Answer, requests: &mut Vec<RunsRequest>) -> Handled {
        match answer {
            Answer::Open => {}
            Answer::Unheard => return Handled::No,
            Answer::Closed => self.question = None,
            Answer::Do(task) => {
                self.question = None;
                requests.push(RunsRequest::Task(task));
            }
        }
        Handled::Yes
    }

    pub fn paste(&mut self, text: &str) {
        if let Some(question) = &mut self.question {
            question.paste(text);
        } else if let Some(typing) = &mut self.typing {
            typing.input.insert(text);
            let text = typing.input.text().to_string();
            self.set_filter(&text);
        }
    }

    pub fn mouse(
        &mut self,
        mouse: ScreenMouse,
        area: Rect,
        requests: &mut Vec<RunsRequest>,
    ) -> Handled {
        if let Some(question) = &mut self.question {
            let ScreenMouse::Click(at) = mouse else {
                return Handled::No;
            };
            let areas = question.modal.choice_areas(area);
            let Some(hit) = areas.iter().position(|area| area.contains(at)) else {
                return Handled::No;
            };
            question.modal.selected = hit;
            let answer = question.answer();
            return self.answered(answer, requests);
        }
        let mut view = std::mem::take(&mut self.view);
        let by_wheel = match mouse {
            ScreenMouse::Wheel { lines, .. } if lines < 0 => Some(Action::Up),
            ScreenMouse::Wheel { .. } => Some(Action::Down),
            _ => None,
        };
        let handled = match (&mut view, by_wheel) {
            (View::List, _) => self.mouse_list(mouse, area, requests),
            (View::Overlay(overlay), _) => self.mouse_overlay(overlay, mouse, area),
            (View::Difference(difference), Some(action)) => difference.act(action),
            (View::Samples(samples), Some(action)) => samples.act(action),
            (View::Difference(_) | View::Samples(_), None) => Handled::No,
        };
        self.view = view;
        handled
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        match &self.view {
            View::List => self.render_list(theme, area, buffer),
            View::Overlay(overlay) => self.render_overlay(overlay, theme, area, buffer),
            View::Difference(difference) => difference.render(theme, area, buffer),
            View::Samples(samples) => samples.render(theme, area, buffer),
        }
        if let Some(question) = &self.question {
            question.modal.render(theme, area, buffer);
        }
    }

    fn sort_by(&mut self, key: Key) {
        self.sort = match self.sort.key == key {
            true => SortBy {
                descending: !self.sort.descending,
                ..self.sort
            },
            false => SortBy {
                key,
                descending: false,
            },
        };
        self.rearrange();
    }
}
