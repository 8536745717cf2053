//! In which form each schema is sent to a model: as declared, or weaker since the server refused that.
//!
//! `remote` and `batch` ask before they word a question and tell what a server took. Remembered by schema,
//! not by model: a server may know the form and refuse one schema for a word that it cannot enforce.
//!
//! Servers refuse a schema in words that nobody can list. So a refusal without other reason is doubted too, while no
//! answer with that form has come: the question is put in weaker forms. What that shows is remembered once a second
//! question has shown it, and not looked for again once it has shown nothing: a record's own fault must not cost the
//! others their schema.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tracing::warn;

use super::answer_json;
use super::answer_schema::AnswerSchema;
use super::classify::{FORMAT, Failure, Verdict};
use super::{Completion, ModelRequest, Usage};
use crate::pipeline::StructuredOutput;

/// The class of an answer that failed the server's own check against the schema.
pub(super) const NO_JSON: &str = "json_validate_failed";
/// Questions that a weaker form must have helped before it is used for all, where the server does not say why.
const WITNESSES: u32 = 2;

/// The forms of one model.
pub(super) struct SchemaFallback {
    model: String,
    declared: StructuredOutput,
    known: Mutex<Vec<Known>>,
}

/// What is known of one schema.
struct Known {
    schema: Arc<Value>,
    form: StructuredOutput,
    /// Whether an answer in this form has come.
    answered: bool,
    /// How many questions a weaker form has helped.
    helped: u32,
    /// Whether a question was refused in every form alike: the schema is not to blame.
    acquitted: bool,
}

/// Why a form is thought to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SchemaRefusal {
    /// The server says so.
    Explicit,
    /// It does not say what else.
    Suspected,
}

impl SchemaFallback {
    pub(super) fn new(model: &str, declared: StructuredOutput) -> Self {
        Self { model: model.to_owned(), declared, known: Mutex::default() }
    }

    /// The form for the schema of a request.
    pub(super) fn of(&self, request: &ModelRequest) -> StructuredOutput {
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
        let (Some(schema), Some(said), Some(_)) = (&request.schema, &failure.said, weaker(form)) else {
            return None;
        };
        let is_fatal = failure.verdict == Verdict::Fatal;
        let of_server = matches!(&*failure.class, "status_500" | "error_in_200");
        let of_request = matches!(&*failure.class, "status_400" | "status_415" | "status_422" | "status_501");
        if is_fatal || !(of_server || of_request) {
            return None;
        }
        if said.any(FORMAT) {
            return Some(SchemaRefusal::Explicit);
        }
        let known = self.known();
        let known = known.iter().find(|known| known.schema == *schema);
        let is_clear = known.is_some_and(|known| known.answered && known.form == form || known.acquitted);
        (of_request && !is_clear).then_some(SchemaRefusal::Suspected)
    }

    /// Remembers that the schema of a request was taken in this form; `refused` is why it was not sent as before.
    pub(super) fn note_answer(
        &self,
        request: &ModelRequest,
        form: StructuredOutput,
        refused: Option<SchemaRefusal>,
    ) {
        let Some(schema) = &request.schema else { return };
        let mut list = self.known();
        let known = self.entry(&mut list, schema);
        // A refusal that comes late does not undo what was learnt since.
        if steps(form) >= steps(known.form) {
            known.answered |= form == known.form;
            return;
        }
        known.helped += 1;
        let is_sure = refused == Some(SchemaRefusal::Explicit)
            || refused == Some(SchemaRefusal::Suspected) && known.helped >= WITNESSES && !known.answered;
        if is_sure {
            self.use_weaker(known, form);
        }
    }

    /// Remembers that the server says it does not take the schema of a request in a form stronger than this.
    pub(super) fn remember(&self, request: &ModelRequest, form: StructuredOutput) {
        let Some(schema) = &request.schema else { return };
        let mut list = self.known();
        let known = self.entry(&mut list, schema);
        if steps(form) < steps(known.form) {
            self.use_weaker(known, form);
        }
    }

    /// Remembers that no form helped a question.
    pub(super) fn acquit(&self, request: &ModelRequest) {
        if let Some(schema) = &request.schema {
            self.entry(&mut self.known(), schema).acquitted = true;
        }
    }

    fn use_weaker(&self, known: &mut Known, form: StructuredOutput) {
        warn!(model = self.model, from = ?self.declared, to = ?form, "the server refuses `structured_output`");
        (known.form, known.answered) = (form, false);
    }

