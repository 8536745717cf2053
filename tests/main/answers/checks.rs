//! Checks of answers: a failed check is reprompted with its message and then rejected under its name; one that cannot be
//! evaluated is not reprompted; answers of the heuristic are checked too; evidence is stored in provenance.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::model_server::{ModelServer, Question, Reply, conversation, qa_pair};
use crate::harness::{assert_same_outputs, outputs, program, project, provenance_lines, stdout};

const PATTERNS: &str = "en:\n  - '\\bthe text says\\b'\n";

/// A pipeline over rows of a topic and a text, whose checks are those of `docs-to-qa` in small.
fn rows(dir: &Path, topics: &[&str], on_error: &str) {
    let row =
        |topic: &&str| json!({"topic": topic, "text": "High water is about 20 % higher."}).to_string() + "\n";
    std::fs::write(dir.join("rows.jsonl"), topics.iter().map(row).collect::<String>()).unwrap();
    std::fs::write(dir.join("patterns.yaml"), PATTERNS).unwrap();
    let pipeline = format!(
        r#"
name: rows
error_budget: {{share: 1, in_a_row: 100}}
models:
  teacher: {{base_urls: ["${{LLM_BASE_URL}}"], model: any, concurrency: 1}}
stages:
  - ingest: {{paths: [rows.jsonl]}}
  - prompt: {{user: "Topic: {{{{ topic }}}}. {{{{ text }}}}"}}
  - llm: {{model: teacher}}
  - parse:
      schema:
        type: object
        required: [evidence, answer]
        properties: {{evidence: {{type: string}}, answer: {{type: string}}, score: {{type: [integer, string]}}}}
      patterns: patterns.yaml
      checks:
        leans: {{require: "answer is not search(patterns)", message: "Leave out \"{{{{ answer | regex_search(patterns) }}}}\"."}}
        not_quoted: {{require: "evidence is quoted_from(text)", message: "Quote word for word."}}
        low: {{require: "score is not defined or score > 1", message: "Too low."}}
      provenance: [evidence]
      on_error: {on_error}
  - sink: {{path: answers.jsonl, format: raw, fields: [topic, answer, answered_by]}}
"#
    );
    std::fs::write(dir.join("rows.yaml"), pipeline).unwrap();
}

/// What the model says of a topic, when asked for the first time and again.
fn model(question: &Question) -> Reply {
    let right = json!({"evidence": "ABOUT  20 %", "answer": "Higher."});
    let leaning = json!({"evidence": "about 20 %", "answer": "So the text says."});
    let asked = conversation(question);
    let asked_again = asked.contains("That answer cannot be used");
    let answer = match (asked.split_once("Topic: ").unwrap().1.split_once('.').unwrap().0, asked_again) {
        ("mended", false) | ("stubborn", _) => leaning,
        ("false", _) => json!({"evidence": "about 25 %", "answer": "The text says so."}),
        ("unjudged", _) => json!({"evidence": "about 20 %", "answer": "So.", "score": "high"}),
        _ => right,
    };
    Reply::answer(&answer.to_string())
}

/// Runs to the end and gives the summary; where nothing is made, the exit code says so.
fn run(dir: &Path, url: &str, out: &str, more: &[&str]) -> Value {
    let arguments = [&["run", "rows.yaml", "--json", "--out", out], more].concat();
    let output = program(dir, &arguments).env("LLM_BASE_URL", url).output().unwrap();
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{output:?}"));
    let code = if summary["ok"] == 0 { 5 } else { 0 };
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    summary
}

/// The lines of a file of a run by their topic, which rejected ones have inside.
fn by_topic(dir: &Path, out: &str, file: &str) -> BTreeMap<String, Value> {
    let lines = outputs(&dir.join(out)).remove(file).unwrap_or_default();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let topic = |line: &Value| {
        line.pointer("/record/topic").or(line.get("topic")).unwrap().as_str().unwrap().to_owned()
    };
    lines.map(|line| (topic(&line), line)).collect()
}

