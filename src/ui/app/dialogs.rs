//! The questions the application asks, and what the answers do.

use super::steering::moments::Moment;
use super::*;
use crate::config::own_name;
use crate::protocol::{Edit, EditRecord};
use crate::ui::keymap::KeyPress;
use crate::ui::screens::train::put_back;
use crate::ui::widgets::chart::short;
use crate::ui::widgets::modal::{Choice, Modal};
use crate::ui::widgets::text_input::TextInput;
use crate::words::counted;

/// A question, and what it is about.
#[derive(Debug)]
pub(super) struct Dialog {
    pub modal: Modal,
    about: About,
}

#[derive(Debug)]
enum About {
    Quit,
    QuitAttached,
    Stop,
    Replace(Box<RunConfig>, Origin),
    /// What was typed: steps, loss.
    RunUntil([String; 2]),
    /// To the checkpoint of this name.
    Rewind(String),
    Undo {
        put_back: Option<Edit>,
        go_back: Option<String>,
    },
    /// The loss went wrong; a checkpoint before that.
    Spike(Option<String>),
    KeepConfig(Box<RunConfig>),
}

/// `1 step is left behind`
fn left_behind(steps: u64) -> String {
    let are = if steps == 1 { "is" } else { "are" };
    format!("{} {are} left behind", counted(steps, "step"))
}

fn choice(letter: char, label: &str, detail: impl Into<String>) -> Choice {
    Choice {
        letter,
        label: label.to_string(),
        detail: detail.into(),
    }
}

impl Dialog {
    pub fn quit(name: String, step: u64, saved: Option<u64>) -> Self {
        let lost = match saved {
            Some(saved) if saved >= step => {
                "Nothing is lost: a checkpoint of the newest step is on disk.".into()
            }
            Some(saved) => format!(
                "What was trained since the checkpoint of step {saved} is lost: {}.",
                counted(step - saved, "step")
            ),
            None => format!(
                "No checkpoint yet: all is lost, which is {}.",
                counted(step, "step")
            ),
        };
        let choices = vec![
            choice(
                's',
                "save and quit",
                "Writes a checkpoint first; the run can go on later. Ctrl-C does the same.",
            ),
            choice(
                'b',
                "go on in the background",
                "Saves, closes the screens, and trains on in a process of its own.",
            ),
            choice(
                'x',
                "quit without saving",
                format!("Leaves at once. {lost}"),
            ),
            choice('t', "keep training", "Closes this dialog; nothing happens."),
        ];
        Self {
            modal: Modal::question("Quit", format!("{name} is at step {step}."), choices),
            about: About::Quit,
        }
    }

    /// Of a run that another process trains.
    pub fn quit_attached(name: String, pid: u32) -> Self {
        let choices = vec![
            choice(
                'd',
                "detach, it trains on",
                format!("Closes the screens; process {pid} trains on. Ctrl-C does the same."),
            ),
            choice(
                's',
                "stop the run",
                "It is saved and ended there; then the screens close.",
            ),
            choice('t', "stay", "Closes this dialog; nothing happens."),
        ];
        let message = format!("{name} is trained by another process.");
        Self {
            modal: Modal::question("Quit", message, choices),
            about: About::QuitAttached,
        }
    }

    pub fn stop(name: String) -> Self {
        let choices = vec![
            choice(
                's',
                "stop the run",
                "Saves a checkpoint, then ends it. It can go on later from the list of runs.",
            ),
            choice('t', "keep training", "Closes this dialog; nothing happens."),
        ];
        Self {
            modal: Modal::question("Stop", format!("End {name}?"), choices),
            about: About::Stop,
        }
    }

    pub fn replace(name: String, config: RunConfig, origin: Origin) -> Self {
        let choices = vec![
            choice(
                's',
                "stop it and start this one",
                "The run in progress is saved first and can go on later.",
            ),
            choice('t', "keep training", "Closes this dialog; nothing happens."),
        ];
        Self {
            modal: Modal::question(
                "A run is in progress",
                format!("{name} is training."),
                choices,
            ),
            about: About::Replace(Box::new(config), origin),
        }
    }

