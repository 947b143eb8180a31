//! Every key that the help names, pressed where it names it: each does something that can be seen, and breaks nothing.

use std::collections::BTreeMap;

use super::comparing::overlaid;
use super::moments::two;
use super::runs::{dir, listed};
use super::steering::{edited, set, steered};
use super::*;
use crate::protocol::{EvalReport, LayerHealth, SamplePiece, SampleRecord};
use crate::ui::keymap::Binding;
use ratatui::buffer::Buffer;

const MANY: usize = 16;
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

/// Before a key: as it is, scrolled away from one end or the other, and with something to close, apply or undo. One of
/// them has to show what the key does.
const BEFORE: [&str; 12] = [
    "",
    "G",
    "home",
    "z",
    "+",
    "]",
    "left",
    "right",
    "down",
    "tab",
    "shift-tab",
    "ctrl-u ctrl-u",
];

fn said(step: u64, text: &str) -> SampleRecord {
    SampleRecord {
        step,
        prompt_index: step as usize % 2,
        prompt: ["Once", "There"][step as usize % 2].into(),
        text: (0..700).map(|at| format!("{text} {at}")).collect(),
        temperature: 0.8,
        top_k: 40,
        top_p: 1.0,
        tokens_per_second: 900.0,
        complete: true,
    }
}

/// A dashboard with something to see in every pane.
fn loaded_run() -> Journey {
    let mut journey = steered();
    let noisy = (201..=300).map(|at| StepReport {
        loss: 3.0 + (at % 7) as f64 / 7.0,
        grad_norm: 1.0 + (at % 5) as f64 / 5.0,
        tokens_per_second: 30_000.0 + (at % 3) as f64 * 500.0,
        ..step(at)
    });
    journey.event(EventKind::Steps(noisy.collect()));
    for at in (40..200).step_by(40) {
        for (at, words) in [(at, " upon a time"), (at + 1, " was a fox")] {
            for probability in [0.01, 0.2, 0.99] {
                journey.event(EventKind::SamplePiece {
                    step: at,
                    prompt: at as usize % 2,
                    piece: SamplePiece {
                        text: words.repeat(80),
                        probability,
                    },
                });
            }
            journey.event(EventKind::SampleDone(said(at, words)));
        }
        journey.event(EventKind::Evaluated(EvalReport {
            step: at,
            tokens: at * 768,
            seconds: 2.0,
            train_loss: 2.0,
            val_loss: 2.1,
            perplexity: 8.2,
            bits_per_byte: 1.1,
            unknown_fraction: 0.0,
            best: false,
        }));
    }
    for at in 0..60 {
        let (edit, undo) = (
            set(&[("optimizer.weight_decay", &format!("0.{at:02}"))]),
            set(&[("optimizer.weight_decay", "0.01")]),
        );
        journey.event(edited(100 + at, edit, undo));
    }
    let layers = (0..90).map(|at| LayerHealth {
        name: format!("blocks.{at}.attention"),
        grad_norm: 0.1,
        weight_norm: 9.0,
        update_ratio: 1e-3,
        saturation: None,
    });
    journey.event(EventKind::Health {
        step: 200,
        layers: layers.collect(),
    });
    journey
}

/// Home while a run trains, with one more to go on with.
fn home() -> Journey {
    let mut journey = Journey::new();
    let request = journey.effects.iter().find_map(|effect| match effect {
        Effect::After(_, Timer::Preview(request)) => Some(*request),
        _ => None,
    });
    let mut preview = preview();
    preview.tokens = vec!["a longer text".to_string(); 600];
    let kind = EventKind::Previewed {
        request: request.expect("a preview is asked for"),
        preview: Ok(preview),
    };
    journey.tell(Message::Engine(Event { run: 0, kind }));
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(vec![summary("gpt-stories", 700)]).into()),
        now: 9_200,
    });
    journey.keys("enter H");
    journey
}

fn range_test() -> Journey {
    let mut journey = Journey::new();
    journey.keys("f");
    journey.event(super::range::report(Some(1e-3)));
    journey
}

