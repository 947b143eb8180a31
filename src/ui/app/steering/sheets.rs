//! The forms for a new schedule and for a fork.

use std::collections::BTreeMap;

use super::*;
use crate::config::{FieldKind, change, is_live};
use crate::ui::widgets::sheet::{Sheet, SheetLine};
use crate::ui::widgets::text_input::TextInput;

/// A new schedule from the next step on. What it says is pending on the knobs while it is open, so that the chart
/// of the learning rate shows it.
#[derive(Debug)]
pub struct ScheduleSheet {
    pub sheet: Sheet,
    /// What was typed last, by key: a kind without a line for it does not lose it.
    typed: BTreeMap<&'static str, String>,
    /// What stood in a line before anybody typed: follows the kind.
    laid: BTreeMap<&'static str, String>,
}

/// The lines of the form, in order; only those that apply to the kind are shown.
const LINES: &[(&str, &str)] = &[
    ("schedule.kind", "kind"),
    ("optimizer.learning_rate", "peak"),
    ("schedule.warmup", "warmup"),
    ("schedule.decay_steps", "length"),
    ("schedule.final_ratio", "end"),
    ("schedule.gamma", "gamma"),
    ("schedule.step_size", "step size"),
    ("schedule.patience", "patience"),
];

/// The key of a word that the palette takes: `peak`, `end` or a key itself.
pub fn schedule_key(word: &str) -> Option<&'static str> {
    LINES
        .iter()
        .find(|(key, label)| *label == word || *key == word || key.ends_with(&format!(".{word}")))
        .map(|(key, _)| *key)
}

impl ScheduleSheet {
    pub fn new(view: &mut RunView, given: &[(String, String)]) -> Self {
        let mut form = Self {
            sheet: Sheet {
                title: "A new schedule".to_string(),
                message: "It begins anew with the next step; the chart shows it, dotted. Enter applies, Esc \
                          discards; left and right change the kind."
                    .to_string(),
                lines: Vec::new(),
                cursor: 0,
                problem: None,
            },
            typed: BTreeMap::new(),
            laid: BTreeMap::new(),
        };
        form.typed = given
            .iter()
            .filter_map(|(word, value)| Some((schedule_key(word)?, value.clone())))
            .collect();
        form.check(view);
        form
    }

    /// The lines that apply to the kind; texts that were typed stay.
    fn lay_out(&mut self, view: &RunView) {
        for line in &self.sheet.lines {
            let text = line.input.text();
            if self.laid.get(line.key).is_none_or(|laid| laid != text) {
                self.typed.insert(line.key, text.to_string());
            }
        }
        let value = |key: &str| self.typed.get(key).cloned();
        let mut laid = BTreeMap::new();
        let mut draft = Draft::from_config(&view.config);
        if let Some(kind) = value("schedule.kind") {
            // A kind that does not exist is marked at its line.
            let _ = draft.set("schedule.kind", &kind);
        }
        let lines = LINES
            .iter()
            .filter(|(key, _)| draft.applies(key))
            .filter_map(|(key, label)| {
                let field = field(key)?;
                let text = value(key).unwrap_or_else(|| {
                    let text = draft.get(key);
                    laid.insert(field.key, text.clone());
                    text
                });
                let choices = match field.kind {
                    FieldKind::Choice(choices) => choices,
                    _ => &[],
                };
                let range = match choices.is_empty() {
                    true => field.kind.range_text(),
                    false => String::new(),
                };
                Some(SheetLine {
                    key: field.key,
                    label,
                    input: TextInput::new(text),
                    choices,
                    range,
                    description: field.description,
                    problem: None,
                })
            });
        let lines: Vec<SheetLine> = lines.collect();
        self.laid = laid;
        let here = self.sheet.lines.get(self.sheet.cursor).map(|line| line.key);
        let at = lines.iter().position(|line| Some(line.key) == here);
        self.sheet.cursor = at.unwrap_or(0);
        // What did not change keeps its cursor.
        let old = std::mem::replace(&mut self.sheet.lines, lines);
        for line in &mut self.sheet.lines {
            if let Some(before) = old.iter().find(|before| before.key == line.key)
                && before.input.text() == line.input.text()
            {
                line.input = before.input.clone();
            }
        }
    }