    fn entry<'a>(&self, list: &'a mut Vec<Known>, schema: &Arc<Value>) -> &'a mut Known {
        let at = list.iter().position(|known| known.schema == *schema).unwrap_or_else(|| {
            let (schema, form) = (Arc::clone(schema), self.declared);
            list.push(Known { schema, form, answered: false, helped: 0, acquitted: false });
            list.len() - 1
        });
        &mut list[at]
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next weaker way to ask for JSON.
pub(super) fn weaker(form: StructuredOutput) -> Option<StructuredOutput> {
    match form {
        // No server has these but vLLM.
        StructuredOutput::StructuredOutputs | StructuredOutput::GuidedJson => {
            Some(StructuredOutput::JsonSchema)
        }
        StructuredOutput::JsonSchema => Some(StructuredOutput::JsonObject),
        StructuredOutput::JsonObject => Some(StructuredOutput::Off),
        StructuredOutput::Off => None,
    }
}

/// The form for a question whose answers failed the server's check so often: the same once more, then weaker.
pub(super) fn after_failures(form: StructuredOutput, failures: u32) -> StructuredOutput {
    let weaker = std::iter::successors(Some(form), |form| weaker(*form));
    weaker.take(failures.max(1) as usize).last().unwrap_or(form)
}

/// How many weaker ways there are.
fn steps(form: StructuredOutput) -> usize {
    std::iter::successors(weaker(form), |form| weaker(*form)).count()
}

/// What the model wrote, where the server refused to give it out and it meets the schema all the same: in a fence,
/// say.
pub(super) fn mended(request: &ModelRequest, failure: &Failure) -> Option<Completion> {
    let generated = failure.said.as_ref()?.generated.as_ref().filter(|_| failure.class == NO_JSON)?;
    let found = answer_json::extract(generated).ok().filter(|found| !found.cut)?;
    let schema = AnswerSchema::new(request.schema.as_ref()?).ok()?;
    schema.check(&found.value).ok()?;
    // It is paid for as the failed attempt that it was.
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
    fn what_is_refused_for_one_schema_is_kept_for_others() {
        let forms = SchemaFallback::new("m", JsonSchema);
        let (asked, other) = (asking(json!({"contains": 1})), asking(json!({})));
        forms.note_answer(&asked, JsonObject, Some(SchemaRefusal::Explicit));
        forms.note_answer(&asked, Off, Some(SchemaRefusal::Explicit));
        forms.note_answer(&asked, JsonObject, Some(SchemaRefusal::Explicit));
        assert_eq!(forms.of(&asked), Off);
        assert_eq!(forms.of(&other), JsonSchema);
        assert_eq!(forms.of(&ModelRequest::default()), JsonSchema);
    }

    #[test]
    fn refusals_of_a_form_are_known_by_words_and_by_doubt() {
        let forms = SchemaFallback::new("m", JsonSchema);
        let asked = asking(json!({}));
        let check = |status: u16, message: &str, expected: Option<SchemaRefusal>| {
            assert_eq!(forms.refusal(&asked, JsonSchema, &refused(status, message)), expected, "{message}");
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
        assert_eq!(forms.refusal(&asked, Off, &refused(400, "no")), None);
        assert_eq!(forms.refusal(&ModelRequest::default(), JsonSchema, &refused(400, "no")), None);
        forms.note_answer(&asked, JsonSchema, None);
        assert_eq!(forms.refusal(&asked, JsonSchema, &refused(400, "no")), None, "it takes this form");
    }

    #[test]
    fn doubt_needs_two_questions_and_ends_with_one_that_no_form_helped() {
        let asked = asking(json!({}));
        let forms = SchemaFallback::new("m", JsonSchema);
        forms.note_answer(&asked, Off, Some(SchemaRefusal::Suspected));
        assert_eq!(forms.of(&asked), JsonSchema);
        forms.note_answer(&asked, JsonObject, Some(SchemaRefusal::Suspected));
        assert_eq!(forms.of(&asked), JsonObject);
        let forms = SchemaFallback::new("m", JsonSchema);
        forms.acquit(&asked);
        assert_eq!(forms.refusal(&asked, JsonSchema, &refused(400, "no")), None);
    }

    #[test]
    fn answers_that_failed_the_servers_check_are_mended_or_asked_for_otherwise() {
        let asked = asking(json!({"type": "object", "required": ["a"]}));
        let failure = |generated: &str| {
            let error = json!({"error": {"code": NO_JSON, "failed_generation": generated}}).to_string();
            let status = StatusCode::BAD_REQUEST;
            super::super::classify::response(status, &HeaderMap::new(), error.as_bytes(), "u")
        };
        assert_eq!((failure("").verdict, &*failure("").class), (Verdict::Retry, NO_JSON));
        let text = "```json\n{\"a\": 1}\n```";
        assert_eq!(mended(&asked, &failure(text)).unwrap().text, text);
        for broken in ["{\"a\": \"So", "{\"b\": 1}", "So", ""] {
            assert!(mended(&asked, &failure(broken)).is_none(), "{broken}");
        }
        let forms = [0, 1, 2, 3, 9].map(|failures| after_failures(JsonSchema, failures));
        assert_eq!(forms, [JsonSchema, JsonSchema, JsonObject, Off, Off]);
    }
}
