//! Dropout (Srivastava et al. 2014, <https://jmlr.org/papers/v15/srivastava14a.html>), in its inverted form.

use burn::tensor::{Distribution, Tensor};

/// While training, zeroes each element with probability `rate` and scales the rest by `1/(1-rate)`, so that the expectation stays.
///
/// Training means that the tensor lives on an autodiff device; a model made by `valid()` does not, and nothing is dropped. Random
/// numbers come from the device's generator, which the caller seeds before each forward pass.
///
/// # Shapes
/// - input and output: any
pub fn dropout<const D: usize>(input: Tensor<D>, rate: f64) -> Tensor<D> {
    if rate <= 0.0 || !input.is_autodiff() {
        return input;
    }
    let keep = 1.0 - rate;
    let mask = input
        .clone()
        .without_autodiff()
        .random_like(Distribution::Bernoulli(keep))
        .mul_scalar(1.0 / keep);
    input * Tensor::from_inner(mask)
}
