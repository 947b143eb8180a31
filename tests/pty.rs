//! The screens as a real process on a pseudo-terminal: from picking a model to a saved run, and what is left of
//! the terminal and the run when it ends in other ways.
#![cfg(unix)]

mod process;
mod terminal;

use std::path::PathBuf;
use std::process::Stdio;

use fireside::run::RunStatus;
use portable_pty::CommandBuilder;
use process::{PROGRAM, Place, owner, tiny, wait_for};
use rustix::process::{Pid, Signal};
use terminal::{Shown, Terminal};

/// Trains for as long as it is left alone, with evaluations, samples and checkpoints on the way.
const TINY: &str = r#"
train.steps = 1000000
eval.every = 100
eval.batches = 2
sample.every = 100
sample.length = 20
checkpoint.every = 100
checkpoint.keep = 2
"#;

impl Place {
    fn screens(&self, arguments: &[&str]) -> CommandBuilder {
        terminal::fireside(arguments, self.dir())
    }

    /// Trains the tiny config on the screens, and waits until it is well on its way.
    fn training(&self) -> Terminal {
        let terminal = Terminal::start(self.screens(&["train", "tiny.toml"]), 100, 30);
        terminal.wait_for_step(20);
        terminal
    }
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
    let place = Place::new(&tiny(TINY));
    let mut terminal = Terminal::start(place.screens(&[]), 100, 30);
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
    terminal.wait_for_step(20);

    terminal.press(" ");
    terminal.wait_for("paused ●");
    let paused = terminal.shown().step().unwrap();
    terminal.press(".");
    terminal.wait_until("one step", |shown| shown.step() > Some(paused));
    terminal.wait_for("paused ●");
    assert_eq!(terminal.shown().step(), Some(paused + 1));
    // On a list `gg` is its top; a `g` that stays alone samples.
    terminal.press("8");
    terminal.wait_for("8 Events");
    terminal.press("ggg");
    terminal.wait_for("sampling");
    terminal.press("1 ");
    let seen = terminal.wait_for_step(paused + 20);

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
    let mut terminal = Terminal::start(place.screens(&[]), 100, 30);
    terminal.wait_for("Go on with a run");
    terminal.press("gg");
    terminal.wait_for(&format!("▸ {}", saved.name));
    terminal.press("\r");
    terminal.wait_for_step(saved.step + 5);
    terminal.press("\x03");
    terminal.wait_for("save and quit");
    terminal.press("\x03");
    assert_eq!(terminal.exit(), 0);
    place.assert_saved(saved.step + 5);
}

/// Both become ready at once: neither may wait for the next key.
#[test]
fn a_key_that_comes_with_a_change_of_the_size_is_not_lost() {
    let place = Place::new(&tiny(TINY));
    let mut terminal = Terminal::start(place.screens(&[]), 100, 30);
    terminal.wait_for("5 GPT");
    for round in 0..30 {
        let (columns, rows) = [(90, 28), (100, 30)][round % 2];
        terminal.resize(columns, rows);
        terminal.press("?");
        terminal.wait_for("Esc closes");
        terminal.press("?");
        terminal.wait_until("the new size", |shown| fills(shown, columns, rows));
    }
    terminal.press("q");
    terminal.exit();
    terminal.assert_restored();
}

#[test]
fn signals_save_the_run_and_restore_the_terminal() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new(&tiny(TINY));
        let mut terminal = place.training();
        let seen = terminal.shown().step().unwrap();
        terminal.signal(signal);
        assert_eq!(terminal.exit(), 130, "{signal:?}");
        terminal.assert_restored();
        place.assert_saved(seen);
    }
}

/// Waits until another process than `before` trains on, and ends it.
#[track_caller]
fn assert_goes_on(place: &Place, before: Pid, seen: u64) {
    wait_for("steps in the background", || {
        let run = place.only_run();
        owner(&run.dir).is_some_and(|now| now != before) && run.step > seen + 50
    });
    assert_eq!(place.only_run().status, RunStatus::Running);
    let process = owner(&place.only_run().dir).unwrap();
    assert_eq!(rustix::process::getsid(Some(process)).unwrap(), process);
    rustix::process::kill_process(process, Signal::TERM).unwrap();
    wait_for("the end", || place.only_run().status != RunStatus::Running);
    place.assert_saved(seen + 50);
}

