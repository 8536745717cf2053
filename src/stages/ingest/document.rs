//! A document: one Markdown or text file read whole, as text with `\n` line ends.

use std::fs::File;
use std::io::Read;

/// Reads the text of the file at `path`; the error says why it cannot be read.
pub(super) fn read(path: &str, limit: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len().min(limit);
    // One byte more, so that the end of the file is found without another, larger buffer.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(format!("larger than `limit_bytes` ({limit})"));
    }
    match other_kind(path, &bytes) {
        Some(kind) => Err(format!("{kind}, no Markdown or text: `convert` has a program convert it")),
        None => decode(bytes),
    }
}

/// The text of a document that a program wrote; the error says why it is none.
pub(super) fn of_text(text: String, limit: u64) -> Result<String, String> {
    if text.len() as u64 > limit {
        return Err(format!("larger than `limit_bytes` ({limit})"));
    }
    match other_kind("", text.as_bytes()) {
        Some(kind) => Err(format!("{kind}, no Markdown")),
        None => decode(text.into_bytes()),
    }
}

/// Checks from its beginning whether the file at `path` can be read as a document.
pub(super) fn probe(path: &str, limit: u64) -> Result<(), String> {
    const BEGINNING: u64 = 4 * 1024;
    let file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    if length > limit {
        return Err(format!("larger than `limit_bytes` ({limit})"));
    }
    let mut bytes = Vec::new();
    file.take(BEGINNING).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if let Some(kind) = other_kind(path, &bytes) {
        return Err(format!("{kind}, no Markdown or text: `convert` has a program convert it"));
    }
    let cut = length > bytes.len() as u64;
    match std::str::from_utf8(&bytes) {
        // The last character may be incomplete.
        Err(error) if !cut || error.error_len().is_some() => decode(bytes).map(drop),
        _ if bytes.contains(&0) => decode(bytes).map(drop),
        _ => Ok(()),
    }
}

/// The type of a file that is not text: by its first bytes, or by its extension if these are unknown.
fn other_kind(path: &str, bytes: &[u8]) -> Option<&'static str> {
    const FIRST: &[(&[u8], &str)] = &[
        (b"%PDF-", "a PDF file"),
        (b"PK\x03\x04", "a ZIP archive, as .docx, .xlsx and .epub files are"),
        (b"\xd0\xcf\x11\xe0", "an old Office file"),
        (b"{\\rtf", "an RTF file"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x89PNG", "a picture"),
        (b"GIF8", "a picture"),
        (b"\xff\xd8\xff", "a picture"),
    ];
    if let Some((_, kind)) = FIRST.iter().find(|(first, _)| bytes.starts_with(first)) {
        return Some(kind);
    }
    let start = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let begins =
        |with: &str| start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    let ending =
        std::path::Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let is = |endings: &[&str]| endings.iter().any(|known| ending.eq_ignore_ascii_case(known));
    if begins("<!doctype html") || begins("<html") || is(&["html", "htm", "xhtml"]) {
        return Some("an HTML page");
    }
    if is(&["ipynb"]) {
        return Some("a notebook");
    }
    (begins("<?xml") || begins("<svg")).then_some("an XML file")
}

/// Decodes a file's bytes: UTF-8, or UTF-16 with a byte order mark.
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
    fn what_is_another_kind_of_file_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, bytes: &[u8], expected: Option<&str>| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let path = path.to_str().unwrap();
            for found in [read(path, 100_000).map(drop), probe(path, 100_000)] {
                match (found, expected) {
                    (Ok(()), None) => {}
                    (Err(message), Some(expected)) => {
                        assert!(message.contains(expected), "{name}: {message}")
                    }
                    (found, _) => panic!("{name}: {found:?}"),
                }
            }
        };
        check("a.md", b"\n<!DOCTYPE HTML>\n<style>p {}</style>", Some("an HTML page"));
        check("a.html", b"<p>A fragment.</p>", Some("an HTML page"));
        check("a.ipynb", b"{\"cells\": []}", Some("a notebook"));
        check("a.txt", b"%PDF-1.7\n", Some("a PDF file"));
        check("b.txt", b"PK\x03\x04...", Some(".docx"));
        check("c.txt", b"\xef\xbb\xbf<?xml version=\"1.0\"?>", Some("an XML file"));
        check("d.txt", b"ab\xff", Some("no UTF-8 at byte 2"));
        check("e.txt", b"ab\0", Some("a NUL at byte 2"));
        check("f.md", b"<p align=\"center\">A README</p>", None);
        check("g.md", "ä".repeat(4_000).as_bytes(), None);
        check("h.md", format!("a{}", "ä".repeat(4_000)).as_bytes(), None);
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
