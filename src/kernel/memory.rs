//! What the allocator does with memory that a training step has given back.

use std::ffi::{c_int, c_long};

// Links the allocator whose function is declared below; whether it is the global one is the program's choice.
use mimalloc as _;

/// `mi_option_purge_delay` in mimalloc's `mi_option_t`, the same number in its versions 2 and 3.
const PURGE_DELAY: c_int = 15;
const MILLISECONDS: c_long = 10_000;

#[allow(unsafe_code)]
unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    fn mi_collect(force: bool);
}

/// Lets the process keep free memory for ten seconds, where mimalloc's default is one, before the system has it back. A step takes
/// what the last one gave back, and a page that comes from the system anew has to be filled with zeros first.
pub fn keep() {
    // SAFETY: the function has this signature and sets one number in the allocator's table of options, at any time and from any
    // thread; every delay is allowed.
    #[allow(unsafe_code)]
    unsafe {
        mi_option_set(PURGE_DELAY, MILLISECONDS);
    }
}

/// Gives back what is free now, without the delay.
pub fn give_back() {
    // SAFETY: the function has this signature, and may be called at any time from any thread.
    #[allow(unsafe_code)]
    unsafe {
        mi_collect(true);
    }
}
