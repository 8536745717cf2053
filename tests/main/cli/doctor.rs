//! `doctor`: what it finds about the machine and the servers of a pipeline, and its exit code; and what `validate` says of
//! the sandbox.

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};

use crate::harness::model_server::Served;
use crate::harness::{program, stderr, stdout, synthmill};

/// A folder with a pipeline that asks the model `good` at this address.
fn folder(url: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let model = json!({"base_urls": [url], "model": "good", "api_key_env": "DOCTOR_KEY"});
    let pipeline = format!(
        "name: t\nmodels:\n  teacher: {model}\nstages:\n  - ingest: {{paths: [rows.jsonl]}}\n  \
         - prompt: {{user: \"{{{{ q }}}}\"}}\n  - llm: {{model: teacher}}\n  \
         - sink: {{path: out.jsonl, format: raw, fields: [completion]}}\n"
    );
    std::fs::write(dir.path().join("p.yaml"), pipeline).unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"q\": \"Why?\"}\n").unwrap();
    dir
}

/// A server that answers a request for its models with a status and a body, if the key is right.
fn server(status: u16, body: &'static str) -> Served {
    let answer = move |headers: HeaderMap| async move {
        match headers.get("authorization").is_some_and(|key| key == "Bearer sk-doctor-secret") {
            true => (StatusCode::from_u16(status).unwrap(), body),
            false => (StatusCode::UNAUTHORIZED, "{\"error\": \"wrong key sk-doctor-wrong\"}"),
        }
    };
    Served::start(Router::new().route("/v1/models", get(answer)))
}

/// The findings about a subject, as `LEVEL MESSAGE`, and the exit code.
fn examine(dir: &std::path::Path, key: Option<&str>, subject: &str) -> (Vec<String>, Option<i32>) {
    let mut command = program(dir, &["doctor", "p.yaml", "--json"]);
    command.env_remove("DOCTOR_KEY");
    key.map(|key| command.env("DOCTOR_KEY", key));
    let output = command.output().unwrap();
    let shows_key = key.is_some_and(|key| stdout(&output).contains(key));
    assert!(!shows_key, "{}", stdout(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let about = found["findings"].as_array().unwrap().iter().filter(|one| one["subject"] == subject);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = about
        .map(|one| format!("{} {} {}", text(&one["level"]), text(&one["message"]), text(&one["hint"])))
        .map(|line| line.trim_end().to_owned());
    (lines.collect(), output.status.code())
}

#[test]
fn servers_are_asked_for_their_models_with_the_key() {
    let key = Some("sk-doctor-secret");
    for (status, body, key, code, expected) in [
        (200, r#"{"data": [{"id": "other"}, {"id": "good"}]}"#, key, 0, "ok `@` offers `good`"),
        (
            200,
            r#"{"data": [{"id": "goood"}]}"#,
            key,
            0,
            "warn `@` lists `goood`, not `good` did you mean `goood`?",
        ),
        (200, r#"{"data": []}"#, key, 0, "warn `@` lists no models, not `good`"),
        (200, "welcome", key, 0, "warn `@` answers, but with no list of models"),
        (404, "{}", key, 0, "warn"),
        (500, "{}", key, 4, "fail"),
        (200, "{}", Some("sk-doctor-wrong"), 4, "fail"),
        (200, "{}", None, 4, "fail"),
    ] {
        let served = server(status, body);
        let dir = folder(&served.url);
        let (found, ended) = examine(dir.path(), key, "model teacher");
        assert_eq!(found.len(), 2, "{found:?}");
        let about_key = match key {
            Some(_) => "ok the key is in `DOCTOR_KEY`",
            None => "warn `DOCTOR_KEY` is not set: no key is sent",
        };
        assert_eq!(found[0], about_key);
        let expected = expected.replace('@', &served.url);
        assert!(found[1].starts_with(&expected), "{status} {body}: {}", found[1]);
        assert_eq!(ended, Some(code), "{status} {body}: {found:?}");
    }
}

#[test]
fn a_server_that_is_not_there_fails_and_the_machine_is_looked_at_all_the_same() {
    let dir = folder("http://127.0.0.1:9/v1");
    let (found, code) = examine(dir.path(), None, "model teacher");
    assert!(found[1].starts_with("fail ") && found[1].contains("http://127.0.0.1:9/v1"), "{found:?}");
    assert_eq!(code, Some(4));
    let shown = stdout(&synthmill(dir.path(), &["doctor"], 0));
    for subject in ["platform", "sandbox", "interpreters", "open files", "output", "temporary files", "clock"]
    {
        assert!(shown.lines().any(|line| line[6..].starts_with(subject)), "{subject}: {shown}");
    }
    let without = synthmill(dir.path(), &["doctor", "p.yaml", "--no-llm"], 0);
    assert!(stdout(&without).contains("`provider: heuristic` needs no server"), "{}", stdout(&without));
}

#[test]
fn a_pipeline_that_is_wrong_fails() {
    let dir = folder("http://127.0.0.1:9/v1");
    std::fs::remove_file(dir.path().join("rows.jsonl")).unwrap();
    let (found, code) = examine(dir.path(), None, "pipeline");
    assert_eq!(code, Some(2));
    assert!(
        found[0].starts_with("fail p.yaml:") && found[0].ends_with("synthmill validate p.yaml"),
        "{found:?}"
    );
}

#[test]
fn the_sandbox_is_named_where_programs_run() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"q\": \"Why?\"}\n").unwrap();
    let pipeline = |stage: &str| {
        let text = format!(
            "name: t\nstages:\n  - ingest: {{paths: [rows.jsonl]}}\n{stage}  \
             - sink: {{path: out.jsonl, format: raw, fields: [q]}}\n"
        );
        std::fs::write(dir.path().join("p.yaml"), text).unwrap();
    };
    pipeline("");
    let told = stdout(&synthmill(dir.path(), &["validate", "p.yaml"], 0));
    assert!(!told.contains("sandbox"), "{told}");
    pipeline("  - exec: {command: [cat], sandbox: off}\n");
    let told = stdout(&synthmill(dir.path(), &["validate", "p.yaml"], 0));
    assert!(told.contains("  sandbox of programs: none: only time and output are limited\n"), "{told}");
    let told = stdout(&synthmill(dir.path(), &["validate", "p.yaml", "--json"], 0));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["sandbox"], "none: only time and output are limited");
    pipeline("  - exec: {command: [cat]}\n");
    let output = program(dir.path(), &["validate", "p.yaml"]).output().unwrap();
    match output.status.code() {
        Some(0) => assert!(stdout(&output).contains("  sandbox of programs: "), "{}", stdout(&output)),
        Some(2) => {
            // A machine without a sandbox.
            assert!(stderr(&output).contains("stage `exec`: "), "{}", stderr(&output));
            let refused = synthmill(dir.path(), &["validate", "p.yaml", "--json"], 2);
            let refused: Value = serde_json::from_str(&stdout(&refused)).unwrap();
            let message = refused["diagnostics"][0]["message"].as_str().unwrap();
            assert!(message.starts_with("stage `exec`: "), "{message}");
            let (found, code) = examine(dir.path(), None, "sandbox");
            assert!(found[0].starts_with("fail "), "{found:?}");
            assert_eq!(code, Some(2));
        }
        code => panic!("{code:?}: {}", stderr(&output)),
    }
}
