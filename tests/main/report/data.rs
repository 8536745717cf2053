//! The findings of `report`: for runs, for files from anywhere, for damaged ones.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::model_server::{ModelServer, Reply, qa_pair};
use crate::harness::{program, project, stderr, stdout, synthmill};

/// The findings that `--json` prints.
fn found(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["report", "--json", "--sample", "40"];
    all.extend(arguments);
    serde_json::from_str(&stdout(&synthmill(dir, &all, 0))).unwrap()
}

fn attribute<'a>(found: &'a Value, name: &str) -> &'a Value {
    let attributes = found["attributes"].as_array().unwrap();
    attributes.iter().find(|attribute| attribute["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_main_job_is_reported() {
    let dir = project();
    let run = ["run", "pipelines/docs-to-qa.yaml", "--no-llm", "--limit", "420", "--out", "out"];
    synthmill(dir.path(), &run, 0);
    let found = &found(dir.path(), &["out"])[0];
    let status: Value =
        serde_json::from_str(&stdout(&synthmill(dir.path(), &["status", "out", "--json"], 0))).unwrap();
    assert_eq!(found["made"]["identity"]["admitted"], 420);
    assert_eq!(found["made"]["identity"]["holds"], true);
    assert_eq!(found["items"], status["ok"]);
    let told: u64 =
        status["records"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(found["records"], told);
    assert_eq!(attribute(found, "cot")["values"].as_array().unwrap().len(), 4);
    assert_eq!(attribute(found, "cot")["items"].as_f64().map(f64::round), found["items"].as_f64());
    assert_eq!(found["map"]["points"].as_array().unwrap().len(), 40);
    let documents = attribute(found, "document")["values"].as_array().unwrap();
    assert!(documents.len() > 1);
    assert!(documents.iter().all(|value| value["value"].as_str().unwrap().starts_with("markdown_docs/")));
    assert!(!dir.path().join("out/report.html").exists(), "`--json` alone writes nothing");
    // From a folder where its inputs are not: nothing was drawn, so no shares are missed.
    let elsewhere = TempDir::new().unwrap();
    let out = dir.path().join("out").display().to_string();
    let notes = self::found(elsewhere.path(), &[&out])[0]["notes"].to_string();
    assert!(!notes.contains("configured shares"), "{notes}");

    let output = synthmill(dir.path(), &["report", "out", "--sample", "40"], 0);
    assert!(stdout(&output).contains("wrote     out/report.html"), "{}", stdout(&output));
    assert!(std::fs::read_to_string(dir.path().join("out/report.html")).unwrap().contains("</html>"));
}

/// A model that gives no JSON to one question in four, however often it is asked, and names itself otherwise than asked.
fn a_model_that_fails() -> ModelServer {
    ModelServer::start(|question| {
        let asked = question.body["messages"][1]["content"].as_str().unwrap_or_default();
        if asked.len().is_multiple_of(4) {
            return Reply::answer("I would rather not.");
        }
        Reply::answer(&qa_pair(question, "it").to_string())
    })
}

#[test]
fn the_report_agrees_with_the_run_about_its_models() {
    let server = a_model_that_fails();
    let dir = project();
    let run = [
        "run",
        "pipelines/docs-to-qa.yaml",
        "--limit",
        "60",
        "--out",
        "out",
        "--set",
        "stages.parse.on_error=[{retry: 2}, heuristic]",
    ];
    let output = program(dir.path(), &run).env("LLM_BASE_URL", &server.url).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = &found(dir.path(), &["out"])[0];
    let status: Value =
        serde_json::from_str(&stdout(&synthmill(dir.path(), &["status", "out", "--json"], 0))).unwrap();

    // Dropped records and re-asks are paid for too.
    let tokens = &found["made"]["tokens"];
    let sum =
        ["prompt", "completion", "elsewhere"].map(|key| tokens[key].as_u64().unwrap()).iter().sum::<u64>();
    assert!(sum > 0);
    assert_eq!(
        (tokens["prompt"].as_u64(), tokens["elsewhere"].as_u64()),
        (status["tokens"]["prompt"].as_u64(), Some(0))
    );
    assert_eq!(status["spent"]["tokens"], sum);
    let models = found["made"]["models"].as_array().unwrap();
    assert_eq!(models.len(), 1, "no tokens are credited to the heuristic: {models:?}");
    assert_eq!((&models[0]["provider"], &models[0]["calls"]), (&json!("openai"), &json!(60)));
    assert_eq!(models[0]["fallbacks"]["count"], status["fallbacks"]);

    // Of the files, as their lines say.
    for file in found["made"]["files"].as_array().unwrap() {
        let lines =
            std::fs::read_to_string(dir.path().join("out").join(file["path"].as_str().unwrap())).unwrap();
        let by_heuristic = lines.matches("\"answered_by\":\"heuristic\"").count();
        assert_eq!(file["by_heuristic"], by_heuristic, "{file}");
        let told = found["stands_out"]
            .as_array()
            .unwrap()
            .iter()
            .find(|told| told["kind"] == "by_heuristic" && told["file"] == file["path"]);
        let expected =
            (by_heuristic > 0).then(|| json!({"count": by_heuristic, "of": lines.lines().count()}));
        assert_eq!(told.map(|told| told["records"].clone()), expected);
    }

    // Three prompts as they were sent.
    let exchanges = found["exchanges"].as_array().unwrap();
    assert_eq!(exchanges.len(), 3);
    let sent: Vec<String> = server
        .questions()
        .iter()
        .map(|question| question.body["messages"][1]["content"].to_string())
        .collect();
    for exchange in exchanges {
        assert!(sent.contains(&exchange["messages"][1]["text"].to_string()), "{exchange}");
    }
    let page = stdout(&synthmill(dir.path(), &["report", "out", "--sample", "40"], 0));
    assert!(page.contains("records in `train.jsonl` are the heuristic's"), "{page}");
    assert!(found["configuration"]["pipeline"].as_str().unwrap().contains("name: docs-to-qa"));
}

#[test]
fn a_run_without_output_has_a_report_that_says_so() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    let pipeline = "name: t\nstages:\n  - ingest: {paths: [rows.jsonl]}\n  - sink: {path: out.jsonl, format: raw, \
                    fields: [text], when: \"text == 'b'\"}\n";
    std::fs::write(dir.path().join("p.yaml"), pipeline).unwrap();
    let _ = program(dir.path(), &["run", "p.yaml", "--out", "out"]).output().unwrap();
    let found = &found(dir.path(), &["out"])[0];
    assert!(found["stands_out"].as_array().unwrap().contains(&json!({"kind": "nothing_kept"})), "{found}");
    let out = stdout(&synthmill(dir.path(), &["report", "out"], 0));
    assert!(out.contains("No record was kept"), "{out}");
}

#[test]
fn two_files_are_compared() {
    let dir = TempDir::new().unwrap();
    let rows = |text: &str| {
        (0..60).map(|n| json!({"text": format!("{text} {n}")}).to_string() + "\n").collect::<String>()
    };
    std::fs::write(dir.path().join("a.jsonl"), rows("How do I renew card")).unwrap();
    std::fs::write(dir.path().join("b.jsonl"), rows("Please tell me of museum")).unwrap();
    let found = found(dir.path(), &["a.jsonl", "b.jsonl"]);
    assert_eq!(found.len(), 2);
    let words = found[1]["difference"]["words"].as_array().unwrap();
    assert!(words.iter().any(|term| term["term"] == "museum" && term["z"].as_f64().unwrap() > 4.0));
    synthmill(dir.path(), &["report", "a.jsonl", "b.jsonl", "--sample", "20"], 0);
    assert!(dir.path().join("a-and-b.report.html").exists());
    synthmill(dir.path(), &["report", "a.jsonl", "--sample", "20", "--out", "x.html"], 0);
    assert!(dir.path().join("x.html").exists());
}

#[test]
fn a_json_array_is_read_and_its_damage_reported() {
    let dir = TempDir::new().unwrap();
    let array = json!(["How do I renew my card?", "Where is the museum?", "Is it open on Monday?", 7]);
    std::fs::write(dir.path().join("inputs.json"), array.to_string()).unwrap();
    let output = synthmill(dir.path(), &["report", "inputs.json"], 0);
    assert!(stdout(&output).contains("inputs: 3 records of 3 items"), "{}", stdout(&output));
    assert!(stdout(&output).contains("number 4"), "{}", stdout(&output));
    assert!(dir.path().join("inputs.report.html").exists());
}

#[test]
fn a_truncated_array_is_reported_wherever_it_is_seen() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("inputs.json"), r#"["How do I renew my card?", "Where is the mus"#)
        .unwrap();
    let output = synthmill(dir.path(), &["report", "inputs.json"], 0);
    assert!(
        stderr(&output).contains("`inputs.json` is damaged: it ends before its array does"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("1 of its lines or elements left out"), "{}", stderr(&output));
    let page = std::fs::read_to_string(dir.path().join("inputs.report.html")).unwrap();
    assert!(page.contains("it ends before its array does"));
    assert_eq!(found(dir.path(), &["inputs.json"])[0]["made"]["files"][0]["malformed"], 1);
}

#[test]
fn a_csv_file_is_read_and_its_damage_reported() {
    let dir = TempDir::new().unwrap();
    let rows: String =
        (0..30).map(|n| format!("\"Where, please, is room {n}?\",{}\n", ["", "angry"][n % 2])).collect();
    std::fs::write(dir.path().join("a.csv"), format!("\u{feff}text,tone\n{rows}one,two,three\n")).unwrap();
    let found = &found(dir.path(), &["a.csv"])[0];
    assert_eq!((&found["records"], &found["made"]["files"][0]["malformed"]), (&json!(30), &json!(1)));
    assert_eq!(attribute(found, "tone")["values"][0]["drawn_share"], 0.5);
    assert_eq!(found["lengths"]["parts"][0]["actual"]["median"], 5);
}

#[test]
fn unreadable_inputs_are_named() {
    let dir = TempDir::new().unwrap();
    let check = |arguments: &[&str], code: i32, message: &str| {
        let output = synthmill(dir.path(), arguments, code);
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    };
    std::fs::write(dir.path().join("empty.jsonl"), "").unwrap();
    std::fs::write(dir.path().join("a.jsonl"), "\"x\"\n").unwrap();
    check(&["report", "none.jsonl"], 3, "cannot read `none.jsonl`");
    check(&["report", "."], 2, "holds no run");
    check(&["report", "empty.jsonl"], 2, "holds no record");
    check(&["report", "a.jsonl", "--out", "a.jsonl"], 2, "is an input");
    check(&["report", "a.jsonl", "--price-in=-1"], 2, "a price is a number");
    let dead = "http://127.0.0.1:9/v1";
    check(
        &["report", "a.jsonl", "--embeddings-url", dead, "--embeddings-model", "m"],
        4,
        "cannot get embeddings from `http://127.0.0.1:9/v1/embeddings`",
    );
}

#[test]
fn the_map_can_use_embeddings_of_a_server() {
    let dir = TempDir::new().unwrap();
    let rows: String = (0..30).map(|n| json!({"text": format!("question {n}")}).to_string() + "\n").collect();
    std::fs::write(dir.path().join("a.jsonl"), rows).unwrap();
    let found = found(
        dir.path(),
        &["a.jsonl", "--embeddings-url", &embedding_server(), "--embeddings-model", "small"],
    );
    let method = found[0]["map"]["method"].as_str().unwrap();
    assert!(method.starts_with("embeddings by `small`"), "{method}");
}

/// A server of embeddings; its address.
fn embedding_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let answer = |body: String| async move {
        let request: Value = serde_json::from_str(&body).unwrap();
        let inputs = request["input"].as_array().unwrap();
        let data = inputs.iter().enumerate();
        let data: Vec<Value> = data
            .map(|(index, text)| json!({"index": index, "embedding": [text.as_str().unwrap().len(), index, 1]}))
            .collect();
        json!({"data": data}).to_string()
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let router = axum::Router::new().route("/v1/embeddings", axum::routing::post(answer));
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
        });
    });
    address
}

#[test]
fn drawn_shares_lie_near_the_configured_ones() {
    let dir = project();
    let run = ["run", "pipelines/user-inputs.yaml", "--no-llm", "--var", "rows=2000", "--out", "out"];
    synthmill(dir.path(), &run, 0);
    let all = found(dir.path(), &["out"]);
    let tone = attribute(&all[0], "tone");
    assert!(tone["p_configured"].as_f64().unwrap() > 0.001, "{tone}");
    for name in ["tone", "topic", "language", "additional_instruction"] {
        for value in attribute(&all[0], name)["values"].as_array().unwrap() {
            let z = value["z_configured"].as_f64().unwrap();
            assert!(z.abs() < 3.0, "{name}: {value}");
        }
    }
    assert_eq!(all[0]["lengths"]["asked"]["records"], 2_000);
    assert_eq!(all[0]["lengths"]["asked"]["part"], "text");

    // The shares are those of the run's start, whatever became of the files since.
    std::fs::remove_dir_all(dir.path().join("config")).unwrap();
    let later = found(dir.path(), &["out"]);
    assert_eq!(attribute(&later[0], "tone")["values"], tone["values"]);
}
