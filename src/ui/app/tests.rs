//! Journeys: scripted keys and events through `update`, asserting what is sent and what is on screen.

mod attached;
mod configs;
mod range;
mod runs;
mod steering;

use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyModifiers, MouseEvent};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::config::ModelKind;
use crate::protocol::{
    CheckpointInfo, CheckpointReason, Edit, FinishReason, FinishReport, Preview, RunInfo,
    SchedulePoint, StepReport, Until,
};
use crate::run::RunStatus;
use crate::ui::keymap::KeyPress;

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
        device: "CPU, 2 threads, burn-flex".into(),
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
        seconds_per_step: Some(0.056),
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

#[test]
fn the_first_screen_offers_the_ladder_and_asks_for_a_preview() {
    let mut journey = Journey::new();
    assert!(journey.effects.contains(&Effect::LoadRuns));
    for wanted in [
        "Ladder",
        "1 char RNN",
        "5 GPT",
        "Config: gpt",
        "Preview",
        "train",
        "help",
        "quit",
    ] {
        journey.sees(wanted);
    }
    let timer = journey.effects.iter().find_map(|effect| match effect {
        Effect::After(_, timer @ Timer::Preview(_)) => Some(*timer),
        _ => None,
    });
    journey.tell(Message::Timer(timer.expect("a preview is asked for")));
    let sent = journey.sent();
    let [Command::Preview { request, config }] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(config.model.kind(), ModelKind::Gpt);
    let kind = EventKind::Previewed {
        request: *request,
        preview: Ok(preview()),
    };
    journey.tell(Message::Engine(Event { run: 0, kind }));
    for wanted in [
        "0.81 M",
        "62 MB",
        "56 ms",
        " old",
        "the text is read in full once",
    ] {
        journey.sees(wanted);
    }
}

#[test]
fn the_focused_chart_is_written_as_it_is_shown() {
    use crate::chart::{Across, CurveKind, Quantity};
    let mut journey = Journey::training();
    journey.keys("e");
    journey.sees("the run is still loading");
    journey.event(EventKind::Started(Box::new(info())));
    journey.event(EventKind::Schedule(preview().schedule));
    let mut written = |keys: &str| {
        journey.keys(keys);
        let effects = std::mem::take(&mut journey.effects);
        effects.into_iter().find_map(|effect| match effect {
            Effect::ExportChart(export) => Some(*export),
            _ => None,
        })
    };
    let export = written("e").unwrap();
    assert_eq!(export.dir, PathBuf::from("runs/gpt-stories"));
    assert_eq!((export.newest, export.view.quantity), (12, Quantity::Loss));
    assert_eq!((export.view.range, export.view.smoothing), (None, 0.9));
    // Unit, axis, smoothing, scale and a frozen window go with it.
    let view = written("U U x x s y f e").unwrap().view;
    assert_eq!(view.quantity, Quantity::BitsPerByte);
    assert_eq!((view.across, view.smoothing), (Across::Time, 0.97));
    assert_eq!(view.scale, crate::chart::scale::Scale::Log);
    assert!(view.range.is_some());
    // The learning rate brings its schedule, and what a pending edit makes of it.
    let view = written("3 ] e").unwrap().view;
    assert_eq!(view.quantity, Quantity::LearningRate);
    let kinds: Vec<CurveKind> = view.ahead.iter().map(|curve| curve.kind).collect();
    assert_eq!(kinds, [CurveKind::Ahead, CurveKind::Pending]);
    let first = |at: usize| view.ahead[at].points[0];
    assert_eq!(first(0).step, 40);
    // What is pending follows the configuration, step by step.
    let more = written("] e").unwrap().view;
    let ratio = more.ahead[1].points[0].value / first(1).value;
    assert!((ratio - 1.25).abs() < 1e-9, "{ratio}");
    assert_eq!(written("4 e").unwrap().view.quantity, Quantity::GradNorm);
    assert_eq!(
        written("5 e").unwrap().view.quantity,
        Quantity::TokensPerSecond
    );
    // The palette has it too.
    assert_eq!(written("2 e"), None);
    journey.keys("4 :");
    journey.text("export");
    journey.keys("enter");
    let asked = |effect: &Effect| matches!(effect, Effect::ExportChart(_));
    assert!(journey.effects.iter().any(asked));
    journey.tell(Message::ChartExported(Ok("wrote loss.csv".into())));
    journey.sees("wrote loss.csv");
    journey.tell(Message::ChartExported(Err("the disk is full".into())));
    journey.sees("the chart was not written: the disk is full");
}

