//! The questions of `classify`, the distribution found in each answer, and the probabilities computed from all
//! answers.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::choices::{Choices, ShownChoices};
use super::spelling::Spellings;
use super::{COVERAGE, Classification, LABEL, METHOD, Method, PROBABILITIES, first_token};
use crate::llm::{Completion, HEURISTIC, Message, ModelRequest};
use crate::record::Record;
use crate::stage::{
    AnswerError, AnswerParser, Ask, Collect, ForEachBlock, OnError, StageError, Transform, TransformOutput,
};
use crate::stages::llm;
use crate::template::Template;

/// The field of a record with the question that is being asked about it.
const ASKED: &str = "classify.question";
/// The field with the result of an answer: the probability mass of each choice, and the method.
const ANSWER: &str = "classify.answer";
/// The field of the record with the answers.
const ANSWERS: &str = "classify.answers";
/// The field with the answers that have no log probabilities, until more are sampled.
const SAMPLED: &str = "classify.sampled";
/// The number of candidates that a server is asked for.
const CANDIDATES: usize = 20;
/// The maximum length of a quoted answer in a message, in characters.
const LONGEST_QUOTE: usize = 60;

/// The first round of questions: one for each order, or all samples.
pub(super) struct FirstQuestions {
    questions: Vec<Value>,
    collect: Collect,
    further: Option<FurtherSamples>,
}

impl FirstQuestions {
    pub(super) fn new(method: Method, samples: u32, both_orders: bool) -> Self {
        let orders = 1 + u32::from(both_orders);
        let (count, at_least) = match method {
            Method::Samples => (samples.max(orders), 1),
            // The mean is one of all orders.
            Method::Auto | Method::Logprobs => (orders, orders as usize),
        };
        Self {
            questions: questions(0..count, both_orders, method != Method::Samples),
            collect: collect(at_least),
            further: (method == Method::Auto).then(|| FurtherSamples::new(samples, both_orders)),
        }
    }
}

/// The second round: further samples, if the first answers have no log probabilities.
struct FurtherSamples {
    questions: Vec<Value>,
    collect: Collect,
}

impl FurtherSamples {
    fn new(samples: u32, both_orders: bool) -> Self {
        let first = 1 + u32::from(both_orders);
        Self { questions: questions(first..samples, both_orders, false), collect: collect(0) }
    }
}

/// Questions by number; with both orders every other one is reversed.
fn questions(numbers: std::ops::Range<u32>, both_orders: bool, logprobs: bool) -> Vec<Value> {
    numbers.map(|number| json!({"reversed": both_orders && number % 2 == 1, "logprobs": logprobs})).collect()
}

fn collect(at_least: usize) -> Collect {
    Collect { into: ANSWERS.into(), fields: vec![ANSWER.into()], at_least }
}

impl ForEachBlock for FirstQuestions {
    fn elements(&self, _: &Record) -> Result<Vec<Value>, StageError> {
        Ok(self.questions.clone())
    }

    fn element_field(&self) -> &str {
        ASKED
    }

    fn collect(&self) -> Option<&Collect> {
        Some(&self.collect)
    }

    fn next_round(&self) -> Option<&dyn ForEachBlock> {
        self.further.as_ref().map(|further| further as &dyn ForEachBlock)
    }
}

impl ForEachBlock for FurtherSamples {
    fn elements(&self, record: &Record) -> Result<Vec<Value>, StageError> {
        Ok(if record.get(SAMPLED).is_some() { self.questions.clone() } else { Vec::new() })
    }

    fn element_field(&self) -> &str {
        ASKED
    }

    fn collect(&self) -> Option<&Collect> {
        Some(&self.collect)
    }
}

/// Where the question comes from.
pub(super) enum QuestionSource {
    /// A template, below which the choices are listed, and the templates of their meanings.
    Shown(Template, Vec<Option<Template>>),
    /// A field.
    Own(String),
}

/// Creates each question and reads its answer.
pub(super) struct ClassifyQuestion {
    pub(super) model: String,
    pub(super) question: QuestionSource,
    /// What the model is to answer, in the order in which choices are shown.
    pub(super) answers: Vec<String>,
    pub(super) spellings: Spellings,
    pub(super) choices: Arc<Choices>,
    pub(super) show_labels: bool,
    pub(super) params: Map<String, Value>,
}

impl Ask for ClassifyQuestion {
    fn model(&self) -> &str {
        &self.model
    }

    fn request(&self, record: &Record) -> Result<ModelRequest, StageError> {
        let messages = match &self.question {
            QuestionSource::Shown(question, meanings) => {
                let question = question.render(record)?;
                let meaning =
                    |meaning: &Option<Template>| meaning.as_ref().map(|text| text.render(record)).transpose();
                let shown = ShownChoices {
                    meanings: meanings.iter().map(meaning).collect::<Result<_, _>>()?,
                    show_labels: self.show_labels,
                    reversed: is_set(record, "reversed"),
                };
                vec![Message::new("user", self.choices.shown_below(&question, &shown))]
            }
            QuestionSource::Own(field) => llm::question(record, field)?,
        };
        let mut params = Map::new();
        if is_set(record, "logprobs") {
            params.insert("logprobs".to_owned(), true.into());
            params.insert("top_logprobs".to_owned(), CANDIDATES.into());
        }
        params.extend(self.params.clone());
        if !is_set(record, "logprobs") {
            params.shift_remove("top_logprobs");
        }
        Ok(ModelRequest { messages, params, choices: self.answers.clone(), ..ModelRequest::default() })
    }

