//! A small seeded generator for initial weights and for sampling.
//!
//! SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"): one 64-bit state, the same
//! numbers on every platform, backend and thread count.

/// A stream of pseudorandom numbers that depends on its seed alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generator {
    state: u64,
}

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64: every bit of the result depends on every bit of the input.
fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One seed out of two numbers, so that streams of different purposes do not overlap.
pub fn mix(seed: u64, stream: u64) -> u64 {
    scramble(seed.wrapping_add(GAMMA) ^ scramble(stream.wrapping_mul(GAMMA).wrapping_add(1)))
}

/// Number `index` of the stream of `seed`, without drawing those before it.
pub fn counted(seed: u64, index: u64) -> u64 {
    scramble(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Generator {
            state: scramble(seed.wrapping_add(GAMMA)),
        }
    }

    /// The stream that belongs to `name` under `seed` (FNV-1a of the name).
    pub fn named(seed: u64, name: &str) -> Self {
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Generator::new(mix(seed, hash))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        scramble(self.state)
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Two independent draws of N(0, 1) (Box and Muller 1958).
    pub fn next_normal_pair(&mut self) -> (f64, f64) {
        // 1 - u lies in (0, 1], which the logarithm needs.
        let radius = (-2.0 * (1.0 - self.next_f64()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.next_f64();
        (radius * angle.cos(), radius * angle.sin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the published SplitMix64 for state 0 (Vigna's splitmix64.c), where the state is not scrambled first.
    #[test]
    fn output_function_is_splitmix64() {
        let mut generator = Generator { state: 0 };
        assert_eq!(generator.next_u64(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(generator.next_u64(), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(generator.next_u64(), 0x06C4_5D18_8009_454F);
    }

    #[test]
    fn moments_of_uniform_and_normal() {
        let mut generator = Generator::new(7);
        let n = 200_000;
        let mean = (0..n).map(|_| generator.next_f64()).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 3e-3, "{mean}");
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n / 2 {
            let (a, b) = generator.next_normal_pair();
            sum += a + b;
            squares += a * a + b * b;
        }
        assert!((sum / n as f64).abs() < 1e-2);
        assert!((squares / n as f64 - 1.0).abs() < 2e-2);
    }

    #[test]
    fn named_streams_differ() {
        let first = Generator::named(1, "head.weight").next_u64();
        assert_ne!(first, Generator::named(1, "head.bias").next_u64());
        assert_ne!(first, Generator::named(2, "head.weight").next_u64());
        assert_eq!(first, Generator::named(1, "head.weight").next_u64());
    }
}
