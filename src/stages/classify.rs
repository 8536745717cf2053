//! `classify`: asks a model for the probability of each of a few choices.
//!
//! The probabilities come from the log probabilities of the answer's first tokens or, if a server returns none, from
//! several sampled answers. Later stages keep the records that are certain (`filter`) or use the probabilities as
//! soft labels. This stage creates the questions and combines the answers; the engine asks the questions.

mod choices;
mod classification;
mod first_token;
mod questions;
mod spelling;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::choices::{Choice, Choices, MOST};
pub(crate) use self::classification::Classification;
use self::questions::{AnyAnswer, ClassifyQuestion, FirstQuestions, Fold, QuestionSource};
use self::spelling::Spellings;
use super::llm::ANSWERED_BY;
use super::{Role, StageDescription};
use crate::pipeline::{CheckContext, FieldType, ProducedField, Provider, RESERVED_PARAMS};
use crate::stage::{BuildContext, BuildError, Processor, QuestionSet, StageConfig};

/// The tolerance within which the two limits of `clamp` must add up to 1.
const TOLERANCE: f64 = 1e-9;

/// Asks a model which of a few choices applies, and how probable each is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Classify {
    /// The model to ask, by its name in `models`.
    model: String,
    /// The labels, from 2 to 20: a list, or a map from labels to their meanings, which are shown to the model. A meaning is
    /// a Jinja template over the record's fields, so that it may be one of two answers to compare.
    choices: Choices,
    /// Whether labels are listed in front of their meanings. Set to `false` if the meanings are texts to compare, to which
    /// a label would only add a name.
    #[serde(default = "show_labels")]
    show_labels: bool,
    /// The question, as a Jinja template over the record's fields. The choices are listed below it with letters, and
    /// the model is asked for a letter.
    #[serde(default)]
    question: Option<String>,
    /// Instead of `question`: the field that holds a complete prompt, a text or a list of messages such as `prompt`
    /// renders. It must list the choices itself and ask for an answer that begins with a label. Labels of one token,
    /// such as letters, work best.
    #[serde(default)]
    input: Option<String>,
    /// Where the probabilities come from.
    #[serde(default)]
    method: Method,
    /// The number of answers to sample if there are no log probabilities; 5 by default. They differ only with a
    /// `temperature` above 0.
    #[serde(default)]
    samples: Option<u32>,
    /// The order in which the choices are listed below `question`.
    #[serde(default)]
    order: ChoiceOrder,
    /// For two choices: the limits to which probabilities are clamped, such as `[0.4, 0.6]`. Useful for overconfident
    /// models, such as those that reason before they answer.
    #[serde(default)]
    clamp: Option<[f64; 2]>,
    /// Sampling parameters of this stage, which override those of the model. `top_logprobs` is 20 unless set here;
    /// some servers return fewer.
    #[serde(default)]
    params: Map<String, Value>,
}

/// Where the probabilities come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    /// Log probabilities or, if the server returns none, samples.
    #[default]
    Auto,
    /// Log probabilities; records whose answers have none are rejected.
    Logprobs,
    /// The shares of several sampled answers.
    Samples,
}

/// The order in which choices are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChoiceOrder {
    /// In the declared order.
    #[default]
    Given,
    /// In the declared order and in its reverse, with the mean of both as the result, which cancels position bias.
    /// Doubles the number of questions.
    Both,
}

fn show_labels() -> bool {
    true
}

/// The default number of samples.
const SAMPLES: u32 = 5;

const LABEL: &str = "label";
const PROBABILITIES: &str = "probabilities";
const METHOD: &str = "method";
const COVERAGE: &str = "coverage";

impl StageDescription for Classify {
    const NAME: &'static str = "classify";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str =
        "Asks a model which of a few choices applies to a record, and computes the probability of each.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            LABEL,
            FieldType::text,
            "The most probable choice; the first of several that are equally probable.",
        ),
        ProducedField::new(
            "probabilities.NAME",
            FieldType::number,
            "The probability of each choice, by label; they add up to 1.",
        ),
        ProducedField::new(
            METHOD,
            FieldType::text,
            "The source of the probabilities: `logprobs`, `samples`, or `heuristic` if the heuristic answered, which counts words in common.",
        ),
        ProducedField::new(
            COVERAGE,
            FieldType::number,
            "The probability that an answer names any of the choices, from 0 to 1.",
        ),
        ProducedField::new(
            ANSWERED_BY,
            FieldType::text,
            "Who answered, as with `llm`: the model, `heuristic` or `mock`; `heuristic` also if the heuristic wrote what was classified.",
        ),
    ];
    const EXAMPLE: &'static str = r#"name: classify-example
models:
  judge: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - classify:
      model: judge
      question: |
        What is this section of a manual about?

        {{ section.text }}
      choices:
        operation: how to use the device every day
        maintenance: how to clean, check or repair it
        other:
  - sink: {path: labels.jsonl, format: raw, fields: [label, probabilities, method, coverage]}
"#;
}

