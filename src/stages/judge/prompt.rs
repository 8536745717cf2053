//! The prompt of a question to the judge: the built-in one, or the user's own.

use serde_json::{Map, Value};

use super::{JUDGING, JudgeMode};
use crate::llm::{Completion, Message, ModelRequest};
use crate::record::Record;
use crate::stage::{Ask, StageError};
use crate::template::Template;

/// The field of the answer's text while a question is asked.
pub(super) const ANSWER: &str = "judging_answer";

/// The built-in system message.
pub(super) const SYSTEM: &str = include_str!("prompts/system.j2");

/// The built-in user message.
pub(super) fn of_mode(mode: JudgeMode) -> &'static str {
    match mode {
        JudgeMode::Rate => include_str!("prompts/rate.j2"),
        JudgeMode::Pairwise => include_str!("prompts/pairwise.j2"),
    }
}

pub(super) struct JudgePrompt {
    pub(super) model: String,
    pub(super) system: Template,
    pub(super) user: Template,
    pub(super) params: Map<String, Value>,
}

impl Ask for JudgePrompt {
    fn model(&self) -> &str {
        &self.model
    }

    fn request(&self, record: &Record) -> Result<ModelRequest, StageError> {
        debug_assert!(record.fields.contains_key(JUDGING), "a question is asked as an element");
        let mut messages = Vec::new();
        for (role, template) in [("system", &self.system), ("user", &self.user)] {
            let text = template.render(record)?;
            if !text.trim().is_empty() {
                messages.push(Message::new(role, text.trim()));
            }
        }
        Ok(ModelRequest { messages, params: self.params.clone(), ..ModelRequest::default() })
    }

    fn accept(&self, record: &mut Record, completion: &Completion, _answered_by: &str) {
        record.set(ANSWER, completion.text.as_str());
    }
}
