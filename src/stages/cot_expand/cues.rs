//! The cues file: for each format, the system message that asks for that much reasoning.
//!
//! Users write this file, so every problem describes what is expected; the stage adds the file's name.

use serde_json::Value;

use super::CotFormat;
use crate::nearest::nearest;

/// The library's advice to its callers about a duplicate key, which is removed from messages.
const ADVICE: &str = ", set DuplicateKeyPolicy in Options if acceptable";

/// The texts of a cues file.
#[derive(Debug, Default)]
pub(super) struct Cues {
    texts: Vec<(CotFormat, String)>,
}

impl Cues {
    /// The text for a format, if there is one.
    pub(super) fn of(&self, format: CotFormat) -> Option<&str> {
        self.texts.iter().find(|(of, _)| *of == format).map(|(_, text)| text.as_str())
    }

    /// Parses the text of a file that must have a cue for each of `formats`; the error is a list of all problems.
    pub(super) fn parse(text: &str, formats: &[CotFormat]) -> Result<Self, Vec<String>> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let value: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| vec![format!("not YAML: {}", error.to_string().replace(ADVICE, ""))])?;
        let Value::Object(entries) = value else {
            return Err(vec!["not a map from formats to texts".to_owned()]);
        };
        let (mut cues, mut problems) = (Self::default(), Vec::new());
        for (name, value) in &entries {
            match (CotFormat::ALL.into_iter().find(|format| format.name() == name), value.as_str()) {
                (None, _) => problems.push(unknown(name)),
                (Some(_), None) => problems.push(format!("`{name}` is not a text")),
                (Some(_), Some(text)) if text.trim().is_empty() => {
                    problems.push(format!("`{name}` is empty"))
                }
                (Some(format), Some(text)) => cues.texts.push((format, text.trim().to_owned())),
            }
        }
        for format in formats.iter().filter(|format| !entries.contains_key(format.name())) {
            problems.push(format!("no text for `{}`", format.name()));
        }
        for (at, (format, text)) in cues.texts.iter().enumerate() {
            if let Some((other, _)) = cues.texts[..at].iter().find(|(_, other)| other == text) {
                problems.push(format!("`{}` and `{}` are the same text", other.name(), format.name()));
            }
        }
        if problems.is_empty() { Ok(cues) } else { Err(problems) }
    }
}

fn unknown(name: &str) -> String {
    let near = nearest(name, CotFormat::ALL.map(CotFormat::name));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("`{name}` is no format{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_has_a_text_of_its_own_for_each_format() {
        let cues = Cues::parse(include_str!("../../../config/reasoning_cues.yaml"), &CotFormat::ALL).unwrap();
        let texts = CotFormat::ALL.map(|format| cues.of(format).unwrap());
        assert_eq!(texts[0], "Answer directly, without showing your reasoning.");
        assert!(texts.iter().all(|text| text.len() < 80 && text.ends_with('.')), "{texts:?}");
    }

    #[test]
    fn texts_are_trimmed_and_those_of_other_formats_may_be_missing() {
        let cues = Cues::parse("all: |\n  Reason.\n  At length.\n", &[CotFormat::All]).unwrap();
        assert_eq!((cues.of(CotFormat::All), cues.of(CotFormat::None)), (Some("Reason.\nAt length."), None));
        assert!(Cues::parse("none: A\nall: B\n", &[CotFormat::All]).is_ok());
    }

    #[test]
    fn each_problem_is_reported() {
        let check = |text: &str, expected: &[&str]| {
            let problems = Cues::parse(text, &[CotFormat::None, CotFormat::All]).unwrap_err();
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.starts_with(expected), "`{problem}` is not `{expected}`");
            }
        };
        check("none: A\nal: B\n", &["`al` is no format; did you mean `all`?", "no text for `all`"]);
        check("none: A\nall: B\nhalf-way: C\n", &["`half-way` is no format"]);
        check("none: ''\nall: \"  \"\n", &["`none` is empty", "`all` is empty"]);
        check("none: 3\nall: [B]\n", &["`none` is not a text", "`all` is not a text"]);
        check("none:\nall: B\n", &["`none` is not a text"]);
        check("none: A\nall: 'A '\n", &["`none` and `all` are the same text"]);
        check("none: A\nnone: B\nall: C\n", &["not YAML: duplicate mapping key: none at line 2"]);
        check("- none: A\n", &["not a map from formats to texts"]);
        check("", &["not a map from formats to texts"]);
        check("none: [A\n", &["not YAML: "]);
    }
}
