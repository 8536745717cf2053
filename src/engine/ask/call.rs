//! What a record's provenance says of a unit: the model, the parameters, tokens and attempts.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::AskUnit;
use crate::llm::{Completion, HEURISTIC, MOCK, ModelRequest};
use crate::record::{Exchange, ModelCall, Record};

impl AskUnit {
    /// The name that the model's answers are recorded under: its own, or that of the provider that replaces a server.
    pub(super) fn responder_name(&self) -> &str {
        let provider = self.model.provider();
        if [HEURISTIC, MOCK].contains(&provider) { provider } else { &self.model_name }
    }

    /// The parameters of a request: the model's, overridden by its own.
    pub(crate) fn params_of(&self, request: &ModelRequest) -> Arc<Map<String, Value>> {
        let mut params = Arc::clone(&self.params);
        if !request.params.is_empty() {
            Arc::make_mut(&mut params).extend(request.params.clone());
        }
        params
    }

    /// The entry for a record's provenance, before anything is asked.
    pub(super) fn new_call(&self, request: &ModelRequest, messages: &[u8], record: &Record) -> ModelCall {
        let served = ![HEURISTIC, MOCK].contains(&self.model.provider());
        ModelCall {
            stage: Arc::clone(&self.path),
            asked_as: self.path.contains('/').then(|| record.id.to_string()),
            model: Arc::clone(&self.model_name),
            served_as: served.then(|| Arc::clone(&self.served_name)),
            provider: self.model.provider().to_owned(),
            prompt_hash: blake3::hash(messages).to_hex()[..32].to_owned(),
            params: self.params_of(request),
            exchange: self.exchange(request, record).map(Box::new),
            ..ModelCall::default()
        }
    }

    /// The prompt, if this record is one of the few whose exchanges are kept.
    fn exchange(&self, request: &ModelRequest, record: &Record) -> Option<Exchange> {
        let draw = self.draws.fraction("exchange", &record.id.item.to_string());
        let messages = || serde_json::to_value(&request.messages).unwrap_or_default();
        Exchange::is_kept(&record.id, draw).then(|| Exchange { draw, messages: messages(), answer: None })
    }
}

impl ModelCall {
    /// Adds the tokens and attempts of an answer.
    pub(super) fn add(&mut self, request: &ModelRequest, completion: &Completion) {
        let (reported, estimated) = completion.usage.or_estimated(request, completion);
        self.prompt_tokens += reported.prompt + estimated.prompt;
        self.completion_tokens += reported.completion + estimated.completion;
        self.cached_tokens += reported.cached;
        self.estimated_tokens += estimated.total();
        self.attempts += completion.attempts;
        self.finish_reason.clone_from(&completion.finish_reason);
        self.reported_as = completion.model.as_deref().map(Arc::from);
        self.keep_answer(&completion.text);
    }

    /// Stores an answer, if this exchange is kept.
    pub(super) fn keep_answer(&mut self, text: &str) {
        if let Some(exchange) = &mut self.exchange {
            exchange.answer = Some(text.to_owned());
        }
    }
}
