//! The learning-rate range test: starting it, stopping it, taking what it found.

use super::training::run_name;
use super::*;
use crate::protocol::RateSweep;

/// The key that a rate is taken into.
const KEY: &str = "optimizer.learning_rate";

impl App {
    pub(super) fn find_rate(&mut self, config: RunConfig, effects: &mut Vec<Effect>) {
        if self.engine_gone {
            let text = "the training thread has ended; start fireside again".to_string();
            return self.notify(NoticeLevel::Error, text, effects);
        }
        if let Some(train) = self.active() {
            let text = format!(
                "{} is training: a range test needs the machine for itself; stop the run first, or let it end",
                run_name(train)
            );
            return self.notify(NoticeLevel::Warning, text, effects);
        }
        let run = self.next_run;
        self.next_run += 1;
        let sweep = RateSweep::default();
        let name = match config.name.as_str() {
            "" => config.model.kind().key().to_string(),
            name => name.to_string(),
        };
        self.overlay = Some(Overlay::RangeTest(Box::new(RangeTest::new(
            run, name, sweep,
        ))));
        effects.push(Effect::Send(Command::FindRate {
            run,
            config: Box::new(config),
            sweep,
        }));
    }

    pub(super) fn act_range_test(&mut self, action: Action, effects: &mut Vec<Effect>) -> Handled {
        let Some(Overlay::RangeTest(test)) = &mut self.overlay else {
            return Handled::No;
        };
        match action {
            Action::Close if test.is_over() || test.stopping => self.overlay = None,
            Action::Close => {
                test.stopping = true;
                effects.push(Effect::Send(Command::Stop));
            }
            Action::Accept => match test.suggestion() {
                Some(rate) => {
                    self.overlay = None;
                    let mut requests = Vec::new();
                    self.home
                        .set_field(KEY, &format!("{rate:e}"), &mut requests);
                    self.carry_out(requests, effects);
                    let text = format!("{KEY} is now {rate:e}; x resets it");
                    self.notify(NoticeLevel::Info, text, effects);
                }
                None if test.is_over() => {
                    let text = "the test suggests no rate: there is nothing to take".to_string();
                    self.notify(NoticeLevel::Info, text, effects);
                }
                None => {}
            },
            // Leaving, suspending and colours work over the test too.
            Action::Quit | Action::Suspend | Action::Redraw | Action::NextTheme => {
                return Handled::No;
            }
            _ => {}
        }
        Handled::Yes
    }
}
