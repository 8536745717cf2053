//! What a provider says of files and batches, read leniently: providers differ in what they leave out.
//!
//! `api` fetches it, `trip` decides by it. A field that is missing, null or of another type is as if it were
//! not there; without an id nothing can be done, so that is an error.

use serde_json::Value;

use crate::llm::classify::{Failure, Verdict, clean};

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileInfo {
    pub(super) id: String,
    /// When it came, in seconds since 1970 by the provider's clock.
    pub(super) created_at: i64,
}

/// A batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BatchInfo {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) input_file: String,
    pub(super) output_file: Option<String>,
    pub(super) error_file: Option<String>,
    pub(super) created_at: i64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    /// Why it was refused whole.
    pub(super) errors: Vec<LineError>,
}

/// One reason why a batch was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) code: String,
    pub(super) message: String,
    /// The line of the file, from 1 on.
    pub(super) line: Option<u64>,
}

impl FileInfo {
    pub(super) fn read(value: &Value) -> Result<Self, Failure> {
        Ok(Self { id: id(value)?, created_at: time(value) })
    }
}

impl BatchInfo {
    pub(super) fn read(value: &Value) -> Result<Self, Failure> {
        let file = |name: &str| Some(text(value, name)).filter(|id| !id.is_empty());
        let count = |name: &str| {
            let counts = value.get("request_counts");
            counts.and_then(|counts| counts.get(name)).and_then(Value::as_u64).unwrap_or_default()
        };
        let errors = value.pointer("/errors/data").and_then(Value::as_array);
        Ok(Self {
            id: id(value)?,
            status: text(value, "status"),
            input_file: text(value, "input_file_id"),
            output_file: file("output_file_id"),
            error_file: file("error_file_id"),
            created_at: time(value),
            completed: count("completed"),
            failed: count("failed"),
            errors: errors.into_iter().flatten().map(LineError::read).collect(),
        })
    }

    /// Whether the provider is done with it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(&*self.status, "completed" | "failed" | "expired" | "cancelled")
    }

    /// Whether it failed because too many tokens are waiting at the provider already.
    pub(super) fn has_no_room(&self) -> bool {
        self.errors.iter().any(|error| error.code == "token_limit_exceeded")
    }

    /// Why it failed, in words.
    pub(super) fn said(&self) -> String {
        let reason = |error: &LineError| match error.code.is_empty() {
            true => error.message.clone(),
            false => format!("{} (`{}`)", error.message, error.code),
        };
        let reasons: Vec<String> = self.errors.iter().take(3).map(reason).collect();
        match reasons.is_empty() {
            true => format!("the provider refuses the batch `{}` and does not say why", self.id),
            false => format!("the provider refuses the batch `{}`: {}", self.id, reasons.join("; ")),
        }
    }
}

impl LineError {
    fn read(value: &Value) -> Self {
        Self {
            code: clean(&text(value, "code")),
            message: clean(&text(value, "message")),
            line: value.get("line").and_then(Value::as_u64),
        }
    }
}

fn id(value: &Value) -> Result<String, Failure> {
    match text(value, "id") {
        id if id.is_empty() => {
            Err(Failure::new(Verdict::Retry, "not_json", "the provider answered without an id"))
        }
        id => Ok(id),
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn time(value: &Value) -> i64 {
    let time = value.get("created_at");
    time.and_then(|time| time.as_i64().or_else(|| Some(time.as_f64()? as i64))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_or_odd_is_as_if_it_were_not_there() {
        let bare = BatchInfo { id: "b".into(), ..BatchInfo::default() };
        let check = |value: Value| assert_eq!(BatchInfo::read(&value), Ok(bare.clone()), "{value}");
        check(json!({"id": "b"}));
        check(json!({"id": "b", "errors": null, "request_counts": null, "output_file_id": ""}));
        check(json!({"id": "b", "errors": {"data": null}, "created_at": "today", "status": 7}));
        assert_eq!(FileInfo::read(&json!({"id": "f", "created_at": 7.5})).map(|file| file.created_at), Ok(7));
        for value in [json!({}), json!(null), json!({"id": null}), json!([])] {
            assert!(BatchInfo::read(&value).is_err() && FileInfo::read(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_refusal_is_told_with_its_reasons() {
        let error = json!({"code": "model_not_found", "message": "no such model", "line": null});
        let info = BatchInfo::read(&json!({"id": "b", "errors": {"data": [error]}})).unwrap();
        assert_eq!(info.said(), "the provider refuses the batch `b`: no such model (`model_not_found`)");
        let info = BatchInfo::read(&json!({"id": "b"})).unwrap();
        assert_eq!(info.said(), "the provider refuses the batch `b` and does not say why");
    }
}
