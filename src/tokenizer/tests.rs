//! All three kinds against the `tokenizers` crate and against themselves.

use proptest::prelude::*;

use super::*;
use crate::progress;

const PROSE: &str = include_str!("tests_prose.txt");

fn config(kind: TokenizerKind) -> TokenizerConfig {
    TokenizerConfig {
        kind,
        vocab_size: 400,
        min_freq: 1,
        lowercase: true,
    }
}

fn trained(config: &TokenizerConfig, text: &str) -> Tokenizer {
    Tokenizer::train(config, text, &mut progress::ignore).unwrap()
}

fn crates(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_bytes(tokenizer.to_json()).unwrap()
}

fn all() -> Vec<Tokenizer> {
    let cased = TokenizerConfig {
        lowercase: false,
        ..config(TokenizerKind::Word)
    };
    [
        config(TokenizerKind::Char),
        config(TokenizerKind::Word),
        cased,
        config(TokenizerKind::Bpe),
    ]
    .iter()
    .map(|config| trained(config, PROSE))
    .collect()
}

#[test]
fn known_text_comes_back() {
    let [characters, _, cased, bpe] = <[Tokenizer; 4]>::try_from(all()).unwrap();
    for tokenizer in [&characters, &bpe] {
        let ids = tokenizer.encode_strict(PROSE).unwrap();
        assert_eq!(tokenizer.decode(&ids), PROSE);
    }
    let ids = cased.encode(PROSE);
    assert_eq!(cased.decode(&ids), PROSE, "the spacing rules fit this text");
}

#[test]
fn a_saved_tokenizer_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for (at, tokenizer) in all().into_iter().enumerate() {
        let path = dir.path().join(format!("{at}.json"));
        tokenizer.save(&path).unwrap();
        let loaded = Tokenizer::load(&path).unwrap();
        assert_eq!(loaded.kind(), tokenizer.kind());
        assert_eq!(loaded.vocab_size(), tokenizer.vocab_size());
        assert_eq!(loaded.unknown_id(), tokenizer.unknown_id());
        assert_eq!(loaded.encode(PROSE), tokenizer.encode(PROSE));
        assert_eq!(loaded.to_json(), tokenizer.to_json());
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 4, "no temporary file stays");
}

#[test]
fn training_twice_gives_the_same_file() {
    for tokenizer in [TokenizerKind::Char, TokenizerKind::Word, TokenizerKind::Bpe] {
        let config = config(tokenizer);
        assert_eq!(
            trained(&config, PROSE).to_json(),
            trained(&config, PROSE).to_json()
        );
    }
}

#[test]
fn bpe_learns_what_the_crate_learns() {
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    let mut theirs = tokenizers::Tokenizer::new(BPE::default());
    theirs.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    let mut trainer: tokenizers::models::TrainerWrapper = BpeTrainer::builder()
        .vocab_size(400)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build()
        .into();
    theirs.train(&mut trainer, std::iter::once(PROSE)).unwrap();
    let ours = trained(&config(TokenizerKind::Bpe), PROSE);
    assert_eq!(crates(&ours).get_vocab(true), theirs.get_vocab(true));
    assert_eq!(ours.vocab_size(), 400);
}

#[test]
fn large_texts_are_encoded_in_pieces_to_the_same_ids() {
    let large = PROSE.repeat(1 + (3 << 20) / PROSE.len());
    for tokenizer in all() {
        let mut whole = Vec::new();
        tokenizer.encode_piece(&large, &mut whole);
        assert!(tokenizer.encode(&large) == whole, "{:?}", tokenizer.kind());
        let again = trained(
            &TokenizerConfig {
                lowercase: matches!(tokenizer.encode("THE")[..], [id] if id != 0),
                ..config(tokenizer.kind())
            },
            &large,
        );
        assert_eq!(again.vocab_size(), tokenizer.vocab_size());
    }
}

