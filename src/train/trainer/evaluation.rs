//! What a trainer measures on both parts of the corpus, and what follows from it: the plateau, early stopping, the best.

use std::sync::atomic::AtomicBool;

use burn::module::Module;

use super::Trainer;
use crate::device::guarded;
use crate::protocol::EvalReport;
use crate::train::TrainError;
use crate::train::evaluate::{Evaluation, Window, bits_per_byte, mean_loss, perplexity, windows};

/// Whether an evaluation is one of those that the configuration asks for. Only those steer the run; any other leaves the
/// trainer as it is, so that a run is the same whatever somebody looked at in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    Yes,
    No,
}

impl Trainer {
    /// Measures both parts of the corpus without dropout, tells the plateau and early stopping, and notes the best.
    ///
    /// The training part is read to the same number of windows as the validation part, also with `eval.batches = 0`,
    /// where the validation part is read whole. `progress` hears of forward passes done and their total.
    /// `None` when `stop` was raised; nothing has changed then.
    ///
    /// # Errors
    /// The device failed.
    pub fn evaluate(
        &mut self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, TrainError> {
        self.evaluate_as(Counts::Yes, stop, progress)
    }

    /// As [`Trainer::evaluate`], where it may not count.
    ///
    /// # Errors
    /// The device failed.
    pub fn evaluate_as(
        &mut self,
        counts: Counts,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, TrainError> {
        let device = self.device.clone();
        guarded(&device, || self.measure_losses(counts, stop, progress))
    }

    fn measure_losses(
        &mut self,
        counts: Counts,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, TrainError> {
        let dataset = self.dataset.clone();
        let (train_windows, validation_windows) = self.evaluation_windows();
        let total = (train_windows.len() + validation_windows.len()) as u64;
        let mut done = 0;
        let mut advance = || {
            done += 1;
            progress(done, total);
        };
        let model = self.model().valid();
        let mut measure = |ids, windows: &[Window]| {
            mean_loss(
                &model,
                ids,
                windows,
                &self.device,
                &self.pool,
                stop,
                &mut advance,
            )
        };
        let Some(val_loss) = measure(&dataset.validation, &validation_windows)? else {
            return Ok(None);
        };
        let Some(train_loss) = measure(&dataset.train, &train_windows)? else {
            return Ok(None);
        };
        let best = match counts {
            Counts::Yes => self.note_evaluation(val_loss),
            Counts::No => self.is_best(val_loss),
        };
        let tokens = dataset.validation.len();
        Ok(Some(EvalReport {
            step: self.progress.step,
            tokens: self.progress.tokens,
            seconds: self.progress.seconds,
            train_loss,
            val_loss,
            perplexity: perplexity(val_loss),
            bits_per_byte: bits_per_byte(val_loss, tokens, dataset.validation_bytes),
            unknown_fraction: dataset.unknown_validation as f64 / tokens as f64,
            best,
        }))
    }

    /// The windows of both parts: training, validation.
    fn evaluation_windows(&self) -> (Vec<Window>, Vec<Window>) {
        let whole = Evaluation {
            batch_size: self.config.train.batch_size,
            context_length: self.config.model.context_length(),
            batches: self.config.eval.batches,
            carry: self.carries(),
        };
        let validation = windows(self.dataset.validation.len(), whole);
        let part = Evaluation {
            batches: validation.len() as u64,
            ..whole
        };
        (windows(self.dataset.train.len(), part), validation)
    }

    /// Returns whether this is the best so far.
    fn note_evaluation(&mut self, val_loss: f64) -> bool {
        let best = self.is_best(val_loss);
        let progress = &mut self.progress;
        progress.plateau.observe(&self.config.schedule, val_loss);
        progress.val_loss = val_loss.is_finite().then_some(val_loss);
        if best {
            progress.best_val_loss = Some(val_loss);
            progress.best_step = Some(progress.step);
            progress.evaluations_since_best = 0;
        } else {
            progress.evaluations_since_best += 1;
        }
        best
    }

    fn is_best(&self, val_loss: f64) -> bool {
        let best = self.progress.best_val_loss;
        best.map_or(val_loss.is_finite(), |best| val_loss < best)
    }
}
