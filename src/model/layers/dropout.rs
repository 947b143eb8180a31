//! Dropout (Srivastava et al. 2014, <https://jmlr.org/papers/v15/srivastava14a.html>), in its inverted form.
//!
//! On the CPU backends masks come from a counter: element `i` of the `n`-th mask after [`seed`] depends on seed, `n` and `i`
//! alone. So they are the same on any number of threads and on both CPU backends, and nothing that another thread draws can
//! disturb them (the backends' own generators are global). On a GPU, where making masks on the host would cost more than the
//! layer, they come from the device's generator.

use std::cell::Cell;

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rayon::prelude::*;

use crate::device::runs_on_host;
use crate::kernel::{self, Mask};
use crate::model::random::mix;

thread_local! {
    /// Seed and number of masks drawn since, of the forward passes of this thread.
    static STREAM: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Elements that one thread draws at a time.
const CHUNK: usize = 1 << 14;

/// Starts the random numbers of the next forward pass on this thread. To be called before each pass in training, with a seed
/// that follows from the run's seed, the step and the micro-batch, so that a resumed run repeats the uninterrupted one.
pub fn seed(device: &Device, seed: u64) {
    STREAM.set((seed, 0));
    if !runs_on_host(device) {
        device.seed(seed);
    }
}

/// The next mask of this thread's stream, for a layer that applies it itself; `None` where nothing is to be dropped.
pub fn next_mask<const D: usize>(input: &Tensor<D>, rate: f64) -> Option<Mask> {
    if rate <= 0.0 || !input.is_autodiff() {
        return None;
    }
    let (seed, drawn) = STREAM.get();
    STREAM.set((seed, drawn + 1));
    Some(Mask::new(mix(seed, drawn), rate))
}

/// While training, zeroes each element with probability `rate` and scales the rest by `1/(1-rate)`, so that the expectation stays.
///
/// Training means that the tensor lives on an autodiff device; a model made by `valid()` does not, and nothing is dropped.
///
/// # Shapes
/// - input and output: any
pub fn dropout<const D: usize>(input: Tensor<D>, rate: f64) -> Tensor<D> {
    if rate <= 0.0 || !input.is_autodiff() {
        return input;
    }
    let device = input.device().inner();
    if !runs_on_host(&device) {
        let keep = 1.0 - rate;
        let mask = Tensor::random(input.dims(), Distribution::Bernoulli(keep), &device);
        return input * Tensor::from_inner(mask.mul_scalar(1.0 / keep));
    }
    let Some(mask) = next_mask(&input, rate) else {
        return input;
    };
    if kernel::takes(&input) {
        return kernel::dropout(input, mask);
    }
    let shape = input.dims();
    let values = factors(mask, shape.iter().product());
    let mask = Tensor::from_data(TensorData::new(values, shape), &device);
    input * Tensor::from_inner(mask)
}

/// The first `count` elements of a mask.
fn factors(mask: Mask, count: usize) -> Vec<f32> {
    let mut values = vec![0.0; count];
    values
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, values)| {
            let first = (chunk * CHUNK) as u64;
            for (index, value) in (first..).zip(values) {
                *value = mask.factor(index);
            }
        });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_scale() {
        let n = 400_001;
        for rate in [0.1, 0.5, 0.9] {
            let values = factors(Mask::new(3, rate), n);
            assert_eq!(values.len(), n);
            let dropped = values.iter().filter(|value| **value == 0.0).count() as f64 / n as f64;
            // Five standard errors at the widest, rate 0.5.
            assert!((dropped - rate).abs() < 4e-3, "{rate}: {dropped}");
            let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
            assert!((mean - 1.0).abs() < 3e-2, "{rate}: {mean}");
        }
    }

    #[test]
    fn masks_do_not_depend_on_the_number_of_threads() {
        let mask = |seed| factors(Mask::new(seed, 0.3), 3 * CHUNK + 7);
        let wide = mask(5);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let narrow = pool.unwrap().install(|| mask(5));
        assert_eq!(wide, narrow);
        assert_ne!(wide, mask(6));
    }
}
