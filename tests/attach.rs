//! Runs that one process trains and others watch and steer, as real processes: the control socket, `fireside attach`,
//! `fireside train --detach`.
#![cfg(unix)]

mod terminal;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fireside::run::{self, RunStatus, RunSummary, checkpoint, read_history};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use terminal::{Shown, Terminal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fireside");

/// Trains for as long as it is left alone.
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
steps = 100000000
batch_size = 4
[eval]
every = 200
batches = 2
[sample]
every = 200
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

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Trains without screens, and waits until it is on its way. The end of the guard is the end of the process.
    fn trainer(&self, arguments: &[&str]) -> Trainer {
        let child = self
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let trainer = Trainer { child };
        wait("a run", || !run::list(&self.path().join("runs")).is_empty());
        wait("its first steps", || self.summary().step > 20);
        trainer
    }

    fn tiny(&self) -> Trainer {
        self.trainer(&["train", "tiny.toml", "--json"])
    }

    fn summary(&self) -> RunSummary {
        let runs = run::list(&self.path().join("runs"));
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.into_iter().next().unwrap()
    }

    fn attach(&self) -> Terminal {
        let terminal = Terminal::start(
            terminal::command(PROGRAM, &["attach", "last"], self.path()),
            120,
            30,
        );
        terminal.wait_for("● ");
        terminal
    }

    /// The messages of the run's notices.
    fn notices(&self) -> Vec<String> {
        let history = read_history(&self.summary().dir).unwrap();
        history.notices.into_iter().map(|n| n.message).collect()
    }

    #[track_caller]
    fn wait_for_notice(&self, end: &str) {
        wait(end, || self.notices().iter().any(|n| n.ends_with(end)));
    }

    #[track_caller]
    fn assert_saved(&self) {
        let run = self.summary();
        let newest = checkpoint::entries(&run.dir).into_iter().next();
        assert_eq!(newest.map(|entry| entry.step), Some(run.step));
    }
}

struct Trainer {
    child: Child,
}

impl Trainer {
    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn exit(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that a test found, not started. Ended with the guard.
struct Stray(Pid);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
    }
}

/// The process that holds the lock of a run.
fn owner(run: &Path) -> Stray {
    let text = std::fs::read_to_string(run.join("lock")).unwrap();
    Stray(Pid::from_raw(text.trim().parse().unwrap()).unwrap())
}

