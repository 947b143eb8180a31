//! Conducts a sweep. Every trial is `fireside train --headless` in a process of its own, up to the steps of its rung; what
//! came of it is read from its folder and written down before anything follows from it. Interrupted at any moment, the same
//! steps are taken by whoever goes on.
//!
//! A process that is started here has its own process group, so that Ctrl-C reaches the conductor alone, which asks it to save.
//! Its output goes through a pipe: where the conductor is killed, it finds the pipe closed at its next line, saves, and ends.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::run::sweep::{SweepDir, TrialOutcome, TrialResult};
use crate::run::{RunError, RunStatus, checkpoint, summarize};

/// How often the processes are looked at.
const PATIENCE: Duration = Duration::from_millis(30);
/// Of what a process said on standard error, this much of the end is kept.
const LAST_WORDS: usize = 4096;

/// How the cores are parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// Processes at a time.
    pub parallel: usize,
    /// CPU threads of each.
    pub each: usize,
}

/// What happens while a sweep goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum SweepEvent {
    Started {
        threads: Threads,
        /// Results that were there already.
        known: usize,
    },
    TrialStarted {
        trial: usize,
        rung: usize,
        /// The step that it goes on from.
        from: u64,
        until: u64,
    },
    /// Another process, left over from a conductor that was killed, still saves it.
    Waiting {
        trial: usize,
    },
    TrialDone(TrialResult),
    RungDone {
        rung: usize,
        /// Who goes on, the best first; empty after the last rung.
        on: Vec<usize>,
        left: Vec<usize>,
    },
    /// The processes were told to save and end.
    Stopping,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Finished,
    /// By a signal or a key; every trial is saved.
    Interrupted,
}

/// Conducts one sweep.
#[derive(Debug)]
pub struct Conductor {
    dir: SweepDir,
    program: PathBuf,
    threads: Threads,
    running: Vec<Running>,
}

/// A process at work.
#[derive(Debug)]
struct Running {
    trial: usize,
    until: u64,
    child: Child,
    /// Read to the end, so that no pipe fills up.
    output: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<String>>,
}

impl Conductor {
    /// `program` is this executable.
    pub fn new(dir: SweepDir, program: PathBuf, threads: Threads) -> Self {
        Self {
            dir,
            program,
            threads,
            running: Vec::new(),
        }
    }

    pub fn dir(&self) -> &SweepDir {
        &self.dir
    }

    /// Goes on until every trial is done. `interrupts` counts the wishes to end: at the first the trials save, at the second
    /// they are not waited for.
    ///
    /// # Errors
    /// A result cannot be written down, or no process can be started.
    pub fn run(
        &mut self,
        interrupts: &AtomicUsize,
        say: &mut dyn FnMut(&SweepEvent),
    ) -> Result<End, RunError> {
        say(&SweepEvent::Started {
            threads: self.threads,
            known: self.dir.results().len(),
        });
        for rung in 0..self.dir.plan().rungs.len() {
            let Some(trials) = self.dir.entering(rung) else {
                // The loop does not leave a rung before it is done.
                return Ok(End::Interrupted);
            };
            let known = trials
                .iter()
                .all(|trial| self.dir.result(*trial, rung).is_some());
            let ended = self.rung(rung, &trials, interrupts, say);
            if !matches!(ended, Ok(End::Finished)) {
                self.kill();
                return ended;
            }
            if !known && !trials.is_empty() {
                let on = match rung + 1 < self.dir.plan().rungs.len() {
                    true => self.dir.entering(rung + 1).unwrap_or_default(),
                    false => Vec::new(),
                };
                let left = trials.iter().copied();
                say(&SweepEvent::RungDone {
                    rung,
                    left: left.filter(|trial| !on.contains(trial)).collect(),
                    on,
                });
            }
        }
        Ok(End::Finished)
    }

