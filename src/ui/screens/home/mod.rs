//! Home: pick a rung and a preset, change the config, see what it would train, start.
//!
//! ```text
//! ┌ 1 Ladder ──────┐┌ 2 Config: gpt ────────────────────┐┌ 3 Preview ─────────────────────┐
//! │▸ 5 GPT         ││ model                             ││ parameters 0.81 M  memory 62 MB│
//! │    ● gpt       ││ ▸ n_layers  4             [1, 24] ││ learning rate ⡠⠔⠒⠢⢄⡀           │
//! │    ○ gpt-full  ││   n_heads   4                     ││ text, as this tokenizer sees it│
//! └────────────────┘└───────────────────────────────────┘└────────────────────────────────┘
//! ```

mod act;
mod ladder;
mod mouse;
mod places;
mod preview;
mod view;

pub use ladder::Entry;
pub use preview::PreviewState;

use std::collections::BTreeMap;

use crossterm::event::KeyEvent;

use crate::config::{Draft, ModelKind, OwnConfig, RunConfig};
use crate::protocol::{NoticeLevel, Origin, Preview};
use crate::run::{RunStatus, RunSummary};
use crate::ui::help::PaneHelp;
use crate::ui::keymap::{Action, Context};
use crate::ui::panes::Handled;
use crate::ui::widgets::form::FormField;
use crate::ui::widgets::text_input::TextInput;

use places::{Splits, Splitter};

/// The panes of this screen, in the order of their number keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomePane {
    Ladder,
    Form,
    Preview,
}

const PANES: [HomePane; 3] = [HomePane::Ladder, HomePane::Form, HomePane::Preview];

/// What the screen wants from the application.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Ask for the preview with this number when nothing changes for a moment.
    PreviewSoon(u64),
    Start(Box<RunConfig>, Origin),
    Resume(Box<RunSummary>),
    /// Look for a learning rate for this config.
    FindRate(Box<RunConfig>),
    /// Ask for a name and keep this config under it; `from` is the one it was made of.
    Keep {
        config: Box<RunConfig>,
        from: String,
    },
    Notice(NoticeLevel, String),
}

/// What is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Typing {
    /// A field of the form; `before` is what it held.
    Field {
        key: &'static str,
        input: TextInput,
        before: Option<String>,
    },
    Filter(TextInput),
}

#[derive(Debug)]
pub struct HomeScreen {
    focus: HomePane,
    zoomed: bool,
    splits: Splits,
    dragging: Option<Splitter>,
    runs: Vec<RunSummary>,
    /// Seconds since 1970 when the runs were read.
    runs_read: u64,
    /// The configurations that the user keeps.
    own: Vec<OwnConfig>,
    cursor: Entry,
    chosen: [usize; 5],
    /// By the config's name, so that edits are still there when the cursor comes back.
    drafts: BTreeMap<String, Draft>,
    field: &'static str,
    filter: String,
    typing: Option<Typing>,
    preview: PreviewState,
}

impl Default for HomeScreen {
    fn default() -> Self {
        Self::new()
    }
}

impl HomeScreen {
    /// With the cursor on the top rung.
    pub fn new() -> Self {
        let mut screen = Self {
            focus: HomePane::Ladder,
            zoomed: false,
            splits: Splits::default(),
            dragging: None,
            runs: Vec::new(),
            runs_read: 0,
            own: Vec::new(),
            cursor: Entry::Rung(ModelKind::ALL.len() - 1),
            chosen: [0; 5],
            drafts: BTreeMap::new(),
            field: "",
            filter: String::new(),
            typing: None,
            preview: PreviewState::default(),
        };
        screen.prepare_draft();
        screen
    }

    /// The first preview; ask once at the start.
    pub fn first_request(&mut self) -> Request {
        self.changed()
    }

    /// What has the focus.
    pub fn context(&self) -> Context {
        match self.focus {
            HomePane::Ladder => Context::Ladder,
            HomePane::Form => Context::Form,
            HomePane::Preview => Context::Preview,
        }
    }

    /// Keys type instead of doing.
    pub fn is_typing(&self) -> bool {
        self.typing.is_some()
    }

