//! A run that another process trains, and what becomes of a run whose terminal goes away.

use super::*;
use crate::control::{Role, RoleNow, Welcome};
use crate::protocol::{Remote, RemoteAct};
use crate::run::Logged;
use crate::ui::settings::OnHangup;

const TRAINER: u32 = 4711;

fn welcome(role: Role) -> Welcome {
    Welcome {
        version: 1,
        program: "fireside".into(),
        pid: TRAINER,
        run: info().dir,
        role: RoleNow {
            role,
            controller: Some(match role {
                Role::Control => std::process::id(),
                Role::Watch => 99,
            }),
        },
        logged: Logged::default(),
        info: Some(Box::new(info())),
        phase: Phase::Training,
        schedule: Vec::new(),
        health: Vec::new(),
    }
}

impl Journey {
    /// Enter on a running run, and the answer.
    fn attached(role: Role) -> Self {
        let mut journey = Self::new();
        let mut busy = summary("gpt-stories", 40);
        busy.resumable = false;
        busy.status = RunStatus::Running;
        journey.tell(Message::RunsLoaded {
            runs: Ok(entries(vec![busy]).into()),
            now: 9_200,
        });
        journey.sees("running 2%");
        journey.keys("g g enter");
        let dir = PathBuf::from("runs/gpt-stories");
        assert!(journey.effects.contains(&Effect::Attach {
            run: 1,
            dir: dir.clone()
        }));
        journey.answer(1, dir, welcome(role));
        journey.effects.clear();
        journey
    }

    fn answer(&mut self, run: RunId, dir: PathBuf, welcome: Welcome) {
        let history = History {
            info: Some(info()),
            steps: (1..=40).map(step).collect(),
            checkpoints: vec![CheckpointInfo {
                sequence: None,
                step: 30,
                path: "checkpoints/step-30".into(),
                bytes: 1,
                total_bytes: 1,
                reason: CheckpointReason::Cadence,
                val_loss: None,
            }],
            ..History::default()
        };
        let attached = Attached {
            dir,
            welcome,
            config: RunConfig::defaults(),
            history,
        };
        self.tell(Message::Attached {
            run,
            attached: Ok(Box::new(attached)),
        });
    }
}

#[test]
fn a_run_elsewhere_is_shown_and_steered() {
    let mut journey = Journey::attached(Role::Control);
    assert_eq!(journey.app.screen(), Screen::Train);
    journey.sees("step 40/2 000");
    journey.sees("training ● attached");
    journey.event(EventKind::Steps(vec![step(41), step(42)]));
    journey.sees("step 42/2 000");
    assert_eq!(journey.app.train_screen().unwrap().view.series.len(), 42);
    journey.keys("space");
    assert_eq!(journey.sent(), [Command::Pause]);
    // Ctrl-Z stops the screens alone.
    journey.keys("ctrl-z");
    assert_eq!(journey.sent(), []);
    journey.tell(Message::Resumed);
    assert_eq!(journey.sent(), []);
    journey.keys("q");
    journey.sees("detach, it trains on");
    journey.sees("process 4711 trains on");
    journey.keys("t q d");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
    assert!(journey.effects.contains(&Effect::Detach));
    // The training thread of this process has nothing to save.
    assert_eq!(journey.sent(), [Command::Shutdown]);
}

#[test]
fn a_run_elsewhere_can_be_stopped_on_leaving() {
    let mut journey = Journey::attached(Role::Control);
    journey.keys("q s");
    assert_eq!(journey.sent(), [Command::Stop]);
    assert_eq!(journey.quit(), None);
    journey.event(EventKind::Finished(FinishReport {
        step: 42,
        reason: FinishReason::Stopped,
        val_loss: None,
        best_val_loss: None,
        best_step: None,
        seconds: 1.0,
    }));
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn who_watches_is_told_who_steers_and_leaves_without_a_question() {
    let mut journey = Journey::attached(Role::Watch);
    journey.sees("watching, 99 controls");
    let role = RoleNow {
        role: Role::Watch,
        controller: None,
    };
    journey.tell(Message::Role { run: 1, role });
    journey.sees("the controls are free");
    let role = RoleNow {
        role: Role::Control,
        controller: Some(std::process::id()),
    };
    journey.tell(Message::Role { run: 1, role });
    journey.sees("● attached");
    let mut journey = Journey::attached(Role::Watch);
    journey.keys("q");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn a_trainer_that_is_gone_is_said_and_its_run_taken_up() {
    let mut journey = Journey::attached(Role::Control);
    journey.tell(Message::Unlinked {
        run: 1,
        how: Unlinked::Gone { saved: Some(30) },
    });
    journey.sees(
        "The process that trained this run ended without a word at step 40; saved is step 30: a takes it up here",
    );
    journey.keys("enter");
    let dir = PathBuf::from("runs/gpt-stories");
    assert!(
        journey
            .effects
            .contains(&Effect::OpenRun { dir: dir.clone() })
    );
    journey.tell(Message::RunOpened {
        dir,
        config: Ok(Box::new(RunConfig::defaults())),
    });
    assert!(matches!(journey.sent()[..], [Command::Start { .. }]));

    let mut journey = Journey::attached(Role::Control);
    journey.tell(Message::Unlinked {
        run: 1,
        how: Unlinked::Gone { saved: None },
    });
    journey.sees("no checkpoint had been written");
    journey.keys("enter");
    assert!(
        !journey
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::OpenRun { .. }))
    );
}

