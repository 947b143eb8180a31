//! What a run is: every setting, in one plain, serialisable value.
//!
//! [`RunConfig`] is always complete. Files and `--set` overrides state only differences; `load` merges
//! them with the defaults, checks every value against the table in `fields`, reports all problems at once,
//! and only then builds a `RunConfig`. Key, struct field, label on screen and documentation share one word.

mod types;

pub use types::*;
