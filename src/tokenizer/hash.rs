//! A quick hash for short byte strings. Not for keys that an adversary chooses: the worst that crafted text can
//! do here is to be tokenised slowly.

use std::hash::{BuildHasherDefault, Hasher};

/// A `HashMap` with [`QuickHasher`].
pub(super) type QuickMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<QuickHasher>>;

/// Multiply and rotate over eight bytes at a time.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct QuickHasher(u64);

/// 2^64 divided by the golden ratio, made odd: its multiples spread over the whole range.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl QuickHasher {
    #[inline]
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(SPREAD);
    }
}

impl Hasher for QuickHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = 0u64;
        for &byte in tail {
            last = last << 8 | u64::from(byte);
        }
        self.mix(last | (tail.len() as u64) << 56);
    }

    #[inline]
    fn write_u8(&mut self, _value: u8) {
        // `str` ends itself with 0xFF, which adds nothing here: the length is already mixed in.
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    #[inline]
    fn write_usize(&mut self, _value: usize) {
        // The length prefix of a slice: already mixed in by `write`.
    }

    #[inline]
    fn finish(&self) -> u64 {
        // The table takes its index from the low bits and its tag from the high ones.
        self.0 ^ self.0 >> 32
    }
}
