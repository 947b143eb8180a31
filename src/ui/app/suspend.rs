//! Ctrl-Z: training stops with the process and goes on with it.

use std::time::Duration;

use super::*;

/// How long Ctrl-Z waits for the step in progress.
const SUSPEND_WAIT: Duration = Duration::from_millis(1500);

impl App {
    pub(super) fn suspend(&mut self, effects: &mut Vec<Effect>) {
        if self.suspending {
            return;
        }
        let view = self.local().map(|train| &train.view);
        let busy = view.is_some_and(|view| {
            matches!(
                view.phase,
                Phase::Training | Phase::Evaluating { .. } | Phase::Sampling
            )
        });
        self.resume_after = busy && view.is_some_and(|view| !view.stands());
        self.suspending = true;
        if busy {
            effects.push(Effect::Send(Command::Pause));
            effects.push(Effect::After(SUSPEND_WAIT, Timer::Suspend));
        } else {
            self.suspend_now(effects);
        }
    }

    pub(super) fn suspend_now(&mut self, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.suspending) {
            let text = if self.resume_after {
                "fireside is stopped, and training with it; `fg` goes on with both"
            } else {
                "fireside is stopped; `fg` returns"
            };
            effects.push(Effect::Suspend(text.to_string()));
        }
    }

    pub(super) fn resumed(&mut self, effects: &mut Vec<Effect>) {
        self.suspending = false;
        if std::mem::take(&mut self.resume_after) {
            effects.push(Effect::Send(match self.until {
                Some(step) => Command::RunUntil {
                    until: Until::Step(step),
                },
                None => Command::Resume,
            }));
        }
        effects.push(Effect::Redraw);
    }
}