#[test]
fn only_the_newest_preview_is_asked_for_and_shown() {
    let mut journey = Journey::new();
    journey.sent();
    journey.keys("tab +");
    journey.keys("+");
    journey.tell(Message::Timer(Timer::Preview(1)));
    assert_eq!(journey.sent(), [], "an older timer asks for nothing");
    let kind = EventKind::Previewed {
        request: 1,
        preview: Err("stale".to_string()),
    };
    journey.tell(Message::Engine(Event { run: 0, kind }));
    journey.does_not_see("stale");
}

#[test]
fn the_ladder_chooses_model_and_preset() {
    let mut journey = Journey::new();
    journey.keys("g g");
    journey.sees("Config: char-rnn");
    journey.keys("l");
    journey.sees("Config: char-rnn-full");
    journey.keys("G h h");
    journey.does_not_see("char-rnn-full");
    journey.keys("g g enter");
    let sent = journey.sent();
    let [
        Command::Start {
            run: 1,
            config,
            origin,
        },
    ] = sent.as_slice()
    else {
        panic!("{sent:?}");
    };
    assert_eq!(config.model.kind(), ModelKind::CharRnn);
    assert_eq!(*origin, Origin::New { dir: None });
    assert_eq!(journey.app.screen(), Screen::Train);
}

#[test]
fn a_bad_value_is_marked_while_typing_and_keeps_the_run_from_starting() {
    let mut journey = Journey::new();
    journey.keys("/");
    journey.text("n_layers");
    journey.keys("enter e ctrl-u");
    journey.text("9999");
    journey.sees("9999");
    journey.sees("✗");
    journey.sees("1 problem to fix");
    journey.keys("enter");
    journey.sent();
    journey.keys("enter");
    assert_eq!(journey.sent(), []);
    assert_eq!(journey.app.screen(), Screen::Home);
    journey.keys("esc x");
    journey.does_not_see("✗");
    journey.keys("enter");
    assert_eq!(journey.sent().len(), 1);
}

#[test]
fn typing_locks_the_hot_keys() {
    let mut journey = Journey::new();
    journey.keys("/");
    journey.text("q?:z1");
    assert_eq!(journey.quit(), None);
    journey.sees("q?:z1");
    journey.sees("no field contains this");
    journey.keys("esc");
    journey.does_not_see("q?:z1");
    journey.keys("q");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn c_and_d_jump_to_their_fields() {
    let mut journey = Journey::new();
    journey.keys("d e ctrl-u");
    journey.text("flex");
    journey.keys("enter enter");
    let sent = journey.sent();
    let Some(Command::Start { config, .. }) = sent.last() else {
        panic!("{sent:?}");
    };
    assert_eq!(config.device, "flex");
    let mut journey = Journey::new();
    journey.keys("c");
    journey.sees("corpus");
    assert_eq!(journey.app.contexts()[0], Context::Form);
}

#[test]
fn the_run_is_steered_by_keys() {
    let mut journey = Journey::training();
    journey.keys("space");
    assert_eq!(journey.sent(), [Command::Pause]);
    journey.event(EventKind::Phase(Phase::Paused));
    journey.keys("space . w v");
    assert_eq!(
        journey.sent(),
        [
            Command::Resume,
            Command::StepOnce,
            Command::Save,
            Command::Evaluate
        ]
    );
    journey.keys("g");
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::Sample { .. }]
    ));
    journey.keys("n ctrl-u");
    journey.text("50");
    journey.keys("enter");
    assert_eq!(
        journey.sent(),
        [Command::RunUntil {
            until: Until::Step(62)
        }]
    );
}

#[test]
fn a_number_of_steps_must_be_a_number() {
    let mut journey = Journey::training();
    journey.keys("n ctrl-u");
    journey.text("ten");
    journey.keys("enter");
    journey.sees("`ten` is not a whole number above 0");
    assert_eq!(journey.sent(), []);
    journey.keys("esc");
    journey.does_not_see("How many steps");
}

#[test]
fn the_learning_rate_is_dialled_then_applied() {
    let mut journey = Journey::training();
    journey.keys("] }");
    assert_eq!(journey.sent(), [], "nothing is sent before enter");
    journey.keys("enter");
    assert_eq!(
        journey.sent(),
        [Command::Set {
            edit: Edit::LearningRateMultiplier(2.5)
        }]
    );
    journey.keys("[ backspace enter");
    assert_eq!(journey.sent(), []);
    // From anywhere on the dashboard, the knobs included.
    journey.keys("6 { a");
    assert_eq!(
        journey.sent(),
        [Command::Set {
            edit: Edit::LearningRateMultiplier(0.5)
        }]
    );
}

