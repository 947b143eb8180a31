//! `fireside` as a process in a folder of its own: what several tests need.

#![allow(dead_code)] // every test takes what it needs

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fireside::run::{self, History, RunSummary, checkpoint, read_history};
use serde_json::Value;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_fireside");

/// A small recurrent model on a small generated text, with the defaults for the rest.
const TINY: &str = r#"
device = "flex"
corpus.bytes = 40000
tokenizer.kind = "char"
model.kind = "char-rnn"
model.context_length = 16
model.hidden_size = 16
train.batch_size = 4
"#;

/// The tiny configuration with lines of its own, which take the place of those with the same key.
pub fn tiny(own: &str) -> String {
    let key = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_string());
    let own_keys: Vec<_> = own.lines().filter_map(key).collect();
    let kept = TINY.lines().filter(|line| {
        let key = key(line);
        key.is_some_and(|key| !own_keys.contains(&key))
    });
    kept.chain(own.lines()).collect::<Vec<_>>().join("\n")
}

pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn empty() -> Self {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder with `tiny.toml` in it.
    pub fn new(toml: &str) -> Self {
        let place = Self::empty();
        std::fs::write(place.path("tiny.toml"), toml).unwrap();
        place
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        self.prepare(command.args(arguments));
        command
    }

    /// The same by way of a line of shell, in which `"$@"` is the program with its arguments.
    pub fn through_shell(&self, line: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line, "sh", PROGRAM]).args(arguments);
        self.prepare(&mut command);
        command
    }

    /// As a process on a terminal finds it: at home in the folder, with nothing of the caller's environment but PATH.
    pub fn command_at_home(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.dir())
            .env_remove("FIRESIDE_RUNS")
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// With something to read on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Nobody reads what it says.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs, and wants it to go well; what it says.
    pub fn ok(&self, arguments: &[&str]) -> String {
        said(arguments, self.run(arguments))
    }

    /// Runs with something to read, and wants it to go well; what it says.
    pub fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        said(arguments, self.run_with(arguments, input))
    }

    /// Runs, and wants it to go well; what it says is JSON, line by line.
    pub fn succeed(&self, arguments: &[&str]) -> Vec<Value> {
        objects(&self.ok(arguments))
    }

    /// `train tiny.toml --json --run RUN`, plus more.
    pub fn train(&self, run: &str, more: &[&str]) -> Output {
        self.run(&to_train(run, more))
    }

    /// The same, and wants it to go well.
    pub fn trained(&self, run: &str, more: &[&str]) -> Vec<Value> {
        self.succeed(&to_train(run, more))
    }

    /// Runs, and wants it to end with this code; what it says on standard error.
    pub fn fails(&self, expected: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(code(&output), expected, "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The only run in the folder of runs.
    pub fn only_run(&self) -> RunSummary {
        let runs = run::list(&self.path("runs"));
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.into_iter().next().unwrap()
    }

    /// The only run ended in good order and can go on from where it was seen.
    #[track_caller]
    pub fn assert_saved(&self, at_least: u64) {
        let run = self.only_run();
        assert!(run.resumable, "{run:?}");
        assert!(run.step >= at_least, "step {} of {at_least}", run.step);
        let newest = checkpoint::entries(&run.dir).into_iter().next();
        let saved = newest.map(|entry| entry.step);
        assert_eq!(saved, Some(run.step), "the newest step is on disk");
    }
}

/// The arguments of a run of its own, with lines of JSON.
pub fn to_train<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "tiny.toml", "--json", "--run", run], more].concat()
}

fn said(arguments: &[&str], output: Output) -> String {
    assert_eq!(code(&output), 0, "{arguments:?}: {}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn lines(output: &Output) -> Vec<Value> {
    objects(&String::from_utf8_lossy(&output.stdout))
}

/// Lines of JSON.
pub fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// The events of one kind.
pub fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let all = events.iter();
    all.filter(|event| event["event"] == kind).collect()
}

