//! Tokenising into memory and into the cache.

use std::path::Path;

use super::*;
use crate::config::{self, Source};
use crate::progress;

fn config(sets: &[&str]) -> RunConfig {
    let mut all = vec![
        "corpus.path=[\"unused.txt\"]".to_string(),
        "tokenizer.kind=word".to_string(),
        "model.context_length=4".to_string(),
        "train.batch_size=2".to_string(),
    ];
    all.extend(sets.iter().map(|set| set.to_string()));
    config::load(Source::Preset("gpt".into()), &all).unwrap_or_else(|error| panic!("{error}"))
}

const TEXT: &str =
    "the old mill turned and the old man slept\nthe mill never slept, the river never stopped\n";

fn text() -> Corpus {
    Corpus::from_text("t", TEXT.repeat(4) + "and then a stranger came to the mill")
}

fn with_cache(cache: Option<&Path>, config: &RunConfig) -> Result<Prepared, DataError> {
    let cache = cache.map(Path::to_path_buf);
    prepare_with_cache(config, text(), None, cache, &mut progress::ignore)
}

fn all(ids: &TokenIds) -> Vec<u32> {
    let mut out = Vec::new();
    ids.window(0, ids.len(), &mut out);
    out
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

#[test]
fn both_parts_are_tokenised_without_overlap() {
    let prepared = with_cache(None, &config(&[])).unwrap();
    let (train, validation) = (&prepared.dataset.train, &prepared.dataset.validation);
    let corpus = text();
    let (train_text, validation_text) = corpus.split(0.1);
    assert_eq!(all(train), prepared.tokenizer.encode(train_text));
    assert_eq!(all(validation), prepared.tokenizer.encode(validation_text));
    assert_eq!(prepared.dataset.train_bytes as usize, train_text.len());
    assert_eq!(
        prepared.dataset.validation_bytes as usize,
        validation_text.len()
    );
    // "then", "a", "stranger", "came" and "to" stand only in the validation part.
    let unknown = all(validation).iter().filter(|&&id| id == 0).count();
    assert!(unknown >= 4);
    assert_eq!(prepared.dataset.unknown_validation, unknown as u64);
    let uniform = (prepared.tokenizer.vocab_size() as f64).ln();
    assert!(prepared.dataset.unigram_loss > 0.0 && prepared.dataset.unigram_loss < 2.0 * uniform);
    assert!(!train.is_mapped());
}

#[test]
fn a_char_vocabulary_covers_the_validation_part() {
    let prepared = with_cache(None, &config(&["tokenizer.kind=char"])).unwrap();
    assert_eq!(
        prepared.dataset.validation.len() as u64,
        prepared.dataset.validation_bytes
    );
}

#[test]
fn the_cache_gives_the_same_ids_and_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&[]);
    let memory = with_cache(None, &config).unwrap();
    let first = with_cache(Some(dir.path()), &config).unwrap();
    assert!(first.dataset.train.is_mapped() && first.notices.is_empty());
    let ids = files(&dir.path().join("tokens"));
    assert_eq!(
        (ids.len(), files(&dir.path().join("tokenizers")).len()),
        (1, 1)
    );
    let written = fs::metadata(&ids[0]).unwrap().modified().unwrap();
    let second = with_cache(Some(dir.path()), &config).unwrap();
    assert_eq!(fs::metadata(&ids[0]).unwrap().modified().unwrap(), written);
    for found in [first, second] {
        let (theirs, ours) = (found.dataset, &memory.dataset);
        assert_eq!(all(&theirs.train), all(&ours.train));
        assert_eq!(all(&theirs.validation), all(&ours.validation));
        assert_eq!(theirs.unigram_loss, ours.unigram_loss);
        assert_eq!(theirs.unknown_validation, ours.unknown_validation);
        assert_eq!(found.tokenizer.to_json(), memory.tokenizer.to_json());
    }
    // Another split or tokenizer is another file.
    with_cache(
        Some(dir.path()),
        &self::config(&["corpus.validation_fraction=0.2"]),
    )
    .unwrap();
    with_cache(
        Some(dir.path()),
        &self::config(&["tokenizer.lowercase=false"]),
    )
    .unwrap();
    assert!(files(&dir.path().join("tokens")).len() >= 2);
}

