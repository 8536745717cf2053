//! The client against a real model. Needs one, so it runs only when asked for:
//! `scripts/local-model with -- cargo test --test main -- --ignored real_model`.

use serde_json::json;
use synthmill::config::ModelConfig;
use synthmill::llm::answer_json::extract;
use synthmill::llm::answer_schema::AnswerSchema;
use synthmill::llm::{Message, Model, ModelErrorKind, ModelRequest, Remote};
use synthmill::record::Record;

fn model() -> Remote {
    let url = std::env::var("LLM_BASE_URL").expect("LLM_BASE_URL is not set; see scripts/local-model");
    let params = json!({"max_tokens": 200, "temperature": 0.9});
    let config: ModelConfig =
        serde_json::from_value(json!({"base_urls": [url], "model": "smollm2", "params": params})).unwrap();
    Remote::new("local", &config).unwrap()
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_answers_in_the_shape_of_a_schema() {
    let schema = json!({
        "type": "object",
        "properties": {"question": {"type": "string", "maxLength": 80}, "easy": {"type": "boolean"}},
        "required": ["question", "easy"],
        "additionalProperties": false,
    });
    let request = ModelRequest {
        messages: vec![Message::new("user", "Ask a question about rivers, as JSON.")],
        schema: Some(schema.clone().into()),
        ..ModelRequest::default()
    };
    let completion = model().complete(&request, &Record::default()).await.unwrap();
    assert!(completion.usage.prompt_tokens > 0 && completion.usage.completion_tokens > 0);
    let extracted = extract(&completion.text).unwrap();
    assert!(!extracted.cut, "{}", completion.text);
    assert_eq!(AnswerSchema::new(&schema).unwrap().check(&extracted.value), Ok(()));
}

#[tokio::test]
#[ignore = "needs a model server: scripts/local-model"]
async fn real_model_refuses_a_prompt_beyond_its_context_once() {
    let messages = vec![Message::new("user", "rivers and lakes ".repeat(4000))];
    let request = ModelRequest { messages, ..ModelRequest::default() };
    let error = model().complete(&request, &Record::default()).await.unwrap_err();
    assert_eq!((error.kind, &*error.class, error.attempts), (ModelErrorKind::Record, "context_length", 1));
}