    /// `loss` is that of the newest step.
    pub fn run_until(loss: Option<f64>) -> Self {
        let now = loss.map_or(String::new(), |loss| format!("; now it is {}", short(loss)));
        let choices = vec![
            choice(
                's',
                "a number of steps",
                "How many steps to train before pausing.",
            ),
            choice(
                'l',
                "until the loss is below a value",
                format!("The training loss of a step, in nats per token{now}."),
            ),
            choice(
                'e',
                "until the next evaluation is done",
                "Pauses when the validation loss is known.",
            ),
        ];
        let mut modal = Modal::question("Train on, then pause", String::new(), choices);
        modal.message = "Up and down choose; type the number, Enter goes.".to_string();
        modal.input = Some(TextInput::proposing("100"));
        let target = loss.map_or(String::new(), |loss| format!("{:.2}", loss * 0.9));
        Self {
            modal,
            about: About::RunUntil(["100".to_string(), target]),
        }
    }

    pub fn rewind(moment: &Moment, from: u64, pending: usize) -> Self {
        let to = moment.step;
        let left = from.saturating_sub(to);
        let pending = match pending {
            0 => "",
            _ => " What is pending on the knobs stays pending.",
        };
        let choices = vec![
            choice(
                'g',
                "go back",
                format!("Pauses at step {to}, with the values that were in force there.{pending}"),
            ),
            choice('t', "stay here", "Closes this dialog; nothing happens."),
        ];
        let message = match moment.left {
            false => format!(
                "Go back from step {from} to {to}? {}: what they did stays in the run's logs, and faint on the charts.",
                left_behind(left)
            ),
            true => format!(
                "Go from step {from} to step {to} of a branch that was left? What it trained up to there counts again, \
                 instead of what was trained since: that stays in the run's logs, and faint on the charts."
            ),
        };
        Self {
            modal: Modal::question("Go back", message, choices),
            about: About::Rewind(moment.name.clone()),
        }
    }

    /// `go_back` is the checkpoint made before the edit.
    pub fn undo(record: &EditRecord, go_back: Option<(String, u64)>, from: u64) -> Self {
        let mut choices = Vec::new();
        if let Some(undo) = &record.undo {
            let words = put_back(undo);
            choices.push(choice(
                'p',
                "put the value back",
                format!("From the next step on: {words}. What was trained meanwhile stays."),
            ));
        }
        if let Some((_, step)) = &go_back {
            let left = from.saturating_sub(*step);
            choices.push(choice(
                'g',
                "go back to before it",
                format!(
                    "To the checkpoint of step {step}; {}, faint on the charts.",
                    left_behind(left)
                ),
            ));
        }
        choices.push(choice(
            't',
            "leave it",
            "Closes this dialog; nothing happens.",
        ));
        let gone = match go_back {
            None => " There is no checkpoint from before it any more.",
            Some(_) => "",
        };
        let message = format!(
            "The last edit: {}, from step {} on.{gone}",
            record.edit, record.step
        );
        Self {
            modal: Modal::question("Undo", message, choices),
            about: About::Undo {
                put_back: record.undo.clone(),
                go_back: go_back.map(|(name, _)| name),
            },
        }
    }

    /// Training stands still because the loss went wrong; `checkpoint` lies before that.
    ///
    /// `diverged`: the step gave no number and was not applied.
    pub fn spike(
        words: String,
        checkpoint: Option<(String, u64)>,
        from: u64,
        diverged: bool,
    ) -> Self {
        let mut choices = Vec::new();
        if let Some((_, step)) = &checkpoint {
            let left = from.saturating_sub(*step);
            choices.push(choice(
                'b',
                "go back, halve the learning rate, go on",
                format!(
                    "To the checkpoint of step {step}; {}, faint on the charts.",
                    left_behind(left)
                ),
            ));
        }
        let (label, detail) = match diverged {
            true => (
                "go on without this step",
                "Leaves its text out: the weights stay as they were before it.",
            ),
            false => ("go on", "Trains on from here as if nothing had happened."),
        };
        choices.push(choice('g', label, detail));
        choices.push(choice(
            's',
            "stop the run",
            "Saves a checkpoint, then ends it. It can go on later from the list of runs.",
        ));
        choices.push(choice(
            'l',
            "look first",
            "Closes this dialog; the run stays paused, and every key works.",
        ));
        let again = "`train.on_spike` in the knobs says what to do without asking.";
        Self {
            modal: Modal::question("The loss went wrong", format!("{words} {again}"), choices),
            about: About::Spike(checkpoint.map(|(name, _)| name)),
        }
    }

