//! Decides in which form each schema is sent to a model: as declared, or weaker after the server refused that.
//!
//! `remote` and `batch` ask before they encode a request and report what a server accepted. The form is remembered per
//! schema, not per model: a server may support the form and refuse one schema for a keyword that it cannot enforce.
//!
//! The words with which servers refuse a schema cannot be listed. So a refusal without another reason is suspected to
//! be one too, as long as no answer in that form has arrived: the request is sent in weaker forms. If that helps, it is
//! remembered once a second request has confirmed it; if it does not, it is not tried again: a fault of one record must
//! not cost the others their schema.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tracing::warn;

use super::answer_json;
use super::answer_schema::AnswerSchema;
use super::classify::{FORMAT, Failure, Verdict};
use super::{Completion, ModelRequest, Usage};
use crate::pipeline::StructuredOutput;

/// The class of an answer that failed the server's own check against the schema.
pub(super) const INVALID_JSON: &str = "json_validate_failed";
/// The number of requests that must succeed only in a weaker form before it is used for all, if the server states no
/// reason.
const CONFIRMATIONS: u32 = 2;

/// The forms in which one model accepts schemas.
pub(super) struct SchemaFallback {
    model: String,
    declared: StructuredOutput,
    known: Mutex<Vec<LearnedSchema>>,
}

/// What is known about one schema.
struct LearnedSchema {
    schema: Arc<Value>,
    form: StructuredOutput,
    /// Whether an answer in this form has arrived.
    answered: bool,
    /// How many requests a weaker form has helped.
    helped: u32,
    /// Whether a request was refused in every form alike, so that the schema is not to blame.
    acquitted: bool,
}

/// Why a failure counts as a refusal of the schema's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SchemaRefusal {
    /// The server says so.
    Explicit,
    /// The server names no other reason.
    Suspected,
}

impl SchemaFallback {
    pub(super) fn new(model: &str, declared: StructuredOutput) -> Self {
        Self { model: model.to_owned(), declared, known: Mutex::default() }
    }

    /// Returns the form in which a request's schema is sent.
    pub(super) fn form_for(&self, request: &ModelRequest) -> StructuredOutput {
        let known = self.known();
        let found = known.iter().find(|known| request.schema.as_ref() == Some(&known.schema));
        found.map_or(self.declared, |known| known.form)
    }

    /// Whether a failure is a refusal of the form in which the request's schema was sent.
    pub(super) fn refusal(
        &self,
        request: &ModelRequest,
        form: StructuredOutput,
        failure: &Failure,
    ) -> Option<SchemaRefusal> {
        let (Some(schema), Some(error), Some(_)) = (&request.schema, &failure.error_body, weaker(form))
        else {
            return None;
        };
        let is_fatal = failure.verdict == Verdict::Fatal;
        let of_server = matches!(&*failure.class, "status_500" | "error_in_200");
        let of_request = matches!(&*failure.class, "status_400" | "status_415" | "status_422" | "status_501");
        if is_fatal || !(of_server || of_request) {
            return None;
        }
        if error.contains_any(FORMAT) {
            return Some(SchemaRefusal::Explicit);
        }
        let known = self.known();
        let known = known.iter().find(|known| known.schema == *schema);
        let is_clear = known.is_some_and(|known| known.answered && known.form == form || known.acquitted);
        (of_request && !is_clear).then_some(SchemaRefusal::Suspected)
    }

    /// Records that a request's schema was accepted in this form; `refused` is why it was not sent as before.
    pub(super) fn note_answer(
        &self,
        request: &ModelRequest,
        form: StructuredOutput,
        refused: Option<SchemaRefusal>,
    ) {
        let Some(schema) = &request.schema else { return };
        let mut list = self.known();
        let known = self.entry(&mut list, schema);
        // A late refusal does not undo what was learned since.
        if steps(form) >= steps(known.form) {
            known.answered |= form == known.form;
            return;
        }
        known.helped += 1;
        let is_sure = refused == Some(SchemaRefusal::Explicit)
            || refused == Some(SchemaRefusal::Suspected) && known.helped >= CONFIRMATIONS && !known.answered;
        if is_sure {
            self.use_weaker(known, form);
        }
    }

