//! The configurations that a user keeps: TOML files in `./configs`, and in `configs` beside the settings of the screens.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::load::{Source, load};
use super::presets::{preset, presets};
use super::types::RunConfig;

/// A file of the user's that can be trained.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnConfig {
    /// What pickers show and `fireside train` takes: the file's name without `.toml`, or its path where something else has that name.
    pub name: String,
    pub path: PathBuf,
    pub config: RunConfig,
}

/// What lies in the folders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnConfigs {
    /// By name.
    pub configs: Vec<OwnConfig>,
    /// Files that cannot be used, each with its first problem.
    pub problems: Vec<String>,
}

/// Where configurations are looked for: `./configs`, then `$XDG_CONFIG_HOME/fireside/configs` (`~/.config` where that is not
/// set), in which new ones are saved.
pub fn own_folders() -> Vec<PathBuf> {
    let folder = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let base = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let kept = base.map(|base| base.join("fireside").join("configs"));
    [Some(PathBuf::from("configs")), kept]
        .into_iter()
        .flatten()
        .collect()
}

/// The file of this name in one of the folders.
pub(super) fn own_file(name: &str) -> Option<PathBuf> {
    let file = format!("{name}.toml");
    let mut paths = own_folders().into_iter().map(|folder| folder.join(&file));
    paths.find(|path| path.is_file())
}

/// Reads every configuration in the folders. Those that come with the program are left out, so that its source tree
/// shows nothing twice; a folder that is not there holds none.
pub fn own_configs(folders: &[PathBuf]) -> OwnConfigs {
    let mut found = OwnConfigs::default();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let files = entries.flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files
            .filter(|path| path.extension().is_some_and(|end| end == "toml") && path.is_file())
            .collect();
        files.sort();
        for path in files {
            if comes_with_the_program(&path) {
                continue;
            }
            match load(Source::File(path.clone()), &[]) {
                Ok(config) => found.configs.push(OwnConfig {
                    name: label(&path, &found.configs),
                    path,
                    config,
                }),
                Err(errors) => found
                    .problems
                    .extend(errors.problems.first().map(ToString::to_string)),
            }
        }
    }
    found.configs.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn comes_with_the_program(path: &Path) -> bool {
    std::fs::read_to_string(path)
        .is_ok_and(|text| presets().iter().any(|preset| preset.toml == text))
}

fn label(path: &Path, taken: &[OwnConfig]) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if preset(&stem).is_some() || taken.iter().any(|own| own.name == stem) {
        path.display().to_string()
    } else {
        stem.into_owned()
    }
}

/// The name under which a configuration can be kept, out of what was typed.
///
/// # Errors
/// In words: what is no name for a file, or comes with the program.
pub fn own_name(typed: &str) -> Result<&str, String> {
    let name = typed.trim();
    let name = name.strip_suffix(".toml").unwrap_or(name);
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        return Err(format!(
            "`{name}`: letters, digits, `-`, `_` and `.` make a name, not first a `.`"
        ));
    }
    if preset(name).is_some() {
        return Err(format!(
            "`{name}` comes with the program: take another name"
        ));
    }
    Ok(name)
}

/// Keeps a configuration as `NAME.toml` in `folder`, which is made where it is missing. The file states only what differs from
/// the defaults, and names its runs after itself.
///
/// # Errors
/// In words: those of [`own_name`], a name that is taken, or what the file system says.
pub fn save_own(folder: &Path, name: &str, config: &RunConfig) -> Result<PathBuf, String> {
    let name = own_name(name)?;
    let path = folder.join(format!("{name}.toml"));
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} is there already: take another name", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    };
    let mut config = config.clone();
    config.name = name.to_owned();
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(failed)?;
    let text = config.to_toml_differences();
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a file is worse than none; the message names it where it cannot be removed either.
        let _ = std::fs::remove_file(&path);
        failed(error)
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed() -> RunConfig {
        let sets = ["model.n_layers=3", "name=mine", "train.steps=77"].map(str::to_owned);
        load(Source::Preset("gpt".to_owned()), &sets).expect("valid")
    }

    #[test]
    fn what_is_saved_is_found_and_is_the_same() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("new").join("configs");
        let path = save_own(&folder, "mine", &changed()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("n_layers = 3"), "{text}");
        assert!(!text.contains("beta1"), "only differences: {text}");
        let found = own_configs(&[place.path().join("none"), folder]);
        assert!(found.problems.is_empty(), "{found:?}");
        assert_eq!(found.configs.len(), 1);
        assert_eq!(found.configs[0].name, "mine");
        assert_eq!(found.configs[0].config, changed());
    }

    #[test]
    fn a_name_that_is_taken_or_none_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        save_own(place.path(), "mine", &changed()).unwrap();
        let before = std::fs::read(place.path().join("mine.toml")).unwrap();
        for (name, words) in [
            ("mine", "is there already"),
            ("mine.toml", "is there already"),
            ("gpt", "comes with the program"),
            ("", "make a name"),
            ("../up", "make a name"),
            (".hidden", "make a name"),
        ] {
            let problem = save_own(place.path(), name, &RunConfig::defaults()).unwrap_err();
            assert!(problem.contains(words), "{name}: {problem}");
        }
        assert_eq!(
            std::fs::read(place.path().join("mine.toml")).unwrap(),
            before
        );
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn presets_are_not_shown_twice_and_bad_files_are_named() {
        let place = tempfile::tempdir().unwrap();
        let (first, second) = (place.path().join("a"), place.path().join("b"));
        for folder in [&first, &second] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("small.toml"), "[model]\nkind = \"gpt\"\n").unwrap();
        }
        let gpt = preset("gpt").expect("it comes with the program");
        std::fs::write(first.join("gpt.toml"), gpt.toml).unwrap();
        std::fs::write(second.join("gpt.toml"), "[train]\nsteps = 5\n").unwrap();
        std::fs::write(second.join("bad.toml"), "[train]\nsteps = \"x\"\n").unwrap();
        std::fs::write(second.join("notes.txt"), "not a configuration").unwrap();
        let found = own_configs(&[first, second.clone()]);
        let mut names: Vec<_> = found.configs.iter().map(|own| own.name.clone()).collect();
        names.sort();
        let path = |file: &str| second.join(file).display().to_string();
        assert_eq!(
            names,
            [path("gpt.toml"), path("small.toml"), "small".to_owned()]
        );
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].contains("bad.toml"), "{found:?}");
    }
}
