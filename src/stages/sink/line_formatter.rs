//! The processor of `sink`: formats a record as a line with the same columns as all others.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::column_type::ColumnType;
use super::line::{Line, LineValue};
use super::{MESSAGES, ProvenancePart};
use crate::formats::{self, ConversationTurn, Format, FormatSettings, LineParts};
use crate::journal::ArrayFile;
use crate::record::{ModelCall, Record};
use crate::stage::{self, StageError};

/// The initial capacity of a line.
const LINE: usize = 1024;

/// The value of a column for which a record has no field.
const NULL: LineValue<'static> = LineValue::Made(Value::Null);

/// The processor: formats a record as a line.
pub(super) struct LineFormatter {
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) settings: FormatSettings,
    /// New names of the format's columns.
    pub(super) names: BTreeMap<String, String>,
    /// The types of other columns.
    pub(super) types: BTreeMap<String, ColumnType>,
    pub(super) fields: Vec<String>,
    pub(super) provenance: Vec<ProvenancePart>,
    /// Whether a record's field `messages`, if it exists, is the conversation.
    pub(super) takes_messages: bool,
    /// Fields that every line has, null if a record does not have them.
    pub(super) columns: Vec<String>,
    pub(super) user: String,
    pub(super) assistant: String,
    pub(super) array: Option<ArrayFile>,
}

impl stage::LineSink for LineFormatter {
    fn path(&self) -> &str {
        &self.path
    }

    fn line(&self, record: &Record) -> Result<Vec<u8>, StageError> {
        let conversation = if self.format.is_conversation() { self.turns(record)? } else { Vec::new() };
        let parts = LineParts { record, settings: &self.settings };
        let made = self.format.write(&parts, conversation)?;
        let named = made.into_iter().map(|(column, value)| match self.names.get(&column) {
            Some(name) => (name.clone(), value),
            None => (column, value),
        });
        let mut line: Line<'_> = named.collect::<Map<String, Value>>().into();
        for column in &self.columns {
            line.insert(
                column,
                self.typed(column, record.fields.get(column).map_or(NULL, LineValue::Field))?,
            );
        }
        if self.format == Format::Raw && self.fields.is_empty() {
            // Fields that were not known before the run come after those that every line has.
            for (name, value) in record.fields.iter().filter(|(name, _)| !self.columns.contains(name)) {
                line.insert(name, self.typed(name, LineValue::Field(value))?);
            }
        }
        for field in &self.fields {
            let value = match record.get(field) {
                _ if field == "record_id" => LineValue::Id(&record.id),
                Some(value) => self.typed(field, LineValue::Field(value))?,
                None if field == "id" => LineValue::Id(&record.id),
                None => NULL,
            };
            line.insert(field, value);
        }
        if !self.provenance.is_empty() {
            line.insert("provenance", LineValue::Object(self.known(record)));
        }
        let mut bytes = Vec::with_capacity(LINE);
        serde_json::to_writer(&mut bytes, &line)
            .map_err(|error| StageError::new("json", error.to_string()))?;
        Ok(bytes)
    }

    fn array(&self) -> Option<&ArrayFile> {
        self.array.as_ref()
    }
}

impl LineFormatter {
    /// A value of a column whose type is declared.
    fn typed<'r>(&self, column: &str, value: LineValue<'r>) -> Result<LineValue<'r>, StageError> {
        match (self.types.get(column), value) {
            (Some(kind), LineValue::Field(value)) => kind.of(column, value),
            (_, value) => Ok(value),
        }
    }

    fn turns(&self, record: &Record) -> Result<Vec<ConversationTurn>, StageError> {
        let turns = match record.fields.get(MESSAGES).filter(|_| self.takes_messages) {
            Some(messages) => formats::turns(messages, MESSAGES)?,
            None => {
                let (user, assistant) = (text(record, &self.user)?, text(record, &self.assistant)?);
                vec![formats::turn("user", user), formats::turn("assistant", assistant)]
            }
        };
        Ok(match &self.settings.system {
            Some(system) => formats::with_system(system, turns),
            None => turns,
        })
    }

    fn known<'r>(&self, record: &'r Record) -> Line<'r> {
        // Every line has every key, with a value of one type, even if no model was asked: readers that infer
        // column types from the first lines would fail on a null that becomes a text.
        static NO_CALL: LazyLock<ModelCall> = LazyLock::new(ModelCall::default);
        let call: &ModelCall = record.provenance.calls.last().map_or(&NO_CALL, |call| call);
        let mut known = Line::default();
        let mut put = |name: &'static str, value: LineValue<'r>| known.insert(name, value);
        for kind in &self.provenance {
            match kind {
                ProvenancePart::Draws => put("draws", LineValue::Fields(&record.provenance.draws)),
                ProvenancePart::Model => {
                    put("model", LineValue::Text(&call.model));
                    put("provider", LineValue::Text(&call.provider));
                    put("served_as", LineValue::Text(call.served_as.as_deref().unwrap_or_default()));
                }
                ProvenancePart::PromptHash => put("prompt_hash", LineValue::Text(&call.prompt_hash)),
                ProvenancePart::Params => put("params", LineValue::Fields(&call.params)),
                ProvenancePart::Tokens => {
                    put("prompt_tokens", LineValue::Count(call.prompt_tokens));
                    put("completion_tokens", LineValue::Count(call.completion_tokens));
                    put("cached_tokens", LineValue::Count(call.cached_tokens));
                    put("estimated_tokens", LineValue::Count(call.estimated_tokens));
                }
                ProvenancePart::Answer => {
                    put("finish_reason", LineValue::Text(call.finish_reason.as_deref().unwrap_or_default()));
                    put("re_asks", LineValue::Count(u64::from(call.re_asks)));
                    put("fallback", LineValue::Text(call.fallback.as_deref().unwrap_or_default()));
                }
            }
        }
        known
    }
}

fn text<'a>(record: &'a Record, field: &str) -> Result<&'a str, StageError> {
    record.text(field).ok_or_else(|| StageError::new("fields", format!("field `{field}` is not a text")))
}