    /// Records that the server explicitly refuses a request's schema in any form stronger than this.
    pub(super) fn remember(&self, request: &ModelRequest, form: StructuredOutput) {
        let Some(schema) = &request.schema else { return };
        let mut list = self.known();
        let known = self.entry(&mut list, schema);
        if steps(form) < steps(known.form) {
            self.use_weaker(known, form);
        }
    }

    /// Records that no form helped a request.
    pub(super) fn acquit(&self, request: &ModelRequest) {
        if let Some(schema) = &request.schema {
            self.entry(&mut self.known(), schema).acquitted = true;
        }
    }

    fn use_weaker(&self, known: &mut LearnedSchema, form: StructuredOutput) {
        warn!(model = self.model, from = ?self.declared, to = ?form, "the server refuses `structured_output`");
        (known.form, known.answered) = (form, false);
    }

    fn entry<'a>(&self, list: &'a mut Vec<LearnedSchema>, schema: &Arc<Value>) -> &'a mut LearnedSchema {
        let at = list.iter().position(|known| known.schema == *schema).unwrap_or_else(|| {
            let (schema, form) = (Arc::clone(schema), self.declared);
            list.push(LearnedSchema { schema, form, answered: false, helped: 0, acquitted: false });
            list.len() - 1
        });
        &mut list[at]
    }

    fn known(&self) -> MutexGuard<'_, Vec<LearnedSchema>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the next weaker way to ask for JSON.
pub(super) fn weaker(form: StructuredOutput) -> Option<StructuredOutput> {
    match form {
        // Only vLLM supports these.
        StructuredOutput::StructuredOutputs | StructuredOutput::GuidedJson => {
            Some(StructuredOutput::JsonSchema)
        }
        StructuredOutput::JsonSchema => Some(StructuredOutput::JsonObject),
        StructuredOutput::JsonObject => Some(StructuredOutput::Off),
        StructuredOutput::Off => None,
    }
}

/// Returns the form for a request whose answers failed the server's own check `failures` times: the same once more,
/// then weaker ones.
pub(super) fn after_failures(form: StructuredOutput, failures: u32) -> StructuredOutput {
    let weaker = std::iter::successors(Some(form), |form| weaker(*form));
    weaker.take(failures.max(1) as usize).last().unwrap_or(form)
}

/// Returns how many weaker ways there are.
fn steps(form: StructuredOutput) -> usize {
    std::iter::successors(weaker(form), |form| weaker(*form)).count()
}