/// More runs than stand beside each other.
fn many() -> Journey {
    let mut journey = Journey::new();
    journey.keys("r");
    let runs = (0..MANY).map(|at| summary(&format!("gpt-{at}"), 700));
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(runs.collect()).into()),
        now: 9_200,
    });
    journey
}

fn compared() -> Journey {
    let mut journey = many();
    journey.keys("a d");
    let value = |at: usize, run: usize| Some(format!("{}", at + run));
    let names = crate::config::fields().iter().map(|field| field.key);
    let keys = names.enumerate().map(|(at, key)| {
        let values = (0..MANY).map(|run| value(at, run)).collect();
        (key, values)
    });
    let compared = crate::run::Compared {
        keys: keys.collect(),
        same: 0,
        edits: Vec::new(),
    };
    journey.tell(Message::Runs(RunsAnswer::Compared(Ok(compared))));
    journey
}

fn side_by_side() -> Journey {
    let mut journey = many();
    journey.keys("a s");
    let runs = (0..MANY).map(|at| {
        let samples = (1..9).map(|step| said(step, &format!(" {at} {step}")));
        let dir = dir(&format!("gpt-{at}"));
        let samples = crate::run::RunSamples {
            dir: dir.clone(),
            samples: samples.collect(),
        };
        (dir, Ok(samples))
    });
    journey.tell(Message::Runs(RunsAnswer::Samples(runs.collect())));
    journey
}

fn dialog() -> Journey {
    let mut journey = steered();
    journey.keys("b");
    journey.found(two());
    journey
}

/// A name, and a place with the keys that lead there. What does nothing at one place may do something at another of the name.
type Place = (&'static str, fn() -> Journey, &'static str);

impl Journey {
    /// What the user sees, and what the program was asked to do.
    fn outcome(&self) -> (Buffer, Vec<Effect>) {
        let sent = self.effects.iter();
        // That a key waits for another one is nothing.
        let sent = sent.filter(|effect| !matches!(effect, Effect::After(_, Timer::Key(_))));
        let mut buffer = Buffer::empty(self.app.size);
        self.app.render(self.app.size, &mut buffer);
        (buffer, sent.cloned().collect())
    }

    /// Nothing more is typed for as long as a key waits for the next.
    pub(super) fn wait(&mut self) {
        let timers: Vec<Timer> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::After(_, timer @ Timer::Key(_)) => Some(*timer),
                _ => None,
            })
            .collect();
        for timer in timers {
            self.tell(Message::Timer(timer));
        }
    }
}

/// Whether this key, or without one the action by the palette, does something here.
fn does_something(journey: &mut Journey, binding: &Binding, keys: Option<&[KeyPress]>) -> bool {
    journey.effects.clear();
    let before = journey.outcome();
    match keys {
        Some(keys) => {
            for press in keys {
                let event = KeyEvent::new(press.code, press.modifiers);
                journey.tell(Message::Input(Input::Key(event)));
            }
            journey.wait();
        }
        None => {
            let mut effects = Vec::new();
            journey.app.act(binding.action, &mut effects);
            journey.effects.append(&mut effects);
        }
    }
    journey.outcome() != before
}

