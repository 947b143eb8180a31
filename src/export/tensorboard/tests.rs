use super::*;
use crate::protocol::{Edit, EditAuthor, Rewound};
use crate::run::EditRecord;

/// One field of a message: its number, and what it holds.
#[derive(Debug, Clone, PartialEq)]
enum Field<'a> {
    Varint(u64),
    Double(f64),
    Float(f32),
    Bytes(&'a [u8]),
}

/// A reader written apart from the writer.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            kind => {
                let length = match kind {
                    1 => 8,
                    2 => varint(&mut bytes) as usize,
                    5 => 4,
                    other => panic!("kind {other}"),
                };
                let (data, rest) = bytes.split_at(length);
                bytes = rest;
                match kind {
                    1 => Field::Double(f64::from_le_bytes(data.try_into().unwrap())),
                    5 => Field::Float(f32::from_le_bytes(data.try_into().unwrap())),
                    _ => Field::Bytes(data),
                }
            }
        };
        found.push((key >> 3, field));
    }
    found
}

fn message<'a>(bytes: &'a [u8], number: u64) -> Option<&'a [u8]> {
    let all: Vec<(u64, Field<'a>)> = fields(bytes);
    all.into_iter().find_map(|(field, value)| match value {
        Field::Bytes(data) if field == number => Some(data),
        _ => None,
    })
}

/// Records, with both checksums held against their data.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let check = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(check(8), record::masked(&bytes[..8]));
        assert_eq!(check(12 + length), record::masked(&bytes[12..12 + length]));
        found.push(&bytes[12..12 + length]);
        bytes = &bytes[16 + length..];
    }
    found
}

/// Wall time, step, tag, and a number or a text.
fn read(bytes: &[u8]) -> Vec<(f64, u64, String, Result<f32, String>)> {
    let mut found = Vec::new();
    for event in records(bytes) {
        let (mut wall_time, mut step) = (0.0, 0);
        for (number, field) in fields(event) {
            match (number, field) {
                (1, Field::Double(time)) => wall_time = time,
                (2, Field::Varint(number)) => step = number,
                _ => {}
            }
        }
        let Some(summary) = message(event, 5) else {
            assert_eq!(message(event, 3), Some(&b"brain.Event:2"[..]));
            continue;
        };
        for (_, value) in fields(summary) {
            let Field::Bytes(value) = value else {
                panic!("{value:?}")
            };
            let tag = String::from_utf8(message(value, 1).unwrap().to_vec()).unwrap();
            let scalar = fields(value)
                .into_iter()
                .find_map(|(number, field)| match field {
                    Field::Float(scalar) if number == 2 => Some(scalar),
                    _ => None,
                });
            let content = match (scalar, message(value, 8)) {
                (Some(scalar), None) => Ok(scalar),
                (None, Some(tensor)) => {
                    let plugin = message(message(value, 9).unwrap(), 1).unwrap();
                    assert_eq!(message(plugin, 1), Some(&b"text"[..]));
                    Err(String::from_utf8(message(tensor, 8).unwrap().to_vec()).unwrap())
                }
                other => panic!("{other:?}"),
            };
            found.push((wall_time, step, tag, content));
        }
    }
    found
}

fn history() -> History {
    let step = |step: u64, loss: f64| StepReport {
        step,
        epoch: 0.0,
        tokens: step * 10,
        loss,
        learning_rate: 0.25,
        grad_norm: 2.0,
        tokens_per_second: 100.0,
        ms: 500.0,
        forward_ms: 0.0,
        backward_ms: 0.0,
        optimizer_ms: 0.0,
        seconds: step as f64 * 0.5,
    };
    History {
        steps: vec![step(1, 4.0), step(2, f64::NAN), step(3, 2.0)],
        evaluations: vec![EvalReport {
            step: 2,
            tokens: 20,
            seconds: 1.25,
            train_loss: 3.0,
            val_loss: 3.5,
            perplexity: 33.0,
            bits_per_byte: 1.5,
            unknown_fraction: 0.0,
            best: true,
        }],
        samples: vec![SampleRecord {
            step: 2,
            prompt_index: 0,
            prompt: "Once".into(),
            text: " upon\na *time*".into(),
            temperature: 0.8,
            top_k: 40,
            top_p: 1.0,
            tokens_per_second: 1.0,
            complete: true,
        }],
        edits: vec![EditRecord {
            step: 3,
            edit: Edit::LearningRateMultiplier(0.5),
            undo: None,
            by: EditAuthor::User,
        }],
        ..History::default()
    }
}

fn logged<'a>(name: &'a str, history: &'a History) -> Logged<'a> {
    Logged {
        name,
        created: 1_700_000_000,
        config: "[model]\nkind = \"gpt\"",
        history,
    }
}

#[test]
fn everything_the_run_logged_is_in_it() {
    let history = history();
    let found = read(&events(&logged("x", &history)));
    let text = |tag: &str| {
        let all = found.iter().filter(|event| event.2 == tag);
        all.map(|event| (event.0, event.1, event.3.clone().unwrap_err()))
            .collect::<Vec<_>>()
    };
    let scalars = |tag: &str| {
        let all = found.iter().filter(|event| event.2 == tag);
        all.map(|event| (event.0, event.1, event.3.clone().unwrap()))
            .collect::<Vec<_>>()
    };
    let base = 1_700_000_000.0;
    let losses = scalars("train/loss");
    assert_eq!(losses[0], (base + 0.5, 1, 4.0));
    assert!(losses[1].2.is_nan());
    assert_eq!(losses[2], (base + 1.5, 3, 2.0));
    for (tag, value) in [
        ("train/learning_rate", 0.25),
        ("train/grad_norm", 2.0),
        ("train/tokens_per_second", 100.0),
    ] {
        assert_eq!(
            scalars(tag).iter().map(|s| s.2).collect::<Vec<_>>(),
            [value; 3]
        );
    }
    for (tag, value) in [
        ("eval/loss", 3.5),
        ("eval/perplexity", 33.0),
        ("eval/bits_per_byte", 1.5),
        ("eval/train_loss", 3.0),
    ] {
        assert_eq!(scalars(tag), [(base + 1.25, 2, value)]);
    }
    assert_eq!(
        text("config"),
        [(base, 0, "    [model]\n    kind = \"gpt\"".to_string())]
    );
    assert_eq!(
        text("edits"),
        [(base + 1.5, 3, "learning rate × 0.5".to_string())]
    );
    let sample = "temperature 0.8, top-k 40, top-p 1\n\n    Once upon\n    a *time*".to_string();
    assert_eq!(text("samples/prompt 1"), [(base + 1.0, 2, sample)]);
    let steps: Vec<u64> = found.iter().map(|event| event.1).collect();
    assert!(steps.is_sorted(), "{steps:?}");
}

