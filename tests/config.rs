//! The configuration as a user meets it: presets, files good and bad, overrides, round trips.

use fireside::config::*;

fn load_text(text: &str, sets: &[&str]) -> Result<RunConfig, ConfigErrors> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    let source = Source::Text {
        name: "my.toml".to_owned(),
        text: text.to_owned(),
    };
    load(source, &sets)
}

fn preset_with(name: &str, sets: &[&str]) -> Result<Loaded, ConfigErrors> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    load_with_notes(Source::Preset(name.to_owned()), &sets)
}

#[test]
fn every_preset_loads_and_reads_back_exactly() {
    for preset in presets() {
        let loaded = preset_with(preset.name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.config.model.kind(), preset.kind, "{}", preset.name);
        assert!(loaded.notes.is_empty());
        let toml = loaded.config.to_toml();
        let read =
            RunConfig::from_toml("config.toml", &toml).unwrap_or_else(|e| panic!("{e}\n{toml}"));
        assert_eq!(read, loaded.config, "{toml}");
        assert!(
            preset.toml.starts_with("# "),
            "{} has no header",
            preset.name
        );
    }
}

#[test]
fn every_file_of_configs_is_a_preset() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    let mut known: Vec<String> = presets()
        .iter()
        .map(|preset| preset.name.to_owned())
        .collect();
    known.sort();
    assert_eq!(names, known);
}

/// Removing any one line of a preset changes what it means: nothing in it repeats a default.
#[test]
fn presets_state_only_differences() {
    for preset in presets() {
        let whole = load_text(preset.toml, &[]).unwrap();
        for (i, line) in preset.toml.lines().enumerate() {
            // `kind = "gpt"` would be the default, but no preset needs it.
            if !line.contains(" = ") || line.starts_with('#') {
                continue;
            }
            let rest: Vec<&str> = (preset.toml.lines().enumerate())
                .filter(|(j, _)| *j != i)
                .map(|(_, line)| line)
                .collect();
            let without = load_text(&rest.join("\n"), &[]);
            assert_ne!(
                without.as_ref(),
                Ok(&whole),
                "{}: `{line}` is a default",
                preset.name
            );
        }
    }
}

#[test]
fn nanogpt_cpu_is_the_published_recipe() {
    let config = preset_with("nanogpt-cpu", &[]).unwrap().config;
    let ModelConfig::Gpt(model) = &config.model else {
        panic!("{:?}", config.model);
    };
    assert_eq!((model.n_layers, model.n_heads, model.d_model), (4, 4, 128));
    assert_eq!(
        (model.context_length, model.d_ff, model.dropout),
        (64, 0, 0.0)
    );
    assert_eq!(
        (model.norm, model.activation),
        (NormKind::Pre, ActivationKind::Gelu)
    );
    assert_eq!(
        (model.positions, model.init),
        (PositionKind::Learned, InitKind::Gpt2)
    );
    assert!(model.tied_head && !model.bias && !model.qkv_bias && !model.head_bias);
    assert!(!model.scale_embeddings);
    let optimizer = &config.optimizer;
    assert_eq!(optimizer.kind, OptimizerKind::AdamW);
    assert_eq!((optimizer.learning_rate, optimizer.epsilon), (1e-3, 1e-8));
    assert_eq!(
        (optimizer.beta1, optimizer.beta2, optimizer.weight_decay),
        (0.9, 0.99, 0.1)
    );
    assert_eq!(
        (optimizer.decay_form, optimizer.decay_group),
        (DecayForm::Auto, DecayGroup::Matrices)
    );
    assert_eq!(optimizer.grad_clip, 1.0);
    let schedule = &config.schedule;
    assert_eq!(
        (schedule.kind, schedule.warmup, schedule.decay_steps),
        (ScheduleKind::WarmupCosine, 100, 0)
    );
    assert_eq!(schedule.final_ratio, 0.1);
    assert_eq!((config.train.steps, config.train.batch_size), (2000, 12));
    assert_eq!(config.train.batching, BatchingKind::Random);
    assert_eq!(config.tokenizer.kind, TokenizerKind::Char);
    assert_eq!(config.corpus.name, "tiny-shakespeare");
}

