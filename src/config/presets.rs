//! The configurations that come with the program: the files of configs/, embedded.

use super::types::ModelKind;

/// A configuration that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Name of the file in configs/, without `.toml`.
    pub name: &'static str,
    /// Label in pickers.
    pub title: &'static str,
    /// One or two sentences.
    pub description: &'static str,
    pub kind: ModelKind,
    /// The file's text: only what differs from the defaults.
    pub toml: &'static str,
}

macro_rules! preset {
    ($name:literal, $kind:ident, $title:literal, $description:literal) => {
        Preset {
            name: $name,
            title: $title,
            description: $description,
            kind: ModelKind::$kind,
            toml: include_str!(concat!("../../configs/", $name, ".toml")),
        }
    };
}

static PRESETS: &[Preset] = &[
    preset!(
        "char-rnn",
        CharRnn,
        "char RNN",
        "A tanh network reads one character after the other and keeps what it has seen in one hidden vector. It learns spelling first; how soon gradients from the past vanish shows why the later rungs exist."
    ),
    preset!(
        "word-gru",
        WordGru,
        "word GRU",
        "Words become dense vectors, and gates decide what the hidden state keeps and what it forgets. Sentences hold together from the start, because spelling is no longer to be learnt."
    ),
    preset!(
        "lstm-attention",
        LstmAttention,
        "LSTM + attention",
        "A separate cell state carries information over long distances. Before each prediction the model also looks back: every hidden state attends to the hidden states before it."
    ),
    preset!(
        "transformer",
        Transformer,
        "Transformer",
        "No recurrence: every position attends to all earlier ones at once, through several heads. Sines and cosines say where a word stands; residual sums and layer norms keep the stack trainable."
    ),
    preset!(
        "gpt",
        Gpt,
        "GPT",
        "The production recipe: norms before the sublayers, GELU, learned positions, a head tied to the embedding, and warmup before a cosine. It reads byte-pair pieces learned from the corpus."
    ),
    preset!(
        "char-rnn-full",
        CharRnn,
        "char RNN, full size",
        "Rung 1 in its reference size: two layers of 256 on tiny Shakespeare."
    ),
    preset!(
        "word-gru-full",
        WordGru,
        "word GRU, full size",
        "Rung 2 in its reference size: two GRU layers of 512 on tiny Shakespeare."
    ),
    preset!(
        "lstm-attention-full",
        LstmAttention,
        "LSTM + attention, full size",
        "Rung 3 in its reference size: two LSTM layers of 512 with attention on tiny Shakespeare."
    ),
    preset!(
        "transformer-full",
        Transformer,
        "Transformer, full size",
        "Rung 4 in its reference size: 4 layers of width 256 on tiny Shakespeare."
    ),
    preset!(
        "gpt-full",
        Gpt,
        "GPT, full size",
        "Rung 5 in its reference size: 6 layers of width 384 with a context of 256 on tiny Shakespeare."
    ),
    preset!(
        "nanogpt-cpu",
        Gpt,
        "nanoGPT's CPU recipe",
        "The settings for which nanoGPT publishes a validation loss of 1.88 on tiny Shakespeare; the whole validation split gives 1.90."
    ),
    preset!(
        "lecture-small",
        Gpt,
        "the lecture's small GPT",
        "The small setting of nanoGPT's author's lecture: 209,729 parameters, validation loss 1.82 to 1.83 on tiny Shakespeare."
    ),
];

/// All presets: the five rungs, their full sizes, then the reproductions.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

/// A preset by its name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