    fn rung(
        &mut self,
        rung: usize,
        trials: &[usize],
        interrupts: &AtomicUsize,
        say: &mut dyn FnMut(&SweepEvent),
    ) -> Result<End, RunError> {
        let until = self.dir.plan().rungs[rung];
        let mut queue: VecDeque<usize> = trials
            .iter()
            .copied()
            .filter(|trial| self.dir.result(*trial, rung).is_none())
            .collect();
        let mut waited = None;
        let mut stopping = false;
        loop {
            match interrupts.load(Ordering::Relaxed) {
                0 => {}
                1 if stopping => {}
                1 => {
                    stopping = true;
                    say(&SweepEvent::Stopping);
                    for running in &self.running {
                        ask_to_end(&running.child);
                    }
                }
                _ => return Ok(End::Interrupted),
            }
            if stopping && self.running.is_empty() {
                return Ok(End::Interrupted);
            }
            while !stopping && self.running.len() < self.threads.parallel {
                let Some(trial) = queue.front().copied() else {
                    break;
                };
                let Some(claim) = self.dir.claim(trial)? else {
                    if waited != Some(trial) {
                        waited = Some(trial);
                        say(&SweepEvent::Waiting { trial });
                    }
                    break;
                };
                queue.pop_front();
                if let Some(result) = self.reached(trial, rung, until) {
                    self.note(result, say)?;
                } else {
                    let from = self.start(trial, until, claim)?;
                    say(&SweepEvent::TrialStarted {
                        trial,
                        rung,
                        from,
                        until,
                    });
                }
            }
            if queue.is_empty() && self.running.is_empty() {
                return Ok(End::Finished);
            }
            let ended = self.ended();
            if ended.is_empty() {
                std::thread::sleep(PATIENCE);
            }
            for (running, status) in ended {
                let result = self.result_of(running, status, rung, stopping);
                if let Some(result) = result {
                    self.note(result, say)?;
                }
            }
        }
    }

    fn note(
        &mut self,
        result: TrialResult,
        say: &mut dyn FnMut(&SweepEvent),
    ) -> Result<(), RunError> {
        self.dir.record(result.clone())?;
        say(&SweepEvent::TrialDone(result));
        Ok(())
    }

    /// The result of a trial that needs no process: its run had come to the rung's end before its result was written down, or
    /// has stopped early.
    fn reached(&self, trial: usize, rung: usize, until: u64) -> Option<TrialResult> {
        let run = summarize(&self.dir.trial_path(trial)).ok()?;
        let over = match run.status {
            RunStatus::Finished => true,
            RunStatus::Stopped => run.step >= until,
            RunStatus::Diverged => return Some(diverged(trial, rung, run.step, run.problem)),
            RunStatus::Running | RunStatus::Failed | RunStatus::Interrupted => false,
        };
        let evaluated = self.evaluated(trial, run.step);
        (over && evaluated).then(|| done(trial, rung, &run))
    }

    /// Whether the run was evaluated at the step where it stands; its last losses are of that step then.
    fn evaluated(&self, trial: usize, step: u64) -> bool {
        crate::run::read_history(&self.dir.trial_path(trial))
            .ok()
            .and_then(|history| history.evaluations.last().map(|report| report.step))
            == Some(step)
    }

