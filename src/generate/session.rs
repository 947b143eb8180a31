//! What a model has read so far, and the logits of what comes next.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::device::{DeviceFailure, guarded};
use crate::model::{LanguageModel, Memory};

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    #[error("prompt {0} is empty: give it at least one token")]
    EmptyPrompt(usize),
    #[error("token {token} of prompt {prompt} is outside the vocabulary of {vocab}")]
    OutsideVocabulary {
        prompt: usize,
        token: u32,
        vocab: usize,
    },
    /// The device failed: lost, or out of memory.
    #[error(transparent)]
    Device(#[from] DeviceFailure),
}

/// One or several sequences that grow token by token.
///
/// A recurrent model carries its state on without end. A transformer sees at most `context_length` tokens: when its cache is
/// full, the newest half of the context is read again from position 0 and generation goes on from there (a prompt longer
/// than the context starts with its newest `context_length` tokens). Between two such slides, logits are those of a whole forward pass
/// over the tokens in the cache.
#[derive(Debug)]
pub struct Session {
    model: LanguageModel,
    device: Device,
    /// Sequences of equal length advance as one batch.
    groups: Vec<Group>,
    logits: Vec<Vec<f32>>,
}

#[derive(Debug)]
struct Group {
    /// Which sequences these are.
    members: Vec<usize>,
    memory: Memory,
    /// What is in the memory, one row a member; not kept for models that never slide.
    window: Vec<Vec<u32>>,
}

impl Session {
    /// Reads the prompts.
    ///
    /// # Errors
    /// An empty prompt, a token outside the vocabulary, or a device that failed.
    pub fn new(model: &LanguageModel, prompts: &[Vec<u32>]) -> Result<Self, GenerateError> {
        let vocab = model.vocab_size();
        for (prompt, tokens) in prompts.iter().enumerate() {
            if tokens.is_empty() {
                return Err(GenerateError::EmptyPrompt(prompt));
            }
            if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab) {
                return Err(GenerateError::OutsideVocabulary {
                    prompt,
                    token,
                    vocab,
                });
            }
        }
        let model = model.valid();
        let device = model.device();
        let mut groups: Vec<Group> = Vec::new();
        for (index, tokens) in prompts.iter().enumerate() {
            let same = |group: &&mut Group| prompts[group.members[0]].len() == tokens.len();
            match groups.iter_mut().find(same) {
                Some(group) => group.members.push(index),
                None => groups.push(Group {
                    members: vec![index],
                    memory: model.memory(0),
                    window: Vec::new(),
                }),
            }
        }
        let mut session = Session {
            model,
            device,
            groups: Vec::new(),
            logits: vec![Vec::new(); prompts.len()],
        };
        for mut group in groups {
            let rows = group.members.iter().map(|&index| prompts[index].clone());
            let rows = rows.collect();
            guarded(&session.device.clone(), || session.read(&mut group, rows))?;
            session.groups.push(group);
        }
        Ok(session)
    }

    /// How many sequences there are.
    pub fn len(&self) -> usize {
        self.logits.len()
    }

    pub fn is_empty(&self) -> bool {
        self.logits.is_empty()
    }

    /// Logits of the next token of each sequence: `[sequences][vocab]`.
    pub fn logits(&self) -> &[Vec<f32>] {
        &self.logits
    }

    /// Appends one token to each sequence and returns the logits of the next: `[sequences][vocab]`.
    ///
    /// # Errors
    /// The device failed. The session is then at its end.
    ///
    /// # Panics
    /// If there is not exactly one token a sequence, or a token outside the vocabulary: the caller picks tokens from the
    /// logits of this very session.
    pub fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, GenerateError> {
        assert_eq!(tokens.len(), self.len(), "one token for each sequence");
        let device = self.device.clone();
        let mut groups = std::mem::take(&mut self.groups);
        for group in &mut groups {
            let rows: Vec<Vec<u32>> = group
                .members
                .iter()
                .map(|&index| vec![tokens[index]])
                .collect();
            guarded(&device, || {
                if self.model.room(&group.memory) == Some(0) {
                    self.slide(group, rows)
                } else {
                    self.advance(group, rows)
                }
            })?;
        }
        self.groups = groups;
        Ok(self.logits.clone())
    }

    /// Starts a group over from these rows, the newest part of them where they are longer than the context.
    fn read(&mut self, group: &mut Group, mut rows: Vec<Vec<u32>>) -> Result<(), GenerateError> {
        group.memory = self.model.memory(rows.len());
        group.window = vec![Vec::new(); rows.len()];
        if let Some(room) = self.model.room(&group.memory) {
            for row in &mut rows {
                row.drain(..row.len().saturating_sub(room));
            }
        }
        self.advance(group, rows)
    }

    /// Keeps the newest half of a full context, adds the new tokens and reads the lot again from position 0.
    fn slide(&mut self, group: &mut Group, rows: Vec<Vec<u32>>) -> Result<(), GenerateError> {
        let kept = group
            .window
            .iter()
            .zip(rows)
            .map(|(window, row)| {
                let mut kept = window[window.len() - window.len() / 2..].to_vec();
                kept.extend(row);
                kept
            })
            .collect();
        self.read(group, kept)
    }

    fn advance(&mut self, group: &mut Group, rows: Vec<Vec<u32>>) -> Result<(), GenerateError> {
        let shape = [rows.len(), rows[0].len()];
        let ids: Vec<i32> = rows.iter().flatten().map(|&token| token as i32).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.device);
        let logits = self.model.advance(tokens, &mut group.memory); // [members, vocab]
        let [_, vocab] = logits.dims();
        let values = logits
            .try_into_data()
            .map_err(DeviceFailure::from)?
            .try_into_vec::<f32>()
            .map_err(|error| DeviceFailure::new(&error.to_string()))?;
        for (&index, row) in group.members.iter().zip(values.chunks(vocab)) {
            self.logits[index] = row.to_vec();
        }
        if self.model.room(&group.memory).is_some() {
            for (window, row) in group.window.iter_mut().zip(rows) {
                window.extend(row);
            }
        }
        Ok(())
    }
}
