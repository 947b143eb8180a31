//! `cargo bench --bench large_corpus [-- BYTES]`: a text of 2³⁰ bytes (or `BYTES`) is cut into tokens and trained on by
//! each tokenizer, in a process of its own; prints seconds by stage and the peak of resident memory, and fails above
//! 2 GB. Takes some minutes and 4 GB of disk in the folder for temporary files; Linux only, where the peak can be read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fireside::config::{self, Source};
use fireside::corpus::stories;
use fireside::data;
use fireside::progress::{Flow, Update};
use fireside::train::{Trainer, TrainerSetup};

const BYTES: u64 = 1 << 30;
const LIMIT: u64 = 2_000_000_000;
const STEPS: u64 = 20;
/// Says to a process that it is to measure one tokenizer.
const PART: &str = "FIRESIDE_LARGE_CORPUS_PART";

fn main() {
    // The harness of `cargo bench` adds arguments of its own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match std::env::var(PART) {
        Ok(tokenizer) => measure(Path::new(&arguments[0]), &tokenizer),
        Err(_) => {
            let bytes = arguments.iter().find_map(|argument| argument.parse().ok());
            all(bytes.unwrap_or(BYTES));
        }
    }
}

fn all(bytes: u64) {
    let folder = std::env::temp_dir().join(format!("fireside-large-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    let text = write(&folder, bytes);
    println!("a text of {bytes} bytes");
    let program = std::env::current_exe().expect("this program");
    let mut sound = true;
    for tokenizer in ["char", "word", "bpe"] {
        let status = Command::new(&program)
            .arg(&text)
            .env(PART, tokenizer)
            .env("FIRESIDE_CACHE", folder.join("cache"))
            .status();
        sound &= status.is_ok_and(|status| status.success());
    }
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        eprintln!("{} is left: {error}", folder.display());
    }
    if !sound {
        std::process::exit(1);
    }
}

fn write(folder: &Path, bytes: u64) -> PathBuf {
    let path = folder.join("stories.txt");
    let mut out = BufWriter::new(File::create(&path).expect("a new file"));
    stories::write(&mut out, bytes, 1).expect("room on the disk");
    out.flush().expect("room on the disk");
    path
}

fn measure(text: &Path, tokenizer: &str) {
    let mut sets = vec![
        format!("corpus.path=[\"{}\"]", text.display()),
        format!("tokenizer.kind={tokenizer}"),
        "device=flex".to_string(),
        "eval.batches=20".to_string(),
    ];
    if tokenizer != "char" {
        sets.push("tokenizer.vocab_size=4096".to_string());
    }
    let config =
        config::load(Source::Preset("gpt".into()), &sets).unwrap_or_else(|error| panic!("{error}"));
    let mut stages: Vec<(String, Instant)> = Vec::new();
    let mut note = |update: Update<'_>| {
        if stages.last().is_none_or(|(name, _)| name != update.what) {
            stages.push((update.what.to_string(), Instant::now()));
        }
        Flow::Continue
    };
    let start = Instant::now();
    let prepared = data::prepare(&config, None, &mut note).expect("the text can be read");
    let end = Instant::now();
    let ends = stages.iter().skip(1).map(|(_, began)| *began).chain([end]);
    let times: Vec<String> = stages
        .iter()
        .zip(ends)
        .map(|((name, began), end)| format!("{name} {:.1} s", (end - *began).as_secs_f64()))
        .collect();
    let tokens = prepared.dataset.train.len();
    let peak_prepared = peak();

    let began = Instant::now();
    let mut trainer = Trainer::new(TrainerSetup {
        config,
        dataset: prepared.dataset,
        vocab_size: prepared.tokenizer.vocab_size(),
        device: burn::tensor::Device::flex(),
    })
    .expect("enough tokens");
    for _ in 0..STEPS {
        trainer.step().expect("a step");
    }
    trainer
        .evaluate(&AtomicBool::new(false), &mut |_, _| {})
        .expect("an evaluation");
    let peak = peak();
    println!(
        "{tokenizer}: prepared in {:.1} s ({}), {tokens} training tokens, peak {} MB; {STEPS} steps and an evaluation in {:.1} s, \
         peak {} MB (at most {})",
        (end - start).as_secs_f64(),
        times.join(", "),
        peak_prepared / 1_000_000,
        began.elapsed().as_secs_f64(),
        peak / 1_000_000,
        LIMIT / 1_000_000,
    );
    if peak > LIMIT {
        println!("{tokenizer}: TOO MUCH");
        std::process::exit(1);
    }
}

/// Peak resident memory of this process in bytes; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
