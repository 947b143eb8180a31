//! [`Command::FindRate`]: a model of the config, trained for a short while with a rising rate and thrown away. It goes
//! the way of a run as far as the first step (the same text, tokenizer, device and memory check), but has no folder.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::driver::{DriveError, Driver, DriverSetup};
use super::session::After;
use super::start::{
    NoStart, check_memory, check_stop, choose_device, loading, prepare, set_threads,
};
use super::{Context, fail, fail_for};
use crate::config::{RunConfig, ScheduleKind};
use crate::protocol::{Command, EventKind, NoticeLevel, Phase, RateSweep};
use crate::train::{Ending, RangeTest};

/// Makes the test and publishes what it came to.
pub fn run(context: &mut Context, config: RunConfig, sweep: RateSweep) -> After {
    if let Err(problem) = sweep.check() {
        fail(context, format!("the range test was refused: {problem}"));
        return After::Idle;
    }
    let (driver, compiles) = match load(context, config, sweep) {
        Ok(loaded) => loaded,
        Err(NoStart::Failed(message)) => {
            fail(context, message);
            return After::Idle;
        }
        Err(NoStart::Refused(message, keys)) => {
            fail_for(context, message, keys);
            return After::Idle;
        }
        Err(NoStart::Stopped(when)) => {
            fail(context, "stopped while it was loading".to_string());
            return super::start::after(Some(when));
        }
    };
    climb(context, driver, sweep, compiles)
}

fn load(
    context: &mut Context,
    mut config: RunConfig,
    sweep: RateSweep,
) -> Result<(Box<dyn Driver>, bool), NoStart> {
    // The rate of each step is the multiplier, and nothing else moves it.
    config.schedule.kind = ScheduleKind::Constant;
    config.schedule.warmup = 0;
    config.optimizer.learning_rate = 1.0;
    config.train.steps = sweep.steps;
    set_threads(&config);
    let prepared = prepare(context, &config, None)?;
    let chosen = choose_device(context, &config)?;
    if chosen.main_memory {
        check_memory(context, &config, &chosen, prepared.tokenizer.vocab_size())?;
    }
    loading(context, "building the model", 0, None);
    check_stop(context)?;
    let driver = (context.factory)(DriverSetup {
        config,
        dataset: prepared.dataset.clone(),
        vocab_size: prepared.tokenizer.vocab_size(),
        device: chosen.device.clone(),
    })
    .map_err(NoStart::failed)?;
    check_stop(context)?;
    Ok((driver, chosen.compiles))
}

fn climb(
    context: &mut Context,
    mut driver: Box<dyn Driver>,
    sweep: RateSweep,
    compiles: bool,
) -> After {
    context.outbox.emit(EventKind::Phase(match compiles {
        true => Phase::Compiling,
        false => Phase::Training,
    }));
    let mut test = RangeTest::new(sweep);
    let mut after = After::Idle;
    let ending = loop {
        if let Some(ended) = hear(context) {
            after = ended;
            break Ending::Stopped;
        }
        let Some(rate) = test.next_rate() else {
            break Ending::Reached;
        };
        driver.set_learning_rate_multiplier(rate);
        let loss = match driver.step() {
            Ok(report) => report.loss,
            Err(DriveError::Diverged { .. }) => f64::NAN,
            Err(DriveError::Failed(message)) => {
                fail(context, message);
                return after;
            }
        };
        let (point, goes_on) = test.note(loss);
        context.outbox.emit(EventKind::RatePoint(point));
        if compiles && point.step == 1 {
            context.outbox.emit(EventKind::Phase(Phase::Training));
        }
        if !goes_on {
            break Ending::Diverged;
        }
    };
    // The model goes before the report comes: whoever hears it may start a run in its place.
    drop(driver);
    context
        .outbox
        .emit(EventKind::RateFound(test.report(ending)));
    after
}

/// The commands that came during a step: how to go on after an end, if one was asked for.
fn hear(context: &mut Context) -> Option<After> {
    while let Some(command) = context.next_command(Duration::ZERO) {
        match command {
            Command::Stop => {
                context.stop.store(false, Ordering::Relaxed);
                return Some(After::Idle);
            }
            Command::Shutdown => {
                context.stop.store(false, Ordering::Relaxed);
                return Some(After::End);
            }
            Command::Start { run, .. } | Command::FindRate { run, .. } => {
                let message = "a learning-rate range test is running; stop it first".to_string();
                context.outbox.emit_for(run, EventKind::failed(message));
            }
            _ => context.notice(
                NoticeLevel::Info,
                "a learning-rate range test can only be stopped",
            ),
        }
    }
    None
}
