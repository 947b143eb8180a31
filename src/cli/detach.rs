//! Runs in a process of their own, which no terminal ends: `fireside train --detach`, and what the screens leave to
//! train on.
//!
//! The process is this program again, with the hidden `--detached`. Until its run has started it says how far it is on
//! its standard output, one JSON object a line, to the process that started it. From there on it says everything in the run's
//! `run.log`. Who started it leaves once the first step is done, so that a device that fails in it is told to somebody.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::CliError;
use crate::protocol::{Engine, EventKind};
use crate::run::RunFile;

/// Events that wait between the training thread and the one that writes lines.
const CHANNEL_LENGTH: usize = 256;

/// What the new process says until its run has started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Report {
    /// A sentence for people.
    Say(String),
    /// The run has started, in this folder.
    Started(PathBuf),
    /// It has done a step.
    Stepped,
}

/// How long a first step is waited for. Kernels of a GPU may be compiled in it; longer, and nobody wants to look at a still prompt.
pub const FIRST_STEP: Duration = Duration::from_secs(60);

/// What of the new process is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    Start,
    /// For so long after the start, at most.
    FirstStep(Duration),
}

/// A run that trains in a process of its own.
#[derive(Debug)]
pub struct Started {
    pub dir: PathBuf,
    pub pid: u32,
    /// Its first step was waited for, and is not done yet.
    pub getting_ready: bool,
}

impl Started {
    /// What a person wants to know next.
    pub fn text(&self, root: &Path) -> String {
        let dir = self.dir.display();
        let name = self.dir.file_name().map(|name| name.to_string_lossy());
        // The name alone is enough where it is looked up.
        let name = name
            .filter(|name| {
                let found = std::path::absolute(root.join(name.as_ref()));
                found.is_ok_and(|found| found == self.dir)
            })
            .map_or_else(|| dir.to_string(), |name| name.into_owned());
        let does = match self.getting_ready {
            true => "is still getting ready to train",
            false => "trains",
        };
        format!(
            "{dir} {does} in the background as process {}, and writes to {}\n\
             `fireside attach {name}` shows and steers it; `kill {}` ends it, after saving\n",
            self.pid,
            self.dir.join(RunFile::Log.name()).display(),
            self.pid
        )
    }
}

/// Starts `fireside ARGUMENTS --detached` in a session of its own, and waits until its run has started, or has done a step. A signal
/// counted by `interrupts` ends it again.
///
/// # Errors
/// Why it did not get as far, with the exit code of its kind.
pub fn start(
    arguments: &[OsString],
    wait_for: WaitFor,
    interrupts: Option<&AtomicUsize>,
) -> Result<Started, CliError> {
    // What goes wrong before anything can be said goes here: a file, so that nothing waits for a reader.
    let (errors, path) = errors_file().map_err(not_started)?;
    let spawn = || -> std::io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .args(arguments)
            .arg("--detached")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?)
            .spawn()
    };
    let child = spawn();
    // It is held open by those who need it.
    let _ = std::fs::remove_file(path);
    wait(child.map_err(not_started)?, errors, wait_for, interrupts)
}

fn not_started(error: std::io::Error) -> CliError {
    CliError::failed(format!("no process could be started to train in: {error}"))
}

