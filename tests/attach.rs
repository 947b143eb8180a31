//! Runs that one process trains and others watch and steer, as real processes: the control socket, `fireside attach`,
//! `fireside train --detach`.
#![cfg(unix)]

mod process;
mod terminal;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use fireside::run::{self, RunStatus, checkpoint, read_history};
use process::{Place, errors, of, owner, tiny, wait_for};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use terminal::Terminal;

/// Trains for as long as it is left alone.
const TINY: &str = r#"
train.steps = 100000000
eval.every = 200
eval.batches = 2
sample.every = 200
sample.length = 20
checkpoint.every = 100
checkpoint.keep = 2
"#;

impl Place {
    /// Trains without screens, and waits until it is on its way. The end of the guard is the end of the process.
    fn trainer(&self, arguments: &[&str]) -> Trainer {
        let trainer = self.spawn_at_home(arguments);
        wait_for("a run", || !run::list(&self.path("runs")).is_empty());
        wait_for("its first steps", || self.only_run().step > 20);
        trainer
    }

    fn tiny(&self) -> Trainer {
        self.trainer(&["train", "tiny.toml", "--json"])
    }

    fn spawn_at_home(&self, arguments: &[&str]) -> Trainer {
        let child = self
            .command_at_home(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Trainer { child }
    }

    fn run_at_home(&self, arguments: &[&str]) -> Output {
        self.command_at_home(arguments).output().unwrap()
    }

    fn attach(&self) -> Terminal {
        let command = terminal::fireside(&["attach", "last"], self.dir());
        let terminal = Terminal::start(command, 120, 30);
        terminal.wait_for("● ");
        terminal
    }

    /// The messages of the run's notices.
    fn notices(&self) -> Vec<String> {
        let history = read_history(&self.only_run().dir).unwrap();
        history.notices.into_iter().map(|n| n.message).collect()
    }

    #[track_caller]
    fn wait_for_notice(&self, end: &str) {
        wait_for(end, || self.notices().iter().any(|n| n.ends_with(end)));
    }
}

struct Trainer {
    child: Child,
}

impl Trainer {
    fn signal(&self, signal: Signal) {
        process::signal(&self.child, signal);
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

/// The steps among lines of JSON.
fn steps(lines: &[Value]) -> Vec<u64> {
    let steps = of(lines, "step").into_iter();
    steps.map(|line| line["step"].as_u64().unwrap()).collect()
}

#[test]
fn screens_attach_steer_and_leave_across_two_processes() {
    let place = Place::new(&tiny(TINY));
    let mut trainer = place.tiny();
    let dir = place.only_run().dir;
    let mut terminal = place.attach();
    terminal.wait_for("● attached");
    let seen = place.only_run().step;
    terminal.wait_for_step(seen + 5);
    place.wait_for_notice("has taken the controls");

    terminal.press(" ");
    terminal.wait_for("paused ● attached");
    place.wait_for_notice("asks for: pause");
    let paused = terminal.shown().step().unwrap();
    terminal.press(".");
    terminal.wait_until("one step", |shown| shown.step() == Some(paused + 1));
    terminal.wait_for("paused ●");
    assert_eq!(place.only_run().step, paused + 1);
    // An edit: acknowledged in the log of the process that trains.
    terminal.press("{\r");
    wait_for("the edit", || !read_history(&dir).unwrap().edits.is_empty());
    assert_eq!(read_history(&dir).unwrap().edits[0].step, paused + 2);
    terminal.press(" ");
    terminal.wait_for_step(paused + 20);

    terminal.press("q");
    terminal.wait_for("detach, it trains on");
    terminal.press("d");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    place.wait_for_notice("has left the controls");
    let left = place.only_run();
    assert_eq!(left.status, RunStatus::Running);
    wait_for("it goes on", || place.only_run().step > left.step + 50);

    let mut terminal = place.attach();
    terminal.wait_for("● attached");
    terminal.press("q");
    terminal.wait_for("stop the run");
    terminal.press("s");
    assert_eq!(terminal.exit(), 0);
    assert_eq!(trainer.exit(), Some(130));
    assert_eq!(place.only_run().status, RunStatus::Stopped);
    place.assert_saved(0);
    assert!(!dir.join("control.sock").exists());
}

#[test]
fn a_second_controller_watches_until_the_first_has_left() {
    let place = Place::new(&tiny(TINY));
    let _trainer = place.tiny();
    let mut first = place.attach();
    first.wait_for("● attached");
    let mut second = place.attach();
    // The notice about it may be gone on a busy machine before it is looked for.
    let controls = format!("{} controls", first.id().as_raw_nonzero());
    second.wait_for(&format!("watching, {controls}"));
    second.press(" ");
    second.wait_for("`pause` was not");
    let seen = place.only_run().step;
    wait_for("it goes on", || place.only_run().step > seen + 20);
    first.press("q");
    first.wait_for("detach, it trains on");
    first.press("d");
    assert_eq!(first.exit(), 0);
    second.wait_gone(&controls);
    second.press(" ");
    second.wait_for("paused ● attached");
    second.press("\x03");
    second.wait_for("detach, it trains on");
    second.press("\x03");
    assert_eq!(second.exit(), 0);
    // It stays paused: somebody wanted that.
    let paused = place.only_run();
    assert_eq!(paused.status, RunStatus::Running);
}

#[test]
fn a_killed_trainer_is_shown_as_such_and_its_run_taken_up() {
    let place = Place::new(&tiny(TINY));
    let mut trainer = place.tiny();
    wait_for("a checkpoint", || checkpoint::any(&place.only_run().dir));
    let mut terminal = place.attach();
    terminal.wait_for_step(120);
    trainer.signal(Signal::KILL);
    let waited = terminal.wait_for("ended without a word at step");
    assert!(waited <= Duration::from_secs(2), "seen after {waited:?}");
    terminal.wait_until("what can be done", |shown| {
        let text = shown.text();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").contains("takes it up here")
    });
    trainer.exit();
    // The dead socket is still there, and in nobody's way.
    let dir = place.only_run().dir;
    assert!(dir.join("control.sock").exists());
    terminal.press("\r");
    terminal.wait_for("training ●");
    let seen = place.only_run().step;
    wait_for("it goes on", || place.only_run().step > seen + 20);
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
    place.assert_saved(0);
}

#[test]
fn lines_go_on_where_the_log_is_and_leaving_leaves_it() {
    let place = Place::new(&tiny(TINY));
    let mut trainer = place.tiny();
    let mut follower = place
        .command_at_home(&["attach", "last", "--json"])
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
    process::signal(&follower, Signal::INT);
    while read(&mut lines) {}
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(errors(&output).contains("trains on"), "{}", errors(&output));
    let numbers = steps(&lines);
    for pair in numbers.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "no gap, nothing twice");
    }
    let seen = place.only_run().step;
    wait_for("it goes on", || place.only_run().step > seen + 20);

