//! A record: the JSON object that flows through a pipeline, with an id that says where it comes from.
//!
//! Stages read and write its fields. The engine assigns ids, never a stage: `engine::admission` numbers the items,
//! `engine::execute` adds a branch for each child, and `engine::block` one for each pass and element. The provenance
//! of a record (model calls, draws) is stored next to its fields and ends in `provenance/`.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

/// A record: named fields, an id, and its provenance.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The item's number and the branches taken since.
    pub id: RecordId,
    /// The named fields that stages read and write.
    pub fields: Map<String, Value>,
    /// Model calls and draws so far; shared by the children of a fan-out.
    pub provenance: Provenance,
}

impl Record {
    /// A record with these fields and no id yet.
    #[must_use]
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { fields, ..Self::default() }
    }

    /// Returns the field `name`; for a dotted name such as `section.title`, the field inside it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.fields.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let mut value = self.fields.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
    }

    /// Returns the field `name` if it is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Sets the field `name`, replacing its value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }
}

/// The item's number and the branches taken since, printed as `000042.cot_expand-2`.
///
/// Contains no clock, no random number and no order of arrival, so that the same pipeline makes the same ids at any
/// concurrency.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The item's position in the order of the source part, from 0.
    pub item: u64,
    /// The branches taken since admission, outermost first.
    pub path: Vec<Branch>,
}

/// One branch: the stage that split the record, and the index of the child or the number of the pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Branch {
    /// The id of the stage that split the record.
    pub stage: Arc<str>,
    /// The child's index, from 0; in a `repeat` the number of the pass, 0 for the record as it entered.
    pub index: u32,
    /// Whether it is a pass.
    pub is_pass: bool,
}

impl RecordId {
    /// The id of an item's first record.
    #[must_use]
    pub fn item(item: u64) -> Self {
        Self { item, path: Vec::new() }
    }

    /// The id of child `index` of this record in `stage`.
    #[must_use]
    pub fn child(&self, stage: &Arc<str>, index: u32) -> Self {
        self.branch(stage, index, false)
    }

    /// The id of this record in a pass of the `repeat` with the id `stage`.
    #[must_use]
    pub fn pass(&self, stage: &Arc<str>, pass: u32) -> Self {
        self.branch(stage, pass, true)
    }

    fn branch(&self, stage: &Arc<str>, index: u32, is_pass: bool) -> Self {
        let mut path = Vec::with_capacity(self.path.len() + 1);
        path.extend_from_slice(&self.path);
        path.push(Branch { stage: Arc::clone(stage), index, is_pass });
        Self { item: self.item, path }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.item)?;
        for branch in &self.path {
            write!(f, ".{}-{}", branch.stage, branch.index)?;
        }
        Ok(())
    }
}

impl Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a record was made, for `provenance/`.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// One entry for each `llm` stage the record went through, in order.
    pub calls: Vec<Arc<ModelCall>>,
    /// Values drawn at random for this record, by stage id.
    pub draws: Map<String, Value>,
    /// Passes and elements of blocks that failed and were skipped.
    pub skipped: Vec<Skipped>,
    /// Fields that do not belong in the data, such as the evidence for an answer; those of the collected elements of
    /// a block are named `NAME-INDEX/FIELD`.
    pub fields: Map<String, Value>,
}

/// A pass or an element of a block that failed and was skipped.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// The id of its record.
    pub id: RecordId,
    /// The stage that failed; `None` if the record was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Arc<str>>,
    /// The class of the error, or the reason why the record was dropped.
    pub class: String,
    /// What went wrong; `None` if the record was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What one `llm` stage did for one record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelCall {
    /// The id of the `llm` stage; inside a block its path.
    pub stage: Arc<str>,
    /// The id that the record had inside a block, with its pass or element; `None` outside of blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_as: Option<String>,
    /// The model's name as the pipeline declares it.
    pub model: Arc<str>,
    /// The model's name at the server; `None` if the heuristic answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_as: Option<Arc<str>>,
    /// The provider that answered; `heuristic` after a fallback.
    pub provider: String,
    /// BLAKE3 of the rendered messages, 32 hex digits.
    pub prompt_hash: String,
    /// The sampling parameters sent.
    pub params: Arc<Map<String, Value>>,
    /// Tokens read by the model, over all requests of this call.
    pub prompt_tokens: u64,
    /// Tokens written by the model, over all requests of this call.
    pub completion_tokens: u64,
    /// The part of the tokens read that the server reports as cached.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// The part of all these tokens that is estimated, because the server did not report usage.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated_tokens: u64,
    /// Why the model stopped, as the server reports it (`stop`, `length`, ...).
    pub finish_reason: Option<String>,
    /// HTTP attempts, over all requests of this call.
    pub attempts: u32,
    /// The number of re-asks because an answer was invalid.
    pub re_asks: u32,
    /// Why the heuristic answered in place of the model, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// The name of the model that answered, if the server reports one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_as: Option<Arc<str>>,
    /// The complete prompt and answer, stored for a few records of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Box<Exchange>>,
}

/// One prompt and its answer, for reading.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Exchange {
    /// The draw from 0 to 1 that selected it. The exchanges with the lowest draws are a fair sample of all records.
    pub draw: f64,
    /// The messages of the question, without those of re-asks.
    pub messages: Value,
    /// The last answer, if there was one.
    pub answer: Option<String>,
}

impl Exchange {
    /// The number of first items whose exchanges are all kept; of later items ever fewer are.
    const FIRST: f64 = 16.0;

    /// Whether a record's exchange is kept, for a `draw` that depends on its item alone.
    ///
    /// Of `n` items about `16 · (1 + ln(n / 16))` are kept, and the sixteen with the lowest draws are always among them.
    /// Of the children of an item only the first is kept; of passes all are.
    #[must_use]
    pub fn is_kept(id: &RecordId, draw: f64) -> bool {
        draw < Self::FIRST / (id.item as f64 + 1.0)
            && id.path.iter().all(|branch| branch.is_pass || branch.index == 0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_item_and_branches() {
        let stage: Arc<str> = "cot_expand".into();
        let id = RecordId::item(42).child(&stage, 2).child(&"x".into(), 0);
        assert_eq!(id.to_string(), "000042.cot_expand-2.x-0");
    }

    #[test]
    fn dotted_names_reach_inside() {
        let mut record = Record::default();
        record.set("section", serde_json::json!({"title": "Setup"}));
        assert_eq!(record.text("section.title"), Some("Setup"));
        assert_eq!(record.get("section.none"), None);
    }

    #[test]
    fn exchanges_that_are_kept_are_few_and_hold_the_lowest_draws() {
        let draws = crate::draw::Draws::new(1, "llm".into());
        let draw = |item: u64| draws.fraction("exchange", &item.to_string());
        let kept: Vec<u64> =
            (0..20_000).filter(|item| Exchange::is_kept(&RecordId::item(*item), draw(*item))).collect();
        assert!((60..220).contains(&kept.len()), "{} of 20000", kept.len());
        assert_eq!(kept[..16], (0..16).collect::<Vec<u64>>());
        let mut all: Vec<u64> = (0..20_000).collect();
        all.sort_by(|a, b| draw(*a).total_cmp(&draw(*b)));
        assert!(all[..3].iter().all(|item| kept.contains(item)), "{:?}", &all[..3]);
        let id = RecordId::item(0);
        assert!(Exchange::is_kept(&id.child(&"a".into(), 0), 0.5));
        assert!(!Exchange::is_kept(&id.child(&"a".into(), 1), 0.5));
        assert!(Exchange::is_kept(&id.pass(&"a".into(), 3), 0.5));
    }
}
