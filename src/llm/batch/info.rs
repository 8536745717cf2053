//! The provider's descriptions of files and batches, parsed leniently since providers omit different fields.
//!
//! `api` fetches them, `job` acts on them. A field that is null or of another type counts as missing; a missing id is
//! an error.

use serde_json::Value;

use crate::llm::classify::{Failure, Verdict, clean};

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileInfo {
    pub(super) id: String,
    /// When it was created, in seconds since 1970 by the provider's clock.
    pub(super) created_at: i64,
}

/// A batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BatchInfo {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) input_file: String,
    /// The file that it was created from, as we labelled it in the metadata.
    pub(super) tag: String,
    pub(super) output_file: Option<String>,
    pub(super) error_file: Option<String>,
    pub(super) created_at: i64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    /// Why it was refused as a whole.
    pub(super) errors: Vec<LineError>,
}

/// One reason why a batch was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) code: String,
    pub(super) message: String,
    /// The line of the file, from 1.
    pub(super) line: Option<u64>,
}

impl FileInfo {
    pub(super) fn read(value: &Value) -> Result<Self, Failure> {
        Ok(Self { id: id(value)?, created_at: time(value) })
    }
}

impl BatchInfo {
    pub(super) fn read(value: &Value) -> Result<Self, Failure> {
        // Some providers wrap it when it was just created.
        let value = value.get("job").filter(|job| job.is_object()).unwrap_or(value);
        let file = |name: &str| Some(text(value, name)).filter(|id| !id.is_empty());
        let count = |name: &str| {
            let counts = value.get("request_counts");
            counts.and_then(|counts| counts.get(name)).and_then(Value::as_u64).unwrap_or_default()
        };
        let errors = value.pointer("/errors/data").and_then(Value::as_array);
        Ok(Self {
            id: id(value)?,
            status: status(value),
            input_file: text(value, "input_file_id"),
            tag: value.pointer(TAG).and_then(Value::as_str).unwrap_or_default().to_owned(),
            output_file: file("output_file_id"),
            error_file: file("error_file_id"),
            created_at: time(value),
            completed: count("completed"),
            failed: count("failed"),
            errors: errors.into_iter().flatten().map(LineError::read).collect(),
        })
    }

    /// Whether its status is a known one.
    pub(super) fn is_known(&self) -> bool {
        let under_way = [
            "validating",
            "in_progress",
            "finalizing",
            "cancelling",
            "queued",
            "pending",
            "running",
            "created",
        ];
        self.has_ended() || under_way.contains(&&*self.status)
    }

    /// Whether the provider has finished it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(&*self.status, "completed" | "failed" | "expired" | "cancelled")
    }

    /// Whether it failed because the provider's queue is full.
    pub(super) fn has_no_room(&self) -> bool {
        self.errors.iter().any(|error| {
            error.code == "token_limit_exceeded" || error.message.to_lowercase().contains("enqueued")
        })
    }

    /// Whether it was created from this file.
    pub(super) fn is_of(&self, file: &FileInfo) -> bool {
        let named = self.input_file == file.id || self.tag == file.id;
        // One that failed because the queue was full is followed by another from the same file.
        named && self.status != "failed"
    }

    /// Whether results with this many answers are fewer than it claims to have.
    pub(super) fn lacks(&self, answers: u64) -> bool {
        answers < self.completed || (self.completed > 0 && self.output_file.is_none())
    }

    /// Describes why it failed.
    pub(super) fn failure_reason(&self) -> String {
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

/// The class of a reply without an id.
pub(super) const NO_ID: &str = "no_id";
/// The position of our label in a batch's metadata.
const TAG: &str = "/metadata/synthmill";

/// Returns the status in OpenAI's terms.
fn status(value: &Value) -> String {
    let status = text(value, "status").to_lowercase();
    match &*status {
        "complete" | "succeeded" => "completed".to_owned(),
        "error" => "failed".to_owned(),
        "canceled" => "cancelled".to_owned(),
        _ => status,
    }
}

fn id(value: &Value) -> Result<String, Failure> {
    match text(value, "id") {
        id if id.is_empty() => {
            let message = "the provider answered without an id; is this OpenAI's batch API?";
            Err(Failure::new(Verdict::Fatal, NO_ID, message))
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
    fn odd_fields_count_as_missing() {
        let bare = BatchInfo { id: "b".into(), ..BatchInfo::default() };
        let check = |value: Value| assert_eq!(BatchInfo::read(&value), Ok(bare.clone()), "{value}");
        check(json!({"id": "b"}));
        check(json!({"id": "b", "errors": null, "request_counts": null, "output_file_id": ""}));
        check(json!({"id": "b", "errors": {"data": null}, "created_at": "today", "status": 7}));
        check(json!({"job": {"id": "b"}}));
        for (said, read) in [("COMPLETED", "completed"), ("canceled", "cancelled"), ("odd", "odd")] {
            assert_eq!(BatchInfo::read(&json!({"id": "b", "status": said})).unwrap().status, read);
        }
        assert_eq!(FileInfo::read(&json!({"id": "f", "created_at": 7.5})).map(|file| file.created_at), Ok(7));
        for value in [json!({}), json!(null), json!({"id": null}), json!([])] {
            assert!(BatchInfo::read(&value).is_err() && FileInfo::read(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_batch_is_identified_by_its_file_unless_it_failed() {
        let file = FileInfo { id: "f".into(), created_at: 0 };
        let check = |value: Value, expected: bool| {
            assert_eq!(BatchInfo::read(&value).unwrap().is_of(&file), expected, "{value}");
        };
        check(json!({"id": "b", "input_file_id": "f"}), true);
        check(json!({"id": "b", "input_file_id": "renamed", "metadata": {"synthmill": "f"}}), true);
        check(json!({"id": "b", "input_file_id": "g", "metadata": null}), false);
        check(json!({"id": "b", "input_file_id": "f", "status": "failed"}), false);
    }

    #[test]
    fn results_may_lag_behind_their_batch() {
        let check = |output: Value, completed: u64, answers: u64, expected: bool| {
            let counts = json!({"completed": completed});
            let value = json!({"id": "b", "output_file_id": output, "request_counts": counts});
            assert_eq!(BatchInfo::read(&value).unwrap().lacks(answers), expected, "{value} {answers}");
        };
        check(json!("f"), 3, 3, false);
        check(json!("f"), 3, 2, true);
        check(json!(null), 3, 0, true);
        check(json!(null), 0, 0, false);
    }

    #[test]
    fn a_refusal_is_reported_with_its_reasons() {
        let error = json!({"code": "model_not_found", "message": "no such model", "line": null});
        let info = BatchInfo::read(&json!({"id": "b", "errors": {"data": [error]}})).unwrap();
        assert_eq!(
            info.failure_reason(),
            "the provider refuses the batch `b`: no such model (`model_not_found`)"
        );
        let info = BatchInfo::read(&json!({"id": "b"})).unwrap();
        assert_eq!(info.failure_reason(), "the provider refuses the batch `b` and does not say why");
    }
}
