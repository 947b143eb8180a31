//! The user's settings: `$XDG_CONFIG_HOME/fireside/settings.toml` (`~/.config` where that is not set).
//!
//! Every key is optional and states only what differs. What cannot be used is reported in a sentence and the
//! default is taken instead: a slip in this file never keeps the program from starting.

use std::path::{Path, PathBuf};

use toml::Value;

use super::keymap::{Context, KeyMap, Overrides};
use super::theme;

/// Frames a second, when the file says nothing.
pub const FRAME_RATE: u32 = 20;

/// What becomes of a run in progress when its terminal goes away: a window that is closed, a connection that breaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnHangup {
    /// It is saved, and goes on in a process of its own.
    #[default]
    Continue,
    /// It is saved, and ends.
    Save,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub theme: String,
    /// In place of the theme's.
    pub colors: theme::Colors,
    /// Most frames a second, from 1 to 60. A key is answered at once all the same.
    pub frame_rate: u32,
    pub mouse: bool,
    /// Folder of runs; `None` leaves it to FIRESIDE_RUNS and `./runs`.
    pub runs: Option<PathBuf>,
    pub on_hangup: OnHangup,
    pub keymap: Overrides,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: "dark".to_string(),
            colors: theme::Colors::default(),
            frame_rate: FRAME_RATE,
            mouse: true,
            runs: None,
            on_hangup: OnHangup::default(),
            keymap: Overrides::new(),
        }
    }
}

/// Where the settings lie; `None` when neither XDG_CONFIG_HOME nor HOME is set.
pub fn path() -> Option<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base =
        folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(base.join("fireside").join("settings.toml"))
}

impl Settings {
    /// Reads the user's file; a missing file is no problem. The second part is what could not be used.
    pub fn load() -> (Self, Vec<String>) {
        path().map_or_else(Default::default, |path| Self::load_from(&path))
    }

