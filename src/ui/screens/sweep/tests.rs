//! The screen in every state, at several sizes, and what its keys do.

use std::path::PathBuf;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::run::sweep::{
    FORMAT_VERSION, Metric, SweepPlan, Trial, TrialOutcome, TrialResult, TrialState, halving,
};
use crate::ui::keymap::{KeyPress, Lookup};
use crate::ui::theme::{ColorDepth, Symbols};

fn snapshot() -> Snapshot {
    let rates = ["0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03"];
    let trials: Vec<Trial> = rates
        .iter()
        .enumerate()
        .map(|(at, rate)| Trial {
            values: vec![
                ("optimizer.learning_rate".into(), rate.to_string()),
                ("model.dropout".into(), format!("0.{}", at % 3)),
                ("optimizer.kind".into(), ["adamw", "sgd"][at % 2].into()),
            ],
        })
        .collect();
    let plan = SweepPlan {
        format_version: FORMAT_VERSION,
        program_version: "0".into(),
        created: 0,
        config: "gpt".into(),
        sets: vec![],
        vary: vec![],
        grid: false,
        seed: 1,
        steps: 100,
        halving: Some(2),
        rungs: halving::rungs(100, trials.len(), Some(2)),
        parallel: 2,
        metric: Metric::ValLoss,
        trials,
    };
    let result = |trial, loss: Option<f64>| TrialResult {
        trial,
        rung: 0,
        outcome: match loss {
            Some(_) => TrialOutcome::Done,
            None => TrialOutcome::Diverged,
        },
        step: 25,
        val_loss: loss,
        bits_per_byte: loss,
        message: loss.is_none().then(|| "the loss is NaN".to_string()),
    };
    let results = vec![
        result(0, Some(3.0)),
        result(1, Some(2.5)),
        result(2, Some(2.0)),
        result(5, None),
    ];
    let state = |status, step, rank, val_loss: Option<f64>| TrialState {
        status,
        step,
        train_loss: val_loss,
        val_loss,
        bits_per_byte: val_loss,
        rank,
        message: (status == TrialStatus::Diverged).then(|| "the loss is NaN".to_string()),
    };
    use TrialStatus::{Diverged, Running, Waiting};
    let states = vec![
        state(Waiting, 25, Some(3), Some(3.0)),
        state(Waiting, 25, Some(2), Some(2.5)),
        state(Waiting, 25, Some(1), Some(2.0)),
        state(Running, 12, None, None),
        state(Waiting, 0, None, None),
        state(Diverged, 9, Some(4), None),
    ];
    let curve = |trial: usize| {
        let steps = states[trial].step;
        let mut curve = Curve::new(&PathBuf::from("none"));
        curve.train = (1..=steps)
            .map(|step| (step, 4.0 - 0.01 * (step * (trial as u64 + 1)) as f64))
            .collect();
        curve.validation = states[trial]
            .val_loss
            .map(|loss| (steps, loss))
            .into_iter()
            .collect();
        curve
    };
    Snapshot {
        curves: Arc::new((0..6).map(curve).collect()),
        state: SweepState {
            dir: PathBuf::from("runs/sweep-gpt-001"),
            plan,
            results,
            trials: states,
        },
    }
}

fn shown() -> SweepScreen {
    let mut screen = SweepScreen::new(120, 40);
    screen.set(Ok(snapshot()));
    screen
}

fn keys(screen: &mut SweepScreen, keys: &str) -> Option<Wish> {
    let map = KeyMap::default();
    let mut wish = None;
    for key in keys.split_whitespace() {
        let press = KeyPress::parse(key).unwrap();
        let action = match map.lookup(&screen.contexts(), &[press]) {
            Lookup::Action(action) => Some(action),
            _ => None,
        };
        let letter = key.chars().next().filter(|_| key.chars().count() == 1);
        wish = screen.act(action, letter, &map);
    }
    wish
}

fn drawn(screen: &SweepScreen, theme: &Theme, width: u16, height: u16) -> String {
    if width == 0 {
        // The backend cannot be written as text then.
        let area = Rect::new(0, 0, width, height);
        let mut buffer = ratatui::buffer::Buffer::empty(area);
        render(screen, theme, &KeyMap::default(), area, &mut buffer);
        return String::new();
    }
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let map = KeyMap::default();
    terminal
        .draw(|frame| {
            let area = frame.area();
            render(screen, theme, &map, area, frame.buffer_mut());
        })
        .unwrap();
    terminal.backend().to_string()
}

#[track_caller]
fn sees(screen: &SweepScreen, size: (u16, u16), wanted: &[&str]) {
    let text = drawn(screen, &Theme::default(), size.0, size.1);
    for wanted in wanted {
        assert!(text.contains(wanted), "`{wanted}` is not on\n{text}");
    }
}

#[test]
fn the_table_ranks_and_the_curves_and_values_are_there() {
    let screen = shown();
    let all = [
        "sweep-gpt-001",
        "rung 1/3 to step 25",
        "results of 4 of 6 trials",
        "running",
        "learning_rate",
        "trial-003",
        "2.0000",
        "diverged",
        "help",
        "quit",
    ];
    sees(&screen, (200, 60), &all);
    sees(
        &screen,
        (200, 60),
        &["Losses", "Values", "val loss", "adamw", "sgd"],
    );
    sees(&screen, (80, 24), &["sweep-gpt-001", "trial-003", "Losses"]);
    // The best first, who failed last, and between them what runs before what waits.
    assert_eq!(screen.order, [2, 1, 0, 3, 4, 5]);
}

