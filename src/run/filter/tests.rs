//! The filter language: a table of what fits, what is refused and where, and that nothing breaks the parser.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::{ModelKind, Source, load};
use crate::run::{Parent, RunStatus, RunSummary, SortBy};

const NOW: u64 = 10_000;

fn run(name: &str, sets: &[&str]) -> RunEntry {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    let config = load(Source::Defaults, &sets).unwrap();
    let summary = RunSummary {
        dir: PathBuf::from(name),
        name: name.to_string(),
        status: RunStatus::Finished,
        model: config.model.kind(),
        corpus: "stories".to_string(),
        device: "flex (CPU, 2 threads)".to_string(),
        created: NOW - 7_200,
        updated: NOW - 600,
        parameters: 810_000,
        step: 2_000,
        total_steps: 2_000,
        seconds: 90.0,
        train_loss: Some(1.7),
        val_loss: Some(1.88),
        best_val_loss: Some(1.85),
        best_step: Some(1_800),
        bits_per_byte: Some(2.5),
        resumable: true,
        problem: None,
    };
    let mut entry = RunEntry::from(summary);
    entry.set_config(&config);
    entry
}

/// A finished GPT with a tag and a note, and a char RNN that has not evaluated yet.
fn two() -> [RunEntry; 2] {
    let mut gpt = run("gpt-stories-001", &["optimizer.learning_rate=1e-3"]);
    gpt.notes.change_tags("baseline lr/Low").unwrap();
    gpt.notes.set_note("the one to beat").unwrap();
    gpt.parent = Some(Parent {
        run: "runs/elder".into(),
        step: 3,
    });
    let mut rnn = run(
        "rnn",
        &["model.kind=char-rnn", "optimizer.learning_rate=5e-3"],
    );
    rnn.summary.model = ModelKind::CharRnn;
    rnn.summary.status = RunStatus::Running;
    rnn.summary.val_loss = None;
    rnn.summary.bits_per_byte = None;
    rnn.summary.updated = NOW;
    rnn.process = Some(4_711);
    [gpt, rnn]
}

#[test]
fn what_fits() {
    let [gpt, rnn] = two();
    for (text, first, second) in [
        ("", true, true),
        ("   ", true, true),
        ("gpt", true, false),
        ("GPT", true, false),
        ("beat", true, false),
        ("\"to beat\"", true, false),
        ("stories", true, true),
        ("baseline rnn", false, false),
        ("baseline | rnn", true, true),
        ("val_loss<1.9", true, false),
        ("val_loss < 1.9 & model = gpt", true, false),
        ("val_loss<1.9&&model==gpt", true, false),
        ("val_loss<1.88", false, false),
        ("val_loss<=1.88", true, false),
        ("val_loss!=1", true, false),
        ("!(val_loss<1.9)", false, true),
        ("!val_loss<1.9", false, true),
        ("best<1.86 bits>2 step>=2k parameters<1M", true, false),
        ("status=running", false, true),
        ("status!=running", true, false),
        ("status~run", false, true),
        ("tags=baseline", true, false),
        ("tags=base", false, false),
        ("tags~base", true, false),
        ("tags=LR/low", true, false),
        ("tags!=baseline", false, false),
        ("!tags=baseline", false, true),
        ("note~beat", true, false),
        ("age<5m", false, true),
        ("age>=10m & created<3h", true, false),
        ("duration=1.5m", true, true),
        ("optimizer.learning_rate<=1e-3", true, false),
        ("learning_rate>0.001", false, true),
        ("model.kind=char-rnn", false, true),
        ("n_heads>0", true, false),
        ("tokenizer~bp", true, false),
        ("parent~elder", true, false),
        ("pid=4711", false, true),
        ("gpt | rnn & status=running", true, true),
        ("(gpt | rnn) & status=running", false, true),
        ("!gpt", false, true),
        ("!!gpt", true, false),
        ("device~flex", true, true),
    ] {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            (filter.fits(&gpt, NOW), filter.fits(&rnn, NOW)),
            (first, second),
            "{text}"
        );
    }
}

