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
    /// Every step of a batch of more than [`ROOM`] fails.
    NoRoom,
    /// And nothing can be read any more then.
    NoRoomAtAll,
}

/// Rows of a batch that there is room for.
const ROOM: usize = 8;

/// A trainer that misbehaves at its third step, or where there is no room.
struct Faulty {
    inner: Box<dyn Driver>,
    fault: Fault,
    steps: Arc<AtomicU64>,
    batch_size: usize,
}

impl Faulty {
    fn has_room(&self) -> bool {
        !matches!(self.fault, Fault::NoRoom | Fault::NoRoomAtAll) || self.batch_size <= ROOM
    }
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
        if !self.has_room() {
            return Err(DriveError::Failed("the device has no room".into()));
        }
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
                Fault::NoRoom | Fault::NoRoomAtAll => {}
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
        self.batch_size = config.train.batch_size;
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
        if self.fault == Fault::NoRoomAtAll && !self.has_room() {
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
        let batch_size = setup.config.train.batch_size;
        let inner = trainer_factory()(setup)?;
        *made.lock().unwrap() += 1;
        Ok(Box::new(Faulty {
            inner,
            fault,
            steps: Arc::clone(&steps),
            batch_size,
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

/// Memory that a GPU has of its own is not known before it is asked for: an edit that it has no room for fails in the next step.
#[test]
fn an_edit_that_a_device_has_no_room_for_is_named_with_what_takes_it_back() {
    for fault in [Fault::NoRoom, Fault::NoRoomAtAll] {
        let mut front = faulty(fault);
        front.start(1, config(&[]));
        front.until_step(1);
        front.send(Command::Pause);
        front.until_phase(Phase::Paused);
        let step = front.last_step();
        for value in ["40", "60"] {
            let changes = [("train.batch_size".to_string(), value.to_string())];
            front.send(Command::Set {
                edit: Edit::Set(changes.into()),
            });
        }
        front.send(Command::StepOnce);
        let failed = front.until("the failure", |event| failure(event).is_some());
        let dir = run::list(front.root.path()).remove(0).dir;
        let message = format!(
            "the device has no room, in the first step with train.batch_size 40, train.batch_size 60; if the run is to go on \
             without that, resume it with --set train.batch_size=2. Saved up to step {step}: `fireside train --resume {}` goes on \
             from there",
            dir.display()
        );
        assert_eq!(failure(&failed), Some(message.as_str()));
        front.until_phase(Phase::Idle);
        // As it says.
        front.send(Command::Start {
            run: 2,
            config: Box::new(config(&[])),
            origin: Origin::Resume { dir },
        });
        front.until("steps", |event| {
            assert_eq!(failure(event), None);
            event.run == 2 && last_step(event).is_some_and(|last| last >= step + 3)
        });
        front.send(Command::Stop);
        front.finish();
        front.end();
    }
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