/// Presses all that the help names in these places.
#[track_caller]
fn press_all(places: &[Place]) {
    let mut dead = BTreeMap::new();
    for (name, start, there) in places {
        for (width, height) in SIZES {
            let fresh = || {
                let mut journey = start();
                journey.size(width, height);
                journey.keys(there);
                journey
            };
            let contexts = fresh().app.contexts();
            let bindings = fresh().app.keymap.bindings().to_vec();
            // What holds everywhere is named by the help for the screen below it, which hears nothing meanwhile.
            let contexts = match contexts {
                [Context::Help, ..] => &contexts[..1],
                all => all,
            };
            for binding in bindings.iter().filter(|b| contexts.contains(&b.context)) {
                let mut ways: Vec<Option<&[KeyPress]>> = binding
                    .keys
                    .iter()
                    .map(|keys| Some(keys.as_slice()))
                    .collect();
                if ways.is_empty() {
                    ways.push(None);
                }
                for keys in ways {
                    let works = BEFORE.iter().any(|before| {
                        let mut journey = fresh();
                        journey.keys(before);
                        let holds = journey.app.contexts().contains(&binding.context);
                        holds && does_something(&mut journey, binding, keys)
                    });
                    let keys = keys.map(crate::ui::keymap::sequence_text);
                    let what = format!(
                        "{name} at {width}×{height}: {} ({}, {:?})",
                        keys.unwrap_or_default(),
                        binding.action.name(),
                        binding.context
                    );
                    *dead.entry(what).or_insert(true) &= !works;
                }
            }
        }
    }
    let dead: Vec<String> = dead
        .into_iter()
        .filter(|(_, dead)| *dead)
        .map(|(what, _)| what)
        .collect();
    assert!(dead.is_empty(), "nothing happens:\n{}", dead.join("\n"));
}

const HOME: &[Place] = &[
    ("ladder", home, "1"),
    ("form", home, "2"),
    ("preview", home, "3"),
];
const CHARTS: &[Place] = &[
    ("loss", loaded_run, "1"),
    ("learning rate", loaded_run, "3"),
    ("gradient norm", loaded_run, "4"),
    ("tokens/s", loaded_run, "5"),
];
const PANES: &[Place] = &[
    ("samples", loaded_run, "2"),
    ("knobs", loaded_run, "6"),
    ("health", loaded_run, "7"),
    ("events", loaded_run, "8"),
];
const RUNS: &[Place] = &[
    ("runs", listed, ""),
    ("overlay", overlaid, ""),
    ("difference", compared, ""),
    ("samples side by side", side_by_side, ""),
];
const OVER: &[Place] = &[
    ("help", loaded_run, "?"),
    ("palette", loaded_run, ":"),
    ("checkpoints", dialog, ""),
    ("quit", loaded_run, "q"),
    // Fields alone have no lines above and below: one name for all that is typed into.
    ("text", loaded_run, "n"),
    ("text", home, "/"),
    ("range test", range_test, ""),
];

#[test]
fn every_key_of_home_does_something() {
    press_all(HOME);
}

#[test]
fn every_key_of_the_charts_does_something() {
    press_all(CHARTS);
}

#[test]
fn every_key_of_the_other_panes_does_something() {
    press_all(PANES);
}

#[test]
fn every_key_of_the_runs_does_something() {
    press_all(RUNS);
}

#[test]
fn every_key_of_what_lies_over_a_screen_does_something() {
    press_all(OVER);
}

#[test]
fn no_context_is_left_out() {
    let places = [HOME, CHARTS, PANES, RUNS, OVER].concat();
    for context in Context::ALL {
        let there = places.iter().any(|(_, start, there)| {
            let mut journey = start();
            journey.keys(there);
            journey.app.contexts().contains(&context)
        });
        // A sweep has a screen and tests of its own.
        assert!(there != (context == Context::Sweep), "{context:?}");
    }
}

#[test]
fn one_key_leads_back_from_either_end_of_every_list() {
    let mut count = 0;
    for (name, start, there) in [HOME, PANES, RUNS].concat() {
        for (width, height) in SIZES {
            let mut journey = start();
            journey.size(width, height);
            journey.keys(there);
            use Context::{Chart, Overlay, Samples, SideBySide};
            // Their ends are those of the run, and up and down are something else.
            if matches!(
                journey.app.contexts()[0],
                Chart | Overlay | Samples | SideBySide
            ) {
                continue;
            }
            for (end, back) in [("G", "up"), ("g g", "down")] {
                journey.keys(end);
                let (before, _) = journey.outcome();
                journey.keys(back);
                let (after, _) = journey.outcome();
                assert!(before != after, "{name} at {width}×{height}: {end} {back}");
                count += 1;
            }
        }
    }
    assert!(count >= 32, "{count}");
}
