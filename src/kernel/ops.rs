//! The kernels as differentiable operations on tensors, through burn's backend extension.
//!
//! A [`Fused`] value says which operation, its operands follow. The flex backend computes it ([`Kernels`]); the
//! autodiff implementation here records what the backward pass needs and asks for the gradients by hand-written
//! kernels. Other backends never come here: see the functions of the parent module.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};

use super::cpu::activation::{Activation, Mask};
use super::cpu::recurrent::{Cell, Initial};
use super::cpu::sublayer::Sublayer;

/// Which fused operation, with everything about it that is not a float tensor.
#[derive(Debug, Clone)]
pub enum Fused {
    /// x `[.., n_in]`, weight `[n_in, n_out]`, optionally bias `[n_out]` → `[.., n_out]`
    Linear,
    /// x `[.., d]`, weight `[d]`, optionally bias `[d]` → `[.., d]`
    LayerNorm { epsilon: f32 },
    /// As [`Fused::Linear`], the activation applied to the sum.
    LinearActivation(Activation),
    /// Any shape.
    Dropout(Mask),
    /// x `[.., d]`, weight `[d, vocab]` (`[vocab, d]` when transposed), optionally bias `[vocab]` → mean loss `[1]`
    HeadLoss {
        targets: Arc<[i64]>,
        transposed: bool,
        label_smoothing: f32,
    },
    /// weight `[vocab, d]` → `[batch, seq, d]`
    Embedding { ids: Arc<[i64]>, shape: [usize; 2] },
    /// x `[.., n_in]`, weight `[n_out, n_in]` → `[.., n_out]`
    LinearTransposed,
    /// x `[batch, seq, d]`, gamma `[d]`, first weight `[d, n]`, second weight `[m, d]`; or x, gamma, beta `[d]`, first weight and bias
    /// `[n]`, second weight and bias `[d]` → `[batch, seq, d]`
    Sublayer {
        of: Sublayer,
        observed: Option<Observed>,
    },
    /// Any shape → the sum of all squares `[1]`
    SquareSum,
    /// queries `[batch, queries, d]`, keys `[batch, keys, d]`, v `[d, 1]`, values `[batch, keys, width]` → `[batch, queries, width]`
    AdditiveAttention { span: usize },
    /// hidden and context `[.., n]`, weight `[2·n, n_out]`, bias `[n_out]` → tanh of the linear layer over both, `[.., n_out]`
    AttentionalVector,
    /// hidden `[batch, seq, width]` → `[batch, seq, width]`
    DotAttention {
        /// States before these, `[batch, past, width]`.
        memory: Arc<Vec<f32>>,
        past: usize,
        span: usize,
        scale: f32,
    },
    /// projected `[batch, seq, gates·hidden]`, weight `[hidden, gates·hidden]`, bias `[gates·hidden]` → `[batch, seq, hidden]`
    Recurrent {
        cell: Cell,
        initial: Arc<Initial>,
        /// Where the LSTM's cell state after the last step goes, `[batch, hidden]`.
        last_cell: Arc<OnceLock<Vec<f32>>>,
    },
}

/// Some of the units of a sublayer, told to whoever asked.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Rows of the batch that are asked for.
    pub rows: usize,
    /// What the second map read of these rows, `[rows, seq, width]`.
    pub units: Arc<OnceLock<Vec<f32>>>,
}

/// The operations by their number of operands, so that burn can route them to a backend.
#[backend_extension(Flex: cfg(feature = "flex"), Autodiff)]
pub trait FusedOps: Backend {
    fn fused1(op: Fused, a: FloatTensor<Self>) -> FloatTensor<Self>;
    fn fused2(op: Fused, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
    fn fused3(
        op: Fused,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    fn fused4(
        op: Fused,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    #[allow(clippy::too_many_arguments)] // The backend extension routes single tensors.
    fn fused7(
        op: Fused,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// A backend that computes the fused operations and their gradients.
pub trait Kernels: Backend {
    /// What the backward pass needs.
    type Saved: Debug + Clone + Send + 'static;

    fn forward(op: &Fused, inputs: Vec<FloatTensor<Self>>) -> FloatTensor<Self>;

    /// As [`Kernels::forward`], for an operation that a backward pass will follow.
    fn forward_saving(
        op: &Fused,
        inputs: Vec<FloatTensor<Self>>,
    ) -> (FloatTensor<Self>, Self::Saved);

    /// Gradients with respect to the operands; `None` for those that are not wanted.
    fn backward(
        op: &Fused,
        saved: Self::Saved,
        grad: FloatTensor<Self>,
        wanted: &[bool],
    ) -> Vec<Option<FloatTensor<Self>>>;
}

#[derive(Debug)]
struct FusedStep;

impl<B: Kernels, const N: usize> Backward<B, N> for FusedStep {
    type State = (Fused, B::Saved);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (op, saved) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = B::backward(&op, saved, grad, &wanted);
        for (parent, grad) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

fn record<B: Kernels, C: CheckpointStrategy, const N: usize>(
    op: Fused,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
) -> FloatTensor<Autodiff<B, C>> {
    let guards = inputs.each_ref().map(|input| input.node());
    let inputs = inputs
        .into_iter()
        .map(|input| input.into_primitive())
        .collect();
    match FusedStep.prepare::<C>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (output, saved) = B::forward_saving(&op, inputs);
            prep.finish((op, saved), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::forward(&op, inputs)),
    }
}

impl<B: Kernels, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn fused1(op: Fused, a: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<B, C, _>(op, [a])
    }

    fn fused2(op: Fused, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<B, C, _>(op, [a, b])
    }

    fn fused3(
        op: Fused,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record::<B, C, _>(op, [a, b, c])
    }

    fn fused4(
        op: Fused,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record::<B, C, _>(op, [a, b, c, d])
    }

    fn fused7(
        op: Fused,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record::<B, C, _>(op, [a, b, c, d, e, f, g])
    }
}