/// Returns what the model wrote if the server withheld it as invalid although it conforms to the schema, for example in
/// a code fence.
pub(super) fn salvage(request: &ModelRequest, failure: &Failure) -> Option<Completion> {
    let generated =
        failure.error_body.as_ref()?.generated.as_ref().filter(|_| failure.class == INVALID_JSON)?;
    let found = answer_json::extract(generated).ok().filter(|found| !found.truncated)?;
    let schema = AnswerSchema::new(request.schema.as_ref()?).ok()?;
    schema.check(&found.value).ok()?;
    // Its tokens were already counted with the failed attempt.
    let usage = Usage::of(0, 0);
    Some(Completion { text: generated.clone(), usage, ..Completion::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;
    use serde_json::json;

    use StructuredOutput::{JsonObject, JsonSchema, Off};

    fn asking(schema: Value) -> ModelRequest {
        ModelRequest { schema: Some(schema.into()), ..ModelRequest::default() }
    }

    fn refused(status: u16, message: &str) -> Failure {
        let body = json!({"error": {"message": message}}).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        super::super::classify::response(status, &HeaderMap::new(), body.as_bytes(), "u")
    }

    #[test]
    fn a_form_refused_for_one_schema_is_kept_for_others() {
        let fallback = SchemaFallback::new("m", JsonSchema);
        let (asked, other) = (asking(json!({"contains": 1})), asking(json!({})));
        fallback.note_answer(&asked, JsonObject, Some(SchemaRefusal::Explicit));
        fallback.note_answer(&asked, Off, Some(SchemaRefusal::Explicit));
        fallback.note_answer(&asked, JsonObject, Some(SchemaRefusal::Explicit));
        assert_eq!(fallback.form_for(&asked), Off);
        assert_eq!(fallback.form_for(&other), JsonSchema);
        assert_eq!(fallback.form_for(&ModelRequest::default()), JsonSchema);
    }

    #[test]
    fn refusals_of_a_form_are_recognized_by_phrases_or_suspected() {
        let fallback = SchemaFallback::new("m", JsonSchema);
        let asked = asking(json!({}));
        let check = |status: u16, message: &str, expected: Option<SchemaRefusal>| {
            assert_eq!(
                fallback.refusal(&asked, JsonSchema, &refused(status, message)),
                expected,
                "{message}"
            );
        };
        check(400, "response_format is not supported", Some(SchemaRefusal::Explicit));
        check(400, "Grammar error: Unimplemented keys: contains", Some(SchemaRefusal::Explicit));
        check(400, "Unknown name at 'generation_config.response_schema'", Some(SchemaRefusal::Explicit));
        check(400, "output_config.format.schema: must be explicitly false", Some(SchemaRefusal::Explicit));
        check(500, "Failed to parse grammar", Some(SchemaRefusal::Explicit));
        check(422, "no", Some(SchemaRefusal::Suspected));
        check(500, "no", None);
        check(400, "maximum context length", None);
        check(400, "Model Not Exist", None);
        assert_eq!(fallback.refusal(&asked, Off, &refused(400, "no")), None);
        assert_eq!(fallback.refusal(&ModelRequest::default(), JsonSchema, &refused(400, "no")), None);
        fallback.note_answer(&asked, JsonSchema, None);
        assert_eq!(fallback.refusal(&asked, JsonSchema, &refused(400, "no")), None, "it takes this form");
    }

    #[test]
    fn a_suspicion_needs_two_requests_and_ends_with_one_that_no_form_helped() {
        let asked = asking(json!({}));
        let fallback = SchemaFallback::new("m", JsonSchema);
        fallback.note_answer(&asked, Off, Some(SchemaRefusal::Suspected));
        assert_eq!(fallback.form_for(&asked), JsonSchema);
        fallback.note_answer(&asked, JsonObject, Some(SchemaRefusal::Suspected));
        assert_eq!(fallback.form_for(&asked), JsonObject);
        let fallback = SchemaFallback::new("m", JsonSchema);
        fallback.acquit(&asked);
        assert_eq!(fallback.refusal(&asked, JsonSchema, &refused(400, "no")), None);
    }

    #[test]
    fn answers_that_failed_the_servers_check_are_salvaged_or_asked_for_in_a_weaker_form() {
        let asked = asking(json!({"type": "object", "required": ["a"]}));
        let failure = |generated: &str| {
            let error = json!({"error": {"code": INVALID_JSON, "failed_generation": generated}}).to_string();
            let status = StatusCode::BAD_REQUEST;
            super::super::classify::response(status, &HeaderMap::new(), error.as_bytes(), "u")
        };
        assert_eq!((failure("").verdict, &*failure("").class), (Verdict::Retry, INVALID_JSON));
        let text = "```json\n{\"a\": 1}\n```";
        assert_eq!(salvage(&asked, &failure(text)).unwrap().text, text);
        for broken in ["{\"a\": \"So", "{\"b\": 1}", "So", ""] {
            assert!(salvage(&asked, &failure(broken)).is_none(), "{broken}");
        }
        let forms = [0, 1, 2, 3, 9].map(|failures| after_failures(JsonSchema, failures));
        assert_eq!(forms, [JsonSchema, JsonSchema, JsonObject, Off, Off]);
    }
}
