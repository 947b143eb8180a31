//! Generating text: sessions that remember what they have read, and samplers that pick the next token.
//!
//! A [`Session`] feeds one token a sequence at a time: transformers keep keys and values, recurrent models their state. A
//! [`Sampler`] turns logits into a token. [`Generator`] ties both and iterates.

mod sampler;
mod session;

pub use sampler::{Pick, Sampler};
pub use session::{GenerateError, Session};

use crate::config::SampleConfig;
use crate::model::LanguageModel;

/// Tokens of one sequence, one at a time, without end: take as many as wanted. A device that fails ends it with an error.
#[derive(Debug)]
pub struct Generator {
    session: Session,
    sampler: Sampler,
    history: Vec<u32>,
    last: Option<u32>,
    failed: bool,
}

impl Generator {
    /// Reads the prompt.
    ///
    /// # Errors
    /// An empty prompt, a token outside the vocabulary, or a device that failed.
    pub fn new(
        model: &LanguageModel,
        prompt: &[u32],
        config: &SampleConfig,
    ) -> Result<Self, GenerateError> {
        Ok(Generator {
            session: Session::new(model, &[prompt.to_vec()])?,
            sampler: Sampler::new(config),
            history: prompt.to_vec(),
            last: None,
            failed: false,
        })
    }

    /// Prompt and picked tokens so far.
    pub fn history(&self) -> &[u32] {
        &self.history
    }
}

impl Iterator for Generator {
    type Item = Result<Pick, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        // The token picked last is read only when its successor is wanted: the last one asked for costs no forward pass.
        let pick = match self.last {
            None => self.sampler.pick(&self.session.logits()[0], &self.history),
            Some(token) => match self.session.next_logits(&[token]) {
                Ok(logits) => self.sampler.pick(&logits[0], &self.history),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            },
        };
        self.history.push(pick.id);
        self.last = Some(pick.id);
        Some(Ok(pick))
    }
}

#[cfg(test)]
mod tests;
