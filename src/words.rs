//! Numbers in sentences.

use std::fmt::Display;

/// `1 step`, `3 steps`, `0 steps`; of a `thing` whose plural is made by an s.
pub fn counted(number: impl Display, thing: &str) -> String {
    let number = number.to_string();
    match number.as_str() {
        "1" => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_thing_is_singular() {
        assert_eq!(counted(0, "step"), "0 steps");
        assert_eq!(counted(1, "step"), "1 step");
        assert_eq!(counted(1u64, "more problem"), "1 more problem");
        assert_eq!(counted(21, "step"), "21 steps");
    }
}
