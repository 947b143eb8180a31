//! What a model has read so far, and the logits of what comes next.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::direct::{State, Weights};
use crate::device::{DeviceFailure, guarded};
use crate::kernel::cpu::team::Team;
use crate::model::{LanguageModel, Memory};

/// A prompt that is longer is read in pieces by a model that has no limit.
const PIECE: usize = 512;

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
/// full, the newest half of the context (`context_length / 2` tokens) is read again from position 0 and generation goes on from
/// there (a prompt longer than the context starts with its newest `context_length` tokens). Between two such slides, logits are
/// those of a whole forward pass over the tokens in the cache.
///
/// On the CPU the weights are laid out once and read without the framework, by threads of the session's own; the numbers of a sequence
/// then depend neither on the sequences beside it nor on how many threads there are. Elsewhere, or with kernels switched off, sequences of equal length advance as one batch of tensors.
#[derive(Debug)]
pub struct Session {
    reader: Reader,
    logits: Vec<Vec<f32>>,
}

#[derive(Debug)]
enum Reader {
    Direct(Box<Direct>),
    Tensors(Box<Tensors>),
}

#[derive(Debug)]
struct Direct {
    weights: Weights,
    team: Team,
    states: Vec<State>,
    /// What is in the states; not kept for models that never slide.
    windows: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Tensors {
    model: LanguageModel,
    device: Device,
    groups: Vec<Group>,
}

/// Sequences of equal length.
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
        check(model, prompts)?;
        let mut logits = vec![Vec::new(); prompts.len()];
        let reader = match Weights::of(model) {
            Some(weights) => {
                let mut direct = Box::new(Direct {
                    weights,
                    team: Team::new(threads()),
                    states: Vec::new(),
                    windows: Vec::new(),
                });
                for (prompt, logits) in prompts.iter().zip(&mut logits) {
                    *logits = direct.open(prompt);
                }
                Reader::Direct(direct)
            }
            None => Reader::Tensors(Box::new(Tensors::new(model, prompts, &mut logits)?)),
        };
        Ok(Session { reader, logits })
    }

    /// Several sequences that all begin with `prompt`, which is read once where that is possible.
    ///
    /// # Errors
    /// An empty prompt, a token outside the vocabulary, or a device that failed.
    pub fn copies(
        model: &LanguageModel,
        prompt: &[u32],
        count: usize,
    ) -> Result<Self, GenerateError> {
        let mut session = Self::new(model, &[prompt.to_vec()])?;
        match &mut session.reader {
            Reader::Direct(direct) => {
                direct.states = vec![direct.states[0].clone(); count];
                direct.windows = vec![direct.windows[0].clone(); count];
                session.logits = vec![session.logits[0].clone(); count];
                Ok(session)
            }
            Reader::Tensors(_) if count == 1 => Ok(session),
            Reader::Tensors(_) => Self::new(model, &vec![prompt.to_vec(); count]),
        }
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
    pub fn next_logits(&mut self, tokens: &[u32]) -> Result<&[Vec<f32>], GenerateError> {
        assert_eq!(tokens.len(), self.len(), "one token for each sequence");
        match &mut self.reader {
            Reader::Direct(direct) => self.logits = direct.advance(tokens),
            Reader::Tensors(tensors) => tensors.advance_all(tokens, &mut self.logits)?,
        }
        Ok(&self.logits)
    }
}

/// Those of computation, as far as there are processors for them: one whose turn has not come makes the others wait.
fn threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::current_num_threads().min(processors)
}

fn check(model: &LanguageModel, prompts: &[Vec<u32>]) -> Result<(), GenerateError> {
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
    Ok(())
}

/// What a full window keeps, and the token after it.
fn slid(window: &[u32], token: u32) -> Vec<u32> {
    let mut kept = window[window.len() - window.len() / 2..].to_vec();
    kept.push(token);
    kept
}

impl Direct {
    /// Starts one more sequence and returns the logits of what follows it.
    fn open(&mut self, prompt: &[u32]) -> Vec<f32> {
        let mut states = [self.weights.state()];
        let room = self.weights.room(&states[0]);
        let prompt = match room {
            Some(room) => &prompt[prompt.len().saturating_sub(room)..],
            None => prompt,
        };
        let mut logits = Vec::new();
        for piece in prompt.chunks(room.unwrap_or(PIECE)) {
            logits = self
                .weights
                .read(&mut states, &[piece.to_vec()], &mut self.team)
                .concat();
        }
        self.states.extend(states);
        self.windows.push(match room {
            Some(_) => prompt.to_vec(),
            None => Vec::new(),
        });
        logits
    }