#[test]
fn quitting_while_training_asks_and_saves() {
    let mut journey = Journey::training();
    journey.keys("q");
    journey.sees("save and quit");
    journey.keys("esc");
    journey.does_not_see("save and quit");
    assert_eq!(journey.sent(), []);
    journey.keys("ctrl-c ctrl-c");
    assert_eq!(journey.sent(), [Command::Shutdown]);
    journey.sees("Saving the run");
    assert_eq!(journey.quit(), None, "waits for the checkpoint");
    journey.tell(Message::EngineGone);
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn a_run_can_go_on_in_the_background() {
    let mut journey = Journey::training();
    journey.keys("q b");
    journey.sees("still loading");
    journey.event(EventKind::Started(Box::new(info())));
    journey.sees("gpt · stories · CPU ─");
    journey.keys("q");
    journey.sees("go on in the background");
    journey.keys("b");
    assert_eq!(journey.sent().last(), Some(&Command::Shutdown));
    journey.sees("Saving the run");
    journey.tell(Message::EngineGone);
    let dir = PathBuf::from("runs/gpt-stories");
    assert_eq!(journey.quit(), Some(&Outcome::Background(dir)));
}

#[test]
fn checkpoints_are_marks_on_the_curves_and_say_what_they_take() {
    let mut journey = Journey::training();
    journey.event(EventKind::Steps((13..=100).map(step).collect()));
    let before = journey.screen().matches('◆').count();
    for (step, total_bytes) in [(40, 10_400_000), (80, 20_800_000)] {
        journey.event(EventKind::Checkpointed(CheckpointInfo {
            step,
            path: "runs/gpt-stories/checkpoints/step".into(),
            bytes: 10_400_000,
            total_bytes,
            reason: CheckpointReason::Cadence,
            val_loss: None,
        }));
    }
    // On the loss, the learning rate, the gradient norm and the speed.
    assert_eq!(journey.screen().matches('◆').count(), before + 8);
    journey.sees("checkpoint of step 80 (10 MB)");
    journey.sees("checkpoints 21 MB on disk");
}

#[test]
fn quitting_without_saving_says_what_is_lost() {
    let mut journey = Journey::training();
    journey.event(EventKind::Checkpointed(CheckpointInfo {
        step: 10,
        path: PathBuf::from("checkpoints/step-000010"),
        bytes: 1,
        total_bytes: 1,
        reason: CheckpointReason::Cadence,
        val_loss: None,
    }));
    journey.keys("q down down");
    journey.sees("The 2 steps since the");
    journey.sees("checkpoint of step 10 are lost.");
    journey.keys("enter");
    assert_eq!(journey.sent(), []);
    journey.keys("q x");
    assert_eq!(journey.quit(), Some(&Outcome::Abandoned));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_saving() {
    let mut journey = Journey::training();
    journey.keys("q s ctrl-c");
    assert_eq!(journey.quit(), Some(&Outcome::Abandoned));
}

#[test]
fn esc_never_quits() {
    let mut journey = Journey::training();
    journey.keys("z esc esc esc");
    assert_eq!((journey.sent(), journey.quit()), (vec![], None));
    let mut home = Journey::new();
    home.keys("esc esc esc");
    assert_eq!(home.quit(), None);
}

#[test]
fn starting_over_a_run_asks_first() {
    let mut journey = Journey::training();
    journey.keys("H enter");
    journey.sees("A run is in progress");
    journey.keys("t");
    assert_eq!(journey.sent(), []);
    journey.keys("enter s");
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::Stop, Command::Start { run: 2, .. }]
    ));
    let stale = Event {
        run: 1,
        kind: EventKind::Phase(Phase::Paused),
    };
    journey.tell(Message::Engine(stale));
    let phase = journey
        .app
        .train_screen()
        .map(|train| train.view.phase.clone());
    assert_ne!(
        phase,
        Some(Phase::Paused),
        "the old run is no longer listened to"
    );
}