/// The messages of all notices.
pub fn notices(events: &[Value]) -> Vec<String> {
    of(events, "notice")
        .iter()
        .map(|event| event["message"].as_str().unwrap().to_string())
        .collect()
}

/// The step that a run with these lines began after.
pub fn start_step(events: &[Value]) -> u64 {
    let started = events.iter().find(|event| event["event"] == "started");
    started.unwrap()["start_step"].as_u64().unwrap()
}

/// Longest wait for anything; machines under load are slow.
const PATIENCE: Duration = Duration::from_secs(180);

#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The last step in the log of a run, as its reader sees it; 0 where there is none yet.
pub fn reached(run: &Path) -> u64 {
    match read_history(run) {
        Ok(history) => history.steps.last().map_or(0, |report| report.step),
        Err(_) => 0,
    }
}

pub fn wait_for_step(run: &Path, step: u64) {
    wait_for("a step", || reached(run) >= step);
}

/// The process that holds the lock of a run, as soon as it has written itself down there.
#[cfg(unix)]
pub fn owner(run: &Path) -> Option<rustix::process::Pid> {
    let text = std::fs::read_to_string(run.join("lock")).unwrap();
    rustix::process::Pid::from_raw(text.trim().parse().ok()?)
}

#[cfg(unix)]
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Waits for a process that was told to end.
pub fn ended(mut child: Child) -> Option<i32> {
    child.wait().unwrap().code()
}

/// `kill -9`.
pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(item.file_name());
        let kind = item.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&item.path(), &target);
        } else if kind.is_file() {
            // What is neither is the control socket of a run that was killed.
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Everything of a run that does not depend on the clock, bit for bit.
#[derive(Debug, PartialEq)]
pub struct Trace {
    /// Step, tokens, and the bits of loss, gradient norm and learning rate.
    pub steps: Vec<(u64, u64, [u64; 3])>,
    /// Step, and the bits of both losses.
    evaluations: Vec<(u64, [u64; 2])>,
    samples: Vec<(u64, String)>,
}

pub fn trace(run: &Path) -> Trace {
    let History {
        steps,
        evaluations,
        samples,
        ..
    } = read_history(run).unwrap();
    Trace {
        steps: steps
            .iter()
            .map(|r| {
                let bits = [r.loss, r.grad_norm, r.learning_rate].map(f64::to_bits);
                (r.step, r.tokens, bits)
            })
            .collect(),
        evaluations: evaluations
            .iter()
            .map(|r| (r.step, [r.train_loss, r.val_loss].map(f64::to_bits)))
            .collect(),
        samples: samples.into_iter().map(|s| (s.step, s.text)).collect(),
    }
}

/// The files of the newest checkpoint that do not depend on the clock; its state without the seconds, and without the edits that
/// taking a run up with other settings makes.
fn end_of(run: &Path) -> Vec<Vec<u8>> {
    let newest = checkpoint::load_newest(run).unwrap();
    let mut state = newest.checkpoint.state;
    state["trainer"]["seconds"].take();
    state["session"]["edits"].take();
    let mut files = vec![state.to_string().into_bytes()];
    for name in ["model", "optimizer", "carried"] {
        let path = newest.entry.path.join(format!("{name}.safetensors"));
        files.push(std::fs::read(path).unwrap());
    }
    files
}

/// Two runs that made the same steps are the same: losses, samples, weights, everything.
pub fn assert_same(label: &str, whole: &Path, pieces: &Path) {
    let (expected, found) = (trace(whole), trace(pieces));
    for (expected, found) in expected.steps.iter().zip(&found.steps) {
        assert_eq!(found, expected, "{label}: the first step that differs");
    }
    assert_eq!(found.steps.len(), expected.steps.len(), "{label}");
    assert_eq!(found.evaluations, expected.evaluations, "{label}");
    assert_eq!(found.samples, expected.samples, "{label}");
    assert!(
        end_of(whole) == end_of(pieces),
        "{label}: the last checkpoints differ"
    );
}
