//! `fireside corpus` and `fireside tokenizer` as processes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn fireside(home: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fireside"))
        .args(arguments)
        .current_dir(home)
        .env("FIRESIDE_DATA", home.join("data"))
        .env("FIRESIDE_CACHE", home.join("cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that does not read its input closes the pipe.
    let _ = child.stdin.take().map(|mut pipe| pipe.write_all(input));
    child.wait_with_output().expect("the program ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// Standard output of a run that must succeed.
fn out(home: &Path, arguments: &[&str], input: &[u8]) -> String {
    let output = fireside(home, arguments, input);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Exit code and standard error.
fn failure(home: &Path, arguments: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let output = fireside(home, arguments, input);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn corpora_are_listed_generated_and_shown() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let list = out(home, &["corpus", "list"], b"");
    for name in [
        "stories",
        "fables",
        "tiny-shakespeare",
        "enwik8",
        "public domain",
    ] {
        assert!(list.contains(name), "{list}");
    }
    assert!(!list.contains("[fetched]"));
    let arguments = ["corpus", "generate", "--bytes", "3000", "--seed", "5"];
    let story = out(home, &arguments, b"");
    assert!(story.len() >= 3000);
    out(home, &[&arguments[..], &["-o", "s.txt"]].concat(), b"");
    assert_eq!(std::fs::read_to_string(home.join("s.txt")).unwrap(), story);
    let shown = out(home, &["corpus", "show", "s.txt", "--head", "1"], b"");
    assert!(
        shown.contains(&format!("bytes       {}\n", story.len())),
        "{shown}"
    );
    assert!(shown.ends_with(&format!("\n{}\n", story.lines().next().unwrap())));
    let shown = out(
        home,
        &["corpus", "show", "-", "--head", "9"],
        "é\nü".as_bytes(),
    );
    assert!(shown.contains("characters  3\nlines       2\n") && shown.ends_with("\né\nü\n"));
    assert!(out(home, &["corpus", "entropy"], b"").contains("per byte"));
}

#[test]
fn a_fetched_corpus_is_found() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (code, error) = failure(home, &["corpus", "show", "text8"], b"");
    assert_eq!(code, Some(1));
    assert!(error.contains("`fireside corpus fetch text8`"), "{error}");
    std::fs::create_dir_all(home.join("data/corpora")).unwrap();
    std::fs::write(home.join("data/corpora/text8.txt"), "a b c").unwrap();
    assert!(out(home, &["corpus", "show", "text8"], b"").contains("corpus      text8\n"));
    assert!(out(home, &["corpus", "list"], b"").contains("[fetched]"));
    assert!(out(home, &["corpus", "fetch", "text8"], b"").contains("already there"));
    let (code, error) = failure(home, &["corpus", "fetch", "text9"], b"");
    assert_eq!(code, Some(2));
    assert!(
        error.contains("there is no `text9` in the catalog: it has enwik8"),
        "{error}"
    );
}

#[test]
fn a_bad_text_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (code, error) = failure(home, &["corpus", "show", "-"], b"caf\xE9\n");
    assert_eq!(code, Some(1));
    assert!(error.contains("standard input is not UTF-8: the first bad byte is at position 3"));
    let shown = out(home, &["corpus", "show", "-", "--lossy"], b"caf\xE9\n");
    assert!(shown.contains("caf\u{FFFD}"));
    let (_, error) = failure(home, &["corpus", "show", "missing.txt"], b"");
    assert!(error.contains("missing.txt does not exist"), "{error}");
}

#[test]
fn a_config_whose_text_cannot_do_is_told_before_the_start() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("tiny.txt"), "far too short").unwrap();
    std::fs::write(home.join("a.toml"), "[corpus]\npath = [\"tiny.txt\"]\n").unwrap();
    std::fs::write(
        home.join("b.toml"),
        "[corpus]\nbytes = 2000\n[model]\nkind = \"gpt\"\ncontext_length = 4096\n[train]\nbatch_size = 1\n",
    )
    .unwrap();
    std::fs::write(home.join("c.toml"), "[corpus]\n\npath = [\"none.txt\"]\n").unwrap();
    let (code, error) = failure(
        home,
        &["config", "check", "a.toml", "gpt", "b.toml", "c.toml"],
        b"",
    );
    assert_eq!(code, Some(2));
    for line in [
        "a.toml:2:1: corpus.path: the text has 13 bytes, so its training part has at most 11 tokens, but one batch \
         (train.batch_size 16 × model.context_length 64) needs 1025",
        "b.toml:2:1: corpus.bytes: the text has 2000 bytes, so its training part has at most 1800 tokens, but one batch \
         (train.batch_size 1 × model.context_length 4096) needs 4097",
        "c.toml:3:1: corpus.path: none.txt does not exist",
    ] {
        assert!(error.contains(line), "{error}");
    }
    // The same of a `--set`, and when training is to begin; a text of the catalog can still be fetched.
    let (code, error) = failure(
        home,
        &["train", "gpt", "--json", "--set", "corpus.bytes=1000"],
        b"",
    );
    assert_eq!(code, Some(2));
    assert!(
        error.contains("--set corpus.bytes=1000: corpus.bytes:"),
        "{error}"
    );
    assert!(!home.join("runs").exists());
    let output = fireside(home, &["config", "check", "nanogpt-cpu"], b"");
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("fireside corpus fetch tiny-shakespeare"));
    // A device that is not in this build is said before the text is read.
    #[cfg(not(feature = "cuda"))]
    {
        let (code, error) = failure(
            home,
            &["train", "gpt", "--headless", "--device", "cuda:0"],
            b"",
        );
        assert_eq!(code, Some(2));
        assert!(error.contains("--set device=\"cuda:0\": device"), "{error}");
        assert!(error.contains("--features cuda"), "{error}");
        assert!(!error.contains("reading the text"), "{error}");
    }
    // The configuration may be meant for another machine: that its device is not here is no error of it.
    #[cfg(not(feature = "cuda"))]
    {
        let output = fireside(
            home,
            &["config", "check", "gpt", "--set", "device=cuda:0"],
            b"",
        );
        assert!(output.status.success());
        assert_eq!(text(&output.stdout), "gpt: fine\n");
        let noted = text(&output.stderr);
        assert!(noted.contains("note: gpt: device `cuda:0`"), "{noted}");
    }
    // Long enough in bytes, but not in the words that it is cut into: said where the batch was set.
    let (code, error) = failure(
        home,
        &[
            "train",
            "word-gru",
            "--headless",
            "--run",
            "few",
            "--set",
            "corpus.bytes=20000",
            "--set",
            "train.batch_size=200",
        ],
        b"",
    );
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains(
            "--set train.batch_size=200: the corpus `stories` is too small: its training part has"
        ),
        "{error}"
    );
    assert!(!home.join("few").exists());
    // What is wrong with an override does not wait for the file.
    std::fs::write(home.join("torn.toml"), "[train]\nsteps = \n").unwrap();
    let (code, error) = failure(
        home,
        &[
            "config",
            "check",
            "torn.toml",
            "--set",
            "train.steps=0",
            "--set",
            "train.stepz=1",
            "--set",
            "train.seed=1",
        ],
        b"",
    );
    assert_eq!(code, Some(2));
    for part in [
        "3 problems",
        "torn.toml:2:",
        "--set train.steps=0: train.steps = 0: expected",
        "--set train.stepz=1: unknown key",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // Bytes that are no text are taken where that is asked for.
    let mut bytes = "a caf\u{e9} ".repeat(400).into_bytes();
    bytes[5] = 0xFF;
    std::fs::write(home.join("bad.txt"), bytes).unwrap();
    let train = [
        "train",
        "char-rnn",
        "--json",
        "--steps",
        "1",
        "--run",
        "r",
        "--set",
        "corpus.path=bad.txt",
        "--set",
        "train.batch_size=2",
        "--set",
        "model.hidden_size=8",
    ];
    let (code, error) = failure(home, &train, b"");
    assert_eq!(code, Some(2));
    assert!(
        error.contains("--set corpus.path=bad.txt: bad.txt is not UTF-8"),
        "{error}"
    );
    assert!(error.contains("position 5"), "{error}");
    let said = out(home, &[&train[..], &["--lossy"]].concat(), b"");
    assert!(said.contains("replaced by U+FFFD"), "{said}");
}

