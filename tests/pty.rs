//! The screens as a real process on a pseudo-terminal: from picking a model to a saved run, and what is left of
//! the terminal and the run when it ends in other ways.
#![cfg(unix)]

mod terminal;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use fireside::run::{self, RunSummary};
use portable_pty::CommandBuilder;
use rustix::process::Signal;
use terminal::{Shown, Terminal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fireside");

/// Trains for as long as it is left alone, with evaluations, samples and checkpoints on the way.
const TINY: &str = r#"
device = "flex"
[corpus]
bytes = 40000
[tokenizer]
kind = "char"
[model]
kind = "char-rnn"
context_length = 16
hidden_size = 16
[train]
steps = 1000000
batch_size = 4
[eval]
every = 100
batches = 2
[sample]
every = 100
length = 20
[checkpoint]
every = 100
keep = 2
"#;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tiny.toml"), TINY).unwrap();
        Place { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn runs(&self) -> PathBuf {
        self.path().join("runs")
    }

    fn command(&self, arguments: &[&str]) -> CommandBuilder {
        terminal::command(PROGRAM, arguments, self.path())
    }

    /// Trains the tiny config on the screens, and waits until it is well on its way.
    fn train(&self) -> Terminal {
        let terminal = Terminal::start(self.command(&["train", "tiny.toml"]), 100, 30);
        wait_for_step(&terminal, 20);
        terminal
    }

    fn only_run(&self) -> RunSummary {
        let runs = run::list(&self.runs());
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.into_iter().next().unwrap()
    }

    /// The run ended in good order and can go on from where it was seen.
    #[track_caller]
    fn assert_saved(&self, at_least: u64) {
        let run = self.only_run();
        assert!(run.resumable, "{run:?}");
        assert!(run.step >= at_least, "step {} of {at_least}", run.step);
        let newest = run::checkpoint::entries(&run.dir).into_iter().next();
        let saved = newest.map(|entry| entry.step);
        assert_eq!(saved, Some(run.step), "the newest step is on disk");
    }
}

/// The step in the header: `step 1 240/5 000`.
fn step(shown: &Shown) -> Option<u64> {
    let text = shown.text();
    let (_, after) = text.lines().next()?.split_once("step ")?;
    let (done, _) = after.split_once('/')?;
    done.replace(' ', "").parse().ok()
}

#[track_caller]
fn wait_for_step(terminal: &Terminal, least: u64) -> u64 {
    terminal.wait_until(&format!("step {least}"), |shown| step(shown) >= Some(least));
    step(&terminal.shown()).unwrap()
}

/// The footer stands in the last row, and nothing is wider than the terminal.
fn fills(shown: &Shown, columns: u16, rows: u16) -> bool {
    let text = shown.text();
    shown.screen().size() == (rows, columns)
        && text.lines().count() == usize::from(rows)
        && text
            .lines()
            .last()
            .is_some_and(|line| line.contains("q quit"))
}

/// `:set KEY VALUE`
#[track_caller]
fn set(terminal: &mut Terminal, key: &str, value: &str) {
    terminal.press(":");
    terminal.wait_for("Palette");
    terminal.press(&format!("set {key} {value}"));
    terminal.wait_for(&format!("set {key} {value}"));
    terminal.press("\r");
    terminal.wait_gone("Palette");
}

#[test]
fn from_picking_a_model_to_a_saved_run_and_on_with_it() {
    let place = Place::new();
    let mut terminal = Terminal::start(place.command(&[]), 100, 30);
    terminal.wait_for("5 GPT");
    terminal.press("gg");
    terminal.wait_for("▸ 1 char RNN");
    for (key, value) in [
        ("corpus.bytes", "40000"),
        ("model.context_length", "16"),
        ("model.hidden_size", "16"),
        ("train.steps", "1000000"),
        ("train.batch_size", "4"),
        ("eval.every", "100"),
        ("sample.length", "20"),
    ] {
        set(&mut terminal, key, value);
    }
    terminal.press("\r");
    terminal.wait_for("training ●");
    wait_for_step(&terminal, 20);

    terminal.press(" ");
    terminal.wait_for("paused ●");
    let paused = step(&terminal.shown()).unwrap();
    terminal.press(".");
    terminal.wait_until("one step", |shown| step(shown) > Some(paused));
    terminal.wait_for("paused ●");
    assert_eq!(step(&terminal.shown()), Some(paused + 1));
    terminal.press(" ");
    let seen = wait_for_step(&terminal, paused + 20);

    for (columns, rows) in [(80, 24), (200, 60), (100, 30)] {
        terminal.resize(columns, rows);
        terminal.wait_until("the new size", |shown| fills(shown, columns, rows));
        terminal.wait_until("no rest of another size", |shown| {
            shown.text().matches("┌ 1 Loss").count() == 1
        });
    }
    terminal.resize(1, 1);
    let bytes = terminal.shown().bytes.len();
    terminal.wait_until("a frame of one cell", |shown| shown.bytes.len() > bytes);
    terminal.resize(39, 11);
    terminal.wait_for("too small");
    terminal.resize(100, 30);
    terminal.wait_until("the first size again", |shown| fills(shown, 100, 30));

    terminal.press("q");
    terminal.wait_for("save and quit");
    terminal.press("s");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    place.assert_saved(seen);

    // Home offers it first, and Enter goes on with it.
    let saved = place.only_run();
    let mut terminal = Terminal::start(place.command(&[]), 100, 30);
    terminal.wait_for("Go on with a run");
    terminal.press("gg");
    terminal.wait_for(&format!("▸ {}", saved.name));
    terminal.press("\r");
    wait_for_step(&terminal, saved.step + 5);
    terminal.press("\x03");
    terminal.wait_for("save and quit");
    terminal.press("\x03");
    assert_eq!(terminal.exit(), 0);
    place.assert_saved(saved.step + 5);
}

