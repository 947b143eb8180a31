use std::path::PathBuf;

use super::*;
use crate::protocol::{CheckpointInfo, CheckpointReason, Edit, EditAuthor, EvalReport, StepReport};
use crate::run::EditRecord;
use scale::Scale;

fn step(step: u64, loss: f64) -> StepReport {
    StepReport {
        step,
        epoch: 0.0,
        tokens: step * 100,
        loss,
        learning_rate: 1e-3,
        grad_norm: 1.0,
        tokens_per_second: 5000.0,
        ms: 20.0,
        forward_ms: 5.0,
        backward_ms: 10.0,
        optimizer_ms: 5.0,
        seconds: step as f64 * 0.02,
    }
}

fn history(losses: &[f64]) -> History {
    let steps = losses.iter().enumerate();
    History {
        steps: steps.map(|(at, loss)| step(at as u64 + 1, *loss)).collect(),
        evaluations: vec![EvalReport {
            step: 2,
            tokens: 200,
            seconds: 0.04,
            train_loss: 2.5,
            val_loss: 3.25,
            perplexity: 3.25f64.exp(),
            bits_per_byte: 1.5,
            unknown_fraction: 0.0,
            best: true,
        }],
        edits: vec![EditRecord {
            step: 3,
            edit: Edit::LearningRateMultiplier(0.5),
            undo: None,
            by: EditAuthor::User,
        }],
        checkpoints: vec![CheckpointInfo {
            sequence: None,
            step: 2,
            path: PathBuf::from("checkpoints/step-00000002"),
            bytes: 1,
            total_bytes: 1,
            reason: CheckpointReason::Cadence,
            val_loss: None,
        }],
        ..History::default()
    }
}

fn view(quantity: Quantity) -> View {
    View {
        quantity,
        across: Across::Step,
        range: None,
        smoothing: 0.0,
        scale: Scale::Linear,
        ahead: Vec::new(),
    }
}

fn one<'a>(name: &'a str, history: &'a History) -> [Source<'a>; 1] {
    [Source { name, history }]
}

fn look() -> Look {
    Look {
        width: 800,
        height: 450,
        background: 0xffffff,
        foreground: 0x000000,
        dim: 0x777777,
        grid: 0xdddddd,
        series: [0x111111, 0x222222, 0x333333, 0x444444, 0x555555, 0x666666],
        edit: 0xaa0000,
        checkpoint: 0x00aa00,
        bad: 0xff0000,
        monochrome: false,
    }
}

#[test]
fn a_table_has_every_value_and_leaves_empty_what_is_none() {
    let history = history(&[4.0, f64::NAN, 2.0, 1.0]);
    let mut view = view(Quantity::Loss);
    view.smoothing = 0.5;
    let figure = figure(&one("a, \"b\"", &history), &view).unwrap();
    let text = String::from_utf8(file(&figure, Kind::Csv, &look()).unwrap()).unwrap();
    let name = "\"a, \"\"b\"\"\"";
    // 0.5 of the past, corrected: (2·1 + 4·0.5 − …) by hand: (0.5·0.5·4 + 0.5·2) / 0.75 = 8/3.
    let expected = [
        "run,series,step,tokens,seconds,operations,loss,smoothed,note".to_string(),
        format!("{name},train,1,100,0.02,,4,4,"),
        format!("{name},train,2,200,0.04,,,4,"),
        format!("{name},train,3,300,0.06,,2,2.6666666666666665,"),
        format!("{name},train,4,400,0.08,,1,1.7142857142857142,"),
        format!("{name},validation,2,200,0.04,,3.25,,"),
        format!("{name},checkpoint,2,200,0.04,,,,"),
        format!("{name},edit,3,300,0.06,,,,lr ×0.5"),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);

    let text = file(&figure, Kind::Json, &look()).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let train = &value["runs"][0]["series"][0];
    assert_eq!(train["step"], serde_json::json!([1, 2, 3, 4]));
    assert_eq!(train["value"], serde_json::json!([4.0, null, 2.0, 1.0]));
    assert_eq!(train["smoothed"][3], 12.0 / 7.0);
    assert_eq!(value["runs"][0]["marks"][1]["text"], "lr ×0.5");
    assert_eq!(
        (&value["metric"], &value["x"]),
        (&"loss".into(), &"step".into())
    );
}

