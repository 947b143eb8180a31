//! `cargo bench --bench curves`: what the presets reach, on this machine and as published.
//!
//! ```text
//! cargo bench --bench curves                          # the five default presets, two minutes at most for each
//! cargo bench --bench curves -- published TEXT        # nanogpt-cpu (3 seeds) and lecture-small on tiny Shakespeare
//! ```
//!
//! Presets: each must fall below the entropy of its corpus's token frequencies within 30 s, and within two minutes four
//! fifths of the words that it writes must be words of the corpus. Published: the mean validation loss of nanoGPT's CPU
//! recipe, over the whole validation split, within 0.015 of the 1.898 that nanoGPT's own code reaches; the lecture's
//! small GPT from 1.80 to 1.84 (rounded to hundredths). `TEXT` is tiny Shakespeare, one file of 1 115 394 bytes.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use fireside::config::{Source, load};
use fireside::corpus::stories;
use serde_json::Value;

const RUNGS: [&str; 5] = [
    "char-rnn",
    "word-gru",
    "lstm-attention",
    "transformer",
    "gpt",
];

/// What one run showed, in seconds of wall clock since its process began.
#[derive(Default)]
struct Seen {
    unigram: f64,
    below_unigram: Option<f64>,
    evaluations: Vec<(u64, f64, f64)>,
    samples: Vec<(f64, String)>,
    step_ms: Vec<f64>,
    seconds: f64,
}

fn train(preset: &str, folder: &Path, limit: f64, sets: &[String]) -> Result<Seen, String> {
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fireside"));
    command
        .args(["train", preset, "--json", "--run"])
        .arg(folder);
    for set in sets {
        command.args(["--set", set]);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start fireside: {error}"))?;
    let Some(output) = child.stdout.take() else {
        return Err("fireside has no standard output".to_string());
    };
    let mut seen = Seen::default();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| error.to_string())?;
        let event: Value =
            serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        let now = began.elapsed().as_secs_f64();
        let number = |key: &str| event[key].as_f64().unwrap_or(f64::NAN);
        match event["event"].as_str() {
            Some("started") => seen.unigram = number("unigram_loss"),
            Some("step") => seen.step_ms.push(number("ms")),
            Some("eval") => {
                let loss = number("val_loss");
                if loss < seen.unigram && seen.below_unigram.is_none() {
                    seen.below_unigram = Some(now);
                }
                let step = event["step"].as_u64().unwrap_or(0);
                seen.evaluations.push((step, now, loss));
            }
            Some("sample") => {
                let text = event["text"].as_str().unwrap_or_default();
                seen.samples.push((now, text.to_string()));
            }
            Some("failed" | "diverged") => return Err(format!("{preset}: {}", event["message"])),
            _ => {}
        }
        if now > limit {
            break;
        }
    }
    // Past the limit the run has been seen: it need not go on, and nothing of it is kept.
    let _ = child.kill();
    let _ = child.wait();
    seen.seconds = began.elapsed().as_secs_f64();
    Ok(seen)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphabetic())
        .filter(|word| !word.is_empty())
}

fn presets(folder: &Path) -> Result<bool, String> {
    println!(
        "{:16} {:>8} {:>10} {:>14} {:>12} {:>10} {:>12} {:>13}",
        "preset",
        "ms/step",
        "steps",
        "entropy (nats)",
        "below it (s)",
        "val loss",
        "after (s)",
        "words known"
    );
    let mut good = true;
    let mut texts = Vec::new();
    for preset in RUNGS {
        let config =
            load(Source::Preset(preset.to_string()), &[]).map_err(|error| error.to_string())?;
        let corpus = stories::generate(config.corpus.bytes, config.corpus.seed);
        let known: HashSet<&str> = words(&corpus).collect();
        let mut seen = train(preset, &folder.join(preset), 120.0, &[])?;
        let steps = seen.step_ms.len();
        let Some((sampled, text)) = seen.samples.pop() else {
            return Err(format!("{preset}: no sample within two minutes"));
        };
        // The last word may be cut short.
        let text = text.rsplit_once(' ').map_or("", |(most, _)| most);
        let written: Vec<&str> = words(text).collect();
        let share = written.iter().filter(|word| known.contains(*word)).count() as f64
            / written.len().max(1) as f64;
        let below = seen.below_unigram.unwrap_or(f64::INFINITY);
        let loss = seen.evaluations.last().map_or(f64::NAN, |last| last.2);
        let passes = below <= 30.0 && share >= 0.8;
        good &= passes;
        texts.push((preset, sampled, text.to_string()));
        println!(
            "{preset:16} {:8.1} {steps:10} {:14.3} {below:12.1} {loss:10.3} {:12.1} {:12.0}% {}",
            median(&mut seen.step_ms),
            seen.unigram,
            seen.seconds,
            100.0 * share,
            if passes { "ok" } else { "TOO WEAK" }
        );
    }
    for (preset, at, text) in texts {
        println!("\n{preset}, after {at:.0} s:\n{text}");
    }
    Ok(good)
}

fn published(text: &str, folder: &Path) -> Result<bool, String> {
    let mut good = true;
    for (preset, seeds, low, high) in [
        ("nanogpt-cpu", 3u64, 1.898 - 0.015, 1.898 + 0.015),
        ("lecture-small", 3, 1.795, 1.845),
    ] {
        let mut losses = Vec::new();
        for seed in 1..=seeds {
            let sets = [
                format!("corpus.path={text}"),
                format!("train.seed={seed}"),
                "sample.every=0".to_string(),
                "eval.batches=0".to_string(),
            ];
            let folder = folder.join(format!("{preset}-{seed}"));
            let mut seen = train(preset, &folder, f64::INFINITY, &sets)?;
            let (step, _, loss) = *seen
                .evaluations
                .last()
                .ok_or_else(|| format!("{preset}: no evaluation"))?;
            println!(
                "{preset} seed {seed}: validation {loss:.4} at step {step}, {:.0} s, {:.1} ms/step (median)",
                seen.seconds,
                median(&mut seen.step_ms)
            );
            losses.push(loss);
        }
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        let passes = (low..=high).contains(&mean);
        good &= passes;
        println!(
            "{preset}: mean {mean:.4}, expected {low:.3} to {high:.3}: {}",
            if passes { "ok" } else { "OFF" }
        );
    }
    Ok(good)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("no temporary folder: {error}");
            return ExitCode::FAILURE;
        }
    };
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match names.as_slice() {
        [] | ["presets"] => presets(folder.path()),
        ["published", text] => published(text, folder.path()),
        _ => Err("expected nothing, or: published TEXT (tiny Shakespeare)".to_string()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