#[test]
fn what_a_run_has_left_lies_in_folders_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let mut history = history();
    let left = |from, step, records| LeftBranch {
        rewound: Rewound {
            from,
            step,
            checkpoint: format!("step-{step:08}"),
            by: EditAuthor::User,
            onto: None,
        },
        records,
    };
    let step = |step: u64, loss: f64| {
        let seconds = 10.0 + step as f64;
        Record::Step(StepReport {
            step,
            loss,
            seconds,
            ..history.steps[0]
        })
    };
    let evaluation = Record::Eval(EvalReport {
        step: 4,
        seconds: 14.5,
        ..history.evaluations[0]
    });
    // The samples and edits of a branch come from logs of their own.
    let sample = Record::Sample(SampleRecord {
        step: 4,
        ..history.samples[0].clone()
    });
    let edit = Record::Edit(EditRecord {
        step: 5,
        ..history.edits[0].clone()
    });
    let steps = [step(3, 7.0), step(4, 8.0), evaluation, step(5, 9.0)];
    let first = [steps.to_vec(), vec![sample, edit]].concat();
    let third = vec![step(2, 5.0)];
    history.left = vec![left(5, 2, first), left(3, 3, Vec::new()), left(2, 1, third)];
    let file = "events.out.tfevents.1700000000.fireside";
    let runs = [logged("one", &history), logged("two", &history)];
    let written = export(&runs, place.path(), Replace::Never).unwrap();
    let names: Vec<&str> = written.iter().map(|(name, _)| name.as_str()).collect();
    let of = |run: &str| {
        ["", "left-1-at-step-2/", "left-2-at-step-1/"].map(|branch| format!("{run}/{branch}{file}"))
    };
    assert_eq!(names, [of("one"), of("two")].concat());
    let found = read(&std::fs::read(place.path().join(&of("one")[1])).unwrap());
    let base = 1_700_000_000.0;
    let scalars = |tag: &str| {
        let all = found.iter().filter(|event| event.2 == tag);
        all.map(|event| (event.0, event.1, event.3.clone().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        scalars("train/loss"),
        [
            (base + 13.0, 3, 7.0),
            (base + 14.0, 4, 8.0),
            (base + 15.0, 5, 9.0)
        ]
    );
    assert_eq!(scalars("eval/loss"), [(base + 14.5, 4, 3.5)]);
    let words = "went back from step 5 to step-00000002".to_string();
    assert_eq!(
        (found[0].1, &found[0].2, &found[0].3),
        (3, &"edits".to_string(), &Err(words))
    );
    let texts = |tag: &str| {
        let all = found.iter().filter(|event| event.2 == tag);
        all.map(|event| (event.0, event.1, event.3.clone().unwrap_err()))
            .collect::<Vec<_>>()
    };
    let wrote = "temperature 0.8, top-k 40, top-p 1\n\n    Once upon\n    a *time*".to_string();
    assert_eq!(texts("samples/prompt 1"), [(base + 14.0, 4, wrote)]);
    assert_eq!(
        texts("edits")[1..],
        [(base + 15.0, 5, "learning rate × 0.5".to_string())]
    );
    // The run's own file has nothing of them but where it went back.
    let own = read(&std::fs::read(place.path().join(&of("one")[0])).unwrap());
    let losses = own.iter().filter(|event| event.2 == "train/loss");
    assert_eq!(losses.map(|event| event.1).collect::<Vec<_>>(), [1, 2, 3]);
    // One run: the branches lie beside its file, and the next export clears them away.
    let single = place.path().join("single");
    export(&runs[..1], &single, Replace::Never).unwrap();
    assert!(single.join("left-2-at-step-1").join(file).is_file());
    export(&runs[..1], &single, Replace::EarlierExport).unwrap();
}

#[test]
fn several_runs_have_a_folder_each() {
    let place = tempfile::tempdir().unwrap();
    let history = history();
    let file = "events.out.tfevents.1700000000.fireside";
    let single = place.path().join("single");
    let written = export(&[logged("one", &history)], &single, Replace::Never).unwrap();
    let bytes = std::fs::read(single.join(file)).unwrap();
    assert_eq!(written, [(file.to_string(), bytes.len() as u64)]);
    let several = place.path().join("several");
    let runs = [logged("one", &history), logged("two", &history)];
    export(&runs, &several, Replace::Never).unwrap();
    for run in ["one", "two"] {
        assert_eq!(std::fs::read(several.join(run).join(file)).unwrap(), bytes);
    }
    assert!(matches!(
        export(&runs, &several, Replace::Never),
        Err(ExportError::Exists { .. })
    ));
    export(&runs[..1], &several, Replace::EarlierExport).unwrap();
    assert!(!several.join("one").exists() && several.join(file).exists());
}
