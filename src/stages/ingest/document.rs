//! A document: one Markdown or text file read whole, as text with `\n` line ends.

use std::fs::File;
use std::io::Read;

/// The text of the file at `path`, or why it cannot be had.
pub(super) fn read(path: &str, limit: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(format!("larger than `limit_bytes` ({limit})"));
    }
    decode(bytes)
}

/// The text of a file's bytes: UTF-8, or UTF-16 with a byte order mark.
fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        _ => String::from_utf8(bytes).map_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            format!("not text: no UTF-8 at byte {offset}")
        })?,
    };
    if let Some(offset) = text.find('\0') {
        return Err(format!("not text: a NUL at byte {offset}"));
    }
    let text = match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    };
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("not text: UTF-16 with an odd number of bytes".to_owned());
    }
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).map_err(|_| "not text: broken UTF-16".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let found = decode(bytes.to_vec());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn text_is_decoded_and_line_ends_are_made_one() {
        check(b"\xef\xbb\xbfa\r\nb\rc\n", Ok("a\nb\nc\n"));
        check(b"\xff\xfea\0\xe4\0", Ok("aä"));
        check(b"\xfe\xff\0a\0\xe4", Ok("aä"));
        check(b"", Ok(""));
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_place() {
        check(b"ab\xffcd", Err("not text: no UTF-8 at byte 2"));
        check(b"ab\0", Err("not text: a NUL at byte 2"));
        check(b"\xff\xfea", Err("not text: UTF-16 with an odd number of bytes"));
        check(b"\xff\xfe\0\xd8", Err("not text: broken UTF-16"));
    }

    #[test]
    fn a_large_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        std::fs::write(&path, "12345").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(read(path, 5).unwrap(), "12345");
        assert_eq!(read(path, 4).unwrap_err(), "larger than `limit_bytes` (4)");
    }
}
