//! `cot_expand`: one question and answer becomes several conversations with more or less reasoning.
//!
//! Stands after `parse`. The four formats are those of the original generator: no reasoning, the first
//! step, the first two, all steps, each before the answer.

mod steps;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::steps::{Steps, TextSteps};
use super::{Describe, Role};
use crate::config::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{BuildContext, BuildError, Declare, Emit, Made, Part, StageError, Transform};

/// Expands a question and answer into conversations at several levels of reasoning.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CotExpand {
    /// Which conversations are made, in this order.
    #[serde(default = "formats")]
    formats: Vec<Format>,
    /// Writes the reasoning inside this tag, such as `think`; without it the steps stand before the answer
    /// on a line of their own.
    #[serde(default)]
    tag: Option<String>,
    /// The field that holds the question.
    #[serde(default = "question")]
    question: String,
    /// The field that holds the answer.
    #[serde(default = "answer")]
    answer: String,
    /// The field that holds the reasoning: a list of steps, or a text such as `reasoning`, in which `llm` puts what
    /// a model thought before it answered.
    #[serde(default = "steps")]
    steps: String,
    /// What a step is where the reasoning is a text.
    #[serde(default)]
    text_steps: TextSteps,
}

/// How much reasoning stands before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// The answer alone.
    None,
    /// The first step.
    First,
    /// The first two steps.
    FirstTwo,
    /// Every step.
    All,
}

fn formats() -> Vec<Format> {
    vec![Format::None, Format::First, Format::FirstTwo, Format::All]
}

fn question() -> String {
    "question".into()
}

fn answer() -> String {
    "answer".into()
}

fn steps() -> String {
    "reasoning_steps".into()
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::First => "first",
            Self::FirstTwo => "first_two",
            Self::All => "all",
        }
    }

    fn take(self, steps: &[String]) -> &[String] {
        let count = match self {
            Self::None => 0,
            Self::First => 1,
            Self::FirstTwo => 2,
            Self::All => steps.len(),
        };
        &steps[..count.min(steps.len())]
    }
}

impl Describe for CotExpand {
    const NAME: &'static str = "cot_expand";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Makes several conversations of a question and answer, with more or less of its reasoning before the answer.";
    const MAKES: &'static [Made] = &[
        Made::new(
            "messages",
            FieldType::messages,
            "The conversation: the question, and the answer with its reasoning before it.",
        ),
        Made::new("cot", FieldType::text, "How much reasoning it shows: the name of its format."),
    ];
    const EXAMPLE: &'static str = r#"name: cot-expand-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - plan_questions: {}
  - prompt: {user: "Ask and answer one question about: {{ section.text }}"}
  - llm: {model: teacher}
  - parse:
      schema:
        type: object
        required: [question, answer, reasoning_steps]
        properties:
          question: {type: string}
          answer: {type: string}
          reasoning_steps: {type: array, items: {type: string}}
  - cot_expand: {formats: [none, all], tag: think}
  - sink: {path: conversations.jsonl, format: messages, fields: [cot]}
"#;
}

impl Declare for CotExpand {
    fn check(&self, context: &mut CheckContext<'_>) {
        if self.formats.is_empty() {
            context.problem("/formats", "`formats` is empty").expected("one format at least");
        }
        for (index, format) in self.formats.iter().enumerate() {
            if self.formats[..index].contains(format) {
                let at = format!("/formats/{index}");
                context.problem(&at, format!("`{}` is named twice", format.name()));
            }
        }
        if self.tag.as_ref().is_some_and(|tag| !is_tag(tag)) {
            context
                .problem("/tag", "not a tag name")
                .expected("letters, digits, `-` and `_`, such as `think`");
        }
        let steps = FieldType::text().or(FieldType::texts()).or_null();
        for (name, field, wanted) in [
            ("question", &self.question, FieldType::text()),
            ("answer", &self.answer, FieldType::text()),
            ("steps", &self.steps, steps),
        ] {
            context.needs_a(&format!("/{name}"), field, &wanted);
        }
        context.makes_table(Self::MAKES);
    }

    fn build(&self, _context: &BuildContext) -> Result<Part, BuildError> {
        Ok(Part::Transform(Box::new(self.clone())))
    }

