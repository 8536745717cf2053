//! The compression ratio of texts, which rises with repetition.

use std::io::Write;

/// The level of zstd, whose window of 2 MB covers about ten thousand short texts.
const LEVEL: i32 = 3;

/// Returns bytes before over bytes after compression; `None` without text.
pub(crate) fn ratio<'t>(texts: impl Iterator<Item = &'t str>) -> Option<f64> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).ok()?;
    let mut bytes = 0;
    for text in texts {
        encoder.write_all(text.as_bytes()).ok()?;
        encoder.write_all(b"\n").ok()?;
        bytes += text.len() + 1;
    }
    let compressed = encoder.finish().ok()?.len();
    (bytes > 0).then(|| bytes as f64 / compressed as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_texts_compress_better() {
        let text = "How do I renew a library card that has expired during the summer?";
        let same = ratio(std::iter::repeat_n(text, 50)).unwrap();
        let once = ratio(std::iter::once(text)).unwrap();
        assert!(same > 10.0 && once < 2.0, "{same} {once}");
        assert_eq!(ratio(std::iter::empty()), None);
    }
}