#[test]
fn every_state_is_drawn_at_every_size() {
    let ascii = Theme::new("dark", ColorDepth::None, Symbols::ascii());
    let mut empty = snapshot();
    empty.curves = Arc::new(vec![Curve::default(); 6]);
    for trial in &mut empty.state.trials {
        (trial.rank, trial.val_loss, trial.step) = (None, None, 0);
    }
    empty.state.results.clear();
    let mut bare = SweepScreen::new(80, 24);
    bare.set(Ok(empty));
    let mut broken = SweepScreen::new(80, 24);
    broken.set(Err("sweep.json is damaged".into()));
    let mut asked = shown();
    keys(&mut asked, "q");
    let mut helped = shown();
    keys(&mut helped, "?");
    let mut ended = shown();
    ended.on_end(Ended::Failed("no space is left".into()));
    sees(&broken, (80, 24), &["sweep.json is damaged"]);
    sees(
        &asked,
        (80, 24),
        &["save the trials and stop", "sweep --resume"],
    );
    sees(&helped, (80, 24), &["Help", "Trials"]);
    sees(&ended, (80, 24), &["failed: no space is left"]);
    let mut zoomed = shown();
    for pane in ["1", "2", "3"] {
        keys(&mut zoomed, &format!("{pane} z"));
        for (width, height) in [(0, 0), (1, 1), (40, 12), (80, 24), (110, 30), (200, 60)] {
            for theme in [&Theme::default(), &ascii] {
                for screen in [
                    &SweepScreen::new(9, 9),
                    &bare,
                    &broken,
                    &asked,
                    &helped,
                    &ended,
                    &zoomed,
                ] {
                    drawn(screen, theme, width, height);
                }
            }
        }
        keys(&mut zoomed, "z");
    }
}

#[test]
fn the_cursor_stays_on_its_trial_while_the_order_changes() {
    let mut screen = shown();
    keys(&mut screen, "home down");
    assert_eq!(screen.selected, 1);
    keys(&mut screen, "o");
    assert_eq!((screen.selected, screen.cursor()), (1, 1));
    let mut later = snapshot();
    later.state.trials[1].rank = Some(1);
    later.state.trials[2].rank = Some(2);
    keys(&mut screen, "o");
    screen.set(Ok(later));
    assert_eq!((screen.selected, screen.cursor()), (1, 0));
    keys(&mut screen, "end");
    assert_eq!(screen.selected, 5);
    sees(&screen, (80, 24), &["trial-006: the loss is NaN"]);
}

#[test]
fn on_a_narrow_screen_losses_and_values_take_turns() {
    let mut screen = shown();
    sees(&screen, (80, 24), &["2 Losses"]);
    keys(&mut screen, "3");
    sees(&screen, (80, 24), &["3 Values", "learning_rate"]);
    keys(&mut screen, "tab z");
    assert_eq!(screen.focus, SweepPane::Trials);
    keys(&mut screen, "esc");
    assert!(!screen.zoomed);
}

#[test]
fn leaving_asks_and_stops_once() {
    let mut screen = shown();
    assert_eq!(keys(&mut screen, "q t"), None);
    assert_eq!(keys(&mut screen, "q esc"), None);
    assert_eq!(keys(&mut screen, "S s"), Some(Wish::Stop));
    sees(&screen, (80, 24), &["saving the trials"]);
    assert_eq!(screen.on_end(Ended::Interrupted), Some(Wish::Leave));
    // A second time it does not wait.
    let mut screen = shown();
    assert_eq!(keys(&mut screen, "q enter"), Some(Wish::Stop));
    assert_eq!(keys(&mut screen, "q"), Some(Wish::Hurry));
    // A sweep that is done stays on screen until the user leaves it.
    let mut screen = shown();
    assert_eq!(screen.on_end(Ended::Finished), None);
    sees(&screen, (80, 24), &["finished"]);
    assert_eq!(keys(&mut screen, "q"), Some(Wish::Leave));
    let mut screen = shown();
    assert_eq!(screen.terminate(), Wish::Stop);
}

#[test]
fn every_key_does_something() {
    let map = KeyMap::default();
    let picture = |screen: &SweepScreen| {
        let mut buffer = ratatui::buffer::Buffer::empty(screen.size);
        render(screen, &Theme::default(), &map, screen.size, &mut buffer);
        buffer
    };
    let bindings = map.bindings().iter();
    // The colours are those of whoever shows the screen.
    let here = bindings.filter(|b| b.context == Context::Sweep && b.action != Action::NextTheme);
    for binding in here {
        for (width, height) in [(80, 24), (200, 60)] {
            for sequence in &binding.keys {
                let works = ["", "G", "home", "2", "z"].iter().any(|before| {
                    let mut screen = shown();
                    screen.resize(width, height);
                    keys(&mut screen, before);
                    let there = picture(&screen);
                    let Lookup::Action(action) = map.lookup(&screen.contexts(), sequence) else {
                        return false;
                    };
                    let wish = screen.act(Some(action), None, &map);
                    wish.is_some() || picture(&screen) != there
                });
                assert!(works, "{} at {width}×{height}", binding.keys_text());
            }
        }
    }
}

#[test]
fn numbers_of_long_runs_are_never_cut() {
    let mut snapshot = snapshot();
    snapshot.state.plan.steps = 100_000;
    snapshot.state.trials[0].step = 14_837;
    snapshot.state.trials[1].val_loss = Some(12_345.678);
    snapshot.state.trials[2].val_loss = Some(1.25e12);
    let mut screen = SweepScreen::new(120, 40);
    screen.set(Ok(snapshot));
    sees(
        &screen,
        (120, 40),
        &[" 14837/100000 ", " 12345.7 ", " 1.2e12 "],
    );
    // Where there is no room the column is left out whole.
    for width in 60..120 {
        let text = drawn(&screen, &Theme::default(), width, 24);
        let whole = text.matches("14837/100000").count();
        assert_eq!(text.matches("14837").count(), whole, "{text}");
    }
}