#[test]
fn a_damaged_cache_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&[]);
    let whole = with_cache(Some(dir.path()), &config).unwrap();
    let path = &files(&dir.path().join("tokens"))[0];
    let bytes = fs::read(path).unwrap();
    let mut other = bytes.clone();
    other[50] ^= 1;
    for damaged in [&bytes[..bytes.len() - 1], &bytes[..60], b"", &other[..]] {
        // Replaced, not written in place: `whole` still maps the old file.
        fs::remove_file(path).unwrap();
        fs::write(path, damaged).unwrap();
        let again = with_cache(Some(dir.path()), &config).unwrap();
        assert_eq!(all(&again.dataset.train), all(&whole.dataset.train));
        assert_eq!(fs::read(path).unwrap(), bytes);
    }
}

#[test]
fn an_unusable_cache_falls_back_to_memory() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("a-file");
    fs::write(&blocked, "not a folder").unwrap();
    let prepared = with_cache(Some(&blocked), &config(&[])).unwrap();
    assert!(!prepared.dataset.train.is_mapped());
    assert!(
        prepared.notices[0].starts_with("the token ids are held in memory, because the cache "),
        "{:?}",
        prepared.notices
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_falls_back_to_memory() {
    // /dev/full takes no byte; a link to it stands in for the file that is written.
    let mut writer = fs::File::options().write(true).open("/dev/full").unwrap();
    let corpus = text();
    let tokenizer = Tokenizer::train(&config(&[]).tokenizer, corpus.text(), &mut progress::ignore);
    let tokenizing = Tokenising {
        corpus: &corpus,
        tokenizer: &tokenizer.unwrap(),
        fraction: 0.1,
    };
    let failed = tokenizing.both(&mut progress::ignore, &mut |ids| {
        io::Write::write_all(&mut writer, ids)
    });
    assert!(matches!(failed, Err(Failure::Sink(_))));
}

#[test]
fn preparing_at_once_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&[]);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| with_cache(Some(dir.path()), &config).unwrap()))
            .collect();
        let results: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        for result in &results {
            assert_eq!(all(&result.dataset.train), all(&results[0].dataset.train));
            assert!(result.notices.is_empty());
        }
    });
    assert_eq!(files(&dir.path().join("tokens")).len(), 1);
}

#[test]
fn a_text_that_is_too_small_is_refused() {
    let error = with_cache(None, &config(&["train.batch_size=64"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the corpus `t` is too small: its training part has 79 tokens, but one batch (train.batch_size 64 × \
         model.context_length 4) needs 257; lower train.batch_size or model.context_length, or take a longer text"
    );
    let sets = ["model.context_length=16", "train.batch_size=1"];
    let error = with_cache(None, &config(&sets)).unwrap_err().to_string();
    assert!(error.contains("its validation part has"), "{error}");
    assert!(
        error.contains("raise corpus.validation_fraction"),
        "{error}"
    );
}

#[test]
fn a_given_tokenizer_is_kept() {
    let config = config(&[]);
    let tokenizer = Tokenizer::train(&config.tokenizer, "the mill", &mut progress::ignore).unwrap();
    let json = tokenizer.to_json();
    let prepared = prepare_corpus(&config, text(), Some(tokenizer), &mut progress::ignore).unwrap();
    assert_eq!(prepared.tokenizer.to_json(), json);
}

#[test]
fn preparing_stops_when_asked() {
    for stop_at in ["checking the corpus", "counting words", "tokenising"] {
        let dir = tempfile::tempdir().unwrap();
        let cache = Some(dir.path().to_path_buf());
        let mut stop = |update: Update<'_>| match update.what == stop_at {
            true => progress::Flow::Stop,
            false => progress::Flow::Continue,
        };
        let error = prepare_with_cache(&config(&[]), text(), None, cache, &mut stop).unwrap_err();
        assert!(error.to_string().starts_with("stopped"), "{error}");
        assert!(files(&dir.path().join("tokens")).is_empty());
    }
}