    /// Under which name the config is to be kept; `from` is the one it was made of.
    pub fn keep_config(config: RunConfig, from: &str) -> Self {
        let suggested = match (own_name(&config.name), own_name(from)) {
            (Ok(name), _) => name.to_string(),
            (Err(_), Ok(from)) => format!("{from}-2"),
            (Err(_), Err(_)) => format!("my-{from}"),
        };
        let message = "A name for it. The file states what differs from the defaults; the config stands in the ladder from then on.";
        Self {
            modal: Modal::field("Keep this config", message.to_string(), &suggested),
            about: About::KeepConfig(Box::new(config)),
        }
    }

    /// Marks another choice; with it comes the field that belongs to it.
    fn choose(&mut self, by: isize) {
        let before = self.modal.selected;
        self.modal.next(by);
        if let About::RunUntil(texts) = &mut self.about {
            self.modal.problem = None;
            if let (Some(input), Some(text)) = (self.modal.input.take(), texts.get_mut(before)) {
                *text = input.text().to_string();
            }
            self.modal.input = texts.get(self.modal.selected).map(TextInput::proposing);
        }
    }

    pub fn has_text(&self) -> bool {
        self.modal.input.is_some()
    }

    pub fn paste(&mut self, text: &str) {
        if let Some(input) = &mut self.modal.input {
            input.insert(text);
            self.modal.problem = None;
        }
    }
}

impl App {
    pub(super) fn dialog_key(
        &mut self,
        key: KeyEvent,
        action: Option<Action>,
        effects: &mut Vec<Effect>,
    ) -> Handled {
        let Some(Overlay::Dialog(dialog)) = &mut self.overlay else {
            return Handled::No;
        };
        let quit_key = self
            .keymap
            .lookup(&[Context::Global], &[KeyPress::from_event(key)]);
        let control = key
            .modifiers
            .contains(crossterm::event::KeyModifiers::CONTROL);
        match action {
            _ if self.unseen && !control => {}
            Some(Action::Close) => self.overlay = None,
            Some(Action::Accept) => self.answer(effects),
            Some(Action::Left | Action::Up) => dialog.choose(-1),
            Some(Action::Right | Action::Down) => dialog.choose(1),
            _ if control && quit_key == Lookup::Action(Action::Quit) => {
                // Ctrl-C in the quit dialog takes its first answer; in any other it asks that question.
                match dialog.about {
                    About::Quit | About::QuitAttached => {
                        dialog.modal.selected = 0;
                        self.answer(effects);
                    }
                    _ => {
                        self.overlay = None;
                        self.ask_quit(effects);
                    }
                }
            }
            _ if control && dialog.modal.input.is_none() => return Handled::No,
            _ => {
                if let Some(input) = &mut dialog.modal.input {
                    dialog.modal.problem = None;
                    return if input.key(key) {
                        Handled::Yes
                    } else {
                        Handled::No
                    };
                }
                if let crossterm::event::KeyCode::Char(letter) = key.code
                    && let Some(at) = dialog.modal.choice_of(letter)
                {
                    dialog.modal.selected = at;
                    self.answer(effects);
                }
            }
        }
        Handled::Yes
    }

