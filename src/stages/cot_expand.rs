//! `cot_expand`: one question and answer becomes several conversations with more or less reasoning.
//!
//! Comes after `parse`. The four formats are those of the original generator: no reasoning, the first step, the
//! first two, all steps, each before the answer.

mod cues;
mod steps;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::cues::Cues;
use self::steps::{ReasoningSteps, TextSteps};
use super::{Role, StageDescription};
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use crate::text_file;

/// Expands a question and answer into conversations at several levels of reasoning.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CotExpand {
    /// Which conversations are created, in this order. For a model that should always reason, use `[all]`; for a
    /// model whose system prompt says how much to reason, all four with `cues_file`. All four without it reproduce
    /// the original generator: the same question then has four answers and nothing says which is wanted, so a model
    /// learns to choose at random, unless you select one conversation per question later, by the field `cot`.
    #[serde(default = "formats")]
    formats: Vec<CotFormat>,
    /// The tag around the reasoning, such as `think`; without it the steps precede the answer on a line of their own.
    #[serde(default)]
    tag: Option<String>,
    /// The field that holds the question.
    #[serde(default = "question")]
    question: String,
    /// The field that holds the answer.
    #[serde(default = "answer")]
    answer: String,
    /// The field that holds the reasoning: a list of steps, or a text such as `reasoning`, in which `llm` stores the
    /// model's reasoning.
    #[serde(default = "steps")]
    steps: String,
    /// What counts as a step if the reasoning is a text.
    #[serde(default)]
    text_steps: TextSteps,
    /// A YAML file with a text for each of `formats`, such as `none: Answer directly, without showing your
    /// reasoning.` It becomes the system message of the conversations in that format, combined with a sink's
    /// `system`. Formats that need more steps than a record has are left out, and a record with no format left is
    /// dropped as `no_reasoning`. A path that renders to an empty text means no cues.
    #[serde(default)]
    cues_file: Option<String>,
}

/// How much reasoning precedes the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CotFormat {
    /// The answer alone.
    None,
    /// The first step.
    First,
    /// The first two steps.
    FirstTwo,
    /// Every step.
    All,
}

fn formats() -> Vec<CotFormat> {
    vec![CotFormat::None, CotFormat::First, CotFormat::FirstTwo, CotFormat::All]
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

impl CotFormat {
    const ALL: [Self; 4] = [Self::None, Self::First, Self::FirstTwo, Self::All];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::First => "first",
            Self::FirstTwo => "first_two",
            Self::All => "all",
        }
    }

    /// The minimum number of steps that the format needs.
    fn least(self) -> usize {
        match self {
            Self::None => 0,
            Self::First | Self::All => 1,
            Self::FirstTwo => 2,
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

impl StageDescription for CotExpand {
    const NAME: &'static str = "cot_expand";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Creates several conversations from a question and its answer, with more or less of the reasoning \
         before the answer.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            "messages",
            FieldType::messages,
            "The conversation: the question, and the answer with its reasoning before it; a cue first, with `cues_file`.",
        ),
        ProducedField::new(
            "cot",
            FieldType::text,
            "The name of its format, which says how much reasoning it shows.",
        ),
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
  - cot_expand: {formats: [none, all], tag: think, cues_file: config/reasoning_cues.yaml}
  - sink: {path: conversations.jsonl, format: messages, fields: [cot]}
"#;
}

impl StageConfig for CotExpand {
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
            context.needs_type(&format!("/{name}"), field, &wanted);
        }
        self.check_cues(context);
        context.makes_table(Self::MAKES);
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let path = self.cues_file.as_ref().map(|path| context.render(path)).transpose()?;
        let cues = match path.filter(|path| !path.is_empty()) {
            Some(path) => self.load(&path).map_err(BuildError::Other)?,
            None => Cues::default(),
        };
        Ok(Processor::Transform(Box::new(Expander { options: self.clone(), cues })))
    }

    fn fans_out(&self) -> bool {
        true
    }
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// The processor: the options, and the texts of the cues file.
struct Expander {
    options: CotExpand,
    cues: Cues,
}

