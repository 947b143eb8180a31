//! Prompts typed earlier, kept from one conversation to the next.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How many are offered.
const OFFERED: usize = 1000;

/// Prompts, newest first, and the file that keeps them: `prompts` in the state folder, one a line. Where that folder cannot be
/// written, prompts are remembered while the program runs.
#[derive(Debug)]
pub struct History {
    file: Option<PathBuf>,
    lines: VecDeque<String>,
}

impl History {
    pub fn open() -> Self {
        Self::at(crate::logging::state_folder().map(|folder| folder.join("prompts")))
    }

    fn at(file: Option<PathBuf>) -> Self {
        let text = file
            .as_deref()
            .and_then(|file| std::fs::read(file).ok())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        History {
            lines: text
                .lines()
                .rev()
                .filter(|line| is_prompt(line))
                .take(OFFERED)
                .map(str::to_string)
                .collect(),
            file,
        }
    }

    fn append(file: &Path, line: &str) -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true);
        // One write a line: two conversations at once do not tear each other's lines.
        options
            .open(file)?
            .write_all(format!("{line}\n").as_bytes())
    }
}

/// Something to go on from. dialoguer hands on every line that is entered, the one that ends a conversation too.
fn is_prompt(line: &str) -> bool {
    !line.trim().is_empty() && line.trim() != super::prompt::QUIT
}

impl dialoguer::History<String> for History {
    fn read(&self, position: usize) -> Option<String> {
        self.lines.get(position).cloned()
    }

    fn write(&mut self, line: &String) {
        // What was just said is not worth another line.
        if !is_prompt(line) || self.lines.front() == Some(line) {
            return;
        }
        self.lines.push_front(line.clone());
        self.lines.truncate(OFFERED);
        if let Some(file) = &self.file
            && let Err(error) = Self::append(file, line)
        {
            tracing::warn!(%error, "prompt not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use dialoguer::History as _;

    use super::*;

    #[test]
    fn prompts_outlive_the_conversation() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("state/fireside/prompts");
        let mut first = History::at(Some(file.clone()));
        assert_eq!(first.read(0), None);
        for line in ["Once", "upon", "upon", "  ", "a time", "/quit"] {
            first.write(&line.to_string());
        }
        let second = History::at(Some(file));
        let offered: Vec<_> = (0..4).map_while(|at| second.read(at)).collect();
        assert_eq!(offered, ["a time", "upon", "Once"]);
        // A folder that cannot be made: remembered all the same.
        std::fs::write(place.path().join("file"), "").unwrap();
        let mut lost = History::at(Some(place.path().join("file/prompts")));
        lost.write(&"Once".to_string());
        assert_eq!(lost.read(0).as_deref(), Some("Once"));
    }
}
