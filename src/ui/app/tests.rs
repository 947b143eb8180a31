//! Journeys: scripted keys and events through `update`, asserting what is sent and what is on screen.

mod attached;
mod comparing;
mod configs;
mod every_key;
mod everywhere;
mod home;
mod moments;
mod range;
mod runs;
mod sequences;
mod steering;
mod training;

use std::path::PathBuf;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::config::ModelKind;
use crate::protocol::{
    CheckpointInfo, CheckpointReason, Edit, FinishReason, FinishReport, Preview, RunInfo,
    SchedulePoint, StepReport, StepTime, Until,
};
use crate::run::{RunEntry, RunStatus};
use crate::ui::keymap::KeyPress;
use crate::ui::screens::runs::work::RunsAnswer;

/// The application with everything it asked for.
struct Journey {
    app: App,
    effects: Vec<Effect>,
}

impl Journey {
    fn new() -> Self {
        Self::with(Setup {
            width: 120,
            height: 40,
            environment: Environment {
                colorterm: "truecolor".into(),
                locale: "C.UTF-8".into(),
                ..Environment::default()
            },
            ..Setup::default()
        })
    }

    fn with(setup: Setup) -> Self {
        let (app, effects) = App::new(setup);
        Self { app, effects }
    }

    fn tell(&mut self, message: Message) {
        let mut effects = self.app.update(message);
        self.effects.append(&mut effects);
    }

    /// Keys by name, separated by spaces.
    fn keys(&mut self, keys: &str) {
        for key in keys.split_whitespace() {
            let press = KeyPress::parse(key).unwrap_or_else(|e| panic!("{e}"));
            let event = KeyEvent::new(press.code, press.modifiers);
            self.tell(Message::Input(Input::Key(event)));
        }
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            let event = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
            self.tell(Message::Input(Input::Key(event)));
        }
    }

    fn event(&mut self, kind: EventKind) {
        let run = self.app.next_run - 1;
        self.tell(Message::Engine(Event { run, kind }));
    }

    fn size(&mut self, width: u16, height: u16) {
        self.tell(Message::Input(Input::Resize(width, height)));
    }

    fn screen(&self) -> String {
        let size = self.app.size;
        let mut terminal =
            Terminal::new(TestBackend::new(size.width, size.height)).expect("no I/O");
        terminal
            .draw(|frame| self.app.render(frame.area(), frame.buffer_mut()))
            .expect("no I/O");
        terminal.backend().to_string()
    }

    #[track_caller]
    fn sees(&self, wanted: &str) {
        let screen = self.screen();
        assert!(screen.contains(wanted), "`{wanted}` is not on\n{screen}");
    }

    #[track_caller]
    fn does_not_see(&self, unwanted: &str) {
        let screen = self.screen();
        assert!(!screen.contains(unwanted), "`{unwanted}` is on\n{screen}");
    }

    /// Commands sent since the last call.
    fn sent(&mut self) -> Vec<Command> {
        let effects = std::mem::take(&mut self.effects);
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send(command) => Some(command),
                _ => None,
            })
            .collect()
    }

    fn quit(&self) -> Option<&Outcome> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Quit(outcome) => Some(outcome),
            _ => None,
        })
    }

    /// A run that trains and has reported step 12.
    fn training() -> Self {
        let mut journey = Self::new();
        journey.keys("enter");
        journey.sent();
        journey.event(EventKind::Phase(Phase::Training));
        journey.event(EventKind::Steps(vec![step(12)]));
        journey
    }
}

fn step(step: u64) -> StepReport {
    StepReport {
        step,
        epoch: 0.1,
        tokens: step * 768,
        loss: 3.2,
        learning_rate: 1e-3,
        grad_norm: 1.1,
        tokens_per_second: 31_000.0,
        ms: 25.0,
        forward_ms: 10.0,
        backward_ms: 12.0,
        optimizer_ms: 3.0,
        seconds: step as f64 * 0.025,
    }
}

fn info() -> RunInfo {
    RunInfo {
        dir: PathBuf::from("runs/gpt-stories"),
        name: "gpt-stories".into(),
        model: ModelKind::Gpt,
        config: RunConfig::defaults(),
        device: "CPU, burn-flex, 2 threads".into(),
        parameters: 809_729,
        vocab_size: 65,
        train_tokens: 1_003_854,
        validation_tokens: 111_540,
        bytes_per_token: 1.0,
        uniform_loss: 4.17,
        unigram_loss: 3.3,
        source_entropy: None,
        tokens_per_step: 768,
        start_step: 0,
        total_steps: 2_000,
        program_version: "0".into(),
    }
}

fn preview() -> Box<Preview> {
    Box::new(Preview {
        parameters: 809_729,
        memory_bytes: 62_000_000,
        tokens_per_epoch: 1_003_854,
        vocab_size: 65,
        tokens_per_step: 768,
        schedule: (0..50)
            .map(|i| SchedulePoint {
                step: i * 40,
                learning_rate: 1e-3 * f64::from(50 - i as u32) / 50.0,
            })
            .collect(),
        tokens: ["The", " old", " mill", "er", " said", "\n", "yes"]
            .map(String::from)
            .to_vec(),
        step_time: StepTime::Seconds(0.056),
        notices: vec!["the text is read in full once".to_string()],
    })
}

fn entries(runs: Vec<RunSummary>) -> Vec<Arc<RunEntry>> {
    runs.into_iter().map(|run| Arc::new(run.into())).collect()
}

fn summary(name: &str, step: u64) -> RunSummary {
    RunSummary {
        dir: PathBuf::from(format!("runs/{name}")),
        name: name.to_string(),
        status: RunStatus::Stopped,
        model: ModelKind::Gpt,
        corpus: "stories".to_string(),
        device: "flex".to_string(),
        created: 1_000,
        updated: 2_000,
        parameters: 809_729,
        step,
        total_steps: 2_000,
        seconds: 93.0,
        train_loss: Some(2.1),
        val_loss: Some(2.213),
        best_val_loss: Some(2.2),
        best_step: Some(step),
        bits_per_byte: Some(1.93),
        resumable: true,
        problem: None,
    }
}
