//! Vectorised element-wise mathematics, chosen for the machine at run time.
//!
//! Every function here is branch-free scalar code marked `#[inline(always)]`: called inside `vectorize!`,
//! the compiler turns loops over it into AVX-512, AVX2 or baseline instructions, whichever the machine has.
//! Errors are stated for float32 against correctly rounded values and are tested.

use std::sync::OnceLock;

/// `vectorize!({ .. })` runs a block compiled for the widest vector instructions that this machine has. In `vectorize!(|m| { .. })` the block
/// has an `m` for the functions that take a [`MulAdd`].
///
/// Loops inside must be plain loops over slices, and everything they call `#[inline(always)]`: what is not inlined into the
/// function with the wide instructions is compiled for the oldest machine of the architecture. The block itself becomes a
/// closure that is always inlined, which a plain closure handed to [`dispatch`] would only be at the compiler's discretion.
macro_rules! vectorize {
    (|$m:ident| $body:block) => {
        if $crate::kernel::simd::has_fused() {
            let $m = $crate::kernel::simd::Fused;
            $crate::kernel::simd::vectorize!($body)
        } else {
            let $m = $crate::kernel::simd::Separate;
            $crate::kernel::simd::vectorize!($body)
        }
    };
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
    arch().dispatch(Body(body))
}

/// The environment variable that keeps computation from wider instructions than it names: [`ALLOWED`].
pub const VARIABLE: &str = "FIRESIDE_SIMD";
/// What [`VARIABLE`] may be: the widest that the machine has, AVX2 with fused multiply-adds, or what every machine of the architecture has.
pub const ALLOWED: [&str; 3] = ["widest", "avx2", "baseline"];

/// The vector instructions in use.
#[inline(always)]
pub fn arch() -> pulp::Arch {
    static ARCH: OnceLock<pulp::Arch> = OnceLock::new();
    // Where the variable is wrong, the program has said so and ended: see `cli`.
    *ARCH.get_or_init(|| chosen().unwrap_or_else(|_| pulp::Arch::new()))
}

/// What the environment asks for.
///
/// # Errors
///
/// A sentence, where the variable has another value or the machine lacks those instructions.
pub fn chosen() -> Result<pulp::Arch, String> {
    match std::env::var_os(VARIABLE) {
        None => Ok(pulp::Arch::new()),
        Some(value) => named(&value.to_string_lossy()),
    }
}

