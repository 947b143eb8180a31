//! Combinations of values that cannot be, although each value alone is fine.

use super::value::Value;

/// Backends that a build may have; `fireside devices` says which are there.
const BACKENDS: &[&str] = &["auto", "flex", "ndarray", "cuda", "wgpu", "vulkan"];
/// Most tokens in one forward pass; beyond this no machine that this program runs on has the memory.
const MOST_TOKENS: i64 = 1 << 24;

/// Values that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clash {
    /// All keys that take part; the first is the one to change.
    pub keys: Vec<&'static str>,
    pub message: String,
}

/// All clashes. `get` gives effective values, `applies` says whether a key has a meaning.
pub(crate) fn clashes(get: &dyn Fn(&str) -> Value, applies: &dyn Fn(&str) -> bool) -> Vec<Clash> {
    let mut found = Vec::new();
    let mut clash = |keys: &[&'static str], message: String| {
        found.push(Clash {
            keys: keys.to_vec(),
            message,
        })
    };
    let integer = |key: &str| match get(key) {
        Value::Integer(n) => n,
        _ => 0,
    };
    let text = |key: &str| get(key).to_plain();
    let is_empty = |key: &str| matches!(get(key), Value::List(items) if items.is_empty());

    if applies("corpus.name") && text("corpus.name").is_empty() {
        clash(
            &["corpus.name", "corpus.path"],
            "corpus.name = \"\": no text is chosen; give corpus.name or corpus.path".to_owned(),
        );
    }
    let vocab_size = integer("tokenizer.vocab_size");
    if text("tokenizer.kind") == "bpe" && vocab_size < 256 {
        clash(
            &["tokenizer.vocab_size", "tokenizer.kind"],
            format!(
                "tokenizer.vocab_size = {vocab_size}: tokenizer.kind = \"bpe\" starts from 256 bytes; expected at least 256"
            ),
        );
    }
    if applies("model.n_heads") {
        let (d_model, n_heads) = (integer("model.d_model"), integer("model.n_heads"));
        if n_heads > 0 && d_model % n_heads != 0 {
            clash(
                &["model.n_heads", "model.d_model"],
                format!(
                    "model.n_heads = {n_heads}: does not divide model.d_model = {d_model}; n_heads may be {}, or d_model a multiple of {n_heads}",
                    divisors(d_model)
                ),
            );
        }
        if text("model.positions") == "sinusoidal" && d_model % 2 != 0 {
            clash(
                &["model.d_model", "model.positions"],
                format!(
                    "model.d_model = {d_model}: model.positions = \"sinusoidal\" pairs sines with cosines; expected an even number"
                ),
            );
        }
    }
    if get("optimizer.nesterov") == Value::Bool(true)
        && applies("optimizer.nesterov")
        && get("optimizer.momentum") == Value::Float(0.0)
    {
        clash(
            &["optimizer.nesterov", "optimizer.momentum"],
            "optimizer.nesterov = true: needs optimizer.momentum above 0".to_owned(),
        );
    }
    let (steps, warmup) = (integer("train.steps"), integer("schedule.warmup"));
    let decay_steps = integer("schedule.decay_steps");
    if warmup > 0 && warmup >= steps {
        clash(
            &["schedule.warmup", "train.steps"],
            format!(
                "schedule.warmup = {warmup}: never ends within train.steps = {steps}; expected fewer than {steps}"
            ),
        );
    }
    if applies("schedule.decay_steps") && decay_steps > 0 && warmup >= decay_steps {
        clash(
            &["schedule.decay_steps", "schedule.warmup"],
            format!(
                "schedule.decay_steps = {decay_steps}: the decay would end before schedule.warmup = {warmup} does; expected more than {warmup}, or 0 for train.steps"
            ),
        );
    }
    let never_evaluates = integer("eval.every") == 0;
    if text("schedule.kind") == "plateau" && never_evaluates {
        clash(
            &["eval.every", "schedule.kind"],
            "eval.every = 0: schedule.kind = \"plateau\" looks at evaluations; expected at least 1"
                .to_owned(),
        );
    }
    let early_stopping = integer("train.early_stopping");
    if early_stopping > 0 && never_evaluates {
        clash(
            &["eval.every", "train.early_stopping"],
            format!(
                "eval.every = 0: train.early_stopping = {early_stopping} looks at evaluations; expected at least 1"
            ),
        );
    }
    if integer("sample.every") > 0 && is_empty("sample.prompts") {
        clash(
            &["sample.prompts", "sample.every"],
            "sample.prompts = []: nothing to continue; give a prompt, or sample.every = 0"
                .to_owned(),
        );
    }
    let (batch_size, context) = (integer("train.batch_size"), integer("model.context_length"));
    if batch_size.saturating_mul(context) > MOST_TOKENS {
        clash(
            &["train.batch_size", "model.context_length"],
            format!(
                "train.batch_size = {batch_size}: times model.context_length = {context} is more than {MOST_TOKENS} tokens; expected at most {}",
                (MOST_TOKENS / context.max(1)).max(1)
            ),
        );
    }
    found
}

/// What a free text must look like.
pub(crate) fn check_text(key: &str, text: &str) -> Result<(), String> {
    match key {
        "name" => {
            let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
            if text.chars().count() > 80 || text.contains(bad) {
                return Err(
                    "expected at most 80 characters, without slashes and control characters"
                        .to_owned(),
                );
            }
            if !text.is_empty() && !text.contains(char::is_alphanumeric) {
                return Err("expected a name with a letter or digit in it".to_owned());
            }
            Ok(())
        }
        "device" => {
            let (backend, index) = match text.split_once(':') {
                Some((backend, index)) => (backend, Some(index)),
                None => (text, None),
            };
            let indexed = matches!(backend, "cuda" | "wgpu" | "vulkan");
            let good_index = index.is_none_or(|index| indexed && index.parse::<u16>().is_ok());
            if BACKENDS.contains(&backend) && good_index {
                return Ok(());
            }
            let expected = "expected auto, flex, ndarray, or cuda, wgpu or vulkan with an optional number (cuda:0)";
            Err(
                match super::fields::closest(backend, BACKENDS.iter().copied()) {
                    Some(guess) if guess != backend => {
                        format!("{expected} (did you mean `{guess}`?)")
                    }
                    _ => expected.to_owned(),
                },
            )
        }
        _ => Ok(()),
    }
}

/// The divisors of `n` up to 64, in words.
fn divisors(n: i64) -> String {
    let divisors: Vec<String> = (1..=n.min(64))
        .filter(|d| n % d == 0)
        .map(|d| d.to_string())
        .collect();
    let divisors: Vec<&str> = divisors.iter().map(String::as_str).collect();
    super::fields::or_list(&divisors)
}