    pub fn load_from(path: &Path) -> (Self, Vec<String>) {
        let problem = |what: String| format!("{}: {what}", path.display());
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let (settings, problems) = Self::parse(&text);
                (settings, problems.into_iter().map(problem).collect())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Default::default(),
            Err(error) => (
                Self::default(),
                vec![problem(format!(
                    "cannot be read ({error}); defaults are used"
                ))],
            ),
        }
    }

    /// Takes every key that can be used.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let line = error
                    .span()
                    .map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
                let line = line.map_or(String::new(), |line| format!("line {line}: "));
                problems.push(format!(
                    "{line}not valid TOML ({}); defaults are used",
                    error.message()
                ));
                return (settings, problems);
            }
        };
        for (key, value) in &table {
            if let Err(problem) = settings.take(key, value, &mut problems) {
                problems.push(format!("{key}: {problem}; the default is used"));
            }
        }
        (settings, problems)
    }

    fn take(&mut self, key: &str, value: &Value, problems: &mut Vec<String>) -> Result<(), String> {
        match key {
            "theme" => {
                let name = value.as_str().filter(|name| theme::NAMES.contains(name));
                self.theme = name
                    .ok_or_else(|| format!("{value} is not one of {}", theme::NAMES.join(", ")))?
                    .to_string();
            }
            "frame_rate" => {
                let rate = value.as_integer().filter(|rate| (1..=60).contains(rate));
                self.frame_rate = rate
                    .and_then(|rate| u32::try_from(rate).ok())
                    .ok_or_else(|| format!("{value} is not a whole number from 1 to 60"))?;
            }
            "mouse" => {
                self.mouse = value
                    .as_bool()
                    .ok_or_else(|| format!("{value} is not true or false"))?;
            }
            "runs" => {
                let folder = value.as_str().filter(|folder| !folder.is_empty());
                let folder =
                    folder.ok_or_else(|| format!("{value} is not the path of a folder"))?;
                self.runs = Some(expand_home(folder));
            }
            "colors" => self.take_colors(value, problems)?,
            "on_hangup" => {
                self.on_hangup = match value.as_str() {
                    Some("continue") => OnHangup::Continue,
                    Some("save") => OnHangup::Save,
                    _ => return Err(format!("{value} is not \"continue\" or \"save\"")),
                };
            }
            "keymap" => self.take_keymap(value, problems)?,
            _ => {
                return Err(
                    "no such setting; known are theme, colors, frame_rate, mouse, runs, on_hangup, keymap"
                        .into(),
                );
            }
        }
        Ok(())
    }

    fn take_colors(&mut self, value: &Value, problems: &mut Vec<String>) -> Result<(), String> {
        let colors = value
            .as_table()
            .ok_or("must be a section, with lines such as accent = \"#f0a45d\"")?;
        for (role, given) in colors {
            let texts: Option<Vec<&str>> = match given {
                Value::String(color) => Some(vec![color]),
                Value::Array(colors) => colors.iter().map(Value::as_str).collect(),
                _ => None,
            };
            let taken = match texts {
                Some(texts) => self.colors.set(role, &texts),
                None => Err(format!("{given} is not a colour such as \"#8ab8f0\"")),
            };
            if let Err(problem) = taken {
                problems.push(format!("colors.{role}: {problem}; the theme's is used"));
            }
        }
        Ok(())
    }

    fn take_keymap(&mut self, value: &Value, problems: &mut Vec<String>) -> Result<(), String> {
        let contexts = value
            .as_table()
            .ok_or("must be sections such as [keymap.train]")?;
        for (context, actions) in contexts {
            let Some(actions) = actions.as_table() else {
                problems.push(format!(
                    "keymap.{context}: must be a section such as [keymap.train]"
                ));
                continue;
            };
            for (action, keys) in actions {
                let keys = match keys {
                    Value::String(key) => Some(vec![key.clone()]),
                    Value::Array(keys) => {
                        keys.iter().map(|k| k.as_str().map(String::from)).collect()
                    }
                    _ => None,
                };
                match keys {
                    Some(keys) => {
                        let section = self.keymap.entry(context.clone()).or_default();
                        section.insert(action.clone(), keys);
                    }
                    None => problems.push(format!(
                        "keymap.{context}.{action}: must be a key (\"p\") or a list of keys ([\"p\", \"space\"])"
                    )),
                }
            }
        }
        Ok(())
    }

    /// The table of keys with the user's changes, and what could not be used of them.
    pub fn keymap(&self) -> (KeyMap, Vec<String>) {
        KeyMap::with_overrides(&self.keymap)
    }

    /// A settings file with every default, as a start for one's own.
    pub fn default_toml() -> String {
        let roles: Vec<&str> = theme::ROLES.iter().map(|(name, _)| *name).collect();
        let mut text = format!(
            "# fireside settings: every key is optional; keep only what you change.\n\n\
             # one of: {}\n\
             theme = \"dark\"\n\
             # most frames a second, 1 to 60\n\
             frame_rate = {FRAME_RATE}\n\
             mouse = true\n\
             # runs = \"~/runs\"\n\
             # when the terminal goes away while a run trains: \"continue\" in the background, or \"save\" and end\n\
             on_hangup = \"continue\"\n\n\
             # Colours of your own in place of the theme's: [colors] accent = \"#f0a45d\". Each is one colour, but\n\
             # tokens takes a list of 4 and series one of 6. Known: {}\n\n\
             # Keys: [keymap.CONTEXT] action = \"key\" or [\"key\", …]; a space separates keys in sequence.\n",
            theme::NAMES.join(", "),
            roles.join(", ")
        );
        let map = KeyMap::default();
        for context in Context::ALL {
            text.push_str(&format!("\n[keymap.{}]\n", context.name()));
            for binding in map.bindings().iter().filter(|b| b.context == context) {
                let keys: Vec<String> = binding
                    .keys
                    .iter()
                    .map(|sequence| {
                        let keys: Vec<String> = sequence.iter().map(ToString::to_string).collect();
                        format!("{:?}", keys.join(" "))
                    })
                    .collect();
                text.push_str(&format!(
                    "# {} = [{}]  # {}\n",
                    binding.action.name(),
                    keys.join(", "),
                    binding.description
                ));
            }
        }
        text
    }
}