    /// Starts the process of a trial; returns the step that it goes on from. The process has the claim as its standard input,
    /// which it does not read: so the claim lasts as long as the process, also where this one is killed.
    fn start(&mut self, trial: usize, until: u64, claim: File) -> Result<u64, RunError> {
        let path = self.dir.trial_path(trial);
        let from = checkpoint::entries(&path).first().map(|entry| entry.step);
        let mut command = Command::new(&self.program);
        command.args(["train", "--headless", "--set"]);
        command.arg(format!("train.threads={}", self.threads.each));
        match from {
            Some(_) => command.arg("--resume").arg(&path),
            None => {
                clear_beginnings(&path)?;
                command
                    .arg(self.dir.config_path(trial))
                    .arg("--run")
                    .arg(&path)
            }
        };
        if until < self.dir.plan().steps {
            command.args(["--until", &until.to_string()]);
        }
        command
            .stdin(Stdio::from(claim))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .spawn()
            .map_err(RunError::io("start", &self.program))?;
        let output = child.stdout.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            })
        });
        let errors = child
            .stderr
            .take()
            .map(|pipe| std::thread::spawn(move || last_words(pipe)));
        self.running.push(Running {
            trial,
            until,
            child,
            output,
            errors,
        });
        Ok(from.unwrap_or(0))
    }

    /// Takes out the processes that have ended.
    fn ended(&mut self) -> Vec<(Running, Option<ExitStatus>)> {
        let mut ended = Vec::new();
        let mut at = 0;
        while at < self.running.len() {
            match self.running[at].child.try_wait() {
                Ok(None) => at += 1,
                Ok(Some(status)) => ended.push((self.running.remove(at), Some(status))),
                Err(_) => ended.push((self.running.remove(at), None)),
            }
        }
        ended
    }

    /// What came of a process; nothing where it was told to end before it was done.
    fn result_of(
        &self,
        mut running: Running,
        status: Option<ExitStatus>,
        rung: usize,
        stopping: bool,
    ) -> Option<TrialResult> {
        let join = |handle: JoinHandle<String>| handle.join().unwrap_or_default();
        let said = running.errors.take().map(join).unwrap_or_default();
        if let Some(output) = running.output.take() {
            let _ = output.join();
        }
        let trial = running.trial;
        let run = summarize(&self.dir.trial_path(trial)).ok();
        let step = run.as_ref().map_or(0, |run| run.step);
        if let Some(run) = &run
            && run.status == RunStatus::Diverged
        {
            return Some(diverged(trial, rung, step, run.problem.clone()));
        }
        let success = status.is_some_and(|status| status.success());
        if success
            && let Some(run) = &run
            && (run.status == RunStatus::Finished || run.step >= running.until)
        {
            return Some(done(trial, rung, run));
        }
        if stopping {
            return None;
        }
        Some(TrialResult {
            trial,
            rung,
            outcome: TrialOutcome::Failed,
            step,
            val_loss: None,
            bits_per_byte: None,
            message: Some(why(&said, status)),
        })
    }

    /// Ends what still runs, without waiting for it to save.
    fn kill(&mut self) {
        for mut running in self.running.drain(..) {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// However it ends, no process is left that nobody waits for.
impl Drop for Conductor {
    fn drop(&mut self) {
        self.kill();
    }
}

fn done(trial: usize, rung: usize, run: &crate::run::RunSummary) -> TrialResult {
    match run.val_loss {
        Some(_) => TrialResult {
            trial,
            rung,
            outcome: TrialOutcome::Done,
            step: run.step,
            val_loss: run.val_loss,
            bits_per_byte: run.bits_per_byte,
            message: None,
        },
        None => diverged(
            trial,
            rung,
            run.step,
            Some("the validation loss is not a number".to_string()),
        ),
    }
}

fn diverged(trial: usize, rung: usize, step: u64, message: Option<String>) -> TrialResult {
    TrialResult {
        trial,
        rung,
        outcome: TrialOutcome::Diverged,
        step,
        val_loss: None,
        bits_per_byte: None,
        message,
    }
}

/// The last sentence that a process said, or how it ended.
fn why(said: &str, status: Option<ExitStatus>) -> String {
    let error = said.rfind("error: ").map(|at| said[at + 7..].trim());
    match (error, status) {
        (Some(error), _) if !error.is_empty() => error.to_string(),
        (_, Some(status)) => format!("its process ended without a word ({status})"),
        (_, None) => "its process could not be waited for".to_string(),
    }
}

/// A folder in which a trial had begun, and had come to no checkpoint before it was killed: it begins anew.
fn clear_beginnings(path: &Path) -> Result<(), RunError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RunError::io("clear", path)(error))
        }
        _ => Ok(()),
    }
}

fn last_words(mut pipe: impl Read) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => {
                kept.extend_from_slice(&buffer[..n]);
                let over = kept.len().saturating_sub(LAST_WORDS);
                kept.drain(..over);
            }
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// As Ctrl-C does: it saves first.
#[cfg(unix)]
fn ask_to_end(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    // One that has ended already needs no asking.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
}

/// There is no gentle way: what the last checkpoint has is kept.
#[cfg(not(unix))]
fn ask_to_end(_child: &Child) {}
