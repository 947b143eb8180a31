//! `fireside sample` and `fireside eval` as processes: what they write, on any number of threads, and what they refuse.

mod process;
#[cfg(unix)]
mod terminal;

use burn::tensor::Device;
use fireside::config::{self, Source};
use fireside::model::{LanguageModel, named_tensors};
use fireside::protocol::CheckpointReason;
use fireside::run::RunDir;
use fireside::run::checkpoint::{self, Checkpoint, CheckpointMeta};
use fireside::tokenizer::Tokenizer;
use process::{Place, objects};
use serde_json::Value;
#[cfg(unix)]
use terminal::Terminal;

const TEXT: &str =
    "Once upon a time there was an old mill by the river,\nand in the mill there lived a miller.\n";

impl Place {
    /// A run with one checkpoint of initial weights.
    fn make(&self, name: &str, preset: &str, sets: &[&str]) {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        let config = config::load(Source::Preset(preset.into()), &sets).unwrap();
        let text = TEXT.repeat(8);
        let tokenizer =
            Tokenizer::train(&config.tokenizer, &text, &mut fireside::progress::ignore).unwrap();
        let model = LanguageModel::new(&config.model, tokenizer.vocab_size(), 3, &Device::flex());
        let root = self.path("runs");
        let run = RunDir::create(&root, Some(&root.join(name)), &config).unwrap();
        run.write_tokenizer(&tokenizer.to_json()).unwrap();
        let meta = CheckpointMeta {
            step: 0,
            reason: CheckpointReason::User,
            best: false,
            val_loss: None,
        };
        let weights = Checkpoint {
            model: named_tensors(&model),
            optimizer: Vec::new(),
            carried: Vec::new(),
            state: serde_json::json!({}),
        };
        checkpoint::write(run.path(), &meta, &weights).unwrap();
    }
}

