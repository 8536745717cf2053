//! `judge`: has a model rate the candidates of a record, or the record itself, or compare two candidates.
//!
//! Allowed anywhere after the source part, often used after a `for_each` that collects candidates. `questions` plans
//! the questions about a record (votes, orders, aspects), `prompt` renders each, `answer` parses the model's answer,
//! and `fold` combines the answers into fields; the engine asks the questions. `judgement` defines what is stored for
//! the report.

mod answer;
mod check;
mod fold;
mod judgement;
mod prompt;
mod questions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::answer::RatingParser;
use self::fold::JudgementFolder;
pub(crate) use self::judgement::{JudgedQuestion, Judgement, PreferenceOutcome, RatingOutcome};
use self::prompt::JudgePrompt;
use self::questions::{Aspect, QuestionPlan, Questions};
use super::llm::ANSWERED_BY;
use super::parse::OnErrorSteps;
use super::{Role, StageDescription};
use crate::pipeline::{FieldType, ProducedField};
use crate::stage::{BuildContext, BuildError, Collect, OnError, Processor, QuestionSet, StageConfig};

/// The field that holds a question's data while it is asked.
const JUDGING: &str = "judging";

/// Has a model rate texts, or compare two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Judge {
    /// The model that judges, by its name in `models`.
    model: String,
    /// The field that holds the candidates: a list of objects such as `for_each` collects, or of texts, which are
    /// converted to objects. All candidates are shown in one question. Without `of`, the record itself is judged.
    #[serde(default)]
    of: Option<String>,
    /// The field with the text to judge, in each candidate or in the record.
    #[serde(default = "text")]
    text: String,
    /// The question or task that the texts respond to, shown before them: a Jinja template over the record's fields.
    /// It may include what a judge should know, such as a reference answer.
    #[serde(default)]
    question: Option<String>,
    /// What the model is asked for.
    #[serde(default)]
    mode: JudgeMode,
    /// The aspects to rate, by name, each with a rubric that says what the ratings mean. With `pairwise`, the
    /// criteria for the comparison.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    aspects: Map<String, Value>,
    /// A YAML file of aspects and their rubrics, such as `config/aspects.yaml`, which has four.
    #[serde(default)]
    aspects_file: Option<String>,
    /// The lowest and highest rating; ratings are whole numbers. `[1, 5]` by default.
    #[serde(default)]
    scale: Option<[i64; 2]>,
    /// The aspects that may not apply to every text. They may be rated `N/A`, which is ignored in the mean and does
    /// not count as missing.
    #[serde(default)]
    not_applicable: Vec<String>,
    /// Whether each aspect is rated in a separate question, so that one rating does not influence the next.
    #[serde(default)]
    separate: bool,
    /// The order in which candidates are shown, since judges have a position bias. `shuffled` by default.
    #[serde(default)]
    order: Option<CandidateOrder>,
    /// The number of times each question is asked. Every vote is stored; a rating is the mean of its votes, and a
    /// candidate is preferred if more than half of the votes prefer it.
    #[serde(default = "votes")]
    votes: u32,
    /// A system message that replaces the built-in one, as a Jinja template.
    #[serde(default)]
    system: Option<String>,
    /// A file with the template of the system message.
    #[serde(default)]
    system_file: Option<String>,
    /// A user message that replaces the built-in one, as a Jinja template. It can use the record's fields and
    /// `judging`, with `texts` in the order to show, `question`, `aspects` (each with `name`, `rubric`,
    /// `not_applicable`), `low`, `high`, `list` (whether `of` is set), and `form`, the JSON form of the answer.
    #[serde(default)]
    user: Option<String>,
    /// A file with the template of the user message.
    #[serde(default)]
    user_file: Option<String>,
    /// Sampling parameters of this stage, which override those of the model.
    #[serde(default)]
    params: Map<String, Value>,
    /// What to do if an answer cannot be parsed: the same steps as in `parse`. If they all fail, the answer's ratings
    /// are missing, or with `reject` as the last step the record is rejected. By default the question is asked once
    /// more.
    #[serde(default = "on_error")]
    #[schemars(extend("default" = [{"retry": 1}]))]
    on_error: OnErrorSteps,
    /// The field in which the details are stored: for each question its vote, the candidates in the order shown
    /// (`slots`, their positions in the list), and the answer. They are also stored in `provenance/`, for the report.
    #[serde(default = "into")]
    into: String,
}

/// What the model is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum JudgeMode {
    /// A rating of each text for each aspect.
    #[default]
    Rate,
    /// Which of two candidates is better.
    Pairwise,
}

/// The order in which candidates are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CandidateOrder {
    /// In a random order, drawn for each question.
    #[default]
    Shuffled,
    /// Twice, in a random order and in its reverse.
    Both,
    /// In the order of the list.
    Given,
}

fn text() -> String {
    "answer".into()
}

fn votes() -> u32 {
    1
}

fn on_error() -> OnErrorSteps {
    OnErrorSteps(vec![OnError::Retry(1)])
}

fn into() -> String {
    "judgement".into()
}

/// The fields of the record, or of each candidate.
const RATINGS: &str = "ratings";
const REASONS: &str = "reasons";
const SCORE: &str = "score";
/// The field of the record in `pairwise`.
const PREFERRED: &str = "preferred";