impl Transform for Expander {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let options = &self.options;
        let question = required(record, &options.question)?.to_owned();
        let answer = required(record, &options.answer)?.to_owned();
        let steps = options.read_steps(record)?;
        let mut written: Vec<(CotFormat, &[String])> = Vec::with_capacity(options.formats.len());
        for format in &options.formats {
            let taken = format.take(&steps.texts);
            // A cue that asks for more than the answer shows would teach a model to ignore it.
            if self.cues.of(*format).is_some() && taken.len() < format.least() {
                continue;
            }
            // With fewer steps than a format needs, it would repeat one that is written.
            if !written.iter().any(|(_, other)| other.len() == taken.len()) {
                written.push((*format, taken));
            }
        }
        let mut children: Vec<Record> = Vec::with_capacity(written.len());
        for (index, (format, taken)) in written.iter().enumerate() {
            // The last takes the fields over.
            let fields = match index + 1 < written.len() {
                true => record.fields.clone(),
                false => std::mem::take(&mut record.fields),
            };
            let mut child = Record { id: record.id.clone(), fields, provenance: record.provenance.clone() };
            let cue = self.cues.of(*format);
            child.set("cot", format.name());
            let mut messages = Vec::with_capacity(3);
            messages.extend(cue.map(|cue| json!({"role": "system", "content": cue})));
            messages.push(json!({"role": "user", "content": question}));
            messages
                .push(json!({"role": "assistant", "content": options.write(taken, steps.between, &answer)}));
            child.set("messages", messages);
            children.push(child);
        }
        if children.is_empty() {
            return Ok(TransformOutput::Drop("no_reasoning".into()));
        }
        Ok(TransformOutput::Many(children))
    }
}

impl CotExpand {
    /// Reports what is wrong with the cues file.
    fn check_cues(&self, context: &mut CheckContext<'_>) {
        let Some(source) = &self.cues_file else { return };
        let Some(path) = context.render("/cues_file", source).filter(|path| !path.is_empty()) else { return };
        let Some(text) = context.read_file("/cues_file", &path) else { return };
        let Err(problems) = Cues::parse(&text, &self.formats) else { return };
        let formats: Vec<String> = self.formats.iter().map(|format| format!("`{}`", format.name())).collect();
        for problem in problems {
            context
                .problem("/cues_file", format!("`{path}`: {problem}"))
                .expected(format!("a YAML map with a text of its own for each of {}", formats.join(", ")));
        }
    }

    fn load(&self, path: &str) -> Result<Cues, String> {
        let text = text_file::read(path).map_err(|error| format!("cannot read `{path}`: {error}"))?;
        Cues::parse(&text, &self.formats).map_err(|problems| format!("`{path}`: {}", problems.join("; ")))
    }

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

    fn read_steps(&self, record: &Record) -> Result<ReasoningSteps, StageError> {
        let wrong = || {
            StageError::new("fields", format!("field `{}` is neither a text nor a list of texts", self.steps))
        };
        match record.get(&self.steps) {
            Some(Value::Array(steps)) => {
                let texts: Option<Vec<&str>> = steps.iter().map(Value::as_str).collect();
                Ok(ReasoningSteps::listed(&texts.ok_or_else(wrong)?))
            }
            Some(Value::String(text)) => Ok(self.text_steps.of(text)),
            None | Some(Value::Null) => Ok(ReasoningSteps::listed(&[])),
            Some(_) => Err(wrong()),
        }
    }
}

fn required<'a>(record: &'a Record, field: &str) -> Result<&'a str, StageError> {
    record.text(field).ok_or_else(|| StageError::new("fields", format!("field `{field}` is not a text")))
}

#[cfg(test)]
mod tests;
