//! The alphabet of byte-level BPE: every byte as a visible character.
//!
//! GPT-2's table (Radford et al. 2019, `encoder.py`): printable Latin-1 bytes stand for themselves, the other 68
//! take the characters from U+0100 on, in order.

/// The character that stands for each byte.
pub(super) fn alphabet() -> [char; 256] {
    let mut table = ['\0'; 256];
    let mut next = 0x100;
    for byte in 0..=255u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        table[byte as usize] = if printable {
            byte as char
        } else {
            next += 1;
            char::from_u32(next - 1).unwrap_or_default()
        };
    }
    table
}

/// The bytes that a token's characters stand for; `None` when one is outside the alphabet.
pub(super) fn of_token(token: &str) -> Option<Vec<u8>> {
    let table = alphabet();
    let byte = |c| table.iter().position(|&known| known == c);
    token.chars().map(|c| byte(c).map(|b| b as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_the_crates() {
        use tokenizers::pre_tokenizers::byte_level::ByteLevel;
        let theirs = ByteLevel::alphabet();
        let ours = alphabet();
        assert_eq!(theirs.len(), 256);
        assert!(ours.iter().all(|c| theirs.contains(c)));
        assert_eq!(
            (
                ours[b' ' as usize],
                ours[b'\n' as usize],
                ours[b'a' as usize]
            ),
            ('Ġ', 'Ċ', 'a')
        );
        assert_eq!(of_token("Ġaé"), Some(vec![b' ', b'a', 0xE9]));
        assert_eq!(of_token("漢"), None);
    }
}
