//! The choices of `classify` as a pipeline declares them, and the prompt that shows them by letter.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The maximum number of choices: servers return no more candidates for a token.
pub(super) const MOST: usize = 20;

/// Labels, each with its meaning if one is declared.
#[derive(Debug, Clone, Default)]
pub(super) struct Choices(pub(super) Vec<Choice>);

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) label: String,
    /// A template.
    pub(super) meaning: Option<String>,
}

/// How the choices are shown with one question.
pub(super) struct ShownChoices {
    /// What each means for the record, in the order in which they are declared.
    pub(super) meanings: Vec<Option<String>>,
    pub(super) show_labels: bool,
    /// From the last to the first.
    pub(super) reversed: bool,
}

impl Choices {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|choice| &*choice.label)
    }

    /// The letters of the choices: A, B, C, ...
    pub(super) fn letters(&self) -> Vec<String> {
        ('A'..='Z').take(self.len()).map(String::from).collect()
    }

    /// The question with the choices below it.
    pub(super) fn shown_below(&self, question: &str, shown_choices: &ShownChoices) -> String {
        let mut prompt = format!("{}\n\n", question.trim());
        let letters = self.letters();
        for (shown, letter) in letters.iter().enumerate() {
            let index = if shown_choices.reversed { self.len() - 1 - shown } else { shown };
            let label = &self.0[index].label;
            let _ = match &shown_choices.meanings[index] {
                Some(meaning) if shown_choices.show_labels => {
                    writeln!(prompt, "({letter}) {label}: {}", meaning.trim())
                }
                Some(meaning) => writeln!(prompt, "({letter}) {}", meaning.trim()),
                None => writeln!(prompt, "({letter}) {label}"),
            };
        }
        let last = letters.len().saturating_sub(1);
        let _ = write!(
            prompt,
            "\nAnswer with the letter of one option and nothing else: {} or {}.",
            letters[..last].join(", "),
            letters.get(last).map_or("", String::as_str)
        );
        prompt
    }
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoicesVisitor)
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of labels, or a map of labels to what they mean")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices, A::Error> {
        let mut choices = Vec::new();
        while let Some(label) = list.next_element()? {
            choices.push(Choice { label, meaning: None });
        }
        Ok(Choices(choices))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choices, A::Error> {
        let mut choices = Vec::new();
        while let Some((label, meaning)) = map.next_entry()? {
            choices.push(Choice { label, meaning });
        }
        Ok(Choices(choices))
    }
}

impl JsonSchema for Choices {
    fn schema_name() -> Cow<'static, str> {
        "Choices".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": MOST},
                {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "null"]},
                    "minProperties": 2,
                    "maxProperties": MOST,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn choices_are_labels_with_or_without_a_meaning() {
        let read = |value| serde_json::from_value::<Choices>(value).unwrap();
        let listed = read(json!(["yes", "no"]));
        assert_eq!(
            (listed.labels().collect::<Vec<_>>(), listed.letters()),
            (vec!["yes", "no"], vec!["A".to_owned(), "B".into()])
        );
        let told = read(json!({"praise": "likes it\n", "complaint": "wants it mended", "other": null}));
        let prompt = "Which is it?\n\n(A) praise: likes it\n(B) complaint: wants it mended\n(C) other\n\n\
                      Answer with the letter of one option and nothing else: A, B or C.";
        let shown = |choices: &Choices, show_labels, reversed| {
            let meanings = choices.0.iter().map(|choice| choice.meaning.clone()).collect();
            choices.shown_below(" Which is it?\n", &ShownChoices { meanings, show_labels, reversed })
        };
        assert_eq!(shown(&told, true, false), prompt);
        assert!(shown(&listed, true, true).contains("(A) no\n(B) yes\n\n"));
        assert!(shown(&told, false, true).contains("(A) other\n(B) wants it mended\n(C) likes it\n\n"));
        assert!(serde_json::from_value::<Choices>(json!("yes")).is_err());
    }
}