/// Waits until the new process has got as far as is wanted.
fn wait(
    mut child: Child,
    errors: File,
    wait_for: WaitFor,
    interrupts: Option<&AtomicUsize>,
) -> Result<Started, CliError> {
    let (sender, reports) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        std::thread::Builder::new()
            .name("fireside-detach".to_string())
            .spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if let Ok(report) = serde_json::from_str::<Report>(&line)
                        && sender.send(report).is_err()
                    {
                        return;
                    }
                }
            })
            .map_err(not_started)?;
    }
    let mut interrupted = false;
    let mut started: Option<(PathBuf, Instant)> = None;
    let pid = child.id();
    let at = |dir, getting_ready| Started {
        dir,
        pid,
        getting_ready,
    };
    loop {
        if !interrupted && interrupts.is_some_and(|count| count.load(Ordering::Relaxed) > 0) {
            interrupted = true;
            super::complain("stopping: the run has not done a step yet");
            end(&child);
        }
        match reports.recv_timeout(Duration::from_millis(50)) {
            Ok(Report::Say(sentence)) => super::complain(&sentence),
            Ok(Report::Started(dir)) if wait_for == WaitFor::Start => return Ok(at(dir, false)),
            Ok(Report::Started(dir)) => started = Some((dir, Instant::now())),
            Ok(Report::Stepped) => {
                if let Some((dir, _)) = started {
                    return Ok(at(dir, false));
                }
            }
            Err(RecvTimeoutError::Timeout) => match (started, wait_for) {
                (Some((dir, since)), WaitFor::FirstStep(patience))
                    if !interrupted && since.elapsed() > patience =>
                {
                    return Ok(at(dir, true));
                }
                (other, _) => started = other,
            },
            // It has closed its output: it is ending.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().map_err(not_started)?;
    if interrupted {
        return Err(CliError::failed("stopped before the run had done a step"));
    }
    if let Some((dir, _)) = started
        && status.success()
    {
        // There was nothing left to train.
        return Ok(at(dir, false));
    }
    let said = read_back(errors);
    let message = match last_word(&said) {
        "" => format!("the run's process ended before the run had done a step ({status})"),
        said => said.to_string(),
    };
    Err(match status.code() {
        Some(2) => CliError::Usage(message),
        _ => CliError::Failed(message),
    })
}

fn errors_file() -> std::io::Result<(File, PathBuf)> {
    let folder = std::env::temp_dir();
    for attempt in 0.. {
        let path = folder.join(format!("fireside-{}-{attempt}.log", std::process::id()));
        let file = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(&path);
        match file {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && attempt < 1000 => {}
            file => return Ok((file?, path)),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// What stands behind the last `error:`. A defect in the training thread says its own words before.
fn last_word(said: &str) -> &str {
    let said = said.trim();
    let begins = said.rfind("\nerror: ").map_or(0, |at| at + 1);
    said[begins..].trim_start_matches("error: ")
}

fn read_back(mut file: File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind();
    let _ = file.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn end(child: &Child) {
    #[cfg(unix)]
    {
        let pid = rustix::process::Pid::from_child(child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = child;
}

/// The lines of a detached run: to whoever started it, until the run has started; then into its log.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    log: Arc<Mutex<Option<File>>>,
}

impl Lines {
    /// In the new process: leaves the session that it was started in.
    pub fn detached() -> Self {
        #[cfg(unix)]
        if let Err(error) = rustix::process::setsid() {
            // It is the leader of a group already, so no terminal's keys reach it.
            tracing::info!("no session of its own: {error}");
        }
        // Nobody reads what a panic says on standard error.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            tracing::error!("panic: {info}");
            usual(info);
        }));
        Self::default()
    }

    /// The same engine, by way of a thread that sees when the run has started.
    pub fn watch(&self, engine: Engine) -> std::io::Result<Engine> {
        let Engine { commands, events } = engine;
        let (sender, passed_on) = mpsc::sync_channel(CHANNEL_LENGTH);
        let lines = self.clone();
        std::thread::Builder::new()
            .name("fireside-detached".to_string())
            .spawn(move || {
                let mut stepped = false;
                for event in events {
                    match &event.kind {
                        EventKind::Started(info) => lines.started(&info.dir),
                        // One whose loss is no number is about to be told as a failure.
                        EventKind::Steps(steps) if !stepped => {
                            stepped = steps.iter().any(|step| step.loss.is_finite());
                            if stepped {
                                report(&Report::Stepped);
                            }
                        }
                        _ => {}
                    }
                    if sender.send(event).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Engine {
            commands,
            events: passed_on,
        })
    }

    fn started(&self, dir: &Path) {
        let path = dir.join(RunFile::Log.name());
        match File::options().create(true).append(true).open(&path) {
            Ok(file) => *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(file),
            Err(error) => tracing::warn!("{} cannot be opened: {error}", path.display()),
        }
        report(&Report::Started(dir.to_path_buf()));
    }
}

fn report(report: &Report) {
    let Ok(line) = serde_json::to_string(report) else {
        return; // Plain data; cannot fail.
    };
    let mut out = std::io::stdout().lock();
    // Whoever started this may have gone away.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.as_mut() {
            // A disk that is full must not end the run: what it says is in its logs as well.
            Some(file) => drop(file.write_all(bytes)),
            None => {
                let text = String::from_utf8_lossy(bytes);
                if !text.trim().is_empty() {
                    report(&Report::Say(text.trim_end().to_string()));
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_done_no_step_is_not_said_to_train() {
        let mut started = Started {
            dir: PathBuf::from("/elsewhere/a"),
            pid: 12,
            getting_ready: true,
        };
        let text = started.text(Path::new("/runs"));
        assert!(text.contains("is still getting ready to train"), "{text}");
        started.getting_ready = false;
        let text = started.text(Path::new("/runs"));
        assert!(text.starts_with("/elsewhere/a trains in"), "{text}");
    }

    /// A process that says these lines, a third of a second apart, and then lives on.
    #[cfg(unix)]
    fn saying(lines: &[&str]) -> Child {
        let script = lines
            .iter()
            .map(|line| format!("echo '{line}'; sleep 0.3; "));
        let script: String = script.chain(["exec sleep 600".to_string()]).collect();
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script]).stdin(Stdio::null());
        shell.stdout(Stdio::piped()).spawn().unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_first_step_is_waited_for_but_not_for_ever() {
        const SHORT: Duration = Duration::from_millis(50);
        let (started, stepped) = (r#"{"started":"/elsewhere/a"}"#, r#""stepped""#);
        for (lines, wait_for, getting_ready) in [
            (&[started][..], WaitFor::FirstStep(SHORT), true),
            (&[started], WaitFor::Start, false),
            (&[started, stepped], WaitFor::FirstStep(FIRST_STEP), false),
        ] {
            let child = saying(lines);
            let pid = child.id();
            let found = wait(child, tempfile::tempfile().unwrap(), wait_for, None);
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            let found = found.unwrap();
            assert_eq!(found.dir, Path::new("/elsewhere/a"));
            assert_eq!(found.getting_ready, getting_ready, "{lines:?} {wait_for:?}");
        }
    }

    #[test]
    fn the_last_word_is_the_error_and_not_what_came_before() {
        for (said, word) in [
            ("error: no such corpus\n", "no such corpus"),
            (
                "thread panicked\n  at x\nerror: ended by a defect\nsaved\n",
                "ended by a defect\nsaved",
            ),
            ("killed", "killed"),
            ("\n", ""),
        ] {
            assert_eq!(last_word(said), word);
        }
    }
}
