//! Cutting a large text where no token of any kind can span the cut, so that pieces can be tokenised apart.

/// Pieces of about `size` bytes, in order; together they are the whole text.
///
/// A cut lies before a space or line break that follows a visible character. There `char`, `word` and the
/// pattern of byte-level BPE all start a new token (`[^\s]` and `\s` never share one, except for the single
/// space that BPE puts before a word, and that is the first character after the cut). A text without such
/// places is one piece.
pub(crate) fn chunks(text: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::with_capacity(text.len() / size.max(1) + 1);
    let mut rest = text;
    while rest.len() > size {
        let Some(cut) = cut_after(rest, size) else {
            break;
        };
        let (piece, tail) = rest.split_at(cut);
        pieces.push(piece);
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// The first safe cut at or after byte `from`.
fn cut_after(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from.max(1);
    while at < bytes.len() {
        if matches!(bytes[at], b' ' | b'\n') {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| !c.is_whitespace()) {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text_and_start_with_white_space() {
        let text = "One two  three\n\nfour— five\u{a0} six 七\n八 nine";
        for size in 1..text.len() + 2 {
            let pieces = chunks(text, size);
            assert_eq!(pieces.concat(), text);
            for piece in &pieces[1..] {
                assert!(piece.starts_with([' ', '\n']), "{piece:?}");
            }
        }
    }

    #[test]
    fn a_text_without_white_space_stays_whole() {
        assert_eq!(chunks("abcdefgh", 3), ["abcdefgh"]);
        assert!(chunks("", 3).is_empty());
    }
}
