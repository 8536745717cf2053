//! Prompt prefixes that servers can cache: requests with a shared prefix are sent one after the other, are identical up to
//! its end, and mark that end for servers that require it.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::model_server::{ModelServer, Question, Reply, qa_pair};
use crate::harness::{project, synthmill};

/// Returns an answer for `docs-to-qa`.
fn pair(question: &Question) -> Reply {
    Reply::answer(&qa_pair(question, "it").to_string())
}

/// Makes a project with two documents in `notes`.
fn notes() -> TempDir {
    let dir = project();
    let notes = dir.path().join("notes");
    std::fs::create_dir(&notes).unwrap();
    for file in ["tides.md", "sourdough.md"] {
        std::fs::copy(dir.path().join("markdown_docs").join(file), notes.join(file)).unwrap();
    }
    dir
}

/// Runs `docs-to-qa` with them, one request at a time.
fn run(dir: &Path, server: &ModelServer, more: &[&str]) {
    let run = ["run", "pipelines/docs-to-qa.yaml", "--out", "out", "--var", "docs=notes"];
    let one_at_a_time = ["--set", "models.teacher.concurrency=1", "--base-url", &server.url];
    synthmill(dir, &[&run[..], &one_at_a_time, more].concat(), 0);
}

/// Returns the first requests of `docs-to-qa`.
fn asked(answer: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Vec<Question> {
    let server = ModelServer::start(answer);
    run(notes().path(), &server, &["--limit", "120"]);
    server.questions()
}

/// Returns the whole prompt of a request, in the order in which a server processes it.
fn read(question: &Question) -> String {
    let turns = question.body["messages"].as_array().unwrap();
    turns.iter().map(|turn| format!("{}: {}\n", text(&turn["role"]), text(&turn["content"]))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn the_questions_of_a_section_follow_one_another_and_share_the_source() {
    let read: Vec<String> = asked(pair).iter().map(read).collect();
    let shared = |text: &str| text[..text.find("</material>").unwrap()].to_owned();
    let mut sections: Vec<String> = read.iter().map(|text| shared(text)).collect();
    sections.dedup();
    let in_order = sections.len();
    sections.sort();
    sections.dedup();
    assert!(in_order == sections.len() && in_order > 3, "{in_order} runs of {} sections", sections.len());
    assert!(sections.iter().all(|shared| shared.starts_with("system: ") && shared.contains("<material>")));
    // What differs between questions comes after it.
    let own = read.iter().map(|text| &text[text.find("</material>").unwrap()..]);
    assert!(own.clone().all(|own| own.contains("Type of question: ")), "{:?}", own.clone().next());
}

#[test]
fn a_reprompt_extends_the_earlier_exchange() {
    for wrong in ["I would rather not.", "{}"] {
        let questions = asked(move |question| {
            let again = question.body["messages"].as_array().unwrap().len() > 2;
            if again { pair(question) } else { Reply::answer(wrong) }
        });
        let (again, first): (Vec<_>, Vec<_>) =
            questions.iter().map(read).partition(|text| text.contains("That answer cannot be used"));
        assert_eq!((first.len(), again.len()), (120, 120), "{wrong}");
        for text in &again {
            // The whole earlier exchange: the question and the answer, verbatim.
            let start = first.iter().find(|first| text.starts_with(&***first));
            let behind = &text[start.expect("an earlier question begins it").len()..];
            assert!(behind.starts_with(&format!("assistant: {wrong}\nuser: ")), "{behind}");
        }
    }
}

#[test]
fn anthropic_receives_a_cache_breakpoint_after_the_shared_prefix() {
    let server = ModelServer::start(|question| {
        let answer = json!({
            "content": [{"type": "text", "text": qa_pair(question, "it").to_string()}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 9},
        });
        Reply::json(200, &answer)
    });
    let (dir, other) = (notes(), notes());
    let anthropic = ["--set", "models.teacher.provider=anthropic", "--limit"];
    let marked = ["20", "--set", "models.teacher.prompt_cache=true"];
    run(dir.path(), &server, &[&anthropic[..], &marked].concat());
    run(other.path(), &server, &[&anthropic[..], &["20"]].concat());
    // A breakpoint does not change the question: a run can resume with or without it.
    run(dir.path(), &server, &[&anthropic[..], &["22"]].concat());
    let questions = server.questions();
    let (marked, plain) = questions[..40].split_at(20);
    assert_eq!(questions.len(), 42);
    let kept = json!({"type": "ephemeral"});
    for (marked, plain) in marked.iter().zip(plain) {
        let (body, system) = (&marked.body, &marked.body["system"]);
        let blocks = body["messages"][0]["content"].as_array().unwrap();
        let [shared, own] = &blocks[..] else { panic!("{body}") };
        assert_eq!((&system[0]["cache_control"], &shared["cache_control"]), (&kept, &kept), "{body}");
        assert_eq!(own.get("cache_control"), None, "{body}");
        assert!(
            text(&shared["text"]).starts_with("Subject: ") && text(&shared["text"]).ends_with("</material>")
        );
        // The text is that of a request without breakpoints.
        assert_eq!(system[0]["text"], plain.body["system"]);
        let whole = [text(&shared["text"]), text(&own["text"])].concat();
        assert_eq!(whole, text(&plain.body["messages"][0]["content"]));
        assert_eq!(body["messages"].as_array().unwrap().len(), 1);
    }
    let mut shared: Vec<&Value> = marked.iter().map(|one| &one.body["messages"][0]["content"][0]).collect();
    shared.dedup();
    assert!((1..20).contains(&shared.len()), "{} shared parts of 20 questions", shared.len());
}