#[test]
fn signals_save_the_run_and_restore_the_terminal() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut terminal = place.train();
        let seen = step(&terminal.shown()).unwrap();
        terminal.signal(signal);
        assert_eq!(terminal.exit(), 130, "{signal:?}");
        terminal.assert_restored();
        place.assert_saved(seen);
    }
}

/// The process that holds the lock of the only run.
fn owner(place: &Place) -> i32 {
    let lock = place.only_run().dir.join("lock");
    std::fs::read_to_string(lock)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Waits until another process than `before` trains on, and ends it.
#[track_caller]
fn assert_goes_on(place: &Place, before: i32, seen: u64) {
    wait("steps in the background", || {
        owner(place) != before && place.only_run().step > seen + 50
    });
    assert_eq!(place.only_run().status, run::RunStatus::Running);
    let process = rustix::process::Pid::from_raw(owner(place)).unwrap();
    assert_eq!(rustix::process::getsid(Some(process)).unwrap(), process);
    rustix::process::kill_process(process, Signal::TERM).unwrap();
    wait("the end", || {
        place.only_run().status != run::RunStatus::Running
    });
    place.assert_saved(seen + 50);
}

#[test]
fn a_run_whose_window_is_closed_goes_on_in_the_background() {
    for how in ["closed", "SIGHUP"] {
        let place = Place::new();
        let mut terminal = place.train();
        let before = owner(&place);
        let seen = step(&terminal.shown()).unwrap();
        match how {
            "closed" => terminal.close(),
            _ => terminal.signal(Signal::HUP),
        }
        assert_eq!(terminal.exit(), 0, "{how}");
        assert_goes_on(&place, before, seen);
    }
}

#[test]
fn a_closed_window_only_saves_the_run_where_the_settings_say_so() {
    let place = Place::new();
    let folder = place.path().join(".config/fireside");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("settings.toml"), "on_hangup = \"save\"\n").unwrap();
    let mut terminal = place.train();
    let seen = step(&terminal.shown()).unwrap();
    terminal.close();
    assert_eq!(terminal.exit(), 130);
    assert_eq!(place.only_run().status, run::RunStatus::Stopped);
    place.assert_saved(seen);
}

#[cfg(debug_assertions)]
#[test]
fn a_defect_of_the_screens_saves_the_run_and_restores_the_terminal() {
    let place = Place::new();
    let mut command = place.command(&["train", "tiny.toml"]);
    command.env("FIRESIDE_TEST_PANIC", "1");
    let mut terminal = Terminal::start(command, 100, 30);
    let seen = wait_for_step(&terminal, 20);
    terminal.press("\x1b[24~");
    assert_eq!(terminal.exit(), 1);
    terminal.assert_restored();
    let text = terminal.shown().text();
    assert!(text.contains("panicked at"), "{text}");
    assert!(
        text.contains("error: the screens ended by a defect"),
        "{text}"
    );
    place.assert_saved(seen);
}

#[test]
fn ctrl_z_goes_back_to_the_shell_and_fg_returns() {
    let place = Place::new();
    let mut command = terminal::command("sh", &["-i"], place.path());
    command.env("PS1", "shell> ");
    command.env("PROGRAM", PROGRAM);
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.wait_for("shell> ");
    terminal.press("\"$PROGRAM\" train tiny.toml\r");
    wait_for_step(&terminal, 20);
    terminal.press("\x1a");
    terminal.wait_for("fireside is stopped, and training with it");
    terminal.wait_until("the shell", at_prompt);
    // What is typed is seen, so the line is as the shell wants it.
    terminal.press("echo back in the shell\r");
    terminal.wait_for("\nback in the shell");
    terminal.press("fg\r");
    terminal.wait_until("the screens", |shown| shown.screen().alternate_screen());
    terminal.wait_for("training ●");
    let seen = step(&terminal.shown()).unwrap();
    wait_for_step(&terminal, seen + 5);
    terminal.press("qs");
    terminal.wait_until("the shell", at_prompt);
    terminal.press("exit\r");
    assert_eq!(terminal.exit(), 0);
    place.assert_saved(seen);
}

/// The shell waits for a command.
fn at_prompt(shown: &Shown) -> bool {
    !shown.screen().alternate_screen() && shown.text().trim_end().ends_with("shell>")
}

