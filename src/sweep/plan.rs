//! From what was asked for to the trials of a sweep, every one of them checked. Nothing is written here.

use crate::config::{Loaded, RunConfig, Source, load_with_notes};
use crate::run::sweep::{FORMAT_VERSION, Metric, SweepPlan, Trial, halving};
use crate::words::counted;

use super::vary::{self, Axis};

/// Trials of one sweep, at most.
pub const MOST_TRIALS: usize = 1000;
/// Problems that are told one by one.
const TOLD: usize = 20;

/// What a sweep is asked to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub config: String,
    pub sets: Vec<String>,
    pub vary: Vec<String>,
    /// Random trials; the default is [`RUNS`].
    pub runs: Option<usize>,
    pub grid: bool,
    pub steps: u64,
    pub halving: Option<u64>,
    pub parallel: usize,
    pub seed: u64,
}

/// Trials of a random sweep that says no number.
pub const RUNS: usize = 8;

/// A sweep that can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub plan: SweepPlan,
    /// Of each trial.
    pub configs: Vec<RunConfig>,
    pub notes: Vec<String>,
}

/// Makes the trials and checks all of them.
///
/// # Errors
/// Everything that is wrong, a sentence each.
pub fn plan(wish: &Wish, created: u64) -> Result<Planned, Vec<String>> {
    let mut problems = Vec::new();
    let axes = axes(wish, &mut problems);
    for (name, value, least) in [
        ("--steps", Some(wish.steps), 1),
        ("--halving", wish.halving, 2),
        ("--parallel", Some(wish.parallel as u64), 1),
    ] {
        if let Some(value) = value.filter(|value| *value < least) {
            problems.push(format!("{name} {value}: expected a whole number ≥ {least}"));
        }
    }
    if let Some(runs) = wish.runs.filter(|runs| !(1..=MOST_TRIALS).contains(runs)) {
        problems.push(format!(
            "--runs {runs}: expected a whole number from 1 to {MOST_TRIALS}"
        ));
    }
    // The configuration itself, so that what is wrong with it is told once and not by every trial.
    let mut sets = wish.sets.clone();
    sets.push(format!("train.steps={}", wish.steps.max(1)));
    let source = Source::from_argument(&wish.config);
    if let Err(errors) = load_with_notes(source.clone(), &sets) {
        problems.extend(errors.problems.iter().map(ToString::to_string));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut notes = Vec::new();
    let trials = match wish.grid {
        true => grid(&axes)?,
        false => random(&axes, wish, &mut notes),
    };
    let mut configs = Vec::new();
    for trial in &trials {
        match config(&source, &sets, trial) {
            Ok(loaded) => {
                for note in loaded.notes {
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
                configs.push(loaded.config);
            }
            Err(told) => {
                for problem in told {
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
    }
    if !problems.is_empty() {
        let more = problems.len().saturating_sub(TOLD);
        if more > 0 {
            problems.truncate(TOLD);
            problems.push(format!("… and {more} more"));
        }
        return Err(problems);
    }
    let rungs = halving::rungs(wish.steps, trials.len(), wish.halving);
    if wish.halving.is_some() && rungs.len() == 1 {
        notes.push(format!(
            "--halving: {} of {} is too little to part; all go to the end",
            counted(trials.len(), "trial"),
            counted(wish.steps, "step")
        ));
    }
    let tokens_differ = axes.iter().any(|axis| axis.key.starts_with("tokenizer."));
    Ok(Planned {
        plan: SweepPlan {
            format_version: FORMAT_VERSION,
            program_version: env!("CARGO_PKG_VERSION").to_string(),
            created,
            config: wish.config.clone(),
            sets: wish.sets.clone(),
            vary: wish.vary.clone(),
            grid: wish.grid,
            seed: wish.seed,
            steps: wish.steps,
            halving: wish.halving,
            rungs,
            parallel: wish.parallel,
            metric: match tokens_differ {
                true => Metric::BitsPerByte,
                false => Metric::ValLoss,
            },
            trials,
        },
        configs,
        notes,
    })
}

fn axes(wish: &Wish, problems: &mut Vec<String>) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    if wish.vary.is_empty() {
        problems.push("nothing to vary: give at least one --vary KEY=VALUES".to_string());
    }
    for text in &wish.vary {
        match vary::parse(text) {
            Ok(axis) if axes.iter().any(|other| other.key == axis.key) => {
                problems.push(format!("--vary {text}: {} is varied twice", axis.key));
            }
            Ok(axis) => axes.push(axis),
            Err(told) => problems.extend(told),
        }
    }
    for set in &wish.sets {
        let key = set.split_once('=').map_or("", |(key, _)| key.trim());
        if axes.iter().any(|axis| axis.key == key) {
            problems.push(format!(
                "--set {set}: {key} is varied; leave one of the two out"
            ));
        }
        if key == "train.steps" {
            problems.push(format!("--set {set}: give the steps of a trial by --steps"));
        }
    }
    axes
}

/// The config of a trial. Paths of its corpus are made absolute: a sweep may go on from another folder.
fn config(source: &Source, sets: &[String], trial: &Trial) -> Result<Loaded, Vec<String>> {
    let mut all = sets.to_vec();
    all.extend(
        trial
            .values
            .iter()
            .map(|(key, value)| format!("{key}={value}")),
    );
    match load_with_notes(source.clone(), &all) {
        Ok(mut loaded) => {
            if loaded
                .config
                .corpus
                .path
                .iter()
                .any(|path| path.as_os_str() == "-")
            {
                let text = "corpus.path = \"-\": standard input can be read once, a sweep needs the text for every trial; \
                            put it into a file";
                return Err(vec![text.to_string()]);
            }
            for path in &mut loaded.config.corpus.path {
                if let Ok(absolute) = std::path::absolute(&*path) {
                    *path = absolute;
                }
            }
            Ok(loaded)
        }
        Err(errors) => Err(errors
            .problems
            .iter()
            .map(|problem| format!("trial ({}): {problem}", trial.words()))
            .collect()),
    }
}

/// All combinations, the last key turning fastest.
fn grid(axes: &[Axis]) -> Result<Vec<Trial>, Vec<String>> {
    let mut problems = Vec::new();
    let mut trials = vec![Trial { values: Vec::new() }];
    for axis in axes {
        let values = match axis.grid() {
            Ok(values) => values,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if trials.len() * values.len() > MOST_TRIALS {
            return Err(vec![format!(
                "the grid has more than {MOST_TRIALS} combinations: give fewer values, or leave --grid out and choose --runs"
            )]);
        }
        trials = trials
            .iter()
            .flat_map(|trial| {
                values.iter().map(|value| {
                    let mut trial = trial.clone();
                    trial.values.push((axis.key.to_string(), value.clone()));
                    trial
                })
            })
            .collect();
    }
    match problems.is_empty() {
        true => Ok(trials),
        false => Err(problems),
    }
}

/// Different combinations drawn by the seed. The first ones are the same however many are asked for.
fn random(axes: &[Axis], wish: &Wish, notes: &mut Vec<String>) -> Vec<Trial> {
    let runs = wish.runs.unwrap_or(RUNS);
    let combinations = axes.iter().try_fold(1usize, |all, axis| {
        axis.size().and_then(|size| all.checked_mul(size))
    });
    let wanted = combinations.map_or(runs, |all| all.min(runs));
    if wanted < runs {
        notes.push(format!(
            "--runs {runs}: these values make no more than {}",
            counted(wanted, "different trial")
        ));
    }
    let mut trials: Vec<Trial> = Vec::new();
    // Enough to find each of a finite number by chance; a range rounded to three digits may hold fewer than are wanted.
    let attempts = 50 * wanted as u64 + 1000;
    for attempt in 0..attempts {
        if trials.len() == wanted {
            break;
        }
        let values = axes.iter().enumerate().map(|(at, axis)| {
            let share = uniform(wish.seed, attempt, at as u64);
            (axis.key.to_string(), axis.draw(share))
        });
        let trial = Trial {
            values: values.collect(),
        };
        if !trials.contains(&trial) {
            trials.push(trial);
        }
    }
    if trials.len() < wanted {
        notes.push(format!(
            "--runs {runs}: no more than {} found",
            match trials.len() {
                1 => "1 different trial was".to_string(),
                all => format!("{all} different trials were"),
            }
        ));
    }
    trials
}

/// In [0, 1), counted and not drawn: the same for the same three numbers.
fn uniform(seed: u64, attempt: u64, axis: u64) -> f64 {
    let mixed = mix(mix(mix(seed) ^ attempt) ^ axis);
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014), after one step of its counter.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(vary: &[&str]) -> Wish {
        Wish {
            config: "gpt".to_string(),
            sets: Vec::new(),
            vary: vary.iter().map(ToString::to_string).collect(),
            runs: None,
            grid: false,
            steps: 500,
            halving: None,
            parallel: 1,
            seed: 1,
        }
    }

    fn words(planned: &Planned) -> Vec<String> {
        planned.plan.trials.iter().map(Trial::words).collect()
    }

    #[test]
    fn a_grid_has_every_combination() {
        let mut wish = wish(&["model.dropout=0,0.1", "model.n_layers=2..4"]);
        wish.grid = true;
        let planned = plan(&wish, 0).unwrap();
        assert_eq!(
            words(&planned),
            [
                "dropout 0.0, n_layers 2",
                "dropout 0.0, n_layers 3",
                "dropout 0.0, n_layers 4",
                "dropout 0.1, n_layers 2",
                "dropout 0.1, n_layers 3",
                "dropout 0.1, n_layers 4"
            ]
        );
        assert_eq!(planned.configs.len(), 6);
        for config in &planned.configs {
            assert_eq!(config.train.steps, 500);
        }
        wish.vary = vec![
            "model.dropout=0..0.5".into(),
            "optimizer.learning_rate=1e-4..1:log".into(),
        ];
        assert_eq!(
            plan(&wish, 0).unwrap_err().len(),
            2,
            "two ranges without points"
        );
        wish.vary = vec![
            "model.dropout=0..0.9:500".into(),
            "optimizer.learning_rate=1e-4..1:500".into(),
        ];
        assert!(plan(&wish, 0).unwrap_err()[0].contains("more than 1000"));
    }

    #[test]
    fn random_trials_differ_and_follow_from_the_seed() {
        let mut wish = wish(&[
            "optimizer.learning_rate=1e-4..1e-2:log",
            "model.dropout=0,0.1,0.2",
        ]);
        let first = plan(&wish, 0).unwrap();
        assert_eq!(first.plan.trials.len(), RUNS);
        assert_eq!(plan(&wish, 0).unwrap(), first);
        wish.runs = Some(20);
        let more = plan(&wish, 0).unwrap();
        assert_eq!(
            more.plan.trials[..RUNS],
            first.plan.trials,
            "more are more of the same"
        );
        for (at, trial) in more.plan.trials.iter().enumerate() {
            assert!(!more.plan.trials[..at].contains(trial));
        }
        // The rates are spread over the decades.
        let below = more
            .configs
            .iter()
            .filter(|c| c.optimizer.learning_rate < 1e-3);
        assert!((4..=16).contains(&below.count()));
        wish.seed = 2;
        assert_ne!(plan(&wish, 0).unwrap().plan.trials, more.plan.trials);
    }

    #[test]
    fn a_small_space_is_tried_whole() {
        let planned = plan(&wish(&["model.dropout=0,0.1,0.2"]), 0).unwrap();
        let mut all = words(&planned);
        all.sort();
        assert_eq!(all, ["dropout 0.0", "dropout 0.1", "dropout 0.2"]);
        assert!(
            planned.notes[0].contains("no more than 3 different trials"),
            "{:?}",
            planned.notes
        );
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let mut wish = wish(&[
            "model.dropuot=0",
            "model.dropout=2",
            "model.n_layers=2,3",
            "model.n_layers=4",
        ]);
        wish.sets = vec![
            "model.n_layers=5".into(),
            "train.steps=7".into(),
            "train.batch_size=0".into(),
        ];
        wish.halving = Some(1);
        wish.runs = Some(0);
        wish.parallel = 0;
        wish.steps = 0;
        let problems = plan(&wish, 0).unwrap_err();
        for words in [
            "did you mean `model.dropout`?",
            "2: expected a number",
            "model.n_layers is varied twice",
            "--set model.n_layers=5: model.n_layers is varied",
            "--set train.steps=7: give the steps",
            "train.batch_size = 0: expected",
            "--halving 1: expected",
            "--runs 0: expected",
            "--parallel 0: expected",
            "--steps 0: expected",
        ] {
            let found = problems.iter().filter(|problem| problem.contains(words));
            assert_eq!(found.count(), 1, "{words}: {problems:#?}");
        }
        assert_eq!(problems.len(), 10, "{problems:#?}");
        assert!(plan(&self::wish(&[]), 0).unwrap_err()[0].contains("nothing to vary"));
    }

    #[test]
    fn values_that_contradict_the_rest_are_told_with_their_trial() {
        let mut wish = wish(&["model.n_heads=3,4", "model.dropout=0,0.1"]);
        wish.sets = vec!["model.d_model=128".into()];
        let problems = plan(&wish, 0).unwrap_err();
        assert!(
            problems.iter().all(|p| p.starts_with("trial (n_heads 3, ")),
            "{problems:#?}"
        );
        let meaningless = plan(&self::wish(&["optimizer.momentum=0.5,0.9"]), 0).unwrap_err();
        assert!(
            meaningless[0].contains("applies only where optimizer.kind"),
            "{meaningless:#?}"
        );
        let mut stdin = self::wish(&["model.dropout=0,0.1"]);
        stdin.config = "char-rnn".into();
        stdin.sets = vec!["corpus.path=-".into()];
        let problems = plan(&stdin, 0).unwrap_err();
        assert!(
            problems.iter().any(|p| p.contains("standard input")),
            "{problems:#?}"
        );
    }

    #[test]
    fn tokenizers_are_compared_by_bits_per_byte() {
        let planned = plan(&wish(&["tokenizer.kind=char,bpe"]), 0).unwrap();
        assert_eq!(planned.plan.metric, Metric::BitsPerByte);
    }
}
