//! What the thread does when its trainer panics, diverges or loses its device.

use super::*;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Panic,
    Diverge,
    /// The step fails; what came before can still be read.
    Fail,
    /// Nothing can be read any more either.
    Lose,
}

/// A trainer that misbehaves at its third step.
struct Faulty {
    inner: Box<dyn Driver>,
    fault: Fault,
    steps: Arc<AtomicU64>,
}

impl Driver for Faulty {
    fn steps_done(&self) -> u64 {
        self.inner.steps_done()
    }
    fn seconds(&self) -> f64 {
        self.inner.seconds()
    }
    fn parameters(&self) -> u64 {
        self.inner.parameters()
    }
    fn step(&mut self) -> Result<StepReport, DriveError> {
        if self.steps.fetch_add(1, Ordering::Relaxed) == 2 {
            match self.fault {
                Fault::Panic => panic!("a defect on purpose"),
                Fault::Fail | Fault::Lose => {
                    return Err(DriveError::Failed("the device is lost".into()));
                }
                Fault::Diverge => {
                    return Err(DriveError::Diverged {
                        step: 3,
                        layer: Some("rnn.0".into()),
                        message: "the loss is NaN".into(),
                    });
                }
            }
        }
        self.inner.step()
    }
    fn evaluate(
        &mut self,
        counts: Counts,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, DriveError> {
        self.inner.evaluate(counts, stop, progress)
    }
    fn learning_rate_multiplier(&self) -> f64 {
        self.inner.learning_rate_multiplier()
    }
    fn reconfigure(&mut self, config: &RunConfig) -> Result<Reconfigured, DriveError> {
        self.inner.reconfigure(config)
    }
    fn skip_step(&mut self) -> Option<StepReport> {
        self.inner.skip_step()
    }
    fn measure_health(&mut self) {
        self.inner.measure_health();
    }
    fn health(&self) -> Option<(u64, Vec<LayerHealth>)> {
        self.inner.health()
    }
    fn model(&self) -> &LanguageModel {
        self.inner.model()
    }
    fn set_learning_rate_multiplier(&mut self, multiplier: f64) {
        self.inner.set_learning_rate_multiplier(multiplier);
    }
    fn schedule(&self) -> Vec<SchedulePoint> {
        self.inner.schedule()
    }
    fn snapshot(&self) -> Result<Checkpoint, DriveError> {
        if self.fault == Fault::Lose && self.steps.load(Ordering::Relaxed) > 2 {
            return Err(DriveError::Failed("the device is lost".into()));
        }
        self.inner.snapshot()
    }
    fn restore(&mut self, config: &RunConfig, checkpoint: Checkpoint) -> Result<(), DriveError> {
        self.inner.restore(config, checkpoint)
    }
}

/// A front end whose first runs have this fault; later trainers are sound.
pub(super) fn faulty(fault: Fault) -> Front {
    let steps = Arc::new(AtomicU64::new(0));
    let made = Mutex::new(0);
    Front::with(Arc::new(move |setup| {
        let inner = trainer_factory()(setup)?;
        *made.lock().unwrap() += 1;
        Ok(Box::new(Faulty {
            inner,
            fault,
            steps: Arc::clone(&steps),
        }) as Box<dyn Driver>)
    }))
}

#[test]
fn a_panic_is_a_failed_run_and_the_next_one_trains() {
    let mut front = faulty(Fault::Panic);
    front.start(1, config(&["checkpoint.every=2"]));
    front.until_phase(Phase::Failed);
    let failed = front.until("the failure", |event| failure(event).is_some());
    assert!(failure(&failed).unwrap().contains("a defect on purpose"));
    front.until_phase(Phase::Idle);
    let failed = run::list(front.root.path()).remove(0);
    assert_eq!((failed.status, failed.step), (RunStatus::Failed, 2));
    assert!(failed.problem.unwrap().contains("a defect on purpose"));
    // What was saved before is whole, and the run goes on from it.
    front.send(Command::Start {
        run: 2,
        config: Box::new(config(&[])),
        origin: Origin::Resume { dir: failed.dir },
    });
    front.until_step(5);
    front.send(Command::Stop);
    assert_eq!(front.finish().reason, FinishReason::Stopped);
    front.end();
}

#[test]
fn divergence_pauses_and_can_be_tried_again() {
    let mut front = faulty(Fault::Diverge);
    front.start(1, config(&["checkpoint.every=1"]));
    front.until("divergence", |event| {
        matches!(&event.kind, EventKind::Phase(Phase::Diverged { step: 3, layer: Some(layer), .. }) if layer == "rnn.0")
    });
    front.send(Command::Save);
    front.until("a refusal", |event| {
        matches!(&event.kind, EventKind::Notice(notice) if notice.message.starts_with("not saved"))
    });
    front.send(Command::Set {
        edit: Edit::LearningRateMultiplier(0.1),
    });
    front.send(Command::Resume);
    front.until_step(4);
    front.send(Command::Stop);
    front.finish();
    front.end();

    // What was learned before the step that was not made is on disk, saved already or not.
    for every in ["checkpoint.every=1", "checkpoint.every=0"] {
        let mut front = faulty(Fault::Diverge);
        front.start(1, config(&[every]));
        front.until("divergence", |event| {
            matches!(event.kind, EventKind::Phase(Phase::Diverged { .. }))
        });
        front.send(Command::Stop);
        front.finish();
        let summary = run::list(front.root.path()).remove(0);
        assert_eq!(summary.status, RunStatus::Diverged);
        assert!(summary.resumable, "{every}");
        let newest = run::checkpoint::entries(&summary.dir).remove(0);
        assert_eq!(newest.step, 2, "{every}");
        front.end();
    }
}

#[test]
fn a_lost_device_ends_in_a_saved_run() {
    let mut front = faulty(Fault::Fail);
    front.start(1, config(&[]));
    let failed = front.until("the failure", |event| failure(event).is_some());
    let summary = run::list(front.root.path()).remove(0);
    let message = format!(
        "the device is lost. Saved up to step 2: `fireside train --resume {}` goes on from there",
        summary.dir.display()
    );
    assert_eq!(failure(&failed), Some(message.as_str()));
    assert_eq!(summary.status, RunStatus::Failed);
    assert_eq!(run::checkpoint::entries(&summary.dir)[0].step, 2);
    front.end();
}

#[test]
fn a_device_that_gives_nothing_back_leaves_the_last_checkpoint() {
    for (every, left) in [
        ("checkpoint.every=2", "Saved up to step 2: "),
        ("checkpoint.every=0", "No checkpoint had been written yet"),
    ] {
        let mut front = faulty(Fault::Lose);
        front.start(1, config(&[every]));
        let failed = front.until("the failure", |event| failure(event).is_some());
        let message = failure(&failed).unwrap();
        let expected = format!("the device is lost. {left}");
        assert!(message.starts_with(&expected), "{message}");
        let summary = run::list(front.root.path()).remove(0);
        assert_eq!(summary.status, RunStatus::Failed);
        // Whoever reads the run later finds the same words.
        assert_eq!(summary.problem.as_deref(), Some(message));
        front.end();
    }
}
