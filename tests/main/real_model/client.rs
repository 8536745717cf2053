//! The client against a real model. Needs a server, so the tests are ignored by default:
//! `scripts/local-model with -- cargo test --test main -- --ignored real_model`.
//!
//! Applies to llama.cpp and vLLM; `client::vllm` covers behaviour of vLLM alone. Nothing depends on the words of the model.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use synthmill::llm::answer_json::extract;
use synthmill::llm::answer_schema::AnswerSchema;
use synthmill::llm::{Completion, Message, Model, ModelError, ModelErrorKind, ModelRequest, Remote};
use synthmill::pipeline::ModelConfig;
use synthmill::record::Record;

/// Where the server is.
pub(crate) fn base_url() -> String {
    std::env::var("LLM_BASE_URL").expect("LLM_BASE_URL is not set; see scripts/local-model")
}

/// A client of the server; `changes` are settings of the model.
pub(crate) fn remote(changes: Value) -> Remote {
    let params = json!({"max_tokens": 200, "temperature": 0.9});
    let mut config = json!({"base_urls": [base_url()], "model": "smollm2", "params": params});
    config.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap());
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    Remote::new("local", &config).unwrap()
}

/// A question of one message.
pub(crate) fn question(text: &str) -> ModelRequest {
    ModelRequest { messages: vec![Message::new("user", text)], ..ModelRequest::default() }
}

/// Asks one question of the model with these settings.
pub(crate) async fn ask(changes: Value, request: &ModelRequest) -> Result<Completion, ModelError> {
    remote(changes).complete(request, &Record::default()).await
}

/// An answer must be JSON of this schema, with the model so set.
pub(crate) async fn answers_in_shape(changes: Value) {
    let schema = json!({
        "type": "object",
        "properties": {"question": {"type": "string", "maxLength": 80}, "easy": {"type": "boolean"}},
        "required": ["question", "easy"],
        "additionalProperties": false,
    });
    let request = ModelRequest {
        schema: Some(schema.clone().into()),
        ..question("Ask a question about rivers, as JSON.")
    };
    let completion = ask(changes, &request).await.unwrap();
    assert_eq!(completion.attempts, 1, "the server takes the form as it is");
    assert!(completion.usage.prompt_tokens > Some(0) && completion.usage.completion_tokens > Some(0));
    let extracted = extract(&completion.text).unwrap();
    assert!(!extracted.truncated, "{}", completion.text);
    assert_eq!(AnswerSchema::new(&schema).unwrap().check(&extracted.value), Ok(()));
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_answers_in_the_shape_of_a_schema() {
    answers_in_shape(json!({})).await;
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_refuses_a_prompt_beyond_its_context_once() {
    for api in ["chat", "completions"] {
        let request = question(&"rivers and lakes ".repeat(4000));
        let error = ask(json!({"api": api}), &request).await.unwrap_err();
        assert_eq!(
            (error.kind, &*error.class, error.attempts),
            (ModelErrorKind::Record, "context_length", 1)
        );
    }
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_continues_a_text() {
    let changes = json!({"api": "completions", "params": {"max_tokens": 12, "logprobs": 2}});
    let completion = ask(changes, &question("The longest river of the world is")).await.unwrap();
    assert!(
        completion.usage.prompt_tokens >= Some(7) && completion.usage.completion_tokens > Some(0),
        "{completion:?}"
    );
    let logprobs = completion.more.unwrap().logprobs;
    assert!(logprobs.is_some_and(|logprobs| logprobs.is_object()));
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_gives_several_answers_with_their_probabilities() {
    let params = json!({"max_tokens": 12, "n": 3, "logprobs": true, "temperature": 1.5});
    let completion = ask(json!({ "params": params }), &question("Name a river.")).await.unwrap();
    let more = completion.more.unwrap();
    assert_eq!((more.choices.len(), &more.choices[0]), (3, &completion.text));
    let tokens = more.logprobs.unwrap()["content"].as_array().cloned().unwrap();
    let logprobs: Vec<f64> = tokens.iter().map(|token| token["logprob"].as_f64().unwrap()).collect();
    assert!(!logprobs.is_empty() && logprobs.iter().all(|logprob| *logprob <= 0.0), "{logprobs:?}");
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_stops_where_it_is_told_and_at_its_limit() {
    let check = async |params: Value, reason: &str, least: u64, most: u64| {
        let request = question("Write a long text about rivers.");
        let completion =
            ask(json!({"params": params, "extra_body": {"ignore_eos": true}}), &request).await.unwrap();
        assert_eq!(completion.finish_reason.as_deref(), Some(reason), "{params}");
        let written = completion.usage.completion_tokens.unwrap_or_default();
        assert!((least..=most).contains(&written), "{params}: {written} tokens");
        completion.text
    };
    assert!(!check(json!({"max_tokens": 90, "stop": ["e", " "]}), "stop", 1, 89).await.contains([' ', 'e']));
    check(json!({"max_tokens": 9}), "length", 9, 9).await;
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_draws_by_the_seed() {
    let mut texts = [BTreeSet::new(), BTreeSet::new()];
    for round in 0..5 {
        for (seeds, texts) in [5, round].into_iter().zip(&mut texts) {
            let params = json!({"max_tokens": 16, "temperature": 1.5, "seed": seeds});
            texts.insert(ask(json!({ "params": params }), &question("Name a river.")).await.unwrap().text);
        }
    }
    // What else a server works on at the time can tip a draw, so not each answer of one seed need be the same.
    assert!(texts[0].len() < texts[1].len(), "{texts:?}");
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_streams_what_it_answers_without() {
    let schema = json!({"type": "object", "properties": {"river": {"type": "string", "maxLength": 12}}, "required": ["river"]});
    let with_schema = ModelRequest { schema: Some(schema.into()), ..question("Name a river, as JSON.") };
    for (api, request) in [
        ("chat", question("Name a river.")),
        ("completions", question("The longest river is")),
        ("chat", with_schema),
    ] {
        // What else a server works on can tip the most likely token too: one of three tries is the same.
        let mut seen = [BTreeSet::new(), BTreeSet::new()];
        for _ in 0..3 {
            for (stream, seen) in [false, true].into_iter().zip(&mut seen) {
                let params = json!({"max_tokens": 12, "temperature": 0, "seed": 5});
                let changes = json!({"api": api, "params": params, "stream": stream});
                let completion = ask(changes, &request).await.unwrap();
                assert_eq!(completion.first_token.is_some(), stream, "{completion:?}");
                let Completion { text, finish_reason, usage, model, .. } = completion;
                seen.insert(format!("{text:?} {finish_reason:?} {usage:?} {model:?}"));
            }
        }
        assert!(!seen[0].is_disjoint(&seen[1]), "{seen:?}");
    }
    let params = json!({"max_tokens": 12, "n": 2, "logprobs": true, "temperature": 1.5});
    let completion =
        ask(json!({"params": params, "stream": true}), &question("Name a river.")).await.unwrap();
    let more = completion.more.unwrap();
    assert_eq!((more.choices.len(), &more.choices[0]), (2, &completion.text));
    let tokens = more.logprobs.unwrap()["content"].as_array().cloned().unwrap();
    let said: String = tokens.iter().filter_map(|token| token["token"].as_str()).collect();
    assert!(said.starts_with(completion.text.trim()) || said.trim() == completion.text.trim(), "{said:?}");
}