#[test]
fn a_range_cuts_what_is_shown_but_not_what_is_smoothed() {
    let history = history(&[8.0, 4.0, 2.0, 1.0]);
    let mut view = view(Quantity::Loss);
    (view.smoothing, view.across, view.range) = (0.9, Across::Tokens, Some((250.0, 350.0)));
    let cut = figure(&one("x", &history), &view).unwrap();
    assert_eq!(cut.runs[0].curves.len(), 1, "the evaluation is outside");
    let points = &cut.runs[0].curves[0].points;
    assert_eq!(points.iter().map(|p| p.step).collect::<Vec<_>>(), [3]);
    view.range = None;
    let whole = figure(&one("x", &history), &view).unwrap();
    let same = whole.runs[0].curves[0].points[2];
    assert_eq!(
        (same.value, same.smoothed),
        (points[0].value, points[0].smoothed)
    );
    assert_eq!(whole.range, (100.0, 400.0));
    view.range = Some((1e6, 2e6));
    let error = figure(&one("x", &history), &view).unwrap_err().to_string();
    assert!(error.contains("from 100 to 400"), "{error}");
}

#[test]
fn what_a_run_does_not_have_is_said() {
    let history = History::default();
    for quantity in Quantity::ALL {
        let error = figure(&one("x", &history), &view(quantity)).unwrap_err();
        assert!(error.to_string().contains("x has nothing"), "{error}");
    }
}

#[test]
fn perplexity_and_speed_are_what_they_say() {
    let history = history(&[2.0, 1.0]);
    let of = |quantity: Quantity| {
        let figure = figure(&one("x", &history), &view(quantity)).unwrap();
        figure.runs[0].curves[0].points[1].value
    };
    assert_eq!(of(Quantity::Perplexity), 1f64.exp());
    assert_eq!(of(Quantity::BitsPerByte), 1.0 / std::f64::consts::LN_2);
    assert_eq!(of(Quantity::TokensPerSecond), 5000.0);
    assert_eq!(of(Quantity::LearningRate), 1e-3);
}

#[test]
fn a_branch_that_was_left_is_a_curve_of_its_own() {
    use crate::protocol::Rewound;
    use crate::run::{LeftBranch, Record};
    let mut history = history(&[4.0, 3.0, 2.5]);
    history.left.push(LeftBranch {
        rewound: Rewound {
            from: 4,
            step: 2,
            checkpoint: "step-00000002".into(),
            by: EditAuthor::User,
            onto: None,
        },
        records: vec![Record::Step(step(3, 7.0)), Record::Step(step(4, 9.0))],
    });
    let figure = figure(&one("x", &history), &view(Quantity::Loss)).unwrap();
    let left = &figure.runs[0].curves[0];
    assert_eq!(left.kind, CurveKind::Left { step: 2 });
    assert_eq!(
        left.points.iter().map(|p| p.value).collect::<Vec<_>>(),
        [7.0, 9.0]
    );
    let svg = String::from_utf8(file(&figure, Kind::Svg, &look()).unwrap()).unwrap();
    assert!(svg.contains("back from step 4"), "{svg}");
}

/// The numbers of a path, as pairs.
fn places(svg: &str, stroke: &str) -> Vec<(f64, f64)> {
    let line = svg
        .lines()
        .find(|line| line.starts_with("<path") && line.contains(&format!("stroke='{stroke}'")))
        .unwrap_or_else(|| panic!("no line of {stroke} in {svg}"));
    let path = line.split('\'').nth(1).unwrap();
    path.split(['M', 'L'])
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (x, y) = part.trim_end_matches("h.01").split_once(',').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        })
        .collect()
}

#[test]
fn a_picture_has_axes_words_and_marks_and_is_read_back() {
    let mut history = history(&[4.0, f64::NAN, 2.0, 1.0]);
    history.edits[0].edit = Edit::Set([("a".to_string(), "<b> & 'c'".to_string())].into());
    let figure = figure(&one("x<y", &history), &view(Quantity::Loss)).unwrap();
    let svg = String::from_utf8(file(&figure, Kind::Svg, &look()).unwrap()).unwrap();
    for words in [
        ">x&lt;y: loss<",
        ">nats per token<",
        ">step<",
        ">train<",
        ">validation<",
        ">checkpoint<",
        ">not a number<",
        "a &lt;b&gt; &amp; &#39;c&#39;",
    ] {
        assert!(svg.contains(words), "{words} is not in {svg}");
    }
    let tree = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).unwrap();
    assert_eq!((tree.size().width(), tree.size().height()), (800.0, 450.0));
    // The legend's line comes first: the curve is the one after it. A value that is none breaks it in two.
    let curve = svg.split("<g clip-path").nth(1).unwrap();
    let places = places(curve, "#111111");
    assert_eq!(places.len(), 3);
    assert!(
        places[0].1 < places[1].1 && places[1].1 < places[2].1,
        "{places:?}"
    );
    assert_eq!(
        curve
            .split('\n')
            .find(|l| l.contains("#111111"))
            .unwrap()
            .matches('M')
            .count(),
        2
    );
}

