//! The output layer, and softmax cross-entropy straight from what it reads.

use burn::module::Param;
use burn::tensor::{Int, Tensor};

use super::embedding::Embedding;
use super::linear::Linear;
use crate::kernel;

/// What turns hidden vectors into logits.
#[derive(Debug, Clone, Copy)]
pub enum Head<'a> {
    /// A layer of its own.
    Own(&'a Linear),
    /// The token embedding the other way round.
    Tied(&'a Embedding),
}

impl Head<'_> {
    /// # Shapes
    /// - hidden: `[batch, seq, width]`
    /// - output: `[batch, seq, vocab]`
    pub fn logits(self, hidden: Tensor<3>) -> Tensor<3> {
        match self {
            Head::Own(head) => head.forward(hidden),
            Head::Tied(embedding) => embedding.unembed(hidden),
        }
    }

    /// Mean cross-entropy with the targets, in nats per token, smoothed by `label_smoothing`. Where the kernels run, logits exist
    /// only in pieces.
    ///
    /// # Shapes
    /// - hidden: `[batch, seq, width]`
    /// - targets: `[batch, seq]`
    /// - output: `[1]`
    pub fn loss(
        self,
        hidden: Tensor<3>,
        targets: Tensor<2, Int>,
        label_smoothing: f64,
    ) -> Tensor<1> {
        if !kernel::takes(&hidden) {
            return smoothed_cross_entropy(self.logits(hidden), targets, label_smoothing);
        }
        let (weight, bias, transposed) = match self {
            Head::Own(head) => (head.weight.val(), head.bias.as_ref().map(Param::val), false),
            Head::Tied(embedding) => (embedding.weight.val(), None, true),
        };
        kernel::head_loss(hidden, weight, bias, targets, transposed, label_smoothing)
    }
}

/// Mean negative log-likelihood of the targets, in nats per token: `mean(logsumexp(logits) - logits[target])`.
///
/// # Shapes
/// - logits: `[batch, seq, vocab]`
/// - targets: `[batch, seq]`
/// - output: `[1]`
pub fn cross_entropy(logits: Tensor<3>, targets: Tensor<2, Int>) -> Tensor<1> {
    smoothed_cross_entropy(logits, targets, 0.0)
}

/// Mean cross-entropy with label smoothing ε: the target distribution is (1 - ε) at the target and ε/vocab everywhere, as in
/// `torch.nn.CrossEntropyLoss`.
///
/// # Shapes
/// - logits: `[batch, seq, vocab]`
/// - targets: `[batch, seq]`
/// - output: `[1]`
fn smoothed_cross_entropy(
    logits: Tensor<3>,
    targets: Tensor<2, Int>,
    label_smoothing: f64,
) -> Tensor<1> {
    let [batch, seq, vocab] = logits.dims();
    let logits = logits.reshape([batch * seq, vocab]);
    let targets = targets.reshape([batch * seq, 1]);
    // The shift keeps exp from overflowing; it cancels out, so no gradient flows through it.
    let maximum = logits.clone().detach().max_dim(1); // [batch·seq, 1]
    let shifted = logits - maximum; // [batch·seq, vocab]
    let picked = shifted.clone().gather(1, targets); // [batch·seq, 1]
    let aim = match label_smoothing {
        0.0 => picked,
        share => picked.mul_scalar(1.0 - share) + shifted.clone().mean_dim(1).mul_scalar(share),
    }; // [batch·seq, 1]
    let normalizer = shifted.exp().sum_dim(1).log(); // [batch·seq, 1]
    (normalizer - aim).mean()
}