#[track_caller]
fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed().as_secs() < 120, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
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
fn wait_for_step(terminal: &Terminal, least: u64) {
    terminal.wait_until(&format!("step {least}"), |shown| step(shown) >= Some(least));
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The steps among lines of JSON.
fn steps(lines: &[Value]) -> Vec<u64> {
    let steps = lines.iter().filter(|line| line["event"] == "step");
    steps.map(|line| line["step"].as_u64().unwrap()).collect()
}

#[test]
fn screens_attach_steer_and_leave_across_two_processes() {
    let place = Place::new();
    let mut trainer = place.tiny();
    let dir = place.summary().dir;
    let mut terminal = place.attach();
    terminal.wait_for("● attached");
    let seen = place.summary().step;
    wait_for_step(&terminal, seen + 5);
    place.wait_for_notice("has taken the controls");

    terminal.press(" ");
    terminal.wait_for("paused ● attached");
    place.wait_for_notice("asks for: pause");
    let paused = step(&terminal.shown()).unwrap();
    terminal.press(".");
    terminal.wait_until("one step", |shown| step(shown) == Some(paused + 1));
    terminal.wait_for("paused ●");
    assert_eq!(place.summary().step, paused + 1);
    // An edit: acknowledged in the log of the process that trains.
    terminal.press("{\r");
    wait("the edit", || !read_history(&dir).unwrap().edits.is_empty());
    assert_eq!(read_history(&dir).unwrap().edits[0].step, paused + 2);
    terminal.press(" ");
    wait_for_step(&terminal, paused + 20);

    terminal.press("q");
    terminal.wait_for("detach, it trains on");
    terminal.press("d");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    place.wait_for_notice("has left the controls");
    let left = place.summary();
    assert_eq!(left.status, RunStatus::Running);
    wait("it goes on", || place.summary().step > left.step + 50);

    let mut terminal = place.attach();
    terminal.wait_for("● attached");
    terminal.press("q");
    terminal.wait_for("stop the run");
    terminal.press("s");
    assert_eq!(terminal.exit(), 0);
    assert_eq!(trainer.exit(), Some(130));
    assert_eq!(place.summary().status, RunStatus::Stopped);
    place.assert_saved();
    assert!(!dir.join("control.sock").exists());
}

#[test]
fn a_second_controller_watches_until_the_first_has_left() {
    let place = Place::new();
    let _trainer = place.tiny();
    let mut first = place.attach();
    first.wait_for("● attached");
    let mut second = place.attach();
    second.wait_for("controls this run; you are");
    second.wait_for(&format!(
        "watching, {} controls",
        first.id().as_raw_nonzero()
    ));
    second.press(" ");
    second.wait_for("`pause` was not");
    let seen = place.summary().step;
    wait("it goes on", || place.summary().step > seen + 20);
    first.press("q");
    first.wait_for("detach, it trains on");
    first.press("d");
    assert_eq!(first.exit(), 0);
    second.wait_for("the controls are free");
    second.press(" ");
    second.wait_for("paused ● attached");
    second.press("\x03");
    second.wait_for("detach, it trains on");
    second.press("\x03");
    assert_eq!(second.exit(), 0);
    // It stays paused: somebody wanted that.
    let paused = place.summary();
    assert_eq!(paused.status, RunStatus::Running);
}

#[test]
fn a_killed_trainer_is_shown_as_such_and_its_run_taken_up() {
    let place = Place::new();
    let mut trainer = place.tiny();
    wait("a checkpoint", || checkpoint::any(&place.summary().dir));
    let mut terminal = place.attach();
    wait_for_step(&terminal, 120);
    trainer.signal(Signal::KILL);
    let waited = terminal.wait_for("ended without a word at step");
    println!("seen after {} ms", waited.as_millis());
    terminal.wait_until("what can be done", |shown| {
        let text = shown.text();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").contains("takes it up here")
    });
    trainer.exit();
    // The dead socket is still there, and in nobody's way.
    let dir = place.summary().dir;
    assert!(dir.join("control.sock").exists());
    terminal.press("\r");
    terminal.wait_for("training ●");
    let seen = place.summary().step;
    wait("it goes on", || place.summary().step > seen + 20);
    // And the new owner's takes its place.
    let (_stream, mut reader) = connect(&dir, "watch");
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let hello: Value = serde_json::from_str(&line).unwrap();
    let here = terminal.id().as_raw_nonzero().get();
    assert_eq!(hello["hello"]["pid"], here);
    terminal.press("q");
    terminal.wait_for("save and quit");
    terminal.press("s");
    assert_eq!(terminal.exit(), 0);
    place.assert_saved();
}

#[test]
fn lines_go_on_where_the_log_is_and_leaving_leaves_it() {
    let place = Place::new();
    let mut trainer = place.tiny();
    let mut follower = place
        .command(&["attach", "last", "--json"])
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(follower.stdout.take().unwrap());
    let mut lines: Vec<Value> = Vec::new();
    let mut read = |lines: &mut Vec<Value>| {
        let mut line = String::new();
        let more = reader.read_line(&mut line).unwrap() > 0;
        if more {
            lines.push(serde_json::from_str(&line).unwrap());
        }
        more
    };
    while steps(&lines).len() < 200 {
        assert!(read(&mut lines), "it ended");
    }
    assert_eq!(lines[0]["event"], "started");
    rustix::process::kill_process(Pid::from_child(&follower), Signal::INT).unwrap();
    while read(&mut lines) {}
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(errors(&output).contains("trains on"), "{}", errors(&output));
    let numbers = steps(&lines);
    for pair in numbers.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "no gap, nothing twice");
    }
    let seen = place.summary().step;
    wait("it goes on", || place.summary().step > seen + 20);

    // To the end this time.
    let follower = place
        .command(&["attach", "last", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    trainer.signal(Signal::TERM);
    let output = follower.wait_with_output().unwrap();
    assert_eq!(trainer.exit(), Some(130));
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "finished", "{last}");

    let output = place.run(&["attach", "last", "--headless"]);
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("no process trains"), "{text}");
    assert!(text.contains("it is stopped at step"), "{text}");
}

#[test]
fn a_follower_of_a_killed_trainer_says_so() {
    let place = Place::new();
    let trainer = place.tiny();
    let mut follower = place
        .command(&["attach", "last", "--json"])
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(follower.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    trainer.signal(Signal::KILL);
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("ended without a word after step"), "{text}");
}

/// The socket of a run, without manners.
fn connect(run: &Path, role: &str) -> (UnixStream, BufReader<UnixStream>) {
    let stream = UnixStream::connect(run.join("control.sock")).unwrap();
    let hello = format!("{{\"version\":1,\"program\":\"a test\",\"pid\":1,\"role\":\"{role}\"}}\n");
    (&stream).write_all(hello.as_bytes()).unwrap();
    let reader = BufReader::new(stream.try_clone().unwrap());
    (stream, reader)
}