    pub fn help(&self) -> PaneHelp {
        match self.focus {
            HomePane::Ladder => PaneHelp {
                title: "Ladder",
                text: "Five models, each one step nearer to today's. Up and down choose the rung, left and right one \
                       of its configs: the default is small enough for a laptop, -full is the size of the tutorial, \
                       `yours` are your own files in ./configs and among your settings, where `w` keeps the one shown. \
                       Runs that were stopped stand above and go on from their newest checkpoint.",
            },
            HomePane::Form => PaneHelp {
                title: "Config",
                text: "Every setting of the run. A dot marks what differs from the preset, a cross what cannot be \
                       trained; the bottom lines say what the field does or what is allowed. Settings that mean \
                       nothing beside the others are not shown.",
            },
            HomePane::Preview => PaneHelp {
                title: "Preview",
                text: "What this config would train: size, memory, how much text one pass is, how long all steps \
                       take on this machine (measured for half a second), the learning rate over the run, and the \
                       beginning of the text cut into tokens, each in a colour of its own.",
            },
        }
    }

    /// The runs on disk, newest first; those that can go on are offered.
    pub fn set_runs(&mut self, runs: &[RunSummary], now: u64) {
        self.runs = runs
            .iter()
            .filter(|run| {
                let running = run.status == RunStatus::Running;
                let goes_on = run.resumable && run.step < run.total_steps;
                (running || goes_on) && !run.is_trial()
            })
            .cloned()
            .collect();
        self.runs.truncate(ladder::SHOWN_RUNS);
        self.runs_read = now;
        if let Entry::Run(at) = self.cursor
            && at >= self.runs.len()
        {
            self.cursor = Entry::Rung(ModelKind::ALL.len() - 1);
        }
    }

    /// The configurations that the user keeps, as they are on disk now. What is chosen stays chosen, and what was changed in the
    /// form stays changed unless its file did; `shown` is chosen where it is among them.
    pub fn set_own(
        &mut self,
        own: Vec<OwnConfig>,
        shown: Option<&str>,
        requests: &mut Vec<Request>,
    ) {
        if own == self.own && shown.is_none() {
            return;
        }
        let before = std::mem::replace(&mut self.own, own);
        for old in &before {
            if !self.own.contains(old) {
                self.drafts.remove(&old.name);
            }
        }
        for (rung, kind) in ModelKind::ALL.into_iter().enumerate() {
            let was = ladder::choices(kind, &before);
            let was = was.get(self.chosen[rung]).map(|choice| choice.name());
            let now = ladder::choices(kind, &self.own);
            let place = |name: &str| now.iter().position(|choice| choice.name() == name);
            self.chosen[rung] = was.and_then(place).unwrap_or(0);
            if let Some(at) = shown.and_then(place) {
                self.chosen[rung] = at;
                self.cursor = Entry::Rung(rung);
            }
        }
        self.prepare_draft();
        requests.push(self.changed());
    }

    /// The config to ask a preview for, if `request` is still the newest and the config has no problem.
    pub fn preview_config(&mut self, request: u64) -> Option<Box<RunConfig>> {
        if request != self.preview.request {
            return None;
        }
        match self.draft().map(Draft::build) {
            Some(Ok(config)) => Some(Box::new(config)),
            _ => {
                self.preview.pending = false;
                None
            }
        }
    }

    pub fn on_preview(&mut self, request: u64, preview: Result<Box<Preview>, String>) {
        if request == self.preview.request {
            self.preview.pending = false;
            self.preview.shown = Some(preview);
        }
    }

    pub fn act(&mut self, action: Action, requests: &mut Vec<Request>) -> Handled {
        if let Some(at) = action.pane_index() {
            return match PANES.get(at) {
                Some(pane) => {
                    self.focus = *pane;
                    Handled::Yes
                }
                None => Handled::No,
            };
        }
        match action {
            Action::NextPane => self.turn_focus(1),
            Action::PreviousPane => self.turn_focus(PANES.len() - 1),
            Action::Zoom => self.zoomed = !self.zoomed,
            Action::Close => return self.close(),
            Action::Train | Action::Accept => self.start(requests),
            Action::FindRate => {
                self.leave_the_runs(requests);
                if let Some(config) = self.usable(requests) {
                    requests.push(Request::FindRate(Box::new(config)));
                }
            }
            Action::KeepConfig => {
                self.leave_the_runs(requests);
                if let Some(config) = self.usable(requests) {
                    requests.push(Request::Keep {
                        config: Box::new(config),
                        from: self.config_name().unwrap_or_default().to_string(),
                    });
                }
            }
            Action::Filter => {
                self.leave_the_runs(requests);
                self.focus = HomePane::Form;
                self.typing = Some(Typing::Filter(TextInput::new(self.filter.clone())));
            }
            Action::JumpCorpus | Action::JumpDevice => {
                self.leave_the_runs(requests);
                self.jump(match action {
                    Action::JumpCorpus => "corpus.name",
                    _ => "device",
                });
            }
            _ => {
                return match self.focus {
                    HomePane::Ladder => self.act_ladder(action, requests),
                    HomePane::Form => self.act_form(action, requests),
                    HomePane::Preview => self.act_preview(action),
                };
            }
        }
        Handled::Yes
    }