#[test]
fn an_answer_that_fails_a_check_is_reprompted_and_rejected_under_its_name() {
    let server = ModelServer::start(model);
    let dir = project();
    rows(dir.path(), &["right", "mended", "stubborn", "false", "unjudged"], "[{retry: 2}, reject]");
    let summary = run(dir.path(), &server.url, "out", &[]);
    assert_eq!(
        (&summary["ok"], &summary["rejected"], &summary["re_asks"]),
        (&json!(2), &json!(3), &json!(5))
    );

    let rejected = by_topic(dir.path(), "out", "rejected.jsonl");
    let told = |topic: &str| {
        (rejected[topic]["class"].as_str().unwrap(), rejected[topic]["message"].as_str().unwrap())
    };
    assert_eq!(told("stubborn"), ("leans", "Leave out \"the text says\"."));
    assert_eq!(told("false"), ("leans", "Leave out \"The text says\". Quote word for word."));
    assert_eq!(told("unjudged").0, "template");
    assert!(told("unjudged").1.starts_with("check `low`: "), "{:?}", told("unjudged"));
    for (topic, line) in &rejected {
        assert_eq!(line["stage"], "parse", "{topic}");
        assert!(line["answer"].as_str().unwrap().contains("evidence"), "{topic}: {line}");
        assert!(line["record"].get("evidence").is_none(), "{topic}: a wrong answer leaves no fields");
    }

    let asked = |topic: &str| {
        let about = format!("Topic: {topic}.");
        server
            .questions()
            .into_iter()
            .filter(|question| conversation(question).contains(&about))
            .collect::<Vec<_>>()
    };
    let counts = ["right", "mended", "stubborn", "false", "unjudged"].map(|topic| asked(topic).len());
    assert_eq!(counts, [1, 2, 3, 3, 1]);
    let last = asked("mended")[1].body["messages"].as_array().unwrap().last().unwrap().clone();
    assert!(last["content"].as_str().unwrap().contains("Leave out \"the text says\"."), "{last}");

    let provenance = provenance_lines(&dir.path().join("out"));
    let kept = |line: &str| serde_json::from_str::<Value>(line).unwrap()["fields"].clone();
    let mut kept: Vec<Value> = provenance.lines().map(kept).collect();
    kept.sort_by_key(Value::to_string);
    let evidence = json!({"evidence": "ABOUT  20 %"});
    assert_eq!(kept, [Value::Null, Value::Null, Value::Null, evidence.clone(), evidence]);
    let written = &outputs(&dir.path().join("out"))["answers.jsonl"];
    assert!(written.iter().all(|line| !line.contains("evidence")), "{written:?}");

    // The same answers, judged again, make the same run.
    let again = run(dir.path(), &server.url, "again", &["--fresh", "--reuse-answers=out"]);
    assert_eq!((&again["ok"], &again["rejected"]), (&json!(2), &json!(3)));
    assert_eq!(server.questions().len(), 10, "nothing is asked a second time");
    assert_same_outputs(&dir.path().join("out"), &dir.path().join("again"));
}

#[test]
fn answers_of_the_heuristic_are_checked_too() {
    let server = ModelServer::start(model);
    let dir = project();
    rows(dir.path(), &["right", "stubborn"], "[{retry: 1}, heuristic]");
    let summary = run(dir.path(), &server.url, "out", &[]);
    // It fills what is asked for with the row's text, which is a quotation, and leans on nothing.
    assert_eq!((&summary["ok"], &summary["fallbacks"]), (&json!(2), &json!(1)), "{summary}");
    assert_eq!(by_topic(dir.path(), "out", "answers.jsonl")["stubborn"]["answered_by"], "heuristic");

    let refuse_all = "stages.parse.checks.low={require: \"answer == 'x'\", message: \"Say x.\"}";
    let summary = run(dir.path(), &server.url, "refused", &["--set", refuse_all]);
    assert_eq!(
        (&summary["ok"], &summary["rejected"], &summary["fallbacks"]),
        (&json!(0), &json!(2), &json!(0))
    );
    for (topic, line) in by_topic(dir.path(), "refused", "rejected.jsonl") {
        assert_eq!((&line["class"], &line["message"]), (&json!("low"), &json!("Say x.")), "{topic}");
    }
}

/// A change to a right pair that one check of the shipped pipeline refuses, and words that the model is then told.
type Wrong = (&'static str, fn(&mut Value), &'static str);

const WRONG: [Wrong; 6] = [
    (
        "question_leans_on_source",
        |pair| pair["question"] = json!("What does the passage say of tides?"),
        "the passage say",
    ),
    (
        "answer_leans_on_source",
        |pair| pair["answer"] = json!("According to the material, so it is."),
        "According to the material",
    ),
    (
        "answer_leans_on_source",
        |pair| pair["reasoning_steps"][1] = json!("The heading states it."),
        "The heading states",
    ),
    (
        "evidence_not_in_source",
        |pair| pair["evidence"] = json!(["words that nobody wrote"]),
        "words that nobody wrote",
    ),
    ("answer_is_question", |pair| pair["answer"] = json!("what of it"), "repeats the question"),
    (
        "steps_repeat",
        |pair| pair["reasoning_steps"][2] = json!("THE first step of it"),
        "reasoning steps are the same",
    ),
];

#[test]
fn each_check_of_the_shipped_pipeline_catches_its_fault() {
    for (class, change, told) in WRONG {
        let server = ModelServer::start(move |question| {
            let mut pair = qa_pair(question, "it");
            if !conversation(question).contains("That answer cannot be used") {
                change(&mut pair);
            }
            Reply::answer(&pair.to_string())
        });
        let dir = project();
        let run = ["run", "pipelines/docs-to-qa.yaml", "--limit", "6", "--json", "--out", "out"];
        let output = program(dir.path(), &run).env("LLM_BASE_URL", &server.url).output().unwrap();
        let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&summary["re_asks"], &summary["rejected"]), (&json!(6), &json!(0)), "{class}: {summary}");
        let again = server.questions().into_iter().map(|question| conversation(&question));
        let told_of: Vec<bool> = again
            .filter(|asked| asked.contains("That answer cannot be used"))
            .map(|asked| asked.contains(told))
            .collect();
        assert_eq!(told_of, [true; 6], "{class}");

        // Given up at once, each is rejected under the name of the check.
        let give_up = ["--set", "stages.parse.on_error=reject", "--fresh"];
        let output = program(dir.path(), &[&run[..], &give_up].concat())
            .env("LLM_BASE_URL", &server.url)
            .output()
            .unwrap();
        let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(summary["rejections"], json!([[class, 6]]), "{summary}");
    }
}