#[test]
fn a_bad_text_is_told_together_with_everything_else() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("cafe.txt"), b"caf\xE9 au lait").unwrap();
    std::fs::write(
        home.join("d.toml"),
        "[corpus]\npath = [\"none.txt\", \"cafe.txt\", \"gone/*.txt\"]\n[model]\nkind = \"gpt\"\nd_model = 30\nn_heads = 4\n",
    )
    .unwrap();
    for command in [
        &["config", "check", "d.toml"][..],
        &["train", "d.toml", "--json"],
    ] {
        let (code, error) = failure(home, command, b"");
        assert_eq!(code, Some(2), "{error}");
        for line in [
            "4 problems",
            "d.toml:2:1: corpus.path: none.txt does not exist",
            "d.toml:2:1: cafe.txt is not UTF-8: the first bad byte is at position 3",
            "d.toml:2:1: corpus.path: `gone/*.txt` matches no file",
            "model.n_heads = 4: does not divide",
        ] {
            assert!(error.contains(line), "{error}");
        }
    }
    // A name that there is not; what hangs on a key that is wrong already is not told besides.
    for more in [&[][..], &["--set", "model.d_modle=3"]] {
        let sets = ["train", "gpt", "--json", "--set", "corpus.name=fablez"];
        let (code, error) = failure(home, &[&sets[..], more].concat(), b"");
        assert_eq!(code, Some(2));
        let told = "--set corpus.name=fablez: there is no corpus named `fablez`";
        assert!(error.contains(told), "{error}");
    }
    let bad = [
        "train",
        "gpt",
        "--set",
        "corpus.bytes=1000",
        "--set",
        "train.batch_size=x",
    ];
    let (_, error) = failure(home, &bad, b"");
    assert!(error.contains("train.batch_size = x"), "{error}");
    assert!(!error.contains("problems"), "{error}");
    assert!(!home.join("runs").exists());
    let (_, error) = failure(home, &["corpus", "show", "fablez"], b"");
    assert!(error.contains("did you mean `fables`?"), "{error}");
}