#[test]
fn quitting_without_saving_is_asked_for_and_quick() {
    let place = Place::new();
    let mut terminal = place.train();
    terminal.press("q");
    terminal.wait_for("quit without saving");
    terminal.press("\x1b");
    terminal.wait_gone("quit without saving");
    terminal.press("qx");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
}

#[test]
fn a_run_goes_on_in_the_background() {
    let place = Place::new();
    let mut terminal = place.train();
    terminal.press("q");
    terminal.wait_for("go on in the background");
    terminal.press("b");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    let text = terminal.shown().text();
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "process").unwrap();
    let id: i32 = words[at + 1].trim_matches(',').parse().unwrap();
    let process = rustix::process::Pid::from_raw(id).unwrap();
    let left_at = place.only_run().step;
    wait("steps in the background", || {
        place.only_run().step > left_at + 50
    });
    assert_eq!(place.only_run().status, run::RunStatus::Running);
    rustix::process::kill_process(process, Signal::TERM).unwrap();
    wait("the end", || {
        place.only_run().status != run::RunStatus::Running
    });
    place.assert_saved(left_at + 50);
}

#[test]
fn a_chart_is_written_while_it_trains() {
    let place = Place::new();
    let mut terminal = place.train();
    terminal.press("e");
    terminal.wait_for("wrote loss-step-");
    let after = step(&terminal.shown()).unwrap();
    wait_for_step(&terminal, after + 20);
    let mut names: Vec<PathBuf> = std::fs::read_dir(place.only_run().dir.join("exports"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let endings: Vec<&str> = names
        .iter()
        .map(|path| path.extension().unwrap().to_str().unwrap())
        .collect();
    // Without a font there is no PNG.
    let without_fonts = endings == ["csv", "json", "svg"];
    assert!(
        without_fonts || endings == ["csv", "json", "png", "svg"],
        "{endings:?}"
    );
    let csv = std::fs::read_to_string(&names[0]).unwrap();
    let name = names[0].file_stem().unwrap().to_str().unwrap();
    let shown: usize = name.strip_prefix("loss-step-").unwrap().parse().unwrap();
    let steps: Vec<usize> = csv
        .lines()
        .filter_map(|row| row.split_once(",train,")?.1.split(',').next()?.parse().ok())
        .collect();
    assert!(steps.len() >= shown, "{} of {shown}", steps.len());
    assert_eq!(
        steps,
        (1..=steps.len()).collect::<Vec<_>>(),
        "none is left out"
    );
    terminal.press("qx");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
}

#[track_caller]
fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is() {
        assert!(began.elapsed().as_secs() < 180, "waiting for {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The numbers of every colour or style sequence (`CSI … m`).
fn styles(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.split("\x1b[")
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            (rest.as_bytes()[end] == b'm').then(|| rest[..end].to_string())
        })
        .collect()
}

#[test]
fn no_color_leaves_weight_and_reverse() {
    let place = Place::new();
    let mut command = place.command(&["train", "tiny.toml"]);
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command, 100, 30);
    wait_for_step(&terminal, 20);
    terminal.press("qx");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    let styles = styles(&terminal.shown().bytes);
    assert!(!styles.is_empty());
    for style in styles {
        for number in style.split(';').filter(|number| !number.is_empty()) {
            // 39, 49 and 59 take the terminal's own colours.
            let number: u8 = number.parse().unwrap();
            assert!(number < 30 || [39, 49, 59].contains(&number), "{style}");
        }
    }
}

#[test]
fn another_locale_than_utf_8_gets_plain_ascii() {
    let place = Place::new();
    let mut command = place.command(&["train", "tiny.toml"]);
    command.env("LANG", "C");
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.wait_until("a dashboard", |shown| {
        step(shown) >= Some(20) && shown.has("1 Loss")
    });
    terminal.press("qx");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    let shown = terminal.shown();
    let odd = shown.bytes.iter().position(|byte| !byte.is_ascii());
    let near = odd.map(|at| String::from_utf8_lossy(&shown.bytes[at.saturating_sub(40)..at + 4]));
    assert_eq!(near, None);
}

#[test]
fn a_dumb_terminal_gets_lines() {
    let place = Place::new();
    let arguments = ["train", "tiny.toml", "--steps", "5"];
    let mut command = place.command(&arguments);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::start(command, 100, 30);
    assert_eq!(terminal.exit(), 0);
    let shown = terminal.shown();
    assert!(!shown.bytes.contains(&0x1b), "{}", shown.text());
    assert!(shown.has("step"), "{}", shown.text());
    drop(shown);
    place.assert_saved(5);

    let mut command = place.command(&[]);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::start(command, 100, 30);
    assert_eq!(terminal.exit(), 2);
    assert!(terminal.shown().has("TERM=dumb"));
}

#[test]
fn without_a_terminal_the_screens_say_what_to_do() {
    let place = Place::new();
    for redirect in [">&-", ">/dev/null", "<&-"] {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("exec \"$PROGRAM\" {redirect}")])
            .env("PROGRAM", PROGRAM)
            .env("HOME", place.path())
            .current_dir(place.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{redirect}: {errors}");
        assert!(errors.contains("--headless"), "{redirect}: {errors}");
    }
}