fn named(name: &str) -> Result<pulp::Arch, String> {
    match name {
        "" | "widest" => Ok(pulp::Arch::new()),
        "avx2" => avx2().ok_or_else(|| {
            format!(
                "{VARIABLE} is `avx2`, which this machine has not; widest and baseline are allowed"
            )
        }),
        "baseline" => Ok(pulp::Arch::Scalar),
        other => Err(format!(
            "{VARIABLE} is `{other}`, allowed are {}",
            ALLOWED.join(", ")
        )),
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn avx2() -> Option<pulp::Arch> {
    pulp::x86::V3::try_new().map(pulp::Arch::V3)
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn avx2() -> Option<pulp::Arch> {
    None
}

/// Runs an operation that is written for vectors of any width. Where the machine has none that are known it is written for those of four
/// values that nearly every machine has: the compiler finds them.
#[inline(always)]
pub fn run<Op: pulp::WithSimd>(operation: Op) -> Op::Output {
    match arch() {
        pulp::Arch::Scalar => operation.with_simd(pulp::Scalar128b),
        arch => arch.dispatch(operation),
    }
}

/// a·b + c, rounded once where the machine has an instruction for it (see [`has_fused`]). Elsewhere that would be a function of the C
/// library for each value.
#[inline(always)]
pub fn mul_add<S: pulp::Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    match S::F32_LANES > 4 || cfg!(target_arch = "aarch64") {
        true => simd.mul_add_f32s(a, b, c),
        false => simd.add_f32s(simd.mul_f32s(a, b), c),
    }
}

/// How a product is added to: in one instruction, rounded once, or in two.
pub trait MulAdd: Copy {
    /// a·b + c
    fn of(self, a: f32, b: f32, c: f32) -> f32;
}

/// For machines with fused multiply-adds (see [`has_fused`]); on others it would be a slow function of the C library.
#[derive(Clone, Copy)]
pub struct Fused;

/// For any machine.
#[derive(Clone, Copy)]
pub struct Separate;

impl MulAdd for Fused {
    #[inline(always)]
    fn of(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MulAdd for Separate {
    #[inline(always)]
    fn of(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Whether the instructions that [`dispatch`] chooses include fused multiply-adds.
#[inline(always)]
pub fn has_fused() -> bool {
    cfg!(target_arch = "aarch64") || !matches!(arch(), pulp::Arch::Scalar)
}

/// A polynomial, its coefficients from the highest power down (Horner's rule).
#[inline(always)]
fn polynomial<const N: usize>(m: impl MulAdd, x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = m.of(sum, x, *coefficient);
    }
    sum
}

/// e^x, relative error below 2.5e-7; 0 below -87.3, and clamped to e^88.3 above.
///
/// Cody and Waite's reduction to |r| ≤ ln2/2, then the minimax polynomial of the Cephes library's `expf`.
#[inline(always)]
pub fn exp(m: impl MulAdd, x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2^23: adding it rounds to the nearest integer
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 6] = [
        1.987_569_1e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ];
    let clamped = x.clamp(-87.3, 88.3);
    let n = m.of(clamped, std::f32::consts::LOG2_E, ROUND);
    let power = (n.to_bits() << 23).wrapping_add(127 << 23);
    let n = n - ROUND;
    let r = m.of(n, -LN2_LOW, m.of(n, -LN2_HIGH, clamped));
    let p = polynomial(m, r, COEFFICIENTS);
    let value = (m.of(p, r * r, r) + 1.0) * f32::from_bits(power);
    if x < -87.3 { 0.0 } else { value }
}

/// 2^x for x ≤ 0, 0 below -126.5; the error is below 1e-7 of the result besides what the rounding of x to float32 makes of it.
///
/// Without the second constant that the reduction of [`exp`] needs: x less its nearest integer is exact. The polynomial's maximal relative
/// error on [-1/2, 1/2] is the least there is for its degree and a constant of 1.
#[inline(always)]
fn power_of_two(m: impl MulAdd, x: f32) -> f32 {
    // 1.5·2^23, and the exponent's bias: what is rounded is the power's exponent field.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    const LEAST: f32 = -127.0;
    // One of them is close to ln 2, as it would be in Taylor's series, but not that.
    #[allow(clippy::approx_constant)]
    const COEFFICIENTS: [f32; 6] = [
        1.326_472_7e-3,
        9.671_513e-3,
        5.550_733_6e-2,
        2.402_224_2e-1,
        6.931_47e-1,
        1.0,
    ];
    // Not `max`, which would hide a NaN.
    let x = if x < LEAST { LEAST } else { x };
    let n = x + ROUND;
    let power = f32::from_bits(n.to_bits() << 23);
    polynomial(m, x - (n - ROUND), COEFFICIENTS) * power
}

/// Hyperbolic tangent, absolute error below 2e-7 and relative error below 3e-6 near zero.
///
/// An odd polynomial (Cephes `tanhf`) where |x| < 0.625, 1 - 2/(e^2x + 1) elsewhere.
#[inline(always)]
pub fn tanh(m: impl MulAdd, x: f32) -> f32 {
    const COEFFICIENTS: [f32; 5] = [
        -5.704_988_7e-3,
        2.063_909e-2,
        -5.373_971_5e-2,
        1.333_144_2e-1,
        -3.333_328e-1,
    ];
    let z = x * x;
    let p = polynomial(m, z, COEFFICIENTS);
    let small = m.of(p * z, x, x);
    let large = 1.0 - 2.0 / (exp(m, 2.0 * x) + 1.0);
    if x.abs() < 0.625 { small } else { large }
}

/// 1 / (1 + e^-x), absolute error below 1.5e-7.
#[inline(always)]
pub fn sigmoid(m: impl MulAdd, x: f32) -> f32 {
    1.0 / (1.0 + exp(m, -x))
}

/// The standard normal distribution's Φ(x) and its density φ(x), absolute errors below 3.5e-7: one exponential gives both.
///
/// Φ from formula 7.1.26 of Abramowitz and Stegun for the error function.
#[inline(always)]
pub fn normal(m: impl MulAdd, x: f32) -> (f32, f32) {
    // 0.3275911/√2, as the formula's argument is x/√2; the coefficients are halves of its.
    const P: f32 = 0.231_641_89;
    const COEFFICIENTS: [f32; 5] = [
        0.530_702_7,
        -0.726_576,
        0.710_706_9,
        -0.142_248_36,
        0.127_414_8,
    ];
    let e = power_of_two(m, x * x * (-0.5 * std::f32::consts::LOG2_E));
    let t = 1.0 / m.of(x.abs(), P, 1.0);
    let tail = polynomial(m, t, COEFFICIENTS) * t * e;
    let share = if x < 0.0 { tail } else { 1.0 - tail };
    (share, 0.398_942_3 * e)
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

    #[test]
    fn instructions_are_those_asked_for_or_it_is_said_what_is_allowed() {
        assert!(matches!(named("baseline"), Ok(pulp::Arch::Scalar)));
        assert_eq!(named("").is_ok(), named("widest").is_ok());
        let error = named("avx1024").unwrap_err();
        assert!(error.contains("avx1024") && error.contains("widest, avx2, baseline"));
        assert_eq!(named("avx2").is_ok(), avx2().is_some());
    }

    /// The machine that tests has wide instructions; those of users may not.
    #[test]
    fn kernels_pass_their_tests_with_narrower_instructions_too() {
        if std::env::var_os(VARIABLE).is_some() {
            return;
        }
        for level in ALLOWED.into_iter().filter(|level| named(level).is_ok()) {
            let tests = std::env::current_exe().unwrap();
            let output = std::process::Command::new(tests)
                .args(["kernel::", "generate::"])
                .env(VARIABLE, level)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{level}: {told}");
            assert!(told.contains("kernel::cpu::tile"), "{level}: {told}");
        }
    }

    fn sweep(low: f32, high: f32) -> Vec<f32> {
        let n = 200_001;
        (0..n)
            .map(|i| low + (high - low) * i as f32 / (n - 1) as f32)
            .collect()
    }

    #[test]
    fn exp_is_close() {
        exp_is_close_with(Fused);
        exp_is_close_with(Separate);
    }

    fn exp_is_close_with(m: impl MulAdd) {
        for x in sweep(-87.0, 88.0) {
            let exact = (x as f64).exp();
            let error = (exp(m, x) as f64 - exact).abs() / exact;
            assert!(error < 2.5e-7, "exp({x}) is off by {error:e}");
        }
        assert_eq!(exp(m, -200.0), 0.0);
        assert_eq!(exp(m, f32::NEG_INFINITY), 0.0);
        assert!(exp(m, 200.0).is_finite());
        assert!(exp(m, f32::NAN).is_nan());
    }

    #[test]
    fn tanh_sigmoid_and_normal_are_close() {
        functions_are_close_with(Fused);
        functions_are_close_with(Separate);
    }

    fn functions_are_close_with(m: impl MulAdd) {
        for x in sweep(-12.0, 12.0) {
            let wide = x as f64;
            assert!((tanh(m, x) as f64 - wide.tanh()).abs() < 2e-7, "tanh({x})");
            let exact = 1.0 / (1.0 + (-wide).exp());
            let found = sigmoid(m, x) as f64;
            assert!((found - exact).abs() < 1.5e-7, "sigmoid({x})");
        }
        // Φ as the integral of φ, by Simpson's rule in float64 from where there is nothing.
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (steps, low, width) = (40_000, -10.0, 20.0 / 40_000.0);
        let mut exact = 0.0;
        for i in 0..steps {
            let x = low + width * f64::from(i);
            let (share, found) = normal(m, x as f32);
            assert!((f64::from(share) - exact).abs() < 3.5e-7, "Φ({x})");
            assert!((f64::from(found) - density(x)).abs() < 1e-7, "φ({x})");
            let middle = density(x + width / 2.0);
            exact += width / 6.0 * (density(x) + 4.0 * middle + density(x + width));
        }
        assert!((normal(m, 0.0).0 - 0.5).abs() < 1e-7);
        assert_eq!(normal(m, f32::NEG_INFINITY), (0.0, 0.0));
        assert_eq!(normal(m, f32::INFINITY), (1.0, 0.0));
        assert!(normal(m, f32::NAN).0.is_nan());
    }

    #[test]
    fn vectorised_loops_give_the_scalar_values() {
        let input = sweep(-5.0, 5.0);
        let mut output = vec![0.0; input.len()];
        vectorize!(|m| {
            for (o, x) in output.iter_mut().zip(&input) {
                *o = exp(m, *x);
            }
        });
        for (o, x) in output.iter().zip(&input) {
            let scalar = if has_fused() {
                exp(Fused, *x)
            } else {
                exp(Separate, *x)
            };
            assert_eq!(*o, scalar);
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