    /// A key while something is being typed. `action` is what the text context makes of it.
    pub fn type_key(
        &mut self,
        key: KeyEvent,
        action: Option<Action>,
        requests: &mut Vec<Request>,
    ) -> Handled {
        match (action, self.typing.take()) {
            (_, None) => Handled::No,
            (Some(Action::Accept), Some(Typing::Field { .. } | Typing::Filter(_))) => Handled::Yes,
            (Some(Action::Close), Some(Typing::Filter(_))) => {
                self.filter.clear();
                self.keep_field_visible();
                Handled::Yes
            }
            (Some(Action::Close), Some(Typing::Field { key, before, .. })) => {
                if let Some(draft) = self.draft_mut() {
                    match before {
                        Some(text) => {
                            // The problem, if it had one before, is shown at the field.
                            let _ = draft.set(key, &text);
                        }
                        None => draft.reset(key),
                    }
                }
                requests.push(self.changed());
                Handled::Yes
            }
            (_, Some(mut typing)) => {
                let input = match &mut typing {
                    Typing::Field { input, .. } | Typing::Filter(input) => input,
                };
                let handled = if input.key(key) {
                    Handled::Yes
                } else {
                    Handled::No
                };
                self.typing = Some(typing);
                if handled == Handled::Yes {
                    self.typed(requests);
                }
                handled
            }
        }
    }

    pub fn paste(&mut self, text: &str, requests: &mut Vec<Request>) {
        if let Some(Typing::Field { input, .. } | Typing::Filter(input)) = &mut self.typing {
            input.insert(text);
            self.typed(requests);
        }
    }

    /// `set KEY VALUE` from the palette.
    pub fn set_field(&mut self, key: &str, value: &str, requests: &mut Vec<Request>) {
        self.leave_the_runs(requests);
        let Some(draft) = self.draft_mut() else {
            return;
        };
        let result = draft.set(key, value);
        match crate::config::field(key) {
            Some(field) => {
                self.focus = HomePane::Form;
                self.field = field.key;
                requests.push(self.changed());
                if let Err(problem) = result {
                    requests.push(Request::Notice(
                        NoticeLevel::Error,
                        format!("{key}: {}", problem.message),
                    ));
                }
            }
            None => {
                let hint = crate::config::did_you_mean(key)
                    .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                requests.push(Request::Notice(
                    NoticeLevel::Error,
                    format!("no setting `{key}`{hint}"),
                ));
            }
        }
    }

    fn turn_focus(&mut self, by: usize) {
        let at = PANES
            .iter()
            .position(|pane| *pane == self.focus)
            .unwrap_or(0);
        self.focus = PANES[(at + by) % PANES.len()];
    }

    fn close(&mut self) -> Handled {
        if self.zoomed {
            self.zoomed = false;
        } else if !self.filter.is_empty() {
            self.filter.clear();
        } else {
            return Handled::No;
        }
        Handled::Yes
    }

    /// The rung with the cursor, or the last one that had it.
    fn kind(&self) -> ModelKind {
        match self.cursor {
            Entry::Rung(at) => ModelKind::ALL[at],
            Entry::Run(at) => self.runs.get(at).map_or(ModelKind::Gpt, |run| run.model),
        }
    }

    fn config_name(&self) -> Option<&str> {
        let kind = self.kind();
        let rung = ModelKind::ALL.iter().position(|k| *k == kind)?;
        let choice = ladder::choices(kind, &self.own);
        choice.get(self.chosen[rung]).map(|choice| choice.name())
    }

