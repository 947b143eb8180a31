//! Names of new runs: `gpt-stories-001`, that is the label, or the model and the corpus, and a number.

use std::path::{Path, PathBuf};

use crate::config::RunConfig;

use super::RunError;

/// Lower-case letters, digits and single dashes; never empty.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if character.is_alphanumeric() {
            slug.extend(character.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 48 {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() {
        "run".to_string()
    } else {
        slug.to_string()
    }
}

/// The label of a run without its number.
pub fn base_name(config: &RunConfig) -> String {
    if !config.name.trim().is_empty() {
        return slug(&config.name);
    }
    slug(&format!(
        "{} {}",
        config.model.kind().key(),
        corpus_name(config)
    ))
}

/// The corpus in a word: its name, or the first path's file stem.
pub fn corpus_name(config: &RunConfig) -> String {
    match config.corpus.path.first() {
        None => config.corpus.name.clone(),
        Some(path) if path.as_os_str() == "-" => "stdin".to_string(),
        Some(path) => path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_else(|| "text".to_string()),
    }
}

/// Makes and returns a folder below `root` that no other run has. Numbers go up from the highest there is;
/// two processes that start at once get two folders, because making a folder is atomic.
pub fn claim(root: &Path, base: &str) -> Result<PathBuf, RunError> {
    std::fs::create_dir_all(root).map_err(RunError::io("make the runs folder", root))?;
    let highest = std::fs::read_dir(root)
        .map_err(RunError::io("read the runs folder", root))?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(base)?.strip_prefix('-')?;
            number.parse::<u64>().ok()
        })
        .max()
        .unwrap_or(0);
    let mut number = highest;
    loop {
        number = number.saturating_add(1);
        let dir = root.join(format!("{base}-{number:03}"));
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(RunError::io("make the run folder", &dir)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain() {
        assert_eq!(slug("GPT  tiny Shakespeare!"), "gpt-tiny-shakespeare");
        assert_eq!(slug("../../etc"), "etc");
        assert_eq!(slug("  "), "run");
        assert_eq!(slug("Größe 2"), "größe-2");
    }

    #[test]
    fn numbers_go_up_from_the_highest() {
        let root = tempfile::tempdir().unwrap();
        let name = |dir: PathBuf| dir.file_name().unwrap().to_str().unwrap().to_string();
        assert_eq!(name(claim(root.path(), "gpt-x").unwrap()), "gpt-x-001");
        std::fs::create_dir(root.path().join("gpt-x-041")).unwrap();
        std::fs::create_dir(root.path().join("gpt-xy-099")).unwrap();
        assert_eq!(name(claim(root.path(), "gpt-x").unwrap()), "gpt-x-042");
    }
}