    fn fans_out(&self) -> bool {
        true
    }
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

impl Transform for CotExpand {
    fn process(&self, record: &mut Record) -> Result<Emit, StageError> {
        let question = required(record, &self.question)?.to_owned();
        let answer = required(record, &self.answer)?.to_owned();
        let steps = self.read_steps(record)?;
        let mut children: Vec<Record> = Vec::with_capacity(self.formats.len());
        let mut written: Vec<usize> = Vec::with_capacity(self.formats.len());
        for format in &self.formats {
            let taken = format.take(&steps.texts);
            // With fewer steps than a format asks for, it would repeat one that is there already.
            if written.contains(&taken.len()) {
                continue;
            }
            written.push(taken.len());
            let mut child = record.clone();
            child.set("cot", format.name());
            child.set(
                "messages",
                json!([
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": self.write(taken, steps.between, &answer)},
                ]),
            );
            children.push(child);
        }
        Ok(Emit::Many(children))
    }
}

impl CotExpand {
    fn write(&self, steps: &[String], between: &str, answer: &str) -> String {
        if steps.is_empty() {
            return answer.to_owned();
        }
        let reasoning = steps.join(between);
        match &self.tag {
            Some(tag) => format!("<{tag}>\n{reasoning}\n</{tag}>\n\n{answer}"),
            None => format!("{reasoning}\n{answer}"),
        }
    }

    fn read_steps(&self, record: &Record) -> Result<Steps, StageError> {
        let wrong = || {
            StageError::new("fields", format!("field `{}` is neither a text nor a list of texts", self.steps))
        };
        match record.get(&self.steps) {
            Some(Value::Array(steps)) => {
                let texts: Option<Vec<&str>> = steps.iter().map(Value::as_str).collect();
                Ok(Steps::listed(&texts.ok_or_else(wrong)?))
            }
            Some(Value::String(text)) => Ok(self.text_steps.of(text)),
            None | Some(Value::Null) => Ok(Steps::listed(&[])),
            Some(_) => Err(wrong()),
        }
    }
}

fn required<'a>(record: &'a Record, field: &str) -> Result<&'a str, StageError> {
    record.text(field).ok_or_else(|| StageError::new("fields", format!("field `{field}` is not a text")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};

    fn expand(config: Value, steps: Value) -> Vec<(String, String)> {
        let Part::Transform(part) = build::<CotExpand>(config) else { panic!("not a transform") };
        let mut record = record(json!({"question": "Why?", "answer": "So.", "reasoning_steps": steps}));
        let Emit::Many(children) = part.process(&mut record).unwrap() else { panic!("not many") };
        let text = |child: &Record| {
            (
                child.text("cot").unwrap().to_owned(),
                child.fields["messages"][1]["content"].as_str().unwrap().to_owned(),
            )
        };
        children.iter().map(text).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn the_four_formats_of_the_seed() {
        assert_eq!(
            expand(json!({}), json!(["One.", "Two.", "Three."])),
            pairs(&[
                ("none", "So."),
                ("first", "One.\nSo."),
                ("first_two", "One. Two.\nSo."),
                ("all", "One. Two. Three.\nSo."),
            ])
        );
    }

    #[test]
    fn a_subset_in_a_tag() {
        assert_eq!(
            expand(json!({"formats": ["all"], "tag": "think"}), json!(["One.", "Two."])),
            pairs(&[("all", "<think>\nOne. Two.\n</think>\n\nSo.")])
        );
    }

    #[test]
    fn a_text_is_cut_and_put_together_as_it_was() {
        assert_eq!(
            expand(json!({"tag": "think"}), json!("First,\nthis.\n\nThen that.\n")),
            pairs(&[
                ("none", "So."),
                ("first", "<think>\nFirst,\nthis.\n</think>\n\nSo."),
                ("first_two", "<think>\nFirst,\nthis.\n\nThen that.\n</think>\n\nSo."),
            ])
        );
        assert_eq!(expand(json!({}), json!(" \n")), pairs(&[("none", "So.")]));
    }

    #[test]
    fn fewer_steps_make_fewer_conversations() {
        assert_eq!(expand(json!({}), json!(["One."])), pairs(&[("none", "So."), ("first", "One.\nSo.")]));
        assert_eq!(expand(json!({}), json!([])), pairs(&[("none", "So.")]));
    }
}
