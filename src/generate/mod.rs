//! Generating text: sessions that remember what they have read, samplers that pick the next token, and scores of a text.
//!
//! A [`Session`] feeds one token a sequence at a time: transformers keep keys and values, recurrent models their state. A
//! [`Sampler`] turns logits into a token. [`Batch`] ties both for several sequences, [`Generator`] for one, and iterate.
//! [`score::sliding`] says how well a model predicts a text.

pub mod direct;
mod sampler;
pub mod score;
mod session;

pub use sampler::{Pick, Sampler};
pub use session::{GenerateError, Session};

use crate::config::SampleConfig;
use crate::model::LanguageModel;

/// Tokens of several sequences with one prompt, one of each at a time, without end: take as many as wanted. A device that
/// fails ends it with an error.
#[derive(Debug)]
pub struct Batch {
    session: Session,
    samplers: Vec<Sampler>,
    histories: Vec<Vec<u32>>,
    last: Option<Vec<u32>>,
    failed: bool,
}

impl Batch {
    /// Reads the prompt. Each of `settings` makes one sequence, which has the same tokens as it would have alone.
    ///
    /// # Errors
    /// An empty prompt, a token outside the vocabulary, or a device that failed.
    pub fn new(
        model: &LanguageModel,
        prompt: &[u32],
        settings: &[SampleConfig],
    ) -> Result<Self, GenerateError> {
        Ok(Batch {
            session: Session::copies(model, prompt, settings.len())?,
            samplers: settings.iter().map(Sampler::new).collect(),
            histories: vec![prompt.to_vec(); settings.len()],
            last: None,
            failed: false,
        })
    }
}

impl Iterator for Batch {
    type Item = Result<Vec<Pick>, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        // The tokens picked last are read only when their successors are wanted: the last ones asked for cost no pass.
        let logits = match self.last.take() {
            None => self.session.logits(),
            Some(tokens) => match self.session.next_logits(&tokens) {
                Ok(logits) => logits,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            },
        };
        let sequences = self.samplers.iter_mut().zip(&mut self.histories);
        let picks: Vec<Pick> = sequences
            .zip(logits)
            .map(|((sampler, history), logits)| {
                let pick = sampler.pick(logits, history);
                history.push(pick.id);
                pick
            })
            .collect();
        self.last = Some(picks.iter().map(|pick| pick.id).collect());
        Some(Ok(picks))
    }
}

/// Tokens of one sequence, one at a time, without end: take as many as wanted. A device that fails ends it with an error.
#[derive(Debug)]
pub struct Generator {
    batch: Batch,
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
            batch: Batch::new(model, prompt, std::slice::from_ref(config))?,
        })
    }

    /// Prompt and picked tokens so far.
    pub fn history(&self) -> &[u32] {
        &self.batch.histories[0]
    }
}

impl Iterator for Generator {
    type Item = Result<Pick, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batch.next()? {
            Ok(picks) => picks.into_iter().next().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests;