#[test]
fn lecture_small_is_the_lecture_s_setting() {
    let config = preset_with("lecture-small", &[]).unwrap().config;
    let ModelConfig::Gpt(model) = &config.model else {
        panic!("{:?}", config.model);
    };
    assert_eq!((model.n_layers, model.n_heads, model.d_model), (4, 4, 64));
    assert_eq!(
        (model.context_length, model.activation),
        (32, ActivationKind::Relu)
    );
    assert!(model.bias && !model.qkv_bias && model.head_bias && !model.tied_head);
    assert_eq!((model.norm, model.init), (NormKind::Pre, InitKind::Normal));
    // Parameters, by hand: embeddings, blocks (qkv, projection, feed-forward, two norms), final norm, head.
    let (vocab, d, context, ff) = (65, 64, 32, 256);
    let block = 3 * d * d + (d * d + d) + (d * ff + ff) + (ff * d + d) + 4 * d;
    assert_eq!(
        (vocab + context) * d + 4 * block + 2 * d + d * vocab + vocab,
        209_729
    );
    let optimizer = &config.optimizer;
    assert_eq!(
        (optimizer.kind, optimizer.learning_rate),
        (OptimizerKind::AdamW, 1e-3)
    );
    assert_eq!(
        (optimizer.beta1, optimizer.beta2, optimizer.weight_decay),
        (0.9, 0.999, 0.01)
    );
    assert_eq!(
        (optimizer.decay_group, optimizer.grad_clip),
        (DecayGroup::All, 0.0)
    );
    assert_eq!(config.schedule.kind, ScheduleKind::Constant);
    assert_eq!((config.train.steps, config.train.batch_size), (5000, 16));
}

/// Every choice of every field, and every end of every range, builds and reads back.
#[test]
fn every_choice_builds() {
    for kind in ModelKind::ALL {
        for field in fields().iter().filter(|field| field.key != "model.kind") {
            let values: Vec<String> = match field.kind {
                FieldKind::Bool => vec!["true".into(), "false".into()],
                FieldKind::Choice(choices) => choices.iter().map(|c| c.to_string()).collect(),
                FieldKind::Integer { min, max } => vec![min.to_string(), max.to_string()],
                _ => continue,
            };
            for value in values {
                let mut draft = Draft::from_preset(kind.key()).unwrap();
                if !draft.applies(field.key) || draft.set(field.key, &value).is_err() {
                    continue;
                }
                let config = draft.build().unwrap();
                let read = RunConfig::from_toml("config.toml", &config.to_toml()).unwrap();
                assert_eq!(read, config, "{kind:?} {} = {value}", field.key);
                assert_eq!(Draft::from_config(&config).build().unwrap(), config);
            }
        }
    }
}

