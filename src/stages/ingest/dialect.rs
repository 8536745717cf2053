//! The dialect of a CSV file: what separates and quotes its columns, and its encoding. Nothing is guessed.

use encoding_rs::Encoding;
use schemars::JsonSchema;
use serde::Deserialize;

use super::rows::{self, DelimitedFormat};
use crate::pipeline::CheckContext;

/// How CSV files are written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::stages) struct Dialect {
    /// The character that separates the columns; by default a comma, or a tab in `.tsv` files.
    #[serde(default)]
    delimiter: Option<char>,
    /// The character around values that contain delimiters or line ends, doubled inside them; `"` by default. `none` if
    /// quotes are ordinary characters.
    #[serde(default)]
    quote: Option<String>,
    /// The encoding by its name on the web, such as `windows-1252`, `utf-16le`, `shift_jis` or `gb18030`; UTF-8 by
    /// default.
    #[serde(default)]
    encoding: Option<String>,
}

/// The name of no quote.
const NONE: &str = "none";

impl Dialect {
    pub(super) fn check(&self, context: &mut CheckContext<'_>) {
        let wrong = self.delimiter.filter(|c| !c.is_ascii() || "\"\r\n".contains(*c));
        if let Some(delimiter) = wrong {
            let message = format!("{delimiter:?} cannot stand between columns");
            context
                .problem("/dialect/delimiter", message)
                .expected("one character of ASCII, no quote or line end");
        }
        if let Some(quote) = self.quote.as_deref().filter(|quote| quote_of(quote).is_none()) {
            context
                .problem("/dialect/quote", format!("{quote:?} cannot stand around values"))
                .expected("one character of ASCII other than a letter, digit or space, or `none`");
        } else if wrong.is_none()
            && self.quote().is_some_and(|quote| self.delimiter == Some(char::from(quote)))
        {
            context.problem("/dialect/quote", "the delimiter and the quote are the same character");
        }
        if let Some(name) = self.encoding.as_deref().filter(|name| encoding_of(name).is_none()) {
            context.problem("/dialect/encoding", format!("there is no encoding `{name}`")).expected(
                "a name such as `utf-8`, `utf-16le`, `windows-1252`, `iso-8859-2`, `shift_jis` or `gb18030`",
            );
        }
    }

    /// The format of one file.
    pub(super) fn of(&self, path: &str) -> DelimitedFormat {
        let is_tsv = rows::without_compression(path).to_lowercase().ends_with(".tsv");
        let delimiter = match self.delimiter.and_then(|c| u8::try_from(c).ok()) {
            Some(given) => given,
            None if is_tsv => rows::TAB,
            None => rows::COMMA,
        };
        let encoding = self.encoding.as_deref().and_then(encoding_of);
        DelimitedFormat {
            delimiter,
            quote: self.quote(),
            encoding: encoding.filter(|encoding| *encoding != encoding_rs::UTF_8),
        }
    }

    fn quote(&self) -> Option<u8> {
        match &self.quote {
            None => Some(b'"'),
            Some(given) => quote_of(given).flatten(),
        }
    }
}

/// The quote that a text names; `None` if it names none.
fn quote_of(text: &str) -> Option<Option<u8>> {
    match text.as_bytes() {
        _ if text == NONE => Some(None),
        [byte] if byte.is_ascii_punctuation() => Some(Some(*byte)),
        _ => None,
    }
}

fn encoding_of(name: &str) -> Option<&'static Encoding> {
    // `replacement` stands for encodings that are refused.
    Encoding::for_label(name.as_bytes()).filter(|encoding| *encoding != encoding_rs::REPLACEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (dialect, expected) in [
            (json!({}), ""),
            (json!({"delimiter": ";", "quote": "'", "encoding": "latin1"}), ""),
            (json!({"delimiter": "|", "quote": "none"}), ""),
            (json!({"delimiter": "\""}), "cannot stand between columns"),
            (json!({"delimiter": "→"}), "cannot stand between columns"),
            (json!({"quote": "''"}), "cannot stand around values"),
            (json!({"quote": "a"}), "cannot stand around values"),
            (json!({"delimiter": "'", "quote": "'"}), "are the same character"),
            (json!({"encoding": "utf-7"}), "there is no encoding `utf-7`"),
        ] {
            let (vars, models) = Default::default();
            let mut context = CheckContext::new(&vars, &models);
            serde_json::from_value::<Dialect>(dialect.clone()).unwrap().check(&mut context);
            let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
            assert!(messages.concat().contains(expected), "{dialect}: {messages:?}");
            assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{dialect}: {messages:?}");
        }
    }

    #[test]
    fn tabs_separate_the_columns_of_tsv_files_compressed_or_not() {
        for (path, delimiter) in [("a.csv", b','), ("a.tsv", b'\t'), ("a.TSV.gz", b'\t'), ("tsv", b',')] {
            assert_eq!(Dialect::default().of(path).delimiter, delimiter, "{path}");
        }
    }
}