    fn advance(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let mut read = Vec::with_capacity(tokens.len());
        let sequences = self.states.iter_mut().zip(&mut self.windows);
        for ((state, window), &token) in sequences.zip(tokens) {
            match self.weights.room(state) {
                Some(0) => {
                    *state = self.weights.state();
                    *window = slid(window, token);
                    read.push(window.clone());
                }
                Some(_) => {
                    window.push(token);
                    read.push(vec![token]);
                }
                None => read.push(vec![token]),
            }
        }
        self.weights.read(&mut self.states, &read, &mut self.team)
    }
}

impl Tensors {
    fn new(
        model: &LanguageModel,
        prompts: &[Vec<u32>],
        logits: &mut [Vec<f32>],
    ) -> Result<Self, GenerateError> {
        let model = model.valid();
        let mut tensors = Tensors {
            device: model.device(),
            model,
            groups: Vec::new(),
        };
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (index, tokens) in prompts.iter().enumerate() {
            let same = |group: &&mut Vec<usize>| prompts[group[0]].len() == tokens.len();
            match members.iter_mut().find(same) {
                Some(group) => group.push(index),
                None => members.push(vec![index]),
            }
        }
        for members in members {
            let rows = members.iter().map(|&index| prompts[index].clone());
            let rows = rows.collect();
            let mut group = Group {
                memory: tensors.model.memory(0),
                window: Vec::new(),
                members,
            };
            guarded(&tensors.device, || tensors.read(&mut group, rows, logits))?;
            tensors.groups.push(group);
        }
        Ok(tensors)
    }

    fn advance_all(
        &mut self,
        tokens: &[u32],
        logits: &mut [Vec<f32>],
    ) -> Result<(), GenerateError> {
        let mut groups = std::mem::take(&mut self.groups);
        for group in &mut groups {
            let tokens: Vec<u32> = group.members.iter().map(|&index| tokens[index]).collect();
            let tokens = tokens.into_iter();
            guarded(&self.device, || {
                if self.model.room(&group.memory) == Some(0) {
                    let rows = group.window.iter().zip(tokens);
                    let rows = rows.map(|(window, token)| slid(window, token)).collect();
                    self.read(group, rows, logits)
                } else {
                    let rows = tokens.map(|token| vec![token]).collect();
                    self.advance(group, rows, logits)
                }
            })?;
        }
        self.groups = groups;
        Ok(())
    }

    /// Starts a group over from these rows, the newest part of them where they are longer than the context.
    fn read(
        &self,
        group: &mut Group,
        mut rows: Vec<Vec<u32>>,
        logits: &mut [Vec<f32>],
    ) -> Result<(), GenerateError> {
        group.memory = self.model.memory(rows.len());
        group.window = vec![Vec::new(); rows.len()];
        let piece = match self.model.room(&group.memory) {
            Some(room) => {
                for row in &mut rows {
                    row.drain(..row.len().saturating_sub(room));
                }
                room
            }
            None => PIECE,
        };
        // Rows of a group are equally long.
        let length = rows.first().map_or(0, Vec::len);
        for start in (0..length).step_by(piece.max(1)) {
            let end = (start + piece).min(length);
            let pieces = rows.iter().map(|row| row[start..end].to_vec()).collect();
            self.advance(group, pieces, logits)?;
        }
        Ok(())
    }

    fn advance(
        &self,
        group: &mut Group,
        rows: Vec<Vec<u32>>,
        logits: &mut [Vec<f32>],
    ) -> Result<(), GenerateError> {
        let shape = [rows.len(), rows[0].len()];
        let ids: Vec<i32> = rows.iter().flatten().map(|&token| token as i32).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.device);
        let next = self.model.advance(tokens, &mut group.memory); // [members, vocab]
        let [_, vocab] = next.dims();
        let values = next
            .try_into_data()
            .map_err(DeviceFailure::from)?
            .try_into_vec::<f32>()
            .map_err(|error| DeviceFailure::new(&error.to_string()))?;
        for (&index, row) in group.members.iter().zip(values.chunks(vocab)) {
            logits[index] = row.to_vec();
        }
        if self.model.room(&group.memory).is_some() {
            for (window, row) in group.window.iter_mut().zip(rows) {
                window.extend(row);
            }
        }
        Ok(())
    }
}