#[test]
fn a_change_of_kind_drops_what_the_preset_gave_and_says_so() {
    let loaded = preset_with("gpt-full", &["model.kind=word-gru"]).unwrap();
    assert_eq!(loaded.config.model.kind(), ModelKind::WordGru);
    assert_eq!(loaded.config.model.context_length(), 256);
    assert_eq!(
        loaded.notes,
        [
            "configs/gpt-full.toml:12:1: model.d_model dropped: applies only where model.kind is transformer or gpt (model.kind is \"word-gru\")",
            "configs/gpt-full.toml:13:1: model.n_heads dropped: applies only where model.kind is transformer or gpt (model.kind is \"word-gru\")",
        ]
    );
    let error = preset_with("gpt", &["model.kind=char-rnn", "model.n_heads=2"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--set model.n_heads=2: model.n_heads = 2: applies only where model.kind is transformer or gpt (model.kind is \"char-rnn\")"
    );
}

#[test]
fn overrides_take_bare_words_lists_numbers_and_paths() {
    let sets = [
        "optimizer.learning_rate=3e-4",
        "train.steps=1e3",
        "corpus.path=/tmp/my text.txt",
        "sample.prompts=[\"a\", \"b\"]",
        "device=cuda:0",
        "name=7",
        "schedule.kind=step",
        "schedule.kind=cosine",
    ];
    let loaded = preset_with("gpt", &sets).unwrap();
    let config = loaded.config;
    assert_eq!(config.optimizer.learning_rate, 3e-4);
    assert_eq!(config.train.steps, 1000);
    assert_eq!(
        config.corpus.path,
        [std::path::PathBuf::from("/tmp/my text.txt")]
    );
    assert_eq!(config.sample.prompts, ["a", "b"]);
    assert_eq!(
        (config.device.as_str(), config.name.as_str()),
        ("cuda:0", "7")
    );
    assert_eq!(config.schedule.kind, ScheduleKind::Cosine);
    assert_eq!(
        loaded.notes,
        ["--set schedule.kind=step: overridden by --set schedule.kind=cosine"]
    );
}

#[test]
fn short_runs_of_every_preset_need_no_other_change() {
    for preset in presets() {
        for steps in [1, 2, 20] {
            let set = format!("train.steps={steps}");
            preset_with(preset.name, &[&set]).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn a_run_s_config_fills_new_keys_and_names_the_version_for_unknown_ones() {
    let config = RunConfig::from_toml("runs/a/config.toml", "[model]\nkind = \"gpt\"\n").unwrap();
    assert_eq!(config, RunConfig::defaults());
    let error = RunConfig::from_toml("runs/a/config.toml", "[train]\nwings = 2\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "runs/a/config.toml:2:1: unknown key train.wings; `fireside config describe` lists all keys (this is fireside {}; another version may have written it)",
            env!("CARGO_PKG_VERSION")
        )
    );
}

/// Files that must load, and files whose messages stand beside them (`name.txt`), word for word. After a
/// wanted change of a message, `FIRESIDE_BLESS=1 cargo test --test config` rewrites the texts for review.
#[test]
fn good_files_load_and_bad_files_say_all_that_is_wrong() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");
    let files = |kind: &str| {
        let entries = std::fs::read_dir(format!("{folder}/{kind}")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
        assert!(!paths.is_empty());
        paths
    };
    for path in files("good") {
        load(Source::File(path), &[]).unwrap_or_else(|error| panic!("{error}"));
    }
    for path in files("bad") {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let error = load(Source::Text { name, text }, &[]).unwrap_err();
        let said = format!("{error}\n");
        let expected = path.with_extension("txt");
        if std::env::var_os("FIRESIDE_BLESS").is_some() {
            std::fs::write(&expected, &said).unwrap();
        }
        assert_eq!(
            said,
            std::fs::read_to_string(&expected).unwrap(),
            "{path:?}"
        );
    }
}

#[test]
fn the_reference_is_generated_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    if std::env::var_os("FIRESIDE_BLESS").is_some() {
        std::fs::write(path, describe_markdown()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == describe_markdown(),
        "run `fireside config describe --markdown > docs/configuration.md`"
    );
}

#[test]
fn arguments_are_files_presets_or_neither() {
    assert_eq!(Source::from_argument("gpt"), Source::Preset("gpt".into()));
    assert_eq!(
        Source::from_argument("nowhere/gpt.toml"),
        Source::File("nowhere/gpt.toml".into())
    );
    let error = load(Source::from_argument("gtp"), &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("gtp: no such file or preset; did you mean `gpt`? (presets: "),
        "{error}"
    );
    let error = load(Source::from_argument("nowhere/x.toml"), &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("nowhere/x.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn overrides_that_cannot_be_are_named() {
    let error = preset_with(
        "gpt",
        &[
            "train.step=5",
            "steps",
            "model=3",
            "optimizer.beta2=1.5",
            "model.n_heads=3",
        ],
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "5 problems in the configuration\n  \
         --set train.step=5: unknown key train.step; did you mean `train.steps`?\n  \
         --set steps: expected key=value, for example optimizer.learning_rate=3e-4\n  \
         --set model=3: model is a section; give one of its keys (model.…)\n  \
         --set optimizer.beta2=1.5: optimizer.beta2 = 1.5: expected a number ≥ 0 and < 1\n  \
         --set model.n_heads=3: model.n_heads = 3: does not divide model.d_model = 128; n_heads may be 1, 2, 4, 8, 16, 32 or 64, or d_model a multiple of 3"
    );
}

#[test]
fn a_draft_keeps_what_is_typed_and_marks_the_field() {
    let mut draft = Draft::from_preset("gpt").unwrap();
    let problem = draft.set("train.steps", "many").unwrap_err();
    assert_eq!(
        problem.to_string(),
        "train.steps: expected a whole number from 1 to 1000000000"
    );
    assert_eq!(draft.get("train.steps"), "many");
    assert!(draft.changed("train.steps"));
    assert_eq!(draft.build().unwrap_err(), [problem]);
    draft.reset("train.steps");
    assert!(!draft.changed("train.steps"));

    let problem = draft.set("model.n_heads", "3").unwrap_err();
    assert!(problem.concerns("model.n_heads") && problem.concerns("model.d_model"));
    assert_eq!(
        problem.text_at("model.d_model"),
        "model.n_heads: does not divide model.d_model = 128; n_heads may be 1, 2, 4, 8, 16, 32 or 64, or d_model a multiple of 3"
    );
    draft.set("model.d_model", "96").unwrap();
    let config = draft.build().unwrap();
    assert!(matches!(config.model, ModelConfig::Gpt(c) if (c.d_model, c.n_heads) == (96, 3)));
}

#[test]
fn a_draft_swaps_fields_with_the_kind_and_brings_them_back() {
    let mut draft = Draft::from_preset("gpt").unwrap();
    draft.set("model.n_layers", "2").unwrap();
    draft.set("model.n_heads", "8").unwrap();
    draft.set("model.kind", "char-rnn").unwrap();
    assert!(!draft.applies("model.n_heads") && draft.applies("model.hidden_size"));
    assert!(
        draft
            .visible()
            .iter()
            .all(|field| field.key != "model.n_heads")
    );
    assert_eq!(draft.get("tokenizer.kind"), "char");
    assert_eq!(draft.get("model.n_layers"), "2");
    draft.build().unwrap();
    draft.set("model.kind", "gpt").unwrap();
    assert_eq!(draft.get("model.n_heads"), "8");
}

#[test]
fn nudges_stay_within_the_range() {
    for kind in ModelKind::ALL {
        for field in fields() {
            for up in [true, false] {
                let mut draft = Draft::from_preset(kind.key()).unwrap();
                if !draft.applies(field.key) {
                    continue;
                }
                for _ in 0..50 {
                    // A nudge may contradict another key; the field's own value must stay readable.
                    if let Err(problem) = draft.nudge(field.key, up) {
                        assert!(!problem.message.starts_with("expected"), "{problem}");
                    }
                }
            }
        }
    }
    let mut draft = Draft::from_preset("char-rnn").unwrap();
    draft.nudge("optimizer.learning_rate", true).unwrap();
    assert_eq!(draft.get("optimizer.learning_rate"), "0.0025");
}

fn fireside(arguments: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_fireside"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_program_prints_checks_and_describes() {
    let (code, printed, _) = fireside(&["--print-default-config"]);
    assert_eq!(code, 0);
    assert_eq!(
        RunConfig::from_toml("printed", &printed).unwrap(),
        RunConfig::defaults()
    );
    assert_eq!(fireside(&["config", "print"]), (0, printed, String::new()));

    let arguments = [
        "config",
        "print",
        "gpt-full",
        "--set",
        "model.kind=char-rnn",
    ];
    let (code, printed, notes) = fireside(&arguments);
    assert_eq!(code, 0);
    assert!(
        notes.starts_with("note: configs/gpt-full.toml:8:1: tokenizer.vocab_size dropped: "),
        "{notes}"
    );
    let read = RunConfig::from_toml("printed", &printed).unwrap();
    assert_eq!(read.model.kind(), ModelKind::CharRnn);

    let (code, fine, errors) = fireside(&[
        "config",
        "check",
        "gpt",
        "tests/config/bad/unknown-keys.toml",
    ]);
    assert_eq!((code, fine.as_str()), (2, "gpt: fine\n"));
    assert!(
        errors.starts_with("error: 3 problems\n  tests/config/bad/unknown-keys.toml:3:1: "),
        "{errors}"
    );

    let (code, described, _) = fireside(&["config", "describe", "schedule.gamma"]);
    assert_eq!(code, 0);
    assert!(described.contains("applies  where schedule.kind is exponential, step or plateau"));
    let (code, _, errors) = fireside(&["config", "describe", "optimzer"]);
    assert_eq!(
        (code, errors.as_str()),
        (
            2,
            "error: unknown key optimzer; did you mean `optimizer`?\n"
        )
    );
    let (code, listed, _) = fireside(&["config", "list"]);
    assert_eq!(code, 0);
    assert!(presets().iter().all(|preset| listed.contains(preset.name)));
}

#[test]
fn reproductions_have_the_published_number_of_parameters() {
    let parameters = |name: &str| {
        let config = preset_with(name, &[]).unwrap().config;
        fireside::model::parameter_count(&config.model, 65)
    };
    assert_eq!(parameters("lecture-small"), 209_729);
    // nanoGPT reports 0.80M for this setting, without the 64·128 position vectors.
    let (d, norm) = (128, 128);
    let blocks = 4 * (3 * d * d + d * d + 8 * d * d + 2 * norm);
    assert_eq!(parameters("nanogpt-cpu"), (65 + 64) * d + blocks + norm);
}
