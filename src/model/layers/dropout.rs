//! Dropout (Srivastava et al. 2014, <https://jmlr.org/papers/v15/srivastava14a.html>), in its inverted form.
//!
//! On the CPU backends masks come from a counter: element `i` of the `n`-th mask after [`seed`] depends on seed, `n` and `i`
//! alone. So they are the same on any number of threads and on both CPU backends, and nothing that another thread draws can
//! disturb them (the backends' own generators are global). On a GPU, where making masks on the host would cost more than the
//! layer, they come from the device's generator.

use std::cell::Cell;

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rayon::prelude::*;

use crate::model::random::{counted, mix};

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
    if !is_cpu(device) {
        device.seed(seed);
    }
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
    let keep = 1.0 - rate;
    let device = input.device().inner();
    let mask = if is_cpu(&device) {
        let (seed, drawn) = STREAM.get();
        STREAM.set((seed, drawn + 1));
        let shape = input.dims();
        let values = mask(mix(seed, drawn), shape.iter().product(), keep);
        Tensor::from_data(TensorData::new(values, shape), &device)
    } else {
        Tensor::random(input.dims(), Distribution::Bernoulli(keep), &device).mul_scalar(1.0 / keep)
    };
    input * Tensor::from_inner(mask)
}

/// `count` elements that are `1/keep` with probability `keep` and 0 otherwise.
fn mask(seed: u64, count: usize, keep: f64) -> Vec<f32> {
    // Two elements share a 64-bit number; 32 bits resolve the rate to 2.3e-10.
    let threshold = (keep * (1u64 << 32) as f64).round() as u64;
    let value = (1.0 / keep) as f32;
    let pick = |bits: u64| if bits < threshold { value } else { 0.0 };
    let mut values = vec![0.0; count];
    values
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, values)| {
            let first = (chunk * CHUNK / 2) as u64;
            for (pair, values) in (first..).zip(values.chunks_mut(2)) {
                let bits = counted(seed, pair);
                values[0] = pick(bits & 0xFFFF_FFFF);
                if let Some(second) = values.get_mut(1) {
                    *second = pick(bits >> 32);
                }
            }
        });
    values
}

fn is_cpu(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return true;
    }
    #[cfg(feature = "ndarray")]
    #[allow(deprecated)] // upstream means to drop the backend
    if *device == Device::ndarray() {
        return true;
    }
    let _ = device;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_scale() {
        let n = 400_001;
        for rate in [0.1, 0.5, 0.9] {
            let values = mask(3, n, 1.0 - rate);
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
        let wide = mask(5, 3 * CHUNK + 7, 0.7);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let narrow = pool.unwrap().install(|| mask(5, 3 * CHUNK + 7, 0.7));
        assert_eq!(wide, narrow);
        assert_ne!(wide, mask(6, 3 * CHUNK + 7, 0.7));
    }
}
