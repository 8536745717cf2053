//! What a server has read already: requests that share a beginning follow one another, and begin alike.

use serde_json::{Value, json};

use crate::harness::{project, synthmill};
use crate::model_server::{ModelServer, Question, Reply};

/// An answer to what `docs-to-qa` asks.
fn pair() -> Reply {
    let steps = ["one", "two", "three"];
    Reply::answer(&json!({"question": "What of it?", "answer": "So.", "reasoning_steps": steps}).to_string())
}

/// The requests of `docs-to-qa` about one document with several sections, one at a time.
fn asked(answer: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Vec<Question> {
    let server = ModelServer::start(answer);
    let dir = project();
    let notes = dir.path().join("notes");
    std::fs::create_dir(&notes).unwrap();
    for file in ["tides.md", "sourdough.md"] {
        std::fs::copy(dir.path().join("markdown_docs").join(file), notes.join(file)).unwrap();
    }
    let run = ["run", "pipelines/docs-to-qa.yaml", "--out", "out", "--var", "docs=notes", "--limit", "120"];
    let one_at_a_time = ["--set", "models.teacher.concurrency=1", "--base-url", &server.url];
    synthmill(dir.path(), &[&run[..], &one_at_a_time].concat(), 0);
    server.questions()
}

/// All that a server reads of a request, in order.
fn read(question: &Question) -> String {
    let turns = question.body["messages"].as_array().unwrap();
    turns.iter().map(|turn| format!("{}: {}\n", text(&turn["role"]), text(&turn["content"]))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn the_questions_of_a_section_follow_one_another_and_share_the_source() {
    let read: Vec<String> = asked(|_| pair()).iter().map(read).collect();
    let shared = |text: &str| text[..text.find("</source>").unwrap()].to_owned();
    let mut sections: Vec<String> = read.iter().map(|text| shared(text)).collect();
    sections.dedup();
    let in_order = sections.len();
    sections.sort();
    sections.dedup();
    assert!(in_order == sections.len() && in_order > 3, "{in_order} runs of {} sections", sections.len());
    assert!(sections.iter().all(|shared| shared.starts_with("system: ") && shared.contains("<source>")));
    // What differs from question to question stands behind that.
    let own = read.iter().map(|text| &text[text.find("</source>").unwrap()..]);
    assert!(own.clone().all(|own| own.contains("Question type: ")), "{:?}", own.clone().next());
}

#[test]
fn a_question_put_again_goes_on_from_the_last_one() {
    for wrong in ["I would rather not.", "{}"] {
        let questions = asked(move |question| {
            let again = question.body["messages"].as_array().unwrap().len() > 2;
            if again { pair() } else { Reply::answer(wrong) }
        });
        let (again, first): (Vec<_>, Vec<_>) =
            questions.iter().map(read).partition(|text| text.contains("That answer cannot be used"));
        assert_eq!((first.len(), again.len()), (120, 120), "{wrong}");
        for text in &again {
            // The whole earlier exchange: the question as it was read and the answer as it was written.
            let start = first.iter().find(|first| text.starts_with(&***first));
            let behind = &text[start.expect("an earlier question begins it").len()..];
            assert!(behind.starts_with(&format!("assistant: {wrong}\nuser: ")), "{behind}");
        }
    }
}
