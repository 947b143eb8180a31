//! Reading text from every kind of place, and everything that can be wrong with it.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::gather::{Gather, Reading};
use super::*;
use crate::progress;

fn config(paths: &[&Path], lossy: bool) -> CorpusConfig {
    CorpusConfig {
        name: String::new(),
        path: paths.iter().map(PathBuf::from).collect(),
        validation_fraction: 0.1,
        bytes: 1000,
        seed: 1,
        lossy,
    }
}

fn read(paths: &[&Path]) -> Result<Corpus, CorpusError> {
    open(&config(paths, false), &mut progress::ignore)
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

fn message(paths: &[&Path]) -> String {
    let error = read(paths).unwrap_err().to_string();
    // Temporary folders have another name every time.
    let dir = paths[0].parent().unwrap().display().to_string();
    error.replace(&dir, "DIR")
}

#[test]
fn files_are_joined_in_the_order_given() {
    let dir = folder(&[
        ("a.txt", b"\xEF\xBB\xBFone"),
        ("b.txt", b"\xEF\xBB\xBFtwo\r\n"),
    ]);
    let (a, b) = (dir.path().join("a.txt"), dir.path().join("b.txt"));
    let corpus = read(&[&b, &a]).unwrap();
    assert_eq!(corpus.text(), "two\r\none");
    assert_eq!(corpus.name, "2 files");
    assert!(corpus.notices[0].contains("Windows line ends"));
    let corpus = read(&[&a, &b]).unwrap();
    assert_eq!(corpus.text(), "one\ntwo\r\n");
    assert_eq!(read(&[&a]).unwrap().name, "a.txt");
    assert_eq!(read(&[&a]).unwrap().text(), "one");
}

#[test]
fn a_folder_gives_its_text_files_sorted() {
    let dir = folder(&[
        ("b/two.md", "zwei é".as_bytes()),
        ("a.txt", b"one\n"),
        (".hidden", b"no"),
        ("c.bin", b"\x00\x01"),
        ("empty.txt", b""),
    ]);
    let corpus = read(&[dir.path()]).unwrap();
    assert_eq!(corpus.text(), "one\nzwei é");
    let notice = corpus.notices[0].replace(&dir.path().display().to_string(), "DIR");
    assert_eq!(
        notice,
        "DIR: skipped, because empty or not text: DIR/c.bin, DIR/empty.txt"
    );
    // Text in another encoding is not left out in silence.
    std::fs::write(dir.path().join("d.latin1"), b"caf\xE9 au lait").unwrap();
    let error = message(&[dir.path()]);
    assert!(
        error.contains("d.latin1 is not UTF-8: the first bad byte is at position 3"),
        "{error}"
    );
    let none = folder(&[("x/c.bin", b"\x00")]);
    assert_eq!(
        message(&[&none.path().join("x")]),
        "corpus.path: the folder DIR/x holds no text files"
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_opened_to_see_how_long_it_is() {
    let dir = folder(&[]);
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    // Opening it would wait for a writer.
    let config = config(&[&pipe], false);
    assert_eq!(known_bytes(&config).unwrap(), None);
    assert!(problems(&config).is_empty());
}

#[test]
fn globs_match_files_sorted() {
    let dir = folder(&[("2.txt", b"b"), ("1.txt", b"a"), ("3.md", b"c")]);
    let corpus = read(&[&dir.path().join("*.txt")]).unwrap();
    assert_eq!(corpus.text(), "a\nb");
    assert_eq!(
        message(&[&dir.path().join("*.rst")]),
        "corpus.path: `DIR/*.rst` matches no file"
    );
    assert_eq!(
        message(&[&dir.path().join("***")]),
        "corpus.path: `DIR/***` is not a valid glob: wildcards are either regular `*` or recursive `**`"
    );
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let dir = folder(&[
        ("empty.txt", b""),
        ("bom.txt", b"\xEF\xBB\xBF"),
        ("binary", b"ELF\x00\x01"),
        ("utf16.txt", b"\xFF\xFEh\x00i\x00"),
        ("latin1.txt", b"\xEF\xBB\xBFcaf\xE9 au lait"),
        ("cut.txt", b"caf\xC3"),
    ]);
    let at = |name: &str| message(&[&dir.path().join(name)]);
    assert_eq!(
        at("missing.txt"),
        "corpus.path: DIR/missing.txt does not exist"
    );
    assert_eq!(at("empty.txt"), "the corpus `empty.txt` is empty");
    assert_eq!(at("bom.txt"), "the corpus `bom.txt` is empty");
    assert_eq!(
        at("binary"),
        "DIR/binary is binary, not text: byte 3 is zero"
    );
    assert_eq!(
        at("utf16.txt"),
        "DIR/utf16.txt is binary, not text: byte 3 is zero; it looks like UTF-16: convert it to UTF-8 first"
    );
    assert_eq!(
        at("latin1.txt"),
        "DIR/latin1.txt is not UTF-8: the first bad byte is at position 6; to replace what cannot be read, set \
         corpus.lossy = true"
    );
    assert!(at("cut.txt").contains("the first bad byte is at position 3"));
}

#[test]
fn lossy_replaces_what_cannot_be_read() {
    let dir = folder(&[("latin1.txt", b"caf\xE9 \xC3\xA9t\xC3\xA9 \xC3")]);
    let path = dir.path().join("latin1.txt");
    let corpus = open(&config(&[&path], true), &mut progress::ignore).unwrap();
    assert_eq!(corpus.text(), "caf\u{FFFD} été \u{FFFD}");
    assert!(corpus.notices[0].starts_with("2 places"));
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(&[("secret.txt", b"text")]);
    let path = dir.path().join("secret.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&path).is_err() {
        assert!(message(&[&path]).starts_with("corpus.path: cannot read DIR/secret.txt: "));
    }
}

#[test]
fn names_are_looked_up() {
    let named = |name: &str| CorpusConfig {
        name: name.into(),
        ..config(&[], false)
    };
    let error = open(&named("atlantis"), &mut progress::ignore).unwrap_err();
    assert!(error.to_string().starts_with(
        "there is no corpus named `atlantis`: corpus.name is one of `stories`, `fables`, "
    ));
    let fables = open(&named("fables"), &mut progress::ignore).unwrap();
    assert_eq!(
        (fables.name.as_str(), fables.source_entropy),
        ("fables", None)
    );
    let tales = open(&named("stories"), &mut progress::ignore).unwrap();
    assert_eq!(tales.text(), stories::generate(1000, 1));
    assert!(tales.source_entropy.is_some());
    let stopped = open(&named("stories"), &mut |_| progress::Flow::Stop);
    assert!(matches!(stopped, Err(CorpusError::Stopped)));
    let error = CorpusError::NotFetched {
        name: "text8".into(),
    };
    assert!(
        error
            .to_string()
            .ends_with("get it with `fireside corpus fetch text8`")
    );
}

#[test]
fn reading_stops_when_asked() {
    let dir = folder(&[("a.txt", b"one")]);
    let path = dir.path().join("a.txt");
    let result = open(&config(&[&path], false), &mut |_| progress::Flow::Stop);
    assert!(matches!(result, Err(CorpusError::Stopped)));
}

#[test]
fn large_files_are_mapped() {
    let line = "a line of text, é, that is neither long nor short\n";
    let mut text = line.repeat(gather::LARGE as usize / line.len() + 1);
    let dir = folder(&[("large.txt", text.as_bytes())]);
    let path = dir.path().join("large.txt");
    let corpus = read(&[&path]).unwrap();
    assert!(matches!(corpus.text, Text::Mapped(_)));
    corpus.release();
    assert!(corpus.text() == text);
    // Two files of which one is large are spooled to a mapped file.
    let corpus = read(&[&path, &path]).unwrap();
    assert!(matches!(corpus.text, Text::Mapped(_)));
    assert!(corpus.text().len() == 2 * text.len() && corpus.text().ends_with(&text));
    // A bad byte far into the file, and what lossy makes of it.
    let bad = text.len() - 20;
    let mut bytes = std::mem::take(&mut text).into_bytes();
    bytes[bad] = 0xFF;
    fs::write(&path, &bytes).unwrap();
    assert!(message(&[&path]).contains(&format!("the first bad byte is at position {bad}")));
    let corpus = open(&config(&[&path], true), &mut progress::ignore).unwrap();
    assert_eq!(corpus.text().chars().rev().nth(19), Some('\u{FFFD}'));
    bytes[bad] = 0;
    fs::write(&path, &bytes).unwrap();
    assert!(message(&[&path]).contains(&format!("byte {bad} is zero")));
}

#[test]
fn the_split_is_nanogpts() {
    let corpus = Corpus::from_text("t", "x".repeat(1_115_394));
    let (train, validation) = corpus.split(0.1);
    // int(0.9 * 1115394) in Python.
    assert_eq!((train.len(), validation.len()), (1_003_854, 111_540));
    let corpus = Corpus::from_text("t", "aé漢");
    assert_eq!(corpus.split(0.5), ("aé", "漢"));
    assert_eq!(corpus.split(0.7), ("a", "é漢"));
}

proptest! {
    #[test]
    fn the_split_loses_and_shares_nothing(text in any::<String>(), fraction in 0.0f64..=1.0) {
        let corpus = Corpus::from_text("t", text.clone());
        let (train, validation) = corpus.split(fraction);
        prop_assert_eq!(format!("{train}{validation}"), text);
    }

    #[test]
    fn gathering_is_the_same_however_the_bytes_arrive(
        bytes in prop::collection::vec(prop_oneof![1u8..=255, 97u8..=122, 0xC2u8..=0xF4, 0x80u8..=0xBF], 0..80),
        step in 1usize..7,
    ) {
        struct Slow(Cursor<Vec<u8>>, usize);
        impl std::io::Read for Slow {
            fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
                let most = out.len().min(self.1);
                self.0.read(&mut out[..most])
            }
        }
        let gather = |lossy| {
            let mut gathered = Gather::default();
            let mut ignore = progress::ignore;
            let mut reading = Reading { lossy, total: None, progress: &mut ignore };
            gathered.add("x", Slow(Cursor::new(bytes.clone()), step), &mut reading)?;
            gathered.finish()
        };
        let whole = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let lossy = gather(true).unwrap();
        prop_assert_eq!(lossy.as_str(), String::from_utf8_lossy(whole));
        match (gather(false), std::str::from_utf8(whole)) {
            (Ok(text), Ok(expected)) => prop_assert_eq!(text.as_str(), expected),
            (Err(CorpusError::NotUtf8 { position, .. }), Err(error)) => {
                let dropped = bytes.len() - whole.len();
                prop_assert_eq!(position as usize, dropped + error.valid_up_to());
            }
            (ours, expected) => prop_assert!(false, "{ours:?} {expected:?}"),
        }
    }
}

#[test]
fn the_form_goes_through_every_corpus() {
    let field = crate::config::field("corpus.name").unwrap();
    match field.step {
        crate::config::Step::Among(offered) => assert_eq!(offered, names().unwrap()),
        other => panic!("{other:?}"),
    }
}
