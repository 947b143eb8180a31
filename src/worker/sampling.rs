//! Text, token by token, between two steps. Commands are heard between tokens.

use std::time::Instant;

use super::session::Session;
use crate::config::SampleConfig;
use crate::generate::{GenerateError, Generator};
use crate::protocol::{EventKind, NoticeLevel, Phase, SamplePiece, SampleRecord};
use crate::run::Record;

impl Session<'_> {
    /// Generates one text for each prompt. A stop or a pause cuts it short (false); what was said so far is still
    /// recorded.
    pub(super) fn sample(&mut self, config: &SampleConfig) -> bool {
        self.show(Phase::Sampling);
        self.pause_heard = false;
        for (index, prompt) in config.prompts.iter().enumerate() {
            if self.sample_is_cut() {
                return false;
            }
            match self.sample_prompt(config, index, prompt) {
                Ok(()) => {}
                Err(GenerateError::Device(failure)) => {
                    self.failed = Some(failure.to_string());
                    return false;
                }
                Err(error) => self.notice(
                    NoticeLevel::Warning,
                    format!("prompt `{prompt}` cannot be sampled: {error}"),
                ),
            }
        }
        !self.sample_is_cut()
    }

    fn sample_is_cut(&self) -> bool {
        self.ending() || self.pause_heard
    }

    fn sample_prompt(
        &mut self,
        config: &SampleConfig,
        index: usize,
        prompt: &str,
    ) -> Result<(), GenerateError> {
        let step = self.step;
        let ids = self.prompt_ids(prompt);
        // Each prompt has its own stream of randomness, the same at every step: what changes is the model.
        let settings = SampleConfig {
            seed: config.seed.wrapping_add(index as u64),
            ..config.clone()
        };
        let mut generator = Generator::new(self.driver.model(), &ids, &settings)?;
        let mut decoder = self.tokenizer.stream_decoder_after(prompt);
        let began = Instant::now();
        let mut text = String::new();
        let mut tokens = 0;
        while tokens < config.length && !self.sample_is_cut() {
            let Some(pick) = generator.next().transpose()? else {
                break;
            };
            tokens += 1;
            let piece = decoder.push(pick.id);
            text.push_str(&piece);
            self.context.outbox.emit(EventKind::SamplePiece {
                step,
                prompt: index,
                piece: SamplePiece {
                    text: piece,
                    probability: pick.model_probability,
                },
            });
            self.hear_commands();
        }
        text.push_str(&decoder.finish());
        let seconds = began.elapsed().as_secs_f64();
        self.publish(Record::Sample(SampleRecord {
            step,
            prompt_index: index,
            prompt: prompt.to_string(),
            text,
            temperature: config.temperature,
            top_k: config.top_k,
            top_p: config.top_p,
            tokens_per_second: if seconds > 0.0 {
                tokens as f64 / seconds
            } else {
                0.0
            },
            complete: tokens == config.length,
        }));
        Ok(())
    }

    /// A prompt as ids. What the vocabulary lacks is said once and read as well as can be; an empty prompt starts
    /// from a line break.
    fn prompt_ids(&mut self, prompt: &str) -> Vec<u32> {
        let ids = match self.tokenizer.encode_strict(prompt) {
            Ok(ids) => ids,
            Err(unknown) => {
                if self.prompts_warned.insert(prompt.to_string()) {
                    self.notice(
                        NoticeLevel::Warning,
                        format!("prompt `{prompt}`: {unknown}; it is read without that"),
                    );
                }
                self.tokenizer.encode(prompt)
            }
        };
        if !ids.is_empty() {
            return ids;
        }
        match self.tokenizer.encode("\n") {
            ids if ids.is_empty() => vec![0],
            ids => ids,
        }
    }
}