    pub(super) fn dialog_click(&mut self, at: Position, effects: &mut Vec<Effect>) {
        let Some(Overlay::Dialog(dialog)) = &mut self.overlay else {
            return;
        };
        let areas = dialog.modal.choice_areas(self.size);
        if let Some(hit) = areas.iter().position(|area| area.contains(at)) {
            dialog.modal.selected = hit;
            self.answer(effects);
        }
    }

    fn answer(&mut self, effects: &mut Vec<Effect>) {
        let Some(Overlay::Dialog(mut dialog)) = self.overlay.take() else {
            return;
        };
        match (dialog.about, dialog.modal.selected) {
            (About::Quit, 0) => self.leave(Outcome::Done, effects),
            (About::Quit, 1) => self.leave_for_the_background(effects),
            (About::Quit, 2) => effects.push(Effect::Quit(Outcome::Abandoned)),
            (About::QuitAttached, 0) => self.leave(Outcome::Done, effects),
            (About::QuitAttached, 1) => {
                self.leave_at_end = true;
                effects.push(Effect::Send(Command::Stop));
            }
            (About::Stop, 0) => effects.push(Effect::Send(Command::Stop)),
            (About::Replace(config, origin), 0) => {
                effects.push(Effect::Send(Command::Stop));
                self.start(*config, origin, effects);
            }
            (About::RunUntil(texts), selected) => {
                let input = dialog.modal.input.as_ref();
                let text = input.map_or("", |input| input.text()).trim();
                let step = self.train.as_ref().map_or(0, |train| train.view.step);
                match until(selected, text, step) {
                    Ok(until) => effects.push(Effect::Send(Command::RunUntil { until })),
                    Err(problem) => {
                        dialog.modal.problem = Some(problem);
                        dialog.about = About::RunUntil(texts);
                        self.overlay = Some(Overlay::Dialog(dialog));
                    }
                }
            }
            (About::KeepConfig(config), _) => {
                let input = dialog.modal.input.as_ref();
                match own_name(input.map_or("", |input| input.text())) {
                    Ok(name) => {
                        let name = name.to_string();
                        effects.push(Effect::KeepConfig { name, config });
                    }
                    Err(problem) => {
                        dialog.modal.problem = Some(problem);
                        dialog.about = About::KeepConfig(config);
                        self.overlay = Some(Overlay::Dialog(dialog));
                    }
                }
            }
            (About::Rewind(checkpoint), 0) => {
                self.go_back(checkpoint, effects);
            }
            (About::Undo { put_back, go_back }, selected) => {
                let putting = usize::from(put_back.is_some());
                match (put_back, go_back) {
                    (Some(edit), _) if selected == 0 => {
                        self.send_edit(edit, effects);
                    }
                    (_, Some(checkpoint)) if selected == putting => {
                        self.go_back(checkpoint, effects);
                    }
                    _ => {}
                }
            }
            (About::Spike(checkpoint), selected) => {
                let back = usize::from(checkpoint.is_some());
                match checkpoint {
                    Some(checkpoint) if selected == 0 => {
                        self.go_back_and_halve(checkpoint, effects)
                    }
                    _ if selected == back => effects.push(Effect::Send(Command::Resume)),
                    _ if selected == back + 1 => effects.push(Effect::Send(Command::Stop)),
                    _ => {}
                }
            }
            (
                About::Quit
                | About::QuitAttached
                | About::Stop
                | About::Replace(..)
                | About::Rewind(_),
                _,
            ) => {}
        }
    }
}

/// What the answer to "train on, then pause" means; `text` is what was typed.
fn until(selected: usize, text: &str, step: u64) -> Result<Until, String> {
    match selected {
        0 => match text.replace(['_', ' '], "").parse::<u64>() {
            Ok(n) if n > 0 => Ok(Until::Step(step.saturating_add(n))),
            _ => Err(format!("`{text}` is not a whole number above 0")),
        },
        1 => match text.parse::<f64>() {
            Ok(loss) if loss.is_finite() && loss > 0.0 => Ok(Until::Loss(loss)),
            _ => Err(format!("`{text}` is not a loss: a number above 0")),
        },
        _ => Ok(Until::Evaluation),
    }
}
