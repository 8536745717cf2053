//! Behaviour of vLLM that llama.cpp does not have. Needs a vLLM server, so the tests are ignored by default:
//! `scripts/local-model --engine vllm with -- cargo test --test main -- --ignored real_model vllm`.

use serde_json::{Value, json};
use synthmill::llm::{ModelErrorKind, ModelRequest};

use crate::harness::child::rows_folder;
use crate::harness::{program, stderr};
use crate::real_model::client::{answers_in_shape, ask, base_url, question};

#[tokio::test]
#[ignore = "needs a vLLM server: scripts/local-model --engine vllm"]
async fn vllm_takes_a_schema_in_both_forms_and_in_raw_completions() {
    for form in ["json_schema", "structured_outputs"] {
        for api in ["chat", "completions"] {
            answers_in_shape(json!({"structured_output": form, "api": api})).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs a vLLM server: scripts/local-model --engine vllm"]
async fn vllm_is_asked_in_a_weaker_form_for_a_schema_it_cannot_enforce() {
    let schema = json!({"type": "array", "items": {"type": "string"}, "contains": {"type": "string"}});
    let request = ModelRequest { schema: Some(schema.into()), ..question("Name rivers, as JSON.") };
    let check = async |form: &str, attempts: u32| {
        let completion = ask(json!({"structured_output": form}), &request).await.unwrap();
        assert_eq!(completion.attempts, attempts, "{form}");
    };
    check("json_schema", 2).await;
    check("structured_outputs", 3).await;
}

#[tokio::test]
#[ignore = "needs a vLLM server: scripts/local-model --engine vllm"]
async fn vllm_refuses_an_answer_beyond_its_context_once() {
    let error =
        ask(json!({"params": {"max_tokens": 100_000}}), &question("Name a river.")).await.unwrap_err();
    let found = (error.kind, &*error.class, error.attempts);
    assert_eq!(found, (ModelErrorKind::Record, "context_length", 1), "{error}");
}

#[test]
#[ignore = "needs a vLLM server: scripts/local-model --engine vllm"]
fn vllm_with_an_unknown_model_exits_with_4() {
    let dir = rows_folder(5, 2, &base_url());
    let output = program(dir.path(), &["run", "p.yaml", "--out", "out"]).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("`scripted` does not exist"), "{text}");
    let status = std::fs::read(dir.path().join("out/status.json")).unwrap();
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!((&status["rejected"], &status["ok"]), (&json!(0), &json!(0)), "no record is to blame");
}