#[test]
fn thinning_out_keeps_a_spike_and_stays_small() {
    let mut losses = vec![1.0; 200_000];
    losses[123_456] = 50.0;
    losses[60_000] = 0.1;
    let mut history = history(&losses);
    history.evaluations.clear();
    let figure = figure(&one("x", &history), &view(Quantity::Loss)).unwrap();
    let svg = String::from_utf8(file(&figure, Kind::Svg, &look()).unwrap()).unwrap();
    assert!(svg.len() < 120_000, "{}", svg.len());
    let curve = svg.split("<g clip-path").nth(1).unwrap();
    let places = places(curve, "#111111");
    let highest = places.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let lowest = places.iter().map(|p| p.1).fold(0.0, f64::max);
    let usual = places[0].1;
    assert!(
        highest < usual - 200.0 && lowest > usual,
        "{highest} {usual} {lowest}"
    );
    let csv = String::from_utf8(file(&figure, Kind::Csv, &look()).unwrap()).unwrap();
    assert_eq!(
        csv.lines().filter(|l| l.starts_with("x,train,")).count(),
        200_000
    );
}

#[test]
fn many_runs_in_any_size_are_drawn() {
    let histories: Vec<History> = (0..30)
        .map(|at| history(&[f64::from(at) + 1.0, 2.0]))
        .collect();
    let names: Vec<String> = (0..30)
        .map(|at| format!("run-with-a-long-name-{at:03}"))
        .collect();
    let sources: Vec<Source<'_>> = names
        .iter()
        .zip(&histories)
        .map(|(name, history)| Source { name, history })
        .collect();
    for quantity in Quantity::ALL {
        for scale in [Scale::Linear, Scale::Log] {
            let mut view = view(quantity);
            (view.scale, view.smoothing) = (scale, 0.9);
            let figure = figure(&sources, &view).unwrap();
            for (width, height) in [(SIZES.0, SIZES.0), (1600, 900), (SIZES.1, SIZES.0)] {
                let look = Look {
                    width,
                    height,
                    ..look()
                };
                let svg = String::from_utf8(file(&figure, Kind::Svg, &look).unwrap()).unwrap();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).unwrap();
            }
        }
    }
}

#[test]
fn files_take_the_place_of_nothing() {
    let place = tempfile::tempdir().unwrap();
    let history = history(&[2.0, 1.0]);
    let figure = figure(&one("x", &history), &view(Quantity::Loss)).unwrap();
    let folder = place.path().join("exports");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("loss.svg"), "mine").unwrap();
    let names = |written: &write::Written| -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        written.files.iter().map(name).collect()
    };
    let first = write::all(&folder, "loss", &figure, &look()).unwrap();
    let second = write::all(&folder, "loss", &figure, &look()).unwrap();
    let expect = |number: u32, written: &write::Written| {
        // A machine without fonts writes no PNG, and says so.
        let endings = if written.problems.is_empty() { 4 } else { 3 };
        let all = Kind::ALL.map(|kind| format!("loss-{number}.{}", kind.ending()));
        assert_eq!(names(written), all[..endings]);
    };
    expect(2, &first);
    expect(3, &second);
    assert_eq!(
        std::fs::read_to_string(folder.join("loss.svg")).unwrap(),
        "mine"
    );
    let path = folder.join("loss.svg");
    let error = write::new(&path, b"new", false).unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    write::new(&path, b"new", true).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    let left = std::fs::read_dir(&folder).unwrap();
    assert_eq!(
        left.count(),
        1 + first.files.len() + second.files.len(),
        "nothing half-written stays"
    );
    let missing = place.path().join("none/loss.svg");
    assert!(write::new(&missing, b"new", false).is_err());
}

#[test]
fn a_png_has_the_size_asked_for() {
    let history = history(&[2.0, 1.0]);
    let figure = figure(&one("x", &history), &view(Quantity::Loss)).unwrap();
    match file(&figure, Kind::Png, &look()) {
        Ok(bytes) => {
            assert_eq!(&bytes[1..4], b"PNG");
            let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!((side(16), side(20)), (800, 450));
        }
        Err(error) => assert!(error.to_string().contains("font"), "{error}"),
    }
}
