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

/// Tokens of one sequence, one at a time, without end: take as many as wanted.
#[derive(Debug)]
pub struct Generator {
    session: Session,
    sampler: Sampler,
    history: Vec<u32>,
    last: Option<u32>,
}

impl Generator {
    /// Reads the prompt.
    ///
    /// # Errors
    /// An empty prompt, or a token outside the vocabulary.
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
        })
    }

    /// Prompt and picked tokens so far.
    pub fn history(&self) -> &[u32] {
        &self.history
    }
}

impl Iterator for Generator {
    type Item = Pick;

    fn next(&mut self) -> Option<Pick> {
        // The token picked last is read only when its successor is wanted: the last one asked for costs no forward pass.
        let pick = match self.last {
            None => self.sampler.pick(&self.session.logits()[0], &self.history),
            Some(token) => {
                let logits = self.session.next_logits(&[token]);
                self.sampler.pick(&logits[0], &self.history)
            }
        };
        self.history.push(pick.id);
        self.last = Some(pick.id);
        Some(pick)
    }
}

#[cfg(test)]
mod tests;