    // To the end this time.
    let follower = place
        .command_at_home(&["attach", "last", "--json"])
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

    let output = place.run_at_home(&["attach", "last", "--headless"]);
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("no process trains"), "{text}");
    assert!(text.contains("it is stopped at step"), "{text}");
}

#[test]
fn a_follower_of_a_killed_trainer_says_so() {
    let place = Place::new(&tiny(TINY));
    let trainer = place.tiny();
    let mut follower = place
        .command_at_home(&["attach", "last", "--json"])
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
    let place = Place::new(&tiny(TINY));
    let mut trainer = place.tiny();
    let dir = place.only_run().dir;
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
    wait_for("a refusal", || {
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
    let seen = place.only_run().step;
    wait_for("it goes on", || place.only_run().step > seen + 200);
    trainer.signal(Signal::TERM);
    assert_eq!(trainer.exit(), Some(130));
    place.assert_saved(0);
    assert!(read_history(&dir).unwrap().edits.is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_in_a_deep_folder_is_reached() {
    let place = Place::new(&tiny(TINY));
    let deep = format!("{}/{}", "deep".repeat(30), "deeper".repeat(20));
    let dir: PathBuf = place.path(&deep).join("run");
    let mut child = place.spawn_at_home(&process::to_train(dir.to_str().unwrap(), &[]));
    wait_for("the socket", || dir.join("control.sock").exists());
    wait_for("steps", || {
        read_history(&dir).is_ok_and(|history| history.steps.len() > 20)
    });
    let mut follower = place
        .command_at_home(&["attach", dir.to_str().unwrap(), "--json"])
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
    let place = Place::new(&tiny(TINY));
    let output = place.run_at_home(&["train", "tiny.toml", "--detach"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let run = place.only_run();
    let stray = Stray(owner(&run.dir).unwrap());
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
    let seen = place.only_run().step;
    terminal.wait_for_step(seen + 20);
    terminal.press("q");
    terminal.wait_for("detach, it trains on");
    terminal.press("d");
    assert_eq!(terminal.exit(), 0);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    wait_for("its end", || place.only_run().status != RunStatus::Running);
    place.assert_saved(0);
    let log = std::fs::read_to_string(run.dir.join("run.log")).unwrap();
    assert!(log.contains("step  "), "{log}");
    assert!(log.contains("stopping: the run is saved first"), "{log}");
}

/// The first edit of a fork is made after the run has started.
#[test]
fn a_detached_run_that_fails_before_its_first_step_is_done_says_why() {
    let place = Place::new(&tiny(TINY));
    let sets = [
        "model.kind=\"gpt\"",
        "model.d_model=256",
        "model.n_layers=8",
        "model.context_length=512",
        "train.batch_size=1",
        "corpus.bytes=2000000",
        "eval.every=0",
    ];
    let mut arguments = vec!["train", "tiny.toml", "--headless", "--run", "runs/a"];
    arguments.extend(["--until", "1"]);
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    let output = place.run_at_home(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let fork = ["train", "--fork", "a", "--detach", "--set"];
    let output = place.run_at_home(&[&fork[..], &["train.batch_size=3500"]].concat());
    let text = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("of memory and"), "{text}");
    assert_eq!(text.matches("error:").count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    // A step later all is well.
    let output = place.run_at_home(&[&fork[..], &["train.steps=2"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
}

#[test]
fn a_detached_run_that_does_not_start_says_why() {
    let place = Place::new(&tiny(TINY));
    // What is wrong here shows only when the text is read through.
    let mut text = "to be or not to be\n".repeat(2_000).into_bytes();
    text.push(0xFF);
    std::fs::write(place.path("bad.txt"), text).unwrap();
    let output = place.run_at_home(&[
        "train",
        "tiny.toml",
        "--detach",
        "--set",
        "corpus.path=[\"bad.txt\"]",
    ]);
    let text = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("bad.txt is not UTF-8"), "{text}");
    assert_eq!(text.matches("error:").count(), 1, "{text}");
    let output = place.run_at_home(&[
        "train",
        "tiny.toml",
        "--detach",
        "--set",
        "train.batch_size=0",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    let output = place.run_at_home(&[
        "train",
        "tiny.toml",
        "--detach",
        "--set",
        "corpus.path=[\"-\"]",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("no standard input"));
    assert!(run::list(&place.path("runs")).is_empty());
}