#[test]
fn long_words_merge_like_short_ones() {
    let bpe = trained(&config(TokenizerKind::Bpe), PROSE);
    let word = "thereforethemillerwouldneverhavegonethereagain".repeat(5);
    let theirs = crates(&bpe).encode(word.as_str(), false).unwrap();
    assert_eq!(bpe.encode(&word), theirs.get_ids());
}

#[test]
fn unknown_text_is_named() {
    let [characters, words, _, bpe] = <[Tokenizer; 4]>::try_from(all()).unwrap();
    let error = characters.encode_strict("the \u{1F600}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"😀\" at byte 4 is not in the tokenizer's vocabulary"
    );
    let error = words.encode_strict("the xylophone").unwrap_err();
    assert_eq!((error.position, error.text.as_str()), (4, "xylophone"));
    assert!(bpe.encode_strict("the \u{1F600}").is_ok());
    assert_eq!(characters.decode(&characters.encode("t\u{1F600}h")), "th");
    assert_eq!(words.decode(&words.encode("the xylophone")), "the <unk>");
}

#[test]
fn tokens_can_be_shown() {
    let bpe = trained(&config(TokenizerKind::Bpe), "aaa");
    let shown: Vec<String> = bpe
        .encode("é\n")
        .iter()
        .map(|&id| bpe.token_text(id))
        .collect();
    assert_eq!(shown, ["\\xC3", "\\xA9", "\n"]);
    assert_eq!(bpe.token_text(100_000), "");
}

#[test]
fn what_follows_a_prompt_is_set_apart_from_it_as_text_is() {
    let text = "once upon a time there was a fox, and the fox said: come here.";
    for kind in [TokenizerKind::Char, TokenizerKind::Word, TokenizerKind::Bpe] {
        let tokenizer = trained(&config(kind), &text.repeat(3));
        for (prompt, rest) in [
            ("once upon a time", " there was a fox"),
            (
                "once upon a time there was a fox",
                ", and the fox said: come here.",
            ),
            ("", "once upon a time"),
        ] {
            let ids = tokenizer.encode(&format!("{prompt}{rest}"));
            let before = tokenizer.encode(prompt).len();
            let after = tokenizer.decode_after(prompt, &ids[before..]);
            assert_eq!(after, rest, "{kind:?}");
        }
        // A space that the prompt ends in is not put once more.
        if kind == TokenizerKind::Word {
            assert_eq!(
                tokenizer.decode_after("a time ", &tokenizer.encode("there was")),
                "there was"
            );
        }
    }
}

#[test]
fn a_stream_never_splits_a_character() {
    let bpe = trained(&config(TokenizerKind::Bpe), "aaa");
    let mut ids = bpe.encode("é漢😀");
    let mut stream = bpe.stream_decoder();
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
    assert_eq!(pieces, ["", "é", "", "", "漢", "", "", "", "😀"]);
    assert_eq!(stream.finish(), "");
    ids.truncate(3);
    assert_eq!(bpe.decode(&ids), "é\u{FFFD}");
}

#[test]
fn tiny_vocabularies_and_empty_texts_are_no_trouble() {
    for kind in [TokenizerKind::Char, TokenizerKind::Word, TokenizerKind::Bpe] {
        let tokenizer = trained(&config(kind), "");
        assert!(tokenizer.encode("").is_empty());
        assert_eq!(tokenizer.decode(&[]), "");
        assert_eq!(
            Tokenizer::from_json(&tokenizer.to_json()).unwrap().kind(),
            kind
        );
    }
    let config = TokenizerConfig {
        vocab_size: 10,
        ..config(TokenizerKind::Bpe)
    };
    let error = Tokenizer::train(&config, "x", &mut progress::ignore).unwrap_err();
    assert!(error.to_string().contains("at least 256"), "{error}");
}

#[test]
fn training_stops_when_asked() {
    for kind in [TokenizerKind::Char, TokenizerKind::Word, TokenizerKind::Bpe] {
        let result = Tokenizer::train(&config(kind), PROSE, &mut |_| progress::Flow::Stop);
        assert!(matches!(result, Err(TokenizerError::Stopped)));
    }
}