    /// Makes it what is pending, and marks what is wrong.
    pub fn check(&mut self, view: &mut RunView) {
        self.lay_out(view);
        let (config, step) = (view.config.clone(), view.step);
        for (key, _) in LINES {
            let line = self.sheet.lines.iter().find(|line| line.key == *key);
            match line {
                Some(line) => view.knobs.set(line.key, line.input.text(), &config, step),
                None => view.knobs.drop_pending(key, &config, step),
            }
        }
        view.knobs.set("schedule.start", "now", &config, step);
        for line in &mut self.sheet.lines {
            line.problem = view.knobs.problem(line.key);
        }
        let marked = self.sheet.lines.iter().any(|line| line.problem.is_some());
        let elsewhere = view.knobs.problems();
        self.sheet.problem = (!marked).then(|| elsewhere.first().cloned()).flatten();
    }

    pub fn is_wrong(&self) -> bool {
        self.sheet.problem.is_some() || self.sheet.lines.iter().any(|l| l.problem.is_some())
    }

    /// Takes what it made pending off the knobs.
    pub fn forget(&self, view: &mut RunView) {
        let (config, step) = (view.config.clone(), view.step);
        for (key, _) in LINES {
            view.knobs.drop_pending(key, &config, step);
        }
        view.knobs.drop_pending("schedule.start", &config, step);
    }
}

/// Name and edits of a fork.
#[derive(Debug)]
pub struct ForkSheet {
    pub sheet: Sheet,
    pub parent: PathBuf,
    /// `None`: the newest, which is then the one that stopping the run saves.
    pub checkpoint: Option<String>,
    /// What the new run says it comes from.
    pub lineage: String,
    config: RunConfig,
    step: u64,
}

impl ForkSheet {
    /// `moment` is `None` for now.
    pub fn new(view: &RunView, moment: Option<Moment>) -> Self {
        let (step, config, checkpoint) = match moment {
            Some(moment) => (moment.step, moment.config, Some(moment.name)),
            None => (view.step, view.config.clone(), None),
        };
        let info = view.info.as_ref();
        let parent_name = info.map_or("this run".to_string(), |info| info.name.clone());
        let base = parent_name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let name = match config.name.is_empty() {
            true => format!("{base} fork"),
            false => config.name.clone(),
        };
        let edits = pending_text(view);
        let line = |key, label, text: String, description| SheetLine {
            key,
            label,
            input: TextInput::new(text),
            choices: &[],
            range: String::new(),
            description,
            problem: None,
        };
        let lines = vec![
            line(
                "name",
                "name",
                name,
                "Label of the new run; its folder gets it, with a number.",
            ),
            line(
                "edits",
                "edits",
                edits,
                "What it does differently from its first step on: `train.batch_size=8 model.dropout=0.1`; quotes keep spaces. May be empty.",
            ),
        ];
        let from = match &checkpoint {
            Some(_) => format!("the checkpoint of step {step}"),
            None => format!("now (about step {step}, which is saved first)"),
        };
        let over = matches!(view.phase, Phase::Idle | Phase::Finished | Phase::Failed);
        let stays = match &view.trainer {
            _ if over => String::new(),
            Some(_) => format!("; {parent_name} goes on in its own process"),
            None => format!("; {parent_name} is saved and stopped, and can go on later"),
        };
        let mut form = Self {
            sheet: Sheet {
                title: "Fork".to_string(),
                message: format!(
                    "A new run that goes on from {from} with everything it had. It takes the screen{stays}. Enter forks, \
                     Esc closes."
                ),
                lines,
                cursor: 0,
                problem: None,
            },
            parent: info.map_or_else(PathBuf::new, |info| info.dir.clone()),
            checkpoint,
            lineage: format!("{parent_name} @{step}"),
            config,
            step,
        };
        // Problems are shown; what is typed decides.
        let _ = form.check();
        form
    }