#[test]
fn a_finished_run_is_said_and_quits_without_asking() {
    let mut journey = Journey::training();
    journey.event(EventKind::Finished(FinishReport {
        step: 2_000,
        reason: FinishReason::Completed,
        val_loss: Some(1.9),
        best_val_loss: Some(1.9),
        best_step: Some(2_000),
        seconds: 60.0,
    }));
    // The training thread is free again.
    journey.event(EventKind::Phase(Phase::Idle));
    journey.sees("finished");
    journey.sees("All steps are done after 1:00");
    journey.sees("all steps are done at step 2000");
    journey.keys("esc q");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn failures_stay_on_screen_until_esc() {
    let mut journey = Journey::training();
    journey.event(EventKind::Failed {
        message: "the disk is full".to_string(),
    });
    journey.event(EventKind::Phase(Phase::Idle));
    journey.sees("failed");
    journey.sees("the disk is full");
    let timers = journey
        .effects
        .iter()
        .any(|e| matches!(e, Effect::After(_, Timer::Notice(_))));
    assert!(!timers);
    journey.keys("space");
    assert_eq!(journey.sent(), []);
}

#[test]
fn runs_on_disk_are_offered_and_resumed() {
    let mut journey = Journey::new();
    let mut done = summary("gpt-fables", 2_000);
    done.status = RunStatus::Finished;
    let runs = vec![summary("gpt-stories", 700), done];
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(runs)),
        now: 9_200,
    });
    journey.sees("Go on with a run");
    journey.sees("gpt-stories");
    journey.does_not_see("gpt-fables");
    journey.keys("g g");
    journey.sees("700 of 2 000");
    journey.sees("2 h ago");
    // It brings its own config, which cannot be changed here; what asks for a field turns to a new run.
    journey.sees("keeps the configuration it was");
    journey.keys("tab right x");
    journey.does_not_see("changed");
    journey.keys("c");
    journey.sees("Config: gpt");
    journey.keys("1 g g");
    journey.keys("enter");
    let dir = PathBuf::from("runs/gpt-stories");
    assert!(
        journey
            .effects
            .contains(&Effect::OpenRun { dir: dir.clone() })
    );
    let config =
        crate::config::load(crate::config::Source::Preset("gpt".into()), &[]).expect("a preset");
    journey.sent();
    journey.tell(Message::RunOpened {
        dir: dir.clone(),
        config: Ok(Box::new(config)),
    });
    assert!(journey.effects.contains(&Effect::LoadHistory {
        run: 1,
        dir: dir.clone()
    }));
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::Start { origin: Origin::Resume { dir: d }, .. }] if *d == dir
    ));
}

#[test]
fn the_list_of_runs_shows_all_and_says_why_one_cannot_go_on() {
    let mut journey = Journey::new();
    journey.keys("r");
    journey.sees("reading the runs folder");
    let mut busy = summary("gpt-busy", 10);
    busy.resumable = false;
    busy.status = RunStatus::Running;
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(vec![busy, summary("gpt-stories", 700)])),
        now: 9_200,
    });
    for wanted in ["Runs: 2", "gpt-busy", "700/2 000", "2.213", "1.930"] {
        journey.sees(wanted);
    }
    journey.keys("enter");
    assert!(journey.effects.contains(&Effect::Attach {
        run: 1,
        dir: PathBuf::from("runs/gpt-busy"),
    }));
    let mut empty = summary("gpt-empty", 0);
    empty.resumable = false;
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(vec![empty])),
        now: 9_200,
    });
    journey.keys("enter");
    journey.sees("it has no checkpoint to go on from");
    journey.keys("esc esc");
    assert_eq!(journey.app.screen(), Screen::Home);
}

#[test]
fn the_palette_does_what_it_finds() {
    let mut journey = Journey::training();
    journey.keys(":");
    journey.text("evaluate");
    journey.keys("enter");
    assert_eq!(journey.sent(), [Command::Evaluate]);
    journey.keys(":");
    journey.text("theme light");
    journey.keys("enter");
    assert_eq!(journey.app.theme().name, "light");
    let mut home = Journey::new();
    home.keys(":");
    home.text("set train.steps 77");
    home.keys("enter enter");
    let sent = home.sent();
    assert!(matches!(sent.last(), Some(Command::Start { config, .. }) if config.train.steps == 77));
    let mut home = Journey::new();
    home.keys(":");
    home.text("set train.stepz 77");
    home.keys("enter");
    home.sees("did you mean `train.steps`?");
}

#[test]
fn help_is_made_for_the_focused_pane() {
    let mut journey = Journey::new();
    journey.keys("?");
    journey.sees("Five models");
    journey.sees("next preset of this rung");
    journey.keys("q");
    assert_eq!(journey.quit(), None, "q closes the help");
    journey.does_not_see("Five models");
}

#[test]
fn suspending_pauses_first_and_goes_on_after() {
    let mut journey = Journey::training();
    journey.keys("ctrl-z");
    assert_eq!(journey.sent(), [Command::Pause]);
    journey.event(EventKind::Phase(Phase::Paused));
    let said = journey.effects.iter().find_map(|effect| match effect {
        Effect::Suspend(text) => Some(text.clone()),
        _ => None,
    });
    assert!(said.is_some_and(|text| text.contains("training")));
    journey.tell(Message::Resumed);
    assert!(journey.effects.contains(&Effect::Redraw));
    assert_eq!(journey.sent(), [Command::Resume]);
}