    fn prepare_draft(&mut self) {
        let Some(name) = self.config_name().map(str::to_string) else {
            return;
        };
        if !self.drafts.contains_key(&name) {
            let own = self.own.iter().find(|own| own.name == name);
            let draft = match own {
                Some(own) => Some(Draft::from_config(&own.config)),
                None => Draft::from_preset(&name).ok(),
            };
            self.drafts.extend(draft.map(|draft| (name, draft)));
        }
        self.keep_field_visible();
    }

    fn draft(&self) -> Option<&Draft> {
        self.drafts.get(self.config_name()?)
    }

    fn draft_mut(&mut self) -> Option<&mut Draft> {
        let name = self.config_name()?.to_string();
        self.drafts.get_mut(&name)
    }

    fn keep_field_visible(&mut self) {
        let fields = self.form_fields();
        if !fields.iter().any(|field| field.key == self.field) {
            self.field = fields.first().map_or("", |field| field.key);
        }
    }

    fn changed(&mut self) -> Request {
        self.preview.request += 1;
        self.preview.pending = true;
        Request::PreviewSoon(self.preview.request)
    }

    fn typed(&mut self, requests: &mut Vec<Request>) {
        match &self.typing {
            Some(Typing::Filter(input)) => {
                self.filter = input.text().to_string();
                self.keep_field_visible();
            }
            Some(Typing::Field { key, input, .. }) => {
                let (key, text) = (*key, input.text().to_string());
                if let Some(draft) = self.draft_mut() {
                    // A problem is kept by the draft and shown at the field.
                    let _ = draft.set(key, &text);
                }
                requests.push(self.changed());
            }
            None => {}
        }
    }

    fn jump(&mut self, key: &'static str) {
        self.filter.clear();
        self.typing = None;
        self.focus = HomePane::Form;
        self.field = key;
        self.keep_field_visible();
    }

    fn start(&mut self, requests: &mut Vec<Request>) {
        if let Entry::Run(at) = self.cursor {
            if let Some(run) = self.runs.get(at) {
                requests.push(Request::Resume(Box::new(run.clone())));
            }
            return;
        }
        if let Some(config) = self.usable(requests) {
            requests.push(Request::Start(Box::new(config), Origin::New { dir: None }));
        }
    }

    /// The config, if it has no problem; else the cursor goes to the first one, which is said.
    fn usable(&mut self, requests: &mut Vec<Request>) -> Option<RunConfig> {
        match self.draft()?.build() {
            Ok(config) => Some(config),
            Err(problems) => {
                if let Some(first) = problems.first() {
                    if let Some(field) = crate::config::field(&first.key) {
                        self.jump(field.key);
                    }
                    let text = format!("{}: {}", first.key, first.message);
                    requests.push(Request::Notice(NoticeLevel::Error, text));
                }
                None
            }
        }
    }

    /// The fields that have a meaning and pass the filter. The kind of model is chosen on the ladder.
    fn form_fields(&self) -> Vec<FormField> {
        let Some(draft) = self.draft() else {
            return Vec::new();
        };
        let needle = self.filter.to_lowercase();
        // `lr` is how many call the learning rate.
        let initials = |key: &str| -> String {
            let name = key.rsplit('.').next().unwrap_or(key);
            name.split('_')
                .filter_map(|word| word.chars().next())
                .collect()
        };
        let passes = |key: &str, description: &str| {
            needle.is_empty()
                || key.contains(&needle)
                || initials(key) == needle
                || description.to_lowercase().contains(&needle)
        };
        draft
            .visible()
            .into_iter()
            .filter(|field| field.key != "model.kind" && passes(field.key, field.description))
            .map(|field| FormField {
                section: field.section(),
                key: field.key,
                label: field.name(),
                value: field_text(draft, field.key),
                range: field.kind.range_text(),
                description: field.description,
                changed: draft.changed(field.key),
                problem: draft.problem(field.key).map(|problem| problem.message),
            })
            .collect()
    }
}

/// An empty list is shown and edited as an empty text.
fn field_text(draft: &Draft, key: &str) -> String {
    match draft.get(key) {
        text if text == "[]" => String::new(),
        text => text,
    }
}
