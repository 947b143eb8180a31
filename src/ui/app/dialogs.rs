//! The questions the application asks, and what the answers do.

use super::*;
use crate::ui::widgets::modal::{Choice, Modal};

/// A question, and what it is about.
#[derive(Debug)]
pub(super) struct Dialog {
    pub modal: Modal,
    about: About,
}

#[derive(Debug)]
enum About {
    Quit,
    Stop,
    Replace(Box<RunConfig>, Origin),
    RunSteps,
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
                "The {} steps since the checkpoint of step {saved} are lost.",
                step - saved
            ),
            None => format!("No checkpoint yet: all {step} steps are lost."),
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

    pub fn run_steps() -> Self {
        let message = "How many steps to train before pausing?".to_string();
        Self {
            modal: Modal::field("Run a number of steps", message, "100"),
            about: About::RunSteps,
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
            Some(Action::Close) => self.overlay = None,
            Some(Action::Accept) => self.answer(effects),
            Some(Action::Left) => dialog.modal.next(-1),
            Some(Action::Right) => dialog.modal.next(1),
            _ if control && quit_key == Lookup::Action(Action::Quit) => {
                // Ctrl-C in the quit dialog takes its first answer; in any other it asks that question.
                match dialog.about {
                    About::Quit => {
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
            (About::Stop, 0) => effects.push(Effect::Send(Command::Stop)),
            (About::Replace(config, origin), 0) => {
                effects.push(Effect::Send(Command::Stop));
                self.start(*config, origin, effects);
            }
            (About::RunSteps, _) => {
                let text = dialog
                    .modal
                    .input
                    .as_ref()
                    .map_or("", |input| input.text())
                    .trim()
                    .to_string();
                let step = self.train.as_ref().map_or(0, |train| train.view.step);
                match text.replace(['_', ' '], "").parse::<u64>() {
                    Ok(n) if n > 0 => {
                        let step = step.saturating_add(n);
                        effects.push(Effect::Send(Command::RunUntil {
                            until: Until::Step(step),
                        }));
                    }
                    _ => {
                        dialog.modal.problem =
                            Some(format!("`{text}` is not a whole number above 0"));
                        dialog.about = About::RunSteps;
                        self.overlay = Some(Overlay::Dialog(dialog));
                    }
                }
            }
            (About::Quit | About::Stop | About::Replace(..), _) => {}
        }
    }
}