#[test]
fn a_signal_saves_before_it_ends() {
    let mut journey = Journey::training();
    journey.tell(Message::Terminate);
    assert_eq!(journey.sent(), [Command::Shutdown]);
    journey.tell(Message::EngineGone);
    assert_eq!(journey.quit(), Some(&Outcome::Interrupted));
}

#[test]
fn settings_problems_are_shown_and_overrides_hold() {
    let (settings, problems) =
        Settings::parse("frame_rate = 900\n[keymap.global]\nquit = \"f10\"\n");
    let mut journey = Journey::with(Setup {
        settings,
        problems,
        width: 120,
        height: 40,
        ..Setup::default()
    });
    journey.sees("frame_rate: 900 is not a whole number from 1 to 60");
    journey.keys("q ctrl-c");
    assert_eq!(journey.quit(), None);
    journey.keys("f10");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn a_click_focuses_and_the_mouse_can_be_off() {
    let mut journey = Journey::new();
    let click = |column, row| {
        Message::Input(Input::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }))
    };
    journey.tell(click(60, 10));
    assert_eq!(journey.app.contexts()[0], Context::Form);
    journey.tell(click(110, 5));
    assert_eq!(journey.app.contexts()[0], Context::Preview);
    journey.tell(click(3, 1));
    journey.sees("Config: char-rnn");
    journey.keys(":");
    journey.text("toggle-mouse");
    journey.keys("enter");
    assert!(journey.effects.contains(&Effect::SetMouse(false)));
}

#[test]
fn every_size_draws_in_every_state() {
    let states: [fn() -> Journey; 5] = [
        Journey::new,
        Journey::training,
        || {
            let mut journey = Journey::training();
            journey.keys("q");
            journey
        },
        || {
            let mut journey = Journey::new();
            journey.keys(": e");
            journey
        },
        || {
            let mut journey = Journey::new();
            journey.keys("tab e 9 9 9 9 9 9");
            journey.tell(Message::RunsLoaded {
                runs: Ok(entries(vec![summary("gpt-stories", 700)])),
                now: 0,
            });
            journey
        },
    ];
    let sizes = [
        (1, 1),
        (2, 1),
        (1, 50),
        (39, 11),
        (40, 12),
        (60, 14),
        (80, 24),
        (120, 40),
        (200, 60),
        (300, 5),
    ];
    for state in states {
        let mut journey = state();
        for (width, height) in sizes {
            journey.size(width, height);
            let screen = journey.screen();
            if width >= 40 && height >= 12 {
                assert!(!screen.contains("too small"), "{screen}");
            }
        }
        let empty = Rect::new(0, 0, 0, 0);
        journey
            .app
            .render(empty, &mut ratatui::buffer::Buffer::empty(empty));
    }
}

#[test]
fn small_terminals_shed_panes_and_then_say_so() {
    let mut journey = Journey::new();
    journey.size(80, 24);
    for wanted in ["Ladder", "Config: gpt", "Preview", "5 GPT"] {
        journey.sees(wanted);
    }
    journey.size(40, 12);
    journey.sees("5 GPT");
    journey.does_not_see("Config: gpt");
    journey.keys("2");
    journey.sees("Config: gpt");
    journey.size(36, 10);
    journey.sees("36x10 is too small");
}

#[test]
fn without_utf8_only_ascii_is_drawn() {
    let mut journey = Journey::with(Setup {
        width: 100,
        height: 30,
        ..Setup::default()
    });
    let kind = EventKind::Previewed {
        request: 1,
        preview: Ok(preview()),
    };
    journey.tell(Message::Engine(Event { run: 0, kind }));
    let screen = journey.screen();
    let odd: Vec<char> = screen.chars().filter(|c| !c.is_ascii()).collect();
    assert!(odd.is_empty(), "{odd:?} on\n{screen}");
    for keys in ["?", "esc :", "esc enter", "q", "esc tab ]"] {
        journey.keys(keys);
        if keys == "esc enter" {
            journey.event(EventKind::Phase(Phase::Training));
            journey.event(EventKind::Steps((1..30).map(step).collect()));
        }
        let screen = journey.screen();
        let odd: Vec<char> = screen.chars().filter(|c| !c.is_ascii()).collect();
        assert!(odd.is_empty(), "after {keys}: {odd:?} on\n{screen}");
    }
}
