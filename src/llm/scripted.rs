//! A model that answers by a function, in this process, for tests and benchmarks.
//!
//! It stands where `Remote` would; there is no HTTP, so no retry: each reply is final. It counts the
//! questions, so that a test can say what was asked and how often. Users have `mock`, which the pipeline
//! file scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::slot;
use super::{Completion, Model, ModelError, ModelErrorKind, ModelRequest, Usage};
use crate::record::Record;

/// What comes back for one question.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer of this text.
    Text(String),
    /// A whole completion.
    Completion(Box<Completion>),
    /// A final failure.
    Error(ModelError),
    /// Another reply, after a while on tokio's clock.
    After(Duration, Box<Reply>),
    /// A refusal, after which the question waits so long without its slot, and then another reply.
    Refused(Duration, Box<Reply>),
    /// Nothing, ever: the question stays open until it is dropped.
    Never,
}

impl Reply {
    /// An answer of this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A failure of one record.
    pub fn error(class: &str, message: &str) -> Self {
        Self::failure(ModelErrorKind::Record, class, message)
    }

    /// A failure that stops the run.
    pub fn fatal(class: &str, message: &str) -> Self {
        Self::failure(ModelErrorKind::Fatal, class, message)
    }

    /// The same reply, after a while.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::After(wait, Box::new(self))
    }

    /// The same reply to a question that was refused, and has waited before it is put again.
    #[must_use]
    pub fn refused_for(self, wait: Duration) -> Self {
        Self::Refused(wait, Box::new(self))
    }

    fn failure(kind: ModelErrorKind, class: &str, message: &str) -> Self {
        let (class, message) = (class.to_owned(), message.to_owned());
        Self::Error(ModelError { kind, class, message, attempts: 1 })
    }
}

/// One question as an answering function sees it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The text of the last message.
    pub prompt: &'a str,
    /// The whole request.
    pub request: &'a ModelRequest,
    /// The record it was made from.
    pub record: &'a Record,
    /// How often the same prompt was asked before.
    pub before: u64,
}

/// A model that answers by a function or by rules.
pub struct Scripted {
    answer: Box<dyn Fn(Question<'_>) -> Reply + Send + Sync>,
    asked: Mutex<BTreeMap<String, u64>>,
}

impl Scripted {
    /// A model that answers with what `answer` makes of each question.
    pub fn new(answer: impl Fn(Question<'_>) -> Reply + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(answer), asked: Mutex::default() }
    }

    /// A model that gives the reply of the first rule whose text is in the last message; a prompt that
    /// fits none fails with class `no_rule`.
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

    /// How often each prompt (the text of the last message) was asked.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<String, u64> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many questions were asked in all.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Notes one more question of this prompt; gives how many there were before.
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
            let mut reply = (self.answer)(Question { prompt, request, record, before });
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

/// A completion of `text`, with words counted as tokens.
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
