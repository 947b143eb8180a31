//! Softmax cross-entropy straight from logits.

use burn::tensor::{Int, Tensor};

use crate::kernel;

/// Mean negative log-likelihood of the targets, in nats per token: `mean(logsumexp(logits) - logits[target])`.
///
/// # Shapes
/// - logits: `[batch, seq, vocab]`
/// - targets: `[batch, seq]`
/// - output: `[1]`
pub fn cross_entropy(logits: Tensor<3>, targets: Tensor<2, Int>) -> Tensor<1> {
    if kernel::takes(&logits) {
        return kernel::cross_entropy(logits, targets);
    }
    let [batch, seq, vocab] = logits.dims();
    let logits = logits.reshape([batch * seq, vocab]);
    let targets = targets.reshape([batch * seq, 1]);
    // The shift keeps exp from overflowing; it cancels out, so no gradient flows through it.
    let maximum = logits.clone().detach().max_dim(1); // [batch·seq, 1]
    let shifted = logits - maximum; // [batch·seq, vocab]
    let picked = shifted.clone().gather(1, targets); // [batch·seq, 1]
    let normalizer = shifted.exp().sum_dim(1).log(); // [batch·seq, 1]
    (normalizer - picked).mean()
}
