//! In which form each schema is sent to a model: as declared, or weaker since the server refused that.
//!
//! `remote` and `batch` ask before they word a question and tell what a server took. Remembered by schema,
//! not by model: a server may know the form and refuse one schema for a word that it cannot enforce.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tracing::warn;

use super::ModelRequest;
use crate::config::StructuredOutput;

/// The forms of one model.
pub(super) struct Forms {
    model: String,
    declared: StructuredOutput,
    weaker: Mutex<Vec<(Arc<Value>, StructuredOutput)>>,
}

impl Forms {
    pub(super) fn new(model: &str, declared: StructuredOutput) -> Self {
        Self { model: model.to_owned(), declared, weaker: Mutex::default() }
    }

    /// The form for the schema of a request.
    pub(super) fn of(&self, request: &ModelRequest) -> StructuredOutput {
        let weaker = self.weaker.lock().unwrap_or_else(PoisonError::into_inner);
        let found = weaker.iter().find(|(schema, _)| request.schema.as_ref() == Some(schema));
        found.map_or(self.declared, |(_, form)| *form)
    }

    /// Remembers what the schema of a request is to be sent as from now on.
    pub(super) fn remember(&self, request: &ModelRequest, form: StructuredOutput) {
        let Some(schema) = &request.schema else { return };
        let mut weaker = self.weaker.lock().unwrap_or_else(PoisonError::into_inner);
        let known = weaker.iter().position(|(known, _)| known == schema);
        // A refusal that comes late does not undo what was learnt since.
        if known.is_none_or(|at| steps(weaker[at].1) > steps(form)) {
            warn!(
                model = self.model, from = ?self.declared, to = ?form,
                "the server refuses `structured_output`"
            );
            known.map(|at| weaker.swap_remove(at));
            weaker.push((Arc::clone(schema), form));
        }
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

/// How many weaker ways there are.
fn steps(form: StructuredOutput) -> usize {
    std::iter::successors(weaker(form), |form| weaker(*form)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_refused_for_one_schema_is_kept_for_others() {
        let asking = |schema: Value| ModelRequest { schema: Some(schema.into()), ..ModelRequest::default() };
        let forms = Forms::new("m", StructuredOutput::JsonSchema);
        let (refused, other) = (asking(json!({"contains": 1})), asking(json!({})));
        forms.remember(&refused, StructuredOutput::JsonObject);
        forms.remember(&refused, StructuredOutput::Off);
        forms.remember(&refused, StructuredOutput::JsonObject);
        assert_eq!(forms.of(&refused), StructuredOutput::Off);
        assert_eq!(forms.of(&other), StructuredOutput::JsonSchema);
        assert_eq!(forms.of(&ModelRequest::default()), StructuredOutput::JsonSchema);
    }
}
