//! Vectorised element-wise mathematics, chosen for the machine at run time.
//!
//! Every function here is branch-free scalar code marked `#[inline(always)]`: called inside `vectorize!`,
//! the compiler turns loops over it into AVX-512, AVX2 or baseline instructions, whichever the machine has.
//! Errors are stated for float32 against correctly rounded values and are tested.

/// `vectorize!({ .. })` runs a block compiled for the widest vector instructions that this machine has.
///
/// Loops inside must be plain loops over slices, and everything they call `#[inline(always)]`: what is not inlined into the
/// function with the wide instructions is compiled for the oldest machine of the architecture. The block itself becomes a
/// closure that is always inlined, which a plain closure handed to [`dispatch`] would only be at the compiler's discretion.
macro_rules! vectorize {
    ($body:block) => {
        $crate::kernel::simd::dispatch(
            #[inline(always)]
            || $body,
        )
    };
}
pub(crate) use vectorize;

/// Runs `body`, which must be `#[inline(always)]`, with the widest vector instructions: see `vectorize!`.
#[inline(always)]
pub fn dispatch<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Body<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> R {
            simd.vectorize(self.0)
        }
    }
    // The closure must be inlined into the function that carries the target features.
    pulp::Arch::new().dispatch(Body(body))
}

/// e^x, relative error below 2.5e-7; 0 below -87.3, and clamped to e^88.3 above.
///
/// Cody and Waite's reduction to |r| ≤ ln2/2, then the minimax polynomial of the Cephes library's `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2^23: adding it rounds to the nearest integer
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.3, 88.3);
    let n = clamped * std::f32::consts::LOG2_E + ROUND;
    let power = (n.to_bits() << 23).wrapping_add(127 << 23);
    let n = n - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let value = (p * r * r + r + 1.0) * f32::from_bits(power);
    if x < -87.3 { 0.0 } else { value }
}

/// Hyperbolic tangent, absolute error below 2e-7 and relative error below 3e-6 near zero.
///
/// An odd polynomial (Cephes `tanhf`) where |x| < 0.625, 1 - 2/(e^2x + 1) elsewhere.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let z = x * x;
    let mut p = -5.704_988_7e-3;
    p = p * z + 2.063_909e-2;
    p = p * z - 5.373_971_5e-2;
    p = p * z + 1.333_144_2e-1;
    p = p * z - 3.333_328e-1;
    let small = p * z * x + x;
    let large = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    if x.abs() < 0.625 { small } else { large }
}

/// 1 / (1 + e^-x), absolute error below 1.5e-7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, absolute error below 5e-7: the rational approximation used by Eigen and XLA.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let z = x * x;
    let mut p = -2.726_142_3e-10;
    p = p * z + 2.770_681_4e-8;
    p = p * z - 2.101_024e-6;
    p = p * z - 5.692_506_4e-5;
    p = p * z - 7.349_906_3e-4;
    p = p * z - 2.954_6e-3;
    p = p * z - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5;
    q = q * z - 2.133_740_6e-4;
    q = q * z - 1.682_827e-3;
    q = q * z - 7.373_329e-3;
    q = q * z - 1.426_473_9e-2;
    x * p / q
}

/// A well-mixed 32-bit value of a seed and a position: the counter-based generator behind dropout.
///
/// The finaliser of MurmurHash3 over a Weyl sequence; the same on every machine and thread count.
#[inline(always)]
pub fn mix(seed: u64, index: u64) -> u32 {
    let mut x = (index as u32).wrapping_mul(0x9E37_79B9) ^ (seed as u32);
    x ^= (index >> 32) as u32 ^ ((seed >> 32) as u32).wrapping_mul(0x85EB_CA6B);
    x ^= x >> 16;
    x = x.wrapping_mul(0x85EB_CA6B);
    x ^= x >> 13;
    x = x.wrapping_mul(0xC2B2_AE35);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(low: f32, high: f32) -> Vec<f32> {
        let n = 200_001;
        (0..n)
            .map(|i| low + (high - low) * i as f32 / (n - 1) as f32)
            .collect()
    }

    #[test]
    fn exp_is_close() {
        for x in sweep(-87.0, 88.0) {
            let exact = (x as f64).exp();
            let error = (exp(x) as f64 - exact).abs() / exact;
            assert!(error < 2.5e-7, "exp({x}) is off by {error:e}");
        }
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(200.0).is_finite());
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_sigmoid_and_erf_are_close() {
        for x in sweep(-12.0, 12.0) {
            let wide = x as f64;
            assert!((tanh(x) as f64 - wide.tanh()).abs() < 2e-7, "tanh({x})");
            let exact = 1.0 / (1.0 + (-wide).exp());
            assert!((sigmoid(x) as f64 - exact).abs() < 1.5e-7, "sigmoid({x})");
        }
        // erf from tables (Abramowitz and Stegun, table 7.1).
        for (x, exact) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_878),
            (1.0, 0.842_700_793),
            (1.5, 0.966_105_146),
            (2.0, 0.995_322_265),
            (3.0, 0.999_977_910),
            (10.0, 1.0),
        ] {
            assert!(
                (erf(x) as f64 - exact).abs() < 5e-7,
                "erf({x}) = {}",
                erf(x)
            );
            assert_eq!(erf(-x), -erf(x));
        }
    }

    #[test]
    fn vectorised_loops_give_the_scalar_values() {
        let input = sweep(-5.0, 5.0);
        let mut output = vec![0.0; input.len()];
        vectorize!({
            for (o, x) in output.iter_mut().zip(&input) {
                *o = exp(*x);
            }
        });
        for (o, x) in output.iter().zip(&input) {
            let exact = (*x as f64).exp();
            assert!((*o as f64 - exact).abs() / exact < 2.5e-7);
        }
    }

    #[test]
    fn mix_is_uniform_enough_for_dropout() {
        let n = 1_000_000u64;
        let below = (0..n).filter(|i| mix(42, *i) < u32::MAX / 5).count() as f64 / n as f64;
        assert!((below - 0.2).abs() < 0.002, "{below}");
        let equal = (0..n).filter(|i| mix(1, *i) == mix(2, *i)).count();
        assert!(equal < 10);
    }
}