#[test]
fn a_run_whose_window_is_closed_goes_on_in_the_background() {
    for how in ["closed", "SIGHUP"] {
        let place = Place::new(&tiny(TINY));
        let mut terminal = place.training();
        let before = owner(&place.only_run().dir).unwrap();
        let seen = terminal.shown().step().unwrap();
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
    let place = Place::new(&tiny(TINY));
    let folder = place.path(".config/fireside");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("settings.toml"), "on_hangup = \"save\"\n").unwrap();
    let mut terminal = place.training();
    let seen = terminal.shown().step().unwrap();
    terminal.close();
    assert_eq!(terminal.exit(), 130);
    assert_eq!(place.only_run().status, RunStatus::Stopped);
    place.assert_saved(seen);
}

#[cfg(debug_assertions)]
#[test]
fn a_defect_of_the_screens_saves_the_run_and_restores_the_terminal() {
    let place = Place::new(&tiny(TINY));
    let mut command = place.screens(&["train", "tiny.toml"]);
    command.env("FIRESIDE_TEST_PANIC", "1");
    let mut terminal = Terminal::start(command, 100, 30);
    let seen = terminal.wait_for_step(20);
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
    let place = Place::new(&tiny(TINY));
    let mut command = terminal::command("sh", &["-i"], place.dir());
    command.env("PS1", "shell> ");
    command.env("PROGRAM", PROGRAM);
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.wait_for("shell> ");
    terminal.press("\"$PROGRAM\" train tiny.toml\r");
    terminal.wait_for_step(20);
    terminal.press("\x1a");
    terminal.wait_for("fireside is stopped, and training with it");
    terminal.wait_until("the shell", at_prompt);
    // What is typed is seen, so the line is as the shell wants it.
    terminal.press("echo back in the shell\r");
    terminal.wait_for("\nback in the shell");
    terminal.press("fg\r");
    terminal.wait_until("the screens", |shown| shown.screen().alternate_screen());
    terminal.wait_for("training ●");
    let seen = terminal.shown().step().unwrap();
    terminal.wait_for_step(seen + 5);
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
    let place = Place::new(&tiny(TINY));
    let mut terminal = place.training();
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
    let place = Place::new(&tiny(TINY));
    let mut terminal = place.training();
    terminal.press("q");
    terminal.wait_for("go on in the background");
    terminal.press("b");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    let text = terminal.shown().text();
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "process").unwrap();
    let id: i32 = words[at + 1].trim_matches(',').parse().unwrap();
    let process = Pid::from_raw(id).unwrap();
    let left_at = place.only_run().step;
    wait_for("steps in the background", || {
        place.only_run().step > left_at + 50
    });
    assert_eq!(place.only_run().status, RunStatus::Running);
    rustix::process::kill_process(process, Signal::TERM).unwrap();
    wait_for("the end", || place.only_run().status != RunStatus::Running);
    place.assert_saved(left_at + 50);
}

#[test]
fn a_chart_is_written_while_it_trains() {
    let place = Place::new(&tiny(TINY));
    let mut terminal = place.training();
    terminal.press("e");
    terminal.wait_for("wrote loss-step-");
    let after = terminal.shown().step().unwrap();
    terminal.wait_for_step(after + 20);
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
    let place = Place::new(&tiny(TINY));
    let mut command = place.screens(&["train", "tiny.toml"]);
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.wait_for_step(20);
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
    let place = Place::new(&tiny(TINY));
    let mut command = place.screens(&["train", "tiny.toml"]);
    command.env("LANG", "C");
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.wait_until("a dashboard", |shown| {
        shown.step() >= Some(20) && shown.has("1 Loss")
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
    let place = Place::new(&tiny(TINY));
    let arguments = ["train", "tiny.toml", "--steps", "5"];
    let mut command = place.screens(&arguments);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::start(command, 100, 30);
    assert_eq!(terminal.exit(), 0);
    let shown = terminal.shown();
    assert!(!shown.bytes.contains(&0x1b), "{}", shown.text());
    assert!(shown.has("step"), "{}", shown.text());
    drop(shown);
    place.assert_saved(5);

    let mut command = place.screens(&[]);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::start(command, 100, 30);
    assert_eq!(terminal.exit(), 2);
    assert!(terminal.shown().has("TERM=dumb"));
}

#[test]
fn without_a_terminal_the_screens_say_what_to_do() {
    let place = Place::new(&tiny(TINY));
    for redirect in [">&-", ">/dev/null", "<&-"] {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("exec \"$PROGRAM\" {redirect}")])
            .env("PROGRAM", PROGRAM)
            .env("HOME", place.dir())
            .current_dir(place.dir())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{redirect}: {errors}");
        assert!(errors.contains("--headless"), "{redirect}: {errors}");
    }
}