const JUDGEMENT: ProducedField = ProducedField::named_by(
    "into",
    "judgement",
    FieldType::object,
    "The details: `judged`, `scale`, `aspects`, and `questions` with `vote`, `slots` and the answer.",
);

impl StageDescription for Judge {
    const NAME: &'static str = "judge";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Has a model rate candidates or the record by aspects, or compare two candidates, with repeated \
         votes and varied orders.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            "ratings.NAME",
            score,
            "The rating of each aspect; null if it is missing or the aspect does not apply. With `of`, this \
             field and the next two are set in each candidate.",
        ),
        ProducedField::new(REASONS, FieldType::object, "The model's reason for each rating."),
        ProducedField::new(
            SCORE,
            score,
            "The mean of the ratings, without aspects that do not apply; null if a rating is missing.",
        ),
        ProducedField::new(
            PREFERRED,
            preferred,
            "With `pairwise`, instead of the fields above: the `index` of the better candidate; null for a \
             tie or if there is no answer. If the answers in the two orders contradict each other, the \
             result is a tie.",
        ),
        ProducedField::new(
            ANSWERED_BY,
            answered_by,
            "Who judged, as with `llm`: the model, `heuristic` or `mock`; `heuristic` also if the heuristic wrote what was judged. Candidates keep their own `answered_by`.",
        ),
        JUDGEMENT,
    ];
    const EXAMPLE: &'static str = r#"name: judge-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - plan_questions: {}
  - for_each:
      in: 3
      collect: {into: candidates, fields: [question, answer]}
      stages:
        - prompt: {user: "Ask and answer a question about: {{ section.text }} (attempt {{ element }})"}
        - llm: {model: teacher, params: {temperature: 1}}
        - parse:
            schema:
              type: object
              required: [question, answer]
              properties: {question: {type: string}, answer: {type: string}}
  - judge:
      model: teacher
      of: candidates
      question: "{{ section.text }}"
      aspects:
        correctness: "1: contradicts the material. 3: partly right. 5: right in all that it says."
        completeness: "1: leaves out what matters. 5: leaves out nothing that matters."
      votes: 2
  - sink: {path: judged.jsonl, format: raw, fields: [candidates]}
"#;
}

fn score() -> FieldType {
    FieldType::number().or_null()
}

fn answered_by() -> FieldType {
    FieldType::text().or_null()
}

fn preferred() -> FieldType {
    FieldType::integer().or_null()
}

impl StageConfig for Judge {
    fn check(&self, context: &mut crate::pipeline::CheckContext<'_>) {
        self.check_options(context);
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let plan = Arc::new(self.plan(context)?);
        let needed = if self.on_error.0.contains(&OnError::Reject) { usize::MAX } else { 0 };
        let collect = Collect { into: self.into.clone(), fields: vec![answer::ANSWERED.into()], at_least: 0 };
        Ok(Processor::Questions(Box::new(QuestionSet {
            questions: Box::new(Questions { plan: Arc::clone(&plan), collect }),
            ask: Box::new(JudgePrompt {
                model: self.model.clone(),
                system: template(context, &self.system, &self.system_file, prompt::SYSTEM)?,
                user: template(context, &self.user, &self.user_file, prompt::of_mode(self.mode))?,
                params: self.params.clone(),
            }),
            parser: Box::new(RatingParser::new(Arc::clone(&plan), self.on_error.0.clone())?),
            fold: Box::new(JudgementFolder { plan, into: self.into.clone(), needed }),
        })))
    }
}

impl Judge {
    fn plan(&self, context: &BuildContext) -> Result<QuestionPlan, BuildError> {
        let aspects = match &self.aspects_file {
            Some(path) => {
                let path = context.render(path)?;
                let text = context.read_file(path.clone())?;
                check::aspects_of(&text).map_err(|error| BuildError::Other(format!("`{path}`: {error}")))?
            }
            None => self.aspects.clone(),
        };
        let aspect = |(name, rubric): (&String, &Value)| Aspect {
            name: name.clone(),
            rubric: rubric.as_str().unwrap_or_default().trim().to_owned(),
            not_applicable: self.not_applicable.contains(name),
        };
        let [low, high] = self.scale.unwrap_or([1, 5]);
        Ok(QuestionPlan {
            of: self.of.clone(),
            text: self.text.clone(),
            question: self.question.as_ref().map(|source| context.template(source)).transpose()?,
            aspects: aspects.iter().map(aspect).collect(),
            scale: (low, high),
            mode: self.mode,
            order: self.order.unwrap_or_default(),
            votes: self.votes,
            separate: self.separate,
            draws: context.draws.clone(),
        })
    }
}

/// The template of a message: the configured one, inline or in a file, or the built-in one.
fn template(
    context: &BuildContext,
    inline: &Option<String>,
    file: &Option<String>,
    built_in: &str,
) -> Result<crate::template::Template, BuildError> {
    match (inline, file) {
        (Some(source), _) => context.template(source),
        (None, Some(path)) => {
            let path = context.render(path)?;
            context.template(&context.read_file(path)?)
        }
        (None, None) => context.template(built_in),
    }
}
