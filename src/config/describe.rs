//! The table of fields as text: `fireside config describe` and docs/configuration.md.

use super::fields::{Field, fields, sections};

/// One sentence about a section.
fn section_title(section: &str) -> &'static str {
    match section {
        "" => "The run itself.",
        "corpus" => "Where the text comes from, and how it is split.",
        "tokenizer" => "How text is cut into tokens.",
        "model" => "The network.",
        "optimizer" => "How gradients become updates.",
        "schedule" => "How the learning rate changes over the steps.",
        "train" => "How long, how much at once, and in which order.",
        "eval" => "How often the loss is measured on held-out text.",
        "sample" => "What the model is asked to write while it trains, and how tokens are picked.",
        "checkpoint" => "How often the run is saved.",
        _ => "",
    }
}

/// A field in a few lines: type, default, what is allowed, where it applies, and its sentence.
pub fn describe_field(field: &Field) -> String {
    let mut lines = vec![
        field.key.to_owned(),
        format!("    {}", field.description),
        format!("    type     {}", field.kind.type_name()),
        format!("    default  {}", field.default_text()),
        format!("    allowed  {}", field.allowed()),
    ];
    if let Some(text) = field.applies_text() {
        lines.push(format!("    applies  where {text}"));
    }
    lines.join("\n") + "\n"
}

/// docs/configuration.md: every key, by section.
pub fn describe_markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Written by `fireside config describe --markdown > docs/configuration.md`; a test fails on drift. -->\n\n\
         Every key of a configuration file. A file states only what differs from these defaults, and\n\
         `--set section.key=value` overrides any key. Keys that are unknown, or that mean nothing beside the\n\
         others, are errors. Relative paths start from the folder in which fireside is started.\n",
    );
    for section in sections() {
        let title = match section {
            "" => "Top level".to_owned(),
            section => format!("`[{section}]`"),
        };
        text.push_str(&format!("\n## {title}\n\n{}\n\n", section_title(section)));
        text.push_str("| key | allowed | default | what it is |\n| --- | --- | --- | --- |\n");
        for field in fields().iter().filter(|field| field.section() == section) {
            let applies = match field.applies_text() {
                Some(text) => format!(" Only where {text}."),
                None => String::new(),
            };
            let row = [
                format!("`{}`", field.key),
                field.allowed(),
                field.default_text(),
                format!("{}{applies}", field.description),
            ];
            let row: Vec<String> = row.iter().map(|cell| cell_text(cell)).collect();
            text.push_str(&format!("| {} |\n", row.join(" | ")));
        }
    }
    text
}

/// Text that may stand in a cell of a Markdown table.
fn cell_text(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}
