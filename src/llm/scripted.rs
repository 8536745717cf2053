//! A model that answers with a function, in this process, for tests and benchmarks.
//!
//! It takes the place of `Remote`; there is no HTTP, so no retry: each reply is final. It counts the questions, so that
//! a test can check what was asked and how often. Users have `mock`, which the pipeline file scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::slot;
use super::{Completion, Model, ModelError, ModelErrorKind, ModelRequest, Usage};
use crate::record::Record;

/// The reply to one question.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer with this text.
    Text(String),
    /// A whole completion.
    Completion(Box<Completion>),
    /// A final failure.
    Error(ModelError),
    /// Another reply, after a delay on tokio's clock.
    After(Duration, Box<Reply>),
    /// A refusal, after which the question waits this long without its slot; then another reply.
    Refused(Duration, Box<Reply>),
    /// No reply: the question stays open until it is dropped.
    Never,
}

impl Reply {
    /// Creates an answer with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Creates a failure of one record.
    pub fn error(class: &str, message: &str) -> Self {
        Self::failure(ModelErrorKind::Record, class, message)
    }

    /// Creates a failure that stops the run.
    pub fn fatal(class: &str, message: &str) -> Self {
        Self::failure(ModelErrorKind::Fatal, class, message)
    }

    /// Delays the reply.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::After(wait, Box::new(self))
    }

    /// Refuses the question first, and replies after it has waited this long for a retry.
    #[must_use]
    pub fn refused_for(self, wait: Duration) -> Self {
        Self::Refused(wait, Box::new(self))
    }

    fn failure(kind: ModelErrorKind, class: &str, message: &str) -> Self {
        let (class, message) = (class.to_owned(), message.to_owned());
        Self::Error(ModelError { kind, class, message, attempts: 1 })
    }
}

/// One question, as an answering function sees it.
#[derive(Debug, Clone, Copy)]
pub struct ScriptedQuestion<'a> {
    /// The text of the last message.
    pub prompt: &'a str,
    /// The whole request.
    pub request: &'a ModelRequest,
    /// The record that it was made from.
    pub record: &'a Record,
    /// How often the same prompt was asked before.
    pub before: u64,
}

/// A model that answers with a function or by rules.
pub struct Scripted {
    answer: Box<dyn Fn(ScriptedQuestion<'_>) -> Reply + Send + Sync>,
    asked: Mutex<BTreeMap<String, u64>>,
}

impl Scripted {
    /// Creates a model that answers each question with `answer`.
    pub fn new(answer: impl Fn(ScriptedQuestion<'_>) -> Reply + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(answer), asked: Mutex::default() }
    }

    /// Creates a model that replies by the first rule whose text is in the last message; a prompt that matches none
    /// fails with class `no_rule`.
    #[must_use]
    pub fn rules(rules: Vec<(String, Reply)>) -> Self {
        Self::new(move |question| {
            let fits = |rule: &&(String, Reply)| question.prompt.contains(&rule.0);
            match rules.iter().find(fits) {
                Some((_, reply)) => reply.clone(),
                None => Reply::error("no_rule", "no rule fits the question"),
            }
        })
    }

    /// Returns how often each prompt (the text of the last message) was asked.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<String, u64> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the total number of questions.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Counts a question with this prompt, and returns how many there were before.
    fn note(&self, prompt: &str) -> u64 {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.get_mut(prompt) {
            Some(count) => {
                *count += 1;
                *count - 1
            }
            None => {
                asked.insert(prompt.to_owned(), 1);
                0
            }
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Model for Scripted {
    fn provider(&self) -> &'static str {
        "scripted"
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        async move {
            let prompt = request.messages.last().map_or("", |message| message.content.as_str());
            if !(request.is_allowed().await && request.begin().await) {
                return Err(no_budget());
            }
            let before = self.note(prompt);
            let mut reply = (self.answer)(ScriptedQuestion { prompt, request, record, before });
            loop {
                reply = match reply {
                    Reply::Text(text) => return Ok(completion(request, text)),
                    Reply::Completion(completion) => return Ok(*completion),
                    Reply::Error(error) => {
                        request.failed(None);
                        return Err(error);
                    }
                    Reply::Never => std::future::pending().await,
                    Reply::After(wait, then) => {
                        tokio::time::sleep(wait).await;
                        *then
                    }
                    Reply::Refused(wait, then) => {
                        request.failed(None);
                        slot::without_slot(request.slot.as_deref(), tokio::time::sleep(wait)).await;
                        if !(request.is_allowed().await && request.begin().await) {
                            return Err(no_budget());
                        }
                        *then
                    }
                }
            }
        }
        .boxed()
    }
}

fn no_budget() -> ModelError {
    let message = "the budget has no room".to_owned();
    ModelError { kind: ModelErrorKind::Record, class: "budget".to_owned(), message, attempts: 0 }
}

/// Creates a completion of `text`, with words counted as tokens.
fn completion(request: &ModelRequest, text: String) -> Completion {
    let words = |text: &str| text.split_whitespace().count() as u64;
    let prompt = request.messages.iter().map(|message| words(&message.content)).sum();
    let usage = Usage::of(prompt, words(&text));
    Completion {
        text,
        reasoning: None,
        finish_reason: Some("stop".to_owned()),
        usage,
        attempts: 1,
        ..Completion::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Message;

    async fn ask(model: &Scripted, prompt: &str) -> Result<String, String> {
        let messages = vec![Message::new("user", prompt)];
        let request = ModelRequest { messages, ..ModelRequest::default() };
        let answer = model.complete(&request, &Record::default()).await;
        answer.map(|completion| completion.text).map_err(|error| error.class)
    }

    #[tokio::test(start_paused = true)]
    async fn rules_answer_and_questions_are_counted() {
        let model = Scripted::rules(vec![
            ("river".to_owned(), Reply::text("Rhine").after(Duration::from_secs(3600))),
            ("".to_owned(), Reply::fatal("quota", "none left")),
        ]);
        assert_eq!(ask(&model, "Name a river.").await.as_deref(), Ok("Rhine"));
        assert_eq!(ask(&model, "Name a river.").await.as_deref(), Ok("Rhine"));
        assert_eq!(ask(&model, "Name a hill.").await, Err("quota".to_owned()));
        assert_eq!((model.asked()["Name a river."], model.questions()), (2, 3));
    }

    #[tokio::test]
    async fn a_function_sees_how_often_it_was_asked() {
        let model = Scripted::new(|question| match question.before {
            0 => Reply::error("timeout", "too slow"),
            n => Reply::text(format!("{} {n}", question.prompt)),
        });
        assert_eq!(ask(&model, "x").await, Err("timeout".to_owned()));
        assert_eq!(ask(&model, "x").await.as_deref(), Ok("x 1"));
    }
}