#[test]
fn a_lost_connection_is_made_again_and_the_panes_stay() {
    let mut journey = Journey::attached(Role::Control);
    journey.keys("2 z");
    journey.tell(Message::Unlinked {
        run: 1,
        how: Unlinked::Lost("too much waited to be read".into()),
    });
    journey.sees("connecting again");
    let dir = PathBuf::from("runs/gpt-stories");
    assert!(journey.effects.contains(&Effect::Attach {
        run: 2,
        dir: dir.clone()
    }));
    journey.answer(2, dir, welcome(Role::Control));
    journey.sees("step 40/2 000");
    journey.does_not_see("1 Loss");
    // Of the connection that is gone nothing is heard any more.
    journey.tell(Message::Engine(Event {
        run: 1,
        kind: EventKind::Steps(vec![step(99)]),
    }));
    journey.sees("step 40/2 000");
}

#[test]
fn a_run_that_cannot_be_reached_is_said() {
    let mut journey = Journey::new();
    journey.effects.clear();
    let mut busy = summary("gpt-stories", 40);
    busy.status = RunStatus::Running;
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(vec![busy]).into()),
        now: 9_200,
    });
    journey.keys("g g enter");
    journey.tell(Message::Attached {
        run: 1,
        attached: Err("no control socket".into()),
    });
    journey.sees("no control socket");
    assert!(journey.effects.contains(&Effect::Detach));
    assert_eq!(journey.app.screen(), Screen::Home);
}

#[test]
fn the_owner_sees_who_takes_the_controls() {
    let mut journey = Journey::training();
    let remote = |act| EventKind::Remote(Remote { pid: 99, act });
    journey.event(remote(RemoteAct::TookControls));
    journey.sees("process 99 has taken the controls");
    journey.sees("training ● 99 controls");
    journey.event(remote(RemoteAct::Asked(Box::new(Command::Pause))));
    journey.sees("process 99 asks for: pause");
    journey.event(remote(RemoteAct::LeftControls));
    journey.does_not_see("99 controls");
}

#[test]
fn a_fork_of_a_run_that_another_process_trains_leaves_it_alone() {
    let mut journey = Journey::attached(Role::Control);
    journey.keys("F");
    journey.found(super::moments::two());
    // What is not saved yet only that process could save.
    journey.does_not_see("now; saved first");
    journey.keys("enter");
    journey.sees("goes on in");
    journey.keys("enter");
    assert!(journey.effects.contains(&Effect::Detach));
    let sent = journey.sent();
    let [Command::Start { origin, .. }] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert!(matches!(
        origin,
        Origin::Fork { checkpoint: Some(name), .. } if name == "step-00000150"
    ));
}

#[test]
fn a_run_goes_on_when_its_terminal_is_gone_unless_it_should_not() {
    let started = |settings: Settings| {
        let mut journey = Journey::with(Setup {
            width: 120,
            height: 40,
            settings,
            ..Setup::default()
        });
        journey.keys("enter");
        journey.event(EventKind::Started(Box::new(info())));
        journey.event(EventKind::Phase(Phase::Training));
        journey.event(EventKind::Steps(vec![step(12)]));
        journey
    };
    let gone = |mut journey: Journey| {
        journey.tell(Message::HangUp);
        assert_eq!(journey.quit(), None, "the run is saved first");
        journey.tell(Message::EngineGone);
        journey.quit().cloned()
    };
    let dir = info().dir;
    let journey = started(Settings::default());
    assert_eq!(
        gone(journey),
        Some(Outcome::Background {
            dir: dir.clone(),
            until: None
        })
    );
    // It ends where it was told to pause, unless something else was asked for since.
    for until in [Some(40), None] {
        let mut journey = started(Settings::default());
        journey.keys(":");
        journey.text("until step 40");
        journey.keys("enter");
        if until.is_none() {
            journey.keys("space");
            journey.event(EventKind::Phase(Phase::Paused));
            journey.keys("space");
            journey.event(EventKind::Phase(Phase::Training));
        }
        let dir = dir.clone();
        assert_eq!(gone(journey), Some(Outcome::Background { dir, until }));
    }
    let journey = started(Settings {
        on_hangup: OnHangup::Save,
        ..Settings::default()
    });
    assert_eq!(gone(journey), Some(Outcome::Interrupted));
    // One that has not made a step yet makes it first.
    let mut journey = Journey::with(Setup {
        width: 120,
        height: 40,
        ..Setup::default()
    });
    journey.keys("enter");
    journey.tell(Message::HangUp);
    journey.event(EventKind::Started(Box::new(info())));
    journey.event(EventKind::Phase(Phase::Training));
    assert_eq!(journey.quit(), None);
    assert!(!journey.sent().contains(&Command::Shutdown));
    journey.event(EventKind::Steps(vec![step(1)]));
    assert!(journey.sent().contains(&Command::Shutdown));
    journey.tell(Message::EngineGone);
    let dir = info().dir;
    assert_eq!(
        journey.quit(),
        Some(&Outcome::Background { dir, until: None })
    );
    // A pause is the user's wish.
    let mut journey = started(Settings::default());
    journey.event(EventKind::Phase(Phase::Paused));
    assert_eq!(gone(journey), Some(Outcome::Interrupted));
    // What another process trains is no concern of this terminal.
    let mut journey = Journey::attached(Role::Control);
    journey.tell(Message::HangUp);
    assert_eq!(journey.quit(), Some(&Outcome::Interrupted));
}