#[test]
fn settings_that_cannot_be_used_are_told_without_screens_too() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("config/fireside")).unwrap();
    std::fs::write(home.join("config/fireside/settings.toml"), "runs = 3\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fireside"))
        .arg("runs")
        .current_dir(home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env_remove("FIRESIDE_RUNS")
        .output()
        .unwrap();
    let error = text(&output.stderr);
    assert!(
        error.contains("settings.toml") && error.contains("runs"),
        "{error}"
    );
}

#[test]
fn the_settings_file_is_printed() {
    let home = tempfile::tempdir().unwrap();
    let settings = out(home.path(), &["config", "settings"], b"");
    for part in [
        "theme = \"dark\"",
        "[colors]",
        "[keymap.train]",
        "# pause = [\"space\"]",
    ] {
        assert!(settings.contains(part), "{settings}");
    }
}

#[test]
fn tokenizers_are_trained_and_shown() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let train = [
        "tokenizer",
        "train",
        "--tokenizer",
        "bpe",
        "--corpus",
        "fables",
        "-o",
        "t.json",
    ];
    let trained = out(home, &train, b"");
    assert_eq!(trained, "t.json: bpe with 512 tokens\n");
    let shown = out(
        home,
        &["tokenizer", "show", "--file", "t.json", "-"],
        "the é\n".as_bytes(),
    );
    assert!(
        shown.contains("[\\xC3]") && shown.contains("(bpe, vocabulary 512)"),
        "{shown}"
    );
    let arguments = [
        "tokenizer",
        "show",
        "--tokenizer",
        "word",
        "--corpus",
        "fables",
        "The fox, zyx",
    ];
    let shown = out(home, &arguments, b"");
    assert!(
        shown.starts_with("[The]") || shown.starts_with("[the]"),
        "{shown}"
    );
    assert!(
        shown.contains("[<unk>]0") && shown.contains("1 unknown"),
        "{shown}"
    );
    assert!(!shown.contains('\x1b'), "no colours in a pipe");
    let (code, error) = failure(home, &["tokenizer", "show", "--run", "nowhere", "x"], b"");
    assert_eq!(code, Some(1), "{error}");
    let (code, _) = failure(
        home,
        &["tokenizer", "show", "--set", "tokenizer.knd=char", "x"],
        b"",
    );
    assert_eq!(code, Some(2));
}