#[test]
fn nothing_that_comes_through_the_socket_harms_the_run() {
    let place = Place::new();
    let mut trainer = place.tiny();
    let dir = place.summary().dir;
    let mode = std::fs::metadata(dir.join("control.sock")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o600);

    // Hears everything, reads nothing.
    let _sleeper = connect(&dir, "watch");
    let (stream, mut reader) = connect(&dir, "control");
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let hello: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(hello["hello"]["role"], "control");
    assert_eq!(
        hello["hello"]["info"]["vocab_size"].as_u64().map(|n| n > 1),
        Some(true)
    );
    // Refused with what is allowed, by the training thread.
    (&stream)
        .write_all(b"{\"command\":\"set\",\"edit\":{\"key\":\"learning-rate-multiplier\",\"value\":1e9}}\n")
        .unwrap();
    wait("a refusal", || {
        place
            .notices()
            .iter()
            .any(|n| n.contains("must be between"))
    });
    // And what is no command closes the connection.
    (&stream).write_all(b"\x00\xff\n").unwrap();
    let mut bye = String::new();
    while !bye.starts_with("{\"bye\"") {
        bye.clear();
        assert!(
            reader.read_line(&mut bye).unwrap() > 0,
            "closed without a word"
        );
    }
    assert!(bye.contains("not a command"), "{bye}");
    let seen = place.summary().step;
    wait("it goes on", || place.summary().step > seen + 200);
    trainer.signal(Signal::TERM);
    assert_eq!(trainer.exit(), Some(130));
    place.assert_saved();
    assert!(read_history(&dir).unwrap().edits.is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_in_a_deep_folder_is_reached() {
    let place = Place::new();
    let deep = format!("{}/{}", "deep".repeat(30), "deeper".repeat(20));
    let dir: PathBuf = place.path().join(&deep).join("run");
    let mut child = Trainer {
        child: place
            .command(&[
                "train",
                "tiny.toml",
                "--json",
                "--run",
                dir.to_str().unwrap(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    };
    wait("the socket", || dir.join("control.sock").exists());
    wait("steps", || {
        read_history(&dir).is_ok_and(|history| history.steps.len() > 20)
    });
    let mut follower = place
        .command(&["attach", dir.to_str().unwrap(), "--json"])
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(follower.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("\"started\""), "{line}");
    child.signal(Signal::TERM);
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(follower.wait().unwrap().code(), Some(130));
    assert_eq!(child.exit(), Some(130));
}

#[test]
fn a_detached_run_trains_in_a_session_of_its_own() {
    let place = Place::new();
    let output = place.run(&["train", "tiny.toml", "--detach"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let run = place.summary();
    let stray = owner(&run.dir);
    let pid = stray.0;
    assert!(
        text.contains(&format!("process {}", pid.as_raw_nonzero())),
        "{text}"
    );
    assert!(
        text.contains(&format!("`fireside attach {}`", run.name)),
        "{text}"
    );
    assert!(text.contains(run.dir.to_str().unwrap()), "{text}");
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
    let mut terminal = place.attach();
    let seen = place.summary().step;
    wait_for_step(&terminal, seen + 20);
    terminal.press("q");
    terminal.wait_for("detach, it trains on");
    terminal.press("d");
    assert_eq!(terminal.exit(), 0);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    wait("its end", || place.summary().status != RunStatus::Running);
    place.assert_saved();
    let log = std::fs::read_to_string(run.dir.join("run.log")).unwrap();
    assert!(log.contains("step  "), "{log}");
    assert!(log.contains("stopping: the run is saved first"), "{log}");
}

#[test]
fn a_detached_run_that_does_not_start_says_why() {
    let place = Place::new();
    let output = place.run(&[
        "train",
        "tiny.toml",
        "--detach",
        "--set",
        "corpus.path=[\"none.txt\"]",
    ]);
    let text = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("none.txt"), "{text}");
    assert_eq!(text.matches("error:").count(), 1, "{text}");
    let output = place.run(&[
        "train",
        "tiny.toml",
        "--detach",
        "--set",
        "train.batch_size=0",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    let output = place.run(&[
        "train",
        "tiny.toml",
        "--detach",
        "--set",
        "corpus.path=[\"-\"]",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("no standard input"));
    assert!(run::list(&place.path().join("runs")).is_empty());
}