#[test]
fn other_tokenizers_are_refused_with_a_reason() {
    let refusal = |json: &str| Tokenizer::from_json(json).unwrap_err().to_string();
    assert!(refusal("{").starts_with("not a tokenizer.json: "));
    let words = trained(&config(TokenizerKind::Word), PROSE).to_json();
    let other = words.replace("\"Lowercase\"", "\"NFC\"");
    assert!(refusal(&other).contains("normalises text with NFC"));
    let other = words.replace("|\\\\n\"", "\"");
    assert!(
        refusal(&other).contains("another pattern"),
        "{}",
        refusal(&other)
    );
}

/// Text with the characters that matter: letters of several scripts, marks, digits, apostrophes, white space.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::char::range('a', 'f'),
        2 => prop::sample::select(vec!['A', 'S', 's', 't', 'l', 'r', 'e', 'v', 'm', 'd']),
        3 => Just(' '),
        3 => prop::sample::select(vec!['\'', '’', '"', '-', '.', ',', '!', '_', '<', '>', '(']),
        2 => prop::sample::select(vec!['\n', '\r', '\t', '\u{b}', '\u{1c}', '\u{85}', '\u{a0}', '\u{3000}']),
        1 => prop::sample::select(vec!['1', '2', '½', '٣', 'Ⅷ']),
        2 => prop::sample::select(vec!['é', 'İ', 'Σ', 'ς', 'Ⓐ', '漢', 'ß', '\u{301}', '\u{200d}', 'क', 'ि']),
        1 => any::<char>(),
    ];
    prop::collection::vec(character, 0..60).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn ids_are_the_crates(text in text(), training in text()) {
        for kind in [TokenizerKind::Char, TokenizerKind::Word, TokenizerKind::Bpe] {
            for lowercase in [true, false] {
                let config = TokenizerConfig { lowercase, ..config(kind) };
                let ours = trained(&config, &format!("{training} {text}"));
                let theirs = crates(&ours);
                let mixed = format!("{text}{training}{text}");
                let encoding = theirs.encode(mixed.as_str(), false).unwrap();
                let ids = ours.encode(&mixed);
                prop_assert_eq!(&ids, encoding.get_ids());
                let decoded = theirs.decode(&ids, false).unwrap();
                if kind != TokenizerKind::Word || !mixed.contains('"') {
                    prop_assert_eq!(ours.decode(&ids), decoded);
                }
            }
        }
    }

    #[test]
    fn text_survives_the_round_trip(text in text()) {
        for kind in [TokenizerKind::Char, TokenizerKind::Bpe] {
            let tokenizer = trained(&config(kind), &text);
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text.clone());
        }
    }

    #[test]
    fn words_survive_the_round_trip(text in text()) {
        for lowercase in [true, false] {
            let tokenizer = trained(&TokenizerConfig { lowercase, ..config(TokenizerKind::Word) }, &text);
            let ids = tokenizer.encode(&text);
            prop_assert_eq!(tokenizer.encode(&tokenizer.decode(&ids)), ids);
        }
    }

    #[test]
    fn pieces_encode_apart(text in text(), size in 1usize..20) {
        for kind in [TokenizerKind::Char, TokenizerKind::Word, TokenizerKind::Bpe] {
            let tokenizer = trained(&config(kind), &text);
            let mut ids = Vec::new();
            for piece in chunks(&text, size) {
                tokenizer.encode_piece(piece, &mut ids);
            }
            prop_assert_eq!(ids, tokenizer.encode(&text));
        }
    }

    #[test]
    fn streams_of_any_ids_are_decoded_whole(ids in prop::collection::vec(0u32..450, 0..40)) {
        for tokenizer in all() {
            let mut stream = tokenizer.stream_decoder();
            let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
            text.push_str(&stream.finish());
            prop_assert_eq!(&text, &tokenizer.decode(&ids));
            if tokenizer.kind() == TokenizerKind::Bpe {
                prop_assert_eq!(&text, &crates(&tokenizer).decode(&ids, false).unwrap());
            }
        }
    }
}
