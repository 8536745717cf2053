//! Reads the text files that a pipeline refers to: prompts, schemas, attributes, question types, the pipeline
//! itself.
//!
//! All of them are read through `read`, so that what an editor adds to a text (a byte order mark, Windows line
//! endings) reaches no model and no parser, and so that a file in another encoding is reported as such. Documents
//! and rows are data, and read by `ingest` in its own way.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest text file that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Why a text file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextFileError {
    /// It cannot be opened or read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It exceeds the size limit, in bytes.
    #[error("larger than {} MiB", .0 >> 20)]
    TooLarge(u64),
    /// It is in UTF-16.
    #[error("the file is UTF-16, expected UTF-8")]
    Utf16,
    /// It is not UTF-8; the offset of the first invalid byte.
    #[error("not text: no UTF-8 at byte {0}")]
    NotUtf8(usize),
}

impl TextFileError {
    /// Returns a hint on how to mend it, unless that is obvious.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Utf16 => Some("save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`"),
            Self::NotUtf8(_) => Some("save it as UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8`"),
            Self::Read(_) | Self::TooLarge(_) => None,
        }
    }

    /// Whether the file does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl From<TextFileError> for io::Error {
    fn from(error: TextFileError) -> Self {
        match error {
            TextFileError::Read(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other.to_string()),
        }
    }
}

/// Returns the text of the file at `path`, without a byte order mark and with `\n` as line ending.
pub fn read(path: impl AsRef<Path>) -> Result<String, TextFileError> {
    read_at_most(path, LARGEST)
}

/// As `read`, for a file of at most `limit` bytes. Never reads more than that.
pub fn read_at_most(path: impl AsRef<Path>, limit: u64) -> Result<String, TextFileError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(TextFileError::TooLarge(limit));
    }
    decode(bytes)
}

fn decode(bytes: Vec<u8>) -> Result<String, TextFileError> {
    // UTF-16 without a byte order mark is recognizable too: each letter of a Latin text has a zero byte next to it.
    let utf16 = matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]);
    if utf16 {
        return Err(TextFileError::Utf16);
    }
    let text =
        String::from_utf8(bytes).map_err(|error| TextFileError::NotUtf8(error.utf8_error().valid_up_to()))?;
    let bare = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if bare.contains("\r\n") {
        return Ok(bare.replace("\r\n", "\n"));
    }
    Ok(if bare.len() == text.len() { text } else { bare.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let found = decode(bytes.to_vec()).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{bytes:?}");
    }

    #[test]
    fn byte_order_marks_and_windows_line_endings_are_removed() {
        check(b"\xef\xbb\xbfYou are kind.\r\nVery.\r\n", Ok("You are kind.\nVery.\n"));
        check(b"\xef\xbb\xbf", Ok(""));
        check(b"a\rb \xef\xbb\xbf", Ok("a\rb \u{feff}"));
        check(b"", Ok(""));
    }

    #[test]
    fn other_encodings_are_reported() {
        let utf16 = Err("the file is UTF-16, expected UTF-8");
        check(b"\xff\xfea\0", utf16);
        check(b"\xfe\xff\0a", utf16);
        check(b"a\0b\0", utf16);
        check(b"\0a\0b", utf16);
        check(b"caf\xe9", Err("not text: no UTF-8 at byte 3"));
    }

    #[test]
    fn no_more_is_read_than_the_limit() {
        // It has no end, so reading it whole would never return.
        let error = read_at_most("/dev/zero", 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "larger than 1 MiB");
    }
}