#[test]
fn the_same_seed_writes_the_same_text_on_any_number_of_threads() {
    let place = Place::empty();
    // Wide enough that products are shared among threads.
    let wide: [(&str, &[&str]); 3] = [
        (
            "gpt",
            &[
                "model.d_model=512",
                "model.n_layers=1",
                "tokenizer.vocab_size=300",
            ],
        ),
        (
            "char-rnn",
            &[
                "model.hidden_size=512",
                "model.cell=\"lstm\"",
                "model.n_layers=1",
            ],
        ),
        (
            "lstm-attention",
            &[
                "model.hidden_size=512",
                "model.n_layers=1",
                "tokenizer.kind=\"char\"",
            ],
        ),
    ];
    for (preset, sets) in wide {
        let mut all = vec!["model.context_length=32"];
        all.extend(sets);
        place.make(preset, preset, &all);
        let write = |threads: &str| {
            let output = place
                .command(&[
                    "sample",
                    preset,
                    "--prompt",
                    "Once upon a time there",
                    "-n",
                    "80",
                    "--count",
                    "3",
                    "--json",
                    "--seed",
                    "5",
                    "--temperature",
                    "1",
                ])
                .env("RAYON_NUM_THREADS", threads)
                .output()
                .unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        let one = write("1");
        assert_eq!(objects(&one).len(), 3);
        // Probabilities included.
        assert_eq!(one, write("2"), "{preset}");
        assert_eq!(one, write("3"), "{preset}");
    }
}

#[test]
fn texts_side_by_side_are_those_of_their_own_seeds() {
    let place = Place::empty();
    place.make(
        "gpt",
        "gpt",
        &["tokenizer.vocab_size=300", "model.n_layers=2"],
    );
    let sample = |more: &[&str]| {
        let mut all = vec!["sample", "gpt", "--prompt", "Once", "-n", "100"];
        all.extend(more);
        place.ok(&all)
    };
    let together = objects(&sample(&["--count", "4", "--seed", "10", "--json"]));
    for (index, text) in together.iter().enumerate() {
        let seed = (10 + index).to_string();
        let alone = objects(&sample(&["--seed", &seed, "--json"]));
        assert_eq!(&alone[0], text);
        assert_eq!(text["seed"], 10 + index);
        let tokens = text["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), 100);
        for token in tokens {
            for key in ["probability", "model_probability"] {
                let probability = token[key].as_f64().unwrap();
                assert!(probability > 0.0 && probability <= 1.0, "{key}");
            }
            assert!(token["id"].is_u64() && token["text"].is_string());
        }
        // The same text as lines, streamed or not.
        let line = format!("Once{}\n", text["text"].as_str().unwrap());
        assert_eq!(sample(&["--seed", &seed]), line);
        assert_eq!(sample(&["--seed", &seed, "--stream"]), line);
    }
    let settings = [
        "--seed",
        "10",
        "--temperature",
        "0.5",
        "--top-k",
        "3",
        "--top-p",
        "0.9",
        "--min-p",
        "0.05",
        "--repetition-penalty",
        "1.2",
        "--json",
    ];
    let text = &objects(&sample(&settings))[0];
    for (key, value) in [
        ("temperature", 0.5),
        ("top_k", 3.0),
        ("repetition_penalty", 1.2),
    ] {
        assert_eq!(text[key].as_f64(), Some(value));
    }
    assert_ne!(text["text"], together[0]["text"]);
    for (arguments, sentence) in [
        (["--count", "0"], "--count"),
        (["--temperature=-1", "--json"], "temperature"),
        (["--top-p", "1.5"], "--top-p must be between 0 and 1"),
        (["--repetition-penalty", "0"], "must be above 0"),
    ] {
        let mut all = vec!["sample", "gpt"];
        all.extend(arguments);
        let message = place.fails(2, &all);
        assert!(message.contains(sentence), "{message}");
    }
}

#[test]
fn prompts_come_from_standard_input_too() {
    let place = Place::empty();
    place.make("r", "char-rnn", &["model.hidden_size=16"]);
    let fixed = ["-n", "12", "--seed", "3"];
    let run = |arguments: &[&str], input: &str| {
        let mut all = vec!["sample", "r"];
        all.extend(arguments);
        all.extend(fixed);
        place.ok_with(&all, input)
    };
    let given = run(&["--prompt", "Once"], "");
    assert_eq!(run(&["--prompt", "-"], "Once\n"), given);
    // One prompt a line; the first text is that of the seed, the second that of the next.
    let talked = run(&["--interactive"], "Once\nthere\n");
    assert!(talked.starts_with(&given), "{talked}");
    assert!(talked[given.len()..].starts_with("there"), "{talked}");
    // What the vocabulary lacks is named with its place, and is no reason to stop a conversation.
    let message = place.fails(2, &["sample", "r", "--prompt", "Once \u{4e16}"]);
    for part in [
        "\u{4e16}",
        "at byte 5",
        "leave it out",
        "tokenizer.kind = \"bpe\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let output = place.run_with(&["sample", "r", "-i", "-n", "3"], "\u{4e16}\nOnce\n");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("at byte 0"));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("Once"));
    place.make(
        "w",
        "word-gru",
        &["model.hidden_size=16", "tokenizer.min_freq=1"],
    );
    let message = place.fails(2, &["sample", "w", "--prompt", "Once upon a zeppelin"]);
    assert!(message.contains("\"zeppelin\" at byte 12"), "{message}");
    // Everything that is lacking at once, so that a prompt is mended in one go.
    let prompt = "the zeppelin, upon a xylophone";
    let message = place.fails(2, &["sample", "w", "--prompt", prompt]);
    let named = "\"zeppelin\" at byte 4, \"xylophone\" at byte 21 are not in";
    assert!(message.contains(named), "{message}");
}

#[cfg(unix)]
#[test]
fn a_conversation_remembers_its_prompts() {
    let place = Place::empty();
    place.make("r", "char-rnn", &["model.hidden_size=16"]);
    let arguments = ["sample", "r", "-i", "-n", "5"];
    let start = || {
        let mut command = terminal::fireside(&arguments, place.dir());
        command.env("XDG_STATE_HOME", place.path("state"));
        Terminal::start(command, 80, 24)
    };
    // A prompt that is open, with so much typed; it stands in the last line.
    let asked = |terminal: &Terminal, typed: &str| {
        terminal.wait_until(&format!("a prompt with `{typed}`"), |shown| {
            let text = shown.text();
            text.trim_end()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_end()
                == format!("prompt: {typed}").trim_end()
        });
    };
    let count = |terminal: &Terminal, what: &str| terminal.shown().text().matches(what).count();

    let mut talk = start();
    asked(&talk, "");
    talk.press("Once");
    asked(&talk, "Once");
    talk.press("\r");
    asked(&talk, "");
    // Once as it was typed, once as the text goes on from it.
    assert_eq!(count(&talk, "Once"), 2, "{}", talk.shown().text());
    talk.press("/quit\r");
    assert_eq!(talk.exit(), 0);
    talk.assert_restored();

    // Up brings back the prompt of the last conversation, not what ended it.
    let mut talk = start();
    asked(&talk, "");
    talk.press("\x1b[A");
    asked(&talk, "Once");
    talk.press("\r");
    asked(&talk, "");
    assert_eq!(count(&talk, "Once"), 2, "{}", talk.shown().text());
    talk.press("up");
    asked(&talk, "up");
    talk.press("\x03");
    assert_eq!(talk.exit(), 130);
    talk.assert_restored();
    let kept = std::fs::read_to_string(place.path("state/fireside/prompts")).unwrap();
    assert_eq!(kept, "Once\n");

    // What is typed before anybody asks is taken as it was typed.
    let mut talk = start();
    talk.press("upon\rOnce\r/quit\r");
    assert_eq!(talk.exit(), 0);
    talk.assert_restored();
    let kept = std::fs::read_to_string(place.path("state/fireside/prompts")).unwrap();
    assert_eq!(kept, "Once\nupon\nOnce\n");
}

#[test]
fn eval_slides_over_any_text() {
    let place = Place::empty();
    place.make(
        "r",
        "gpt",
        &[
            "tokenizer.vocab_size=300",
            "model.n_layers=1",
            "model.context_length=16",
        ],
    );
    std::fs::write(place.path("text.txt"), TEXT.repeat(10)).unwrap();
    let eval = |more: &[&str]| {
        let mut all = vec!["eval", "r", "--path", "text.txt", "--json"];
        all.extend(more);
        place.succeed(&all).remove(0)
    };
    let half = eval(&[]);
    assert_eq!(
        (&half["stride"], &half["context_length"]),
        (&8.into(), &16.into())
    );
    assert_eq!(half["bytes"], TEXT.len() * 10);
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let loss = number(&half, "loss");
    assert!((number(&half, "perplexity") - loss.exp()).abs() < 1e-9);
    let (tokens, bytes) = (number(&half, "tokens"), number(&half, "bytes"));
    let bits = loss * tokens / std::f64::consts::LN_2 / bytes;
    assert!((number(&half, "bits_per_byte") - bits).abs() < 1e-9);
    let error = number(&half, "standard_error");
    assert!(error > 0.0 && error < 0.2, "{error}");
    assert_eq!(
        number(&half, "windows"),
        ((tokens - 1.0 - 16.0) / 8.0).ceil() + 1.0
    );
    let apart = eval(&["--stride", "16"]);
    assert_ne!(apart["loss"], half["loss"]);
    assert!((number(&apart, "loss") - loss).abs() < 0.2);
    let words = place.ok_with(&["eval", "r", "--path", "-"], TEXT);
    assert!(words.contains('±') && words.contains("8 apart"), "{words}");
    // One window has no standard error.
    let short =
        objects(&place.ok_with(&["eval", "r", "--path", "-", "--json"], "Once upon")).remove(0);
    assert!(short["standard_error"].is_null() && short["loss"].is_number());
    let message = place.fails(2, &["eval", "r", "--path", "text.txt", "--stride", "17"]);
    assert!(
        message.contains("between 1 and the context length of this model, 16"),
        "{message}"
    );
    let output = place.run_with(&["eval", "r", "--path", "-"], "O");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("at least two"));
}

#[test]
fn bench_generate_measures_every_rung() {
    let place = Place::empty();
    let rows = place.succeed(&[
        "bench",
        "generate",
        "--length",
        "40",
        "--set",
        "model.context_length=16",
        "--json",
    ]);
    assert_eq!(rows.len(), 5);
    for row in rows {
        for key in [
            "prompt_ms",
            "tokens_per_second",
            "batch_tokens_per_second",
            "speedup",
        ] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{row}");
        }
    }
}