    fn accept(&self, record: &mut Record, completion: &Completion, answered_by: &str) {
        let logprobs = completion.more.as_ref().and_then(|more| more.logprobs.as_ref());
        let tokens = logprobs.filter(|_| is_set(record, "logprobs")).map(first_token::read);
        let count = self.answers.len();
        let (method, mut masses) = match tokens.filter(|tokens| !tokens.is_empty()) {
            Some(tokens) => {
                let masses = first_token::masses(&tokens, &completion.text, &self.spellings, count);
                ("logprobs", masses)
            }
            None => {
                let mut masses = vec![0.0; count];
                if let Some(index) = self.spellings.given(&completion.text) {
                    masses[index] = 1.0;
                }
                ("samples", masses)
            }
        };
        if is_set(record, "reversed") {
            masses.reverse();
        }
        let text: String = completion.text.trim().chars().take(LONGEST_QUOTE).collect();
        let by_heuristic = answered_by == HEURISTIC;
        let answer = json!({"method": method, "masses": masses, "text": text, "by_heuristic": by_heuristic});
        record.set(ANSWER, answer);
    }
}

/// Accepts every answer: one that names no choice counts in the result.
pub(super) struct AnyAnswer;

impl AnswerParser for AnyAnswer {
    fn schema(&self) -> Option<&Value> {
        None
    }

    fn on_error(&self) -> &[OnError] {
        &[]
    }

    fn answer_text<'a>(&self, _: &'a Record) -> Result<&'a str, StageError> {
        Ok("")
    }

    fn parse(&self, _: &str) -> Result<Value, StageError> {
        Ok(Value::Null)
    }

    fn may_take_long(&self, _: &str) -> bool {
        false
    }

    fn store(&self, _: &mut Record, _: Value) -> Result<(), AnswerError> {
        Ok(())
    }
}

/// Whether the question that is being asked has a property.
fn is_set(record: &Record, name: &str) -> bool {
    record.get(ASKED).and_then(|asked| asked.get(name)).is_some_and(|value| value == true)
}

/// Combines all answers into the result.
pub(super) struct Fold {
    /// The path of the stage.
    pub(super) stage: Arc<str>,
    pub(super) method: Method,
    pub(super) samples: u32,
    pub(super) clamp: Option<[f64; 2]>,
    pub(super) choices: Arc<Choices>,
}

impl Transform for Fold {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let mut answers = match record.fields.shift_remove(SAMPLED) {
            Some(Value::Array(answers)) => answers,
            _ => Vec::new(),
        };
        let is_first_round = answers.is_empty();
        if let Some(Value::Array(collected)) = record.fields.shift_remove(ANSWERS) {
            answers.extend(collected.into_iter().filter_map(|mut entry| Some(entry.get_mut(ANSWER)?.take())));
        }
        let has_logprobs = |answer: &Value| answer["method"] == "logprobs";
        if self.method != Method::Samples && !answers.iter().all(has_logprobs) {
            if self.method == Method::Logprobs {
                let message = "the server gave no log probabilities; `method: samples` does without";
                return Err(StageError::new("no_logprobs", message));
            }
            if is_first_round && answers.len() < self.samples as usize {
                record.set(SAMPLED, answers);
                return Ok(TransformOutput::Pass);
            }
        }
        let method = match answers.iter().all(has_logprobs) {
            // Its numbers say how many words a choice shares with the question, however they are given.
            _ if answers.iter().any(|answer| answer["by_heuristic"] == true) => HEURISTIC,
            true => "logprobs",
            false => "samples",
        };
        let (probabilities, coverage) = self.mean(&answers)?;
        let mut best = 0;
        for (index, probability) in probabilities.iter().enumerate() {
            if *probability > probabilities[best] {
                best = index;
            }
        }
        let labels: Vec<&str> = self.choices.labels().collect();
        let clamped = |probability: &f64| match self.clamp {
            Some([least, largest]) => probability.clamp(least, largest),
            None => *probability,
        };
        let shown: Map<String, Value> = labels
            .iter()
            .zip(&probabilities)
            .map(|(label, probability)| ((*label).to_owned(), clamped(probability).into()))
            .collect();
        let found = Classification {
            classified: labels[best].to_owned(),
            stage: self.stage.to_string(),
            record: record.id.to_string(),
            probability: clamped(&probabilities[best]),
            coverage,
            method: method.to_owned(),
        };
        record.provenance.fields.insert(self.stage.to_string(), json!(found));
        record.set(LABEL, labels[best]);
        record.set(PROBABILITIES, shown);
        record.set(METHOD, method);
        record.set(COVERAGE, coverage);
        llm::set_answered_by_of(record, &self.stage);
        Ok(TransformOutput::Pass)
    }
}

impl Fold {
    /// The mean distribution of the answers that name a choice, and the share of such answers.
    fn mean(&self, answers: &[Value]) -> Result<(Vec<f64>, f64), StageError> {
        let mut sum = vec![0.0; self.choices.len()];
        let (mut named, mut covered) = (0_u32, 0.0);
        for answer in answers {
            let masses = answer["masses"].as_array().map_or(&[][..], Vec::as_slice);
            let masses: Vec<f64> = masses.iter().filter_map(Value::as_f64).collect();
            let mass: f64 = masses.iter().sum();
            covered += mass;
            if mass <= 0.0 {
                continue;
            }
            named += 1;
            sum.iter_mut().zip(&masses).for_each(|(sum, own)| *sum += own / mass);
        }
        if named == 0 {
            let said = answers.first().and_then(|answer| answer["text"].as_str()).unwrap_or_default();
            let message = format!("no answer names one of the choices; the first is `{said}`");
            return Err(StageError::new("no_choice", message));
        }
        sum.iter_mut().for_each(|sum| *sum /= f64::from(named));
        // Rounding may add up to a little more than 1.
        Ok((sum, (covered / answers.len() as f64).min(1.0)))
    }
}