fn expand_home(folder: &str) -> PathBuf {
    match (folder.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_keys_are_taken_beside_bad_ones() {
        let (settings, problems) = Settings::parse(
            "theme = \"neon\"\nframe_rate = 10\nmouse = \"yes\"\nspeed = 3\nruns = \"/tmp/r\"\n",
        );
        assert_eq!(settings.theme, "dark");
        assert_eq!(settings.frame_rate, 10);
        assert!(settings.mouse);
        assert_eq!(settings.runs, Some(PathBuf::from("/tmp/r")));
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(
            problems.iter().any(|p| p.contains("okabe-ito")),
            "{problems:?}"
        );
        assert!(
            problems
                .iter()
                .any(|p| p.contains("speed: no such setting"))
        );
    }

    #[test]
    fn colours_are_taken_beside_bad_ones() {
        let (settings, problems) = Settings::parse(
            "[colors]\naccent = \"#010203\"\ntext = \"blue\"\nglow = \"#010203\"\nseries = [\"#010203\"]\ndim = 3\n",
        );
        let mut expected = theme::Colors::default();
        expected.set("accent", &["#010203"]).unwrap();
        assert_eq!(settings.colors, expected);
        assert_eq!(problems.len(), 4, "{problems:?}");
        let said = |text: &str| problems.iter().any(|p| p.contains(text));
        assert!(
            said("colors.text: \"blue\" is not a colour"),
            "{problems:?}"
        );
        assert!(
            said("colors.glow: no such colour; known are text"),
            "{problems:?}"
        );
        assert!(said("colors.series: must be a list of 6"), "{problems:?}");
        assert!(said("colors.dim: 3 is not a colour"), "{problems:?}");
    }

    #[test]
    fn torn_toml_names_the_line() {
        let (settings, problems) = Settings::parse("mouse = true\ntheme = \n");
        assert_eq!(settings, Settings::default());
        assert!(
            problems[0].starts_with("line 2: not valid TOML"),
            "{problems:?}"
        );
    }

    #[test]
    fn keys_are_replaced_and_conflicts_reported() {
        let (settings, problems) = Settings::parse(
            "[keymap.train]\npause = [\"p\", \"space\"]\nsave = \"p\"\nsample-now = \"v\"\nfly = \"f\"\n\
             step-once = \"hyper-x\"\nevaluate = 3\n",
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
        let (map, problems) = settings.keymap();
        let said = |text: &str| problems.iter().any(|p| p.contains(text));
        assert!(
            said("keymap.train.save: `p` is already given to `pause`"),
            "{problems:?}"
        );
        assert!(said("takes the only key of `evaluate`"), "{problems:?}");
        assert!(said("keymap.train.fly: no such action"), "{problems:?}");
        assert!(said("`hyper-x` is not a key"), "{problems:?}");
        let key = |action| map.key_for(&[Context::Train], action);
        use super::super::keymap::Action;
        assert_eq!(key(Action::TogglePause).as_deref(), Some("p"));
        assert_eq!(
            key(Action::Save).as_deref(),
            Some("w"),
            "the refused override keeps the default"
        );
        assert_eq!(key(Action::SampleNow).as_deref(), Some("v"));
    }

    #[test]
    fn the_printed_default_reads_back_without_a_problem() {
        let text = Settings::default_toml().replace("\n# ", "\n");
        let text: String = text
            .lines()
            .filter(|l| {
                l.contains(" = ") && !l.contains("CONTEXT") && !l.contains("Colours of your own")
                    || l.starts_with('[')
            })
            .map(|l| format!("{l}\n"))
            .collect();
        let (settings, problems) = Settings::parse(&text);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.keymap().1, Vec::<String>::new());
    }
}