impl StageConfig for Classify {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.model("/model", &self.model);
        self.check_choices(context);
        self.check_question(context);
        self.check_method(context);
        self.check_clamp(context);
        for name in RESERVED_PARAMS.iter().chain(&["n", "logprobs"]) {
            if self.params.contains_key(*name) {
                context
                    .problem(&format!("/params/{name}"), format!("`{name}` cannot be set in `params`"))
                    .on_key();
            }
        }
        let labels = self.choices.labels().map(|label| (label.to_owned(), FieldType::number()));
        let probabilities = FieldType::object_of(labels.collect(), false);
        for made in Self::MAKES.iter().filter(|made| !made.name.starts_with(PROBABILITIES)) {
            context.makes_named(made, made.name);
        }
        context.makes_as(PROBABILITIES, probabilities);
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let question = match (&self.question, &self.input) {
            (Some(question), None) => {
                let meaning = |choice: &Choice| {
                    choice.meaning.as_deref().map(|text| context.template(text)).transpose()
                };
                let meanings = self.choices.0.iter().map(meaning).collect::<Result<_, _>>()?;
                QuestionSource::Shown(context.template(question)?, meanings)
            }
            (None, Some(input)) => QuestionSource::Own(input.clone()),
            _ => return Err(BuildError::Other("neither or both of `question` and `input` are given".into())),
        };
        let choices = Arc::new(self.choices.clone());
        let both = self.order == ChoiceOrder::Both;
        let samples = self.samples.unwrap_or(SAMPLES).max(1);
        let answers = match question {
            QuestionSource::Shown(..) => choices.letters(),
            QuestionSource::Own(_) => choices.labels().map(str::to_owned).collect(),
        };
        let fold = Fold {
            stage: Arc::clone(context.draws.stage()),
            method: self.method,
            samples,
            clamp: self.clamp,
            choices: Arc::clone(&choices),
        };
        Ok(Processor::Questions(Box::new(QuestionSet {
            questions: Box::new(FirstQuestions::new(self.method, samples, both)),
            ask: Box::new(ClassifyQuestion {
                model: self.model.clone(),
                question,
                spellings: Spellings::new(answers.iter().map(String::as_str)),
                answers,
                choices,
                show_labels: self.show_labels,
                params: self.params.clone(),
            }),
            parser: Box::new(AnyAnswer),
            fold: Box::new(fold),
        })))
    }
}

impl Classify {
    fn check_choices(&self, context: &mut CheckContext<'_>) {
        let labels: Vec<&str> = self.choices.labels().collect();
        if !(2..=MOST).contains(&labels.len()) {
            let message = format!("`choices` has {} labels", labels.len());
            context.problem("/choices", message).expected(format!("2 to {MOST}"));
        }
        let spellings = Spellings::new(labels.iter().copied());
        for (index, label) in labels.iter().enumerate().filter(|(index, _)| spellings.is_ambiguous(*index)) {
            let message = match label.trim().is_empty() {
                true => format!("label {} is empty", index + 1),
                false => format!("`{label}` cannot be distinguished from another label"),
            };
            context.problem("/choices", message).expected("labels that differ in letters or digits");
        }
    }

    fn check_question(&self, context: &mut CheckContext<'_>) {
        match (&self.question, &self.input) {
            (Some(question), None) => {
                context.template("/question", question);
                for choice in &self.choices.0 {
                    let Some(meaning) = &choice.meaning else { continue };
                    let label = choice.label.replace('~', "~0").replace('/', "~1");
                    context.template(&format!("/choices/{label}"), meaning);
                }
                if !self.show_labels && self.choices.0.iter().any(|choice| choice.meaning.is_none()) {
                    context
                        .problem("/show_labels", "without their labels nothing shows the choices")
                        .expected("a map of each label to what it means, in `choices`");
                }
            }
            (None, Some(input)) => {
                context.needs_type("/input", input, &FieldType::text().or(FieldType::messages()));
                if self.choices.0.iter().any(|choice| choice.meaning.is_some()) {
                    context
                        .problem("/choices", "with `input` nothing shows what the choices mean")
                        .expected("a list of labels, or `question` in place of `input`");
                }
                if self.order == ChoiceOrder::Both {
                    context
                        .problem("/order", "with `input` the order of the choices is that of your question")
                        .expected("`given`, or `question` in place of `input`");
                }
            }
            (Some(_), Some(_)) => {
                context.problem("/input", "`question` and `input` are both given").expected("one of them");
            }
            (None, None) => {
                context.problem("", "`classify` has neither `question` nor `input`").expected("one of them");
            }
        }
    }

    fn check_method(&self, context: &mut CheckContext<'_>) {
        let provider = context.models.get(&self.model).map(|model| model.provider);
        if self.method == Method::Logprobs && provider == Some(Provider::Anthropic) {
            context
                .problem("/method", format!("the API of `{}` returns no log probabilities", self.model))
                .expected("`samples`");
        }
        match self.samples {
            Some(0) => {
                context.problem("/samples", "found the number `0`").expected("1 or more");
            }
            Some(_) if self.method == Method::Logprobs => {
                context.problem("/samples", "with `method: logprobs` nothing is sampled").on_key();
            }
            _ => {}
        }
    }

    fn check_clamp(&self, context: &mut CheckContext<'_>) {
        let Some([least, largest]) = self.clamp else { return };
        if self.choices.len() != 2 {
            context
                .problem("/clamp", format!("`clamp` is for 2 choices, and there are {}", self.choices.len()))
                .hint("of several clamped probabilities the sum would not be 1");
        } else if !(0.0 <= least && least < largest && (least + largest - 1.0).abs() < TOLERANCE) {
            context
                .problem("/clamp", format!("found `[{least}, {largest}]`"))
                .expected("two limits that add up to 1, such as `[0.4, 0.6]`");
        }
    }
}

#[cfg(test)]
mod tests;
