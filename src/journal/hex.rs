//! Hexadecimal text of 16-byte values: run ids in the manifest, request keys wherever they are visible to others.

/// Returns the bytes in hexadecimal.
#[must_use]
pub fn encode_hex(bytes: &[u8; 16]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Decodes what `encode_hex` wrote; `None` for any other text.
#[must_use]
pub fn decode_hex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_round_trip(key: [u8; 16], text: String) {
            prop_assert_eq!(decode_hex(&encode_hex(&key)), Some(key));
            if let Some(key) = decode_hex(&text) {
                prop_assert_eq!(encode_hex(&key), text.to_lowercase());
            }
        }
    }
}
