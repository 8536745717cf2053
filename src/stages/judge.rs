//! `judge`: has a model rate the candidates of a record, or the record itself, or prefer one of two.
//!
//! Stands anywhere after the source part, often after a `for_each` that collects candidates. `questions` plans what is
//! asked about a record (votes, orders, aspects), `prompt` renders each question, `answer` reads what the model says, and
//! `fold` makes fields of the answers; the engine asks. `judgement` is what is kept for the report.

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
use super::parse::OnErrorSteps;
use super::{Role, StageDescription};
use crate::pipeline::{FieldType, ProducedField};
use crate::stage::{BuildContext, BuildError, Collect, OnError, Processor, QuestionSet, StageConfig};

/// The field of a question while it is asked.
const JUDGING: &str = "judging";

/// Has a model rate texts, or say which of two is better.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Judge {
    /// The model that judges, by its name in `models`.
    model: String,
    /// The field that holds the candidates: a list of objects, as `for_each` collects them, or of texts, which become
    /// objects. All are shown in one question. Without it the record itself is judged.
    #[serde(default)]
    of: Option<String>,
    /// The field that holds the text to judge, in each candidate or in the record.
    #[serde(default = "text")]
    text: String,
    /// What the texts answer: a Jinja template over the record's fields, which the model sees before them. It may also
    /// say what a judge should know, such as a correct answer.
    #[serde(default)]
    question: Option<String>,
    /// `rate` gives a number for each aspect; `pairwise` says which of two candidates is better.
    #[serde(default)]
    mode: Mode,
    /// What is rated: names, each with a rubric that says what the numbers mean. For `pairwise` they are what counts.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    aspects: Map<String, Value>,
    /// A YAML file of such names and rubrics. `config/aspects.yaml` has four.
    #[serde(default)]
    aspects_file: Option<String>,
    /// The lowest and the highest rating; ratings are whole numbers. `[1, 5]` by default.
    #[serde(default)]
    scale: Option<[i64; 2]>,
    /// The aspects that may not apply to a text; their rating may be `N/A`, which counts neither as a number nor as
    /// missing.
    #[serde(default)]
    not_applicable: Vec<String>,
    /// Asks for each aspect in a question of its own, so that one rating does not color the next.
    #[serde(default)]
    separate: bool,
    /// The order in which candidates are shown. Judges prefer places: `shuffled` draws an order for each question, `both`
    /// asks twice, in a drawn order and in its reverse, `given` keeps the order of the list. `shuffled` by default.
    #[serde(default)]
    order: Option<Order>,
    /// How often each question is asked. Every vote is kept; a rating is the mean of its votes, a preference what more
    /// than half of them say.
    #[serde(default = "votes")]
    votes: u32,
    /// The system message, as a Jinja template, instead of the one that is built in.
    #[serde(default)]
    system: Option<String>,
    /// A file that holds the system message's template.
    #[serde(default)]
    system_file: Option<String>,
    /// The user message, as a Jinja template, instead of the one that is built in. It sees the record's fields and
    /// `judging`: its `texts` in the order to show, `question`, `aspects` (each with `name`, `rubric`,
    /// `not_applicable`), `low`, `high`, `list` (whether there is `of`), and `form`, the JSON that the answer must be.
    #[serde(default)]
    user: Option<String>,
    /// A file that holds the user message's template.
    #[serde(default)]
    user_file: Option<String>,
    /// Sampling parameters of this stage, over those of the model.
    #[serde(default)]
    params: Map<String, Value>,
    /// What to do with an answer that cannot be read: steps as those of `parse`. After the last its ratings are
    /// `missing`, which is no number; where it is `reject`, the record is given up. Asks once more by default.
    #[serde(default = "on_error")]
    #[schemars(extend("default" = [{"retry": 1}]))]
    on_error: OnErrorSteps,
    /// The field that says how it was judged: for each question its vote, the candidates in the order shown (`slots`,
    /// positions in the list), and what was answered. Kept in `provenance/` too, where the report finds it.
    #[serde(default = "into")]
    into: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// A number for each text and aspect.
    #[default]
    Rate,
    /// Which of two texts is better.
    Pairwise,
}

/// The order in which candidates are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// In an order that is drawn for each question.
    #[default]
    Shuffled,
    /// In a drawn order, and again in its reverse.
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
    "How it was judged: `judged`, `scale`, `aspects`, and `questions` with `vote`, `slots` and what was answered.",
);

impl StageDescription for Judge {
    const NAME: &'static str = "judge";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Has a model rate candidates or the record by aspects, or prefer one of two; asks as often as it takes.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            "ratings.NAME",
            score,
            "The number of each aspect; null where the model gave none, or said that it does not apply. With `of` \
             in each candidate, like the next two.",
        ),
        ProducedField::new(REASONS, FieldType::object, "The model's reason for each rating."),
        ProducedField::new(
            SCORE,
            score,
            "The mean of the numbers, without aspects that do not apply; null if a number is missing.",
        ),
        ProducedField::new(
            PREFERRED,
            preferred,
            "With `pairwise`, instead of these: the `index` of the better candidate, null for a tie or without an \
             answer. Two orders that contradict each other are a tie.",
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

/// The template of a message: the user's own, inline or in a file, or the one that is built in.
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