#[test]
fn what_is_refused_and_where() {
    for (text, at, words) in [
        ("val_los<1", 0, "did you mean `val_loss`?"),
        ("gpt & kind=gpt", 6, "`kind` may be"),
        ("val_loss<", 9, "a value for `val_loss` is missing here"),
        (
            "val_loss<abc",
            9,
            "`abc` is no number; `val_loss` takes one like 1.9",
        ),
        ("val_loss~1", 8, "is a number: = != < <= > >= are allowed"),
        ("model<gpt", 5, "is text: = != ~ are allowed"),
        ("model=gtp", 6, "did you mean `gpt`?"),
        ("status=dead", 7, "it is running, finished"),
        ("age<soon", 4, "is no time; `age` takes one like 90, 30s"),
        ("(gpt", 0, "this `(` is never closed"),
        ("gpt)", 3, "this `)` closes nothing"),
        ("gpt &", 5, "a term is missing"),
        ("| gpt", 0, "`|` cannot stand here"),
        ("a || | b", 5, "`|` cannot stand here"),
        ("\"open", 0, "this quote is never closed"),
        ("\"\"", 0, "an empty word"),
        ("note=\"a\"b\"", 9, "never closed"),
        ("!", 1, "a term is missing"),
        ("=3", 0, "`=` cannot stand here"),
    ] {
        match Filter::parse(text) {
            Err(error) => {
                assert!(error.message.contains(words), "{text}: {error}");
                assert_eq!(error.at, at, "{text}: {error}");
            }
            Ok(filter) => panic!("{text} is taken: {filter:?}"),
        }
    }
    let deep = format!("{}gpt{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Filter::parse(&deep).unwrap_err().message.contains("levels"));
}

#[test]
fn sorting_puts_runs_without_a_value_last_both_ways() {
    let [gpt, rnn] = two();
    let third = run("a", &["optimizer.learning_rate=2e-3"]);
    let order = |by: &str| {
        let by = SortBy::parse(by).unwrap();
        let mut runs = [&gpt, &rnn, &third];
        runs.sort_by(|a, b| by.compare(a, b, NOW));
        runs.map(|run| run.summary.name.as_str())
    };
    assert_eq!(order("val_loss"), ["a", "gpt-stories-001", "rnn"]);
    assert_eq!(order("-val_loss"), ["a", "gpt-stories-001", "rnn"]);
    assert_eq!(order("-name"), ["rnn", "gpt-stories-001", "a"]);
    assert_eq!(order("learning_rate"), ["gpt-stories-001", "a", "rnn"]);
    assert_eq!(order("-learning_rate"), ["rnn", "a", "gpt-stories-001"]);
    assert_eq!(order("age"), ["rnn", "a", "gpt-stories-001"]);
    assert!(SortBy::parse("vel_loss").unwrap_err().contains("val_loss"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_breaks_the_parser(
        text in prop_oneof![
            any::<String>(),
            proptest::collection::vec(
                prop_oneof![
                    Just("val_loss"), Just("model"), Just("tags"), Just("age"), Just("<"), Just("="), Just("!="),
                    Just("~"), Just("&"), Just("|"), Just("!"), Just("("), Just(")"), Just("\""), Just("\\"),
                    Just(" "), Just("1.9"), Just("1e999k"), Just("é"), Just("k"), Just("5m"), Just("gpt"),
                ],
                0..24,
            ).prop_map(|words| words.concat()),
        ]
    ) {
        match Filter::parse(&text) {
            Ok(filter) => {
                for run in two() {
                    filter.fits(&run, NOW);
                }
            }
            Err(error) => {
                prop_assert!(error.at <= text.chars().count());
                prop_assert!(!error.message.is_empty());
            }
        }
    }
}