    /// The config of the fork, or what is wrong, marked.
    pub fn check(&mut self) -> Option<RunConfig> {
        for line in &mut self.sheet.lines {
            line.problem = None;
        }
        let name = self.sheet.text("name").trim().to_string();
        let edits = parse_edits(self.sheet.text("edits"));
        let config = edits.and_then(|changes| {
            change(&self.config, &changes, self.step).map_err(|problems| {
                let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
                words.join("; ")
            })
        });
        let mut config = match config {
            Ok(config) => Some(config),
            Err(problem) => {
                self.sheet.lines[1].problem = Some(problem);
                None
            }
        };
        let mut draft = Draft::from_config(&self.config);
        match draft.set("name", &name) {
            Ok(()) => {
                if let Some(config) = &mut config {
                    config.name = name;
                }
                config
            }
            Err(problem) => {
                self.sheet.lines[0].problem = Some(problem.message);
                None
            }
        }
    }
}

/// What is pending on the knobs, as the line of edits takes it.
fn pending_text(view: &RunView) -> String {
    let rows = view.knobs.rows().iter().map(|row| row.key());
    let pending = rows.filter(|key| !key.is_empty()).filter_map(|key| {
        let value = quoted(&view.knobs.pending(key)?)?;
        Some(format!("{key}={value}"))
    });
    pending.collect::<Vec<_>>().join(" ")
}

/// A value as [`words`] reads it back; `None` where it holds both kinds of quotes.
fn quoted(value: &str) -> Option<String> {
    if !value.contains([' ', ',', '\'', '"']) {
        return Some(value.to_string());
    }
    let quote = ['\'', '"']
        .into_iter()
        .find(|quote| !value.contains(*quote))?;
    Some(format!("{quote}{value}{quote}"))
}

/// Parts between spaces and commas; what stands in quotes, of either kind, belongs together.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut open = None;
    for c in text.chars() {
        match (open, c) {
            (Some(quote), c) if c == quote => open = None,
            (None, '\'' | '"') => open = Some(c),
            (None, ' ' | ',') => words.push(String::new()),
            (_, c) => words.last_mut().expect("there is one").push(c),
        }
    }
    match open {
        Some(quote) => Err(format!("a {quote} is not closed")),
        None => Ok(words.into_iter().filter(|word| !word.is_empty()).collect()),
    }
}

/// `key=value key=value`, also with commas; a value with spaces stands in quotes.
fn parse_edits(text: &str) -> Result<Changes, String> {
    let mut changes = Changes::new();
    for word in words(text)? {
        let Some((key, value)) = word.split_once('=') else {
            return Err(format!("`{word}` is not of the form key=value"));
        };
        if value.is_empty() {
            return Err(format!("{key}: a value is missing after `=`"));
        }
        if field(key).is_some() && !is_live(key) {
            return Err(format!("{key} cannot change while a run goes on"));
        }
        changes.insert(key.to_string(), value.to_string());
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_with_spaces_stand_in_quotes() {
        let changes =
            parse_edits("train.seed=3, sample.prompts='[\"The old mill\", \"a\"]' x=\"it's\"");
        // The seed of a run cannot change.
        assert!(changes.unwrap_err().contains("train.seed"));
        let changes =
            parse_edits("model.dropout=0.1 sample.prompts='[\"The old mill\", \"a\"]'").unwrap();
        assert_eq!(changes["model.dropout"], "0.1");
        assert_eq!(changes["sample.prompts"], "[\"The old mill\", \"a\"]");
        for (bad, words) in [
            ("model.dropout='0.1", "not closed"),
            ("model.dropout", "key=value"),
            ("model.dropout=", "a value is missing"),
        ] {
            let problem = parse_edits(bad).unwrap_err();
            assert!(problem.contains(words), "{bad}: {problem}");
        }
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for value in ["0.1", "a b", "it's, so", "[\"x\", \"y\"]"] {
            let text = format!("key={}", quoted(value).unwrap());
            assert_eq!(words(&text).unwrap(), [format!("key={value}")]);
        }
        assert_eq!(quoted("it's \"both\""), None);
    }
}
