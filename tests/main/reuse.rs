//! Answers outlive a run: after a change only what really changed is asked for, and each answer is used once.

use std::time::Duration;

use crate::child::{answering, ids, rows_folder};
use crate::harness::{outputs, stderr, stdout, synthmill};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];

#[test]
fn a_changed_later_stage_asks_nothing_and_a_changed_prompt_asks_anew() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(60, 8, &server.url);
    synthmill(dir.path(), RUN, 0);
    assert_eq!(server.questions().len(), 60);
    let path = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();

    // Another split: refused with what differs, then run anew with the old answers.
    std::fs::write(&path, yaml.replace("test: 1", "test: 2")).unwrap();
    let refused = stderr(&synthmill(dir.path(), RUN, 2));
    assert!(refused.contains("stages.split.ratios.test: 1 -> 2"), "{refused}");
    synthmill(dir.path(), &[RUN, &["--fresh", "--reuse-answers"]].concat(), 0);
    assert_eq!(server.questions().len(), 60, "every answer was there");
    assert_eq!(ids(&dir.path().join("out")), 60);
    let status = stdout(&synthmill(dir.path(), &["status", "out", "--json"], 0));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((status["reused"].as_u64(), status["requests"].as_u64()), (Some(60), Some(0)));

    // Another prompt for half of the rows: only those are asked.
    let prompt = "Tell me of {{ topic }}{% if topic | last in '02468' %}, please{% endif %}.";
    std::fs::write(&path, yaml.replace("Tell me of {{ topic }}.", prompt)).unwrap();
    synthmill(dir.path(), &[RUN, &["--fresh", "--reuse-answers"]].concat(), 0);
    assert_eq!(server.questions().len(), 60 + 30, "a changed prompt never meets an old answer");
}

#[test]
fn equal_questions_are_different_samples_and_each_answer_is_used_once() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(40, 8, &server.url);
    let path = dir.path().join("p.yaml");
    let yaml =
        std::fs::read_to_string(&path).unwrap().replace("Tell me of {{ topic }}.", "Tell me something.");
    std::fs::write(&path, &yaml).unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"topic\": \"x\"}\n".repeat(40)).unwrap();
    synthmill(dir.path(), RUN, 0);
    assert_eq!(server.questions().len(), 40, "forty equal prompts are forty samples");

    // More rows than there are answers: the rest is asked for.
    std::fs::write(dir.path().join("rows.jsonl"), "{\"topic\": \"x\"}\n".repeat(50)).unwrap();
    synthmill(dir.path(), &[RUN, &["--fresh", "--reuse-answers"]].concat(), 0);
    assert_eq!(server.questions().len(), 50);
    assert_eq!(outputs(&dir.path().join("out")).values().map(Vec::len).sum::<usize>(), 50);
}

#[test]
fn rejected_items_are_tried_again_and_take_their_places() {
    let ill = crate::model_server::ModelServer::start(|question| match question.prompt.contains("topic 7") {
        true => crate::model_server::Reply::error(400, "content_filter", "refused"),
        false => crate::child::answer(question),
    });
    let dir = rows_folder(30, 4, &ill.url);
    synthmill(dir.path(), RUN, 0);
    let out = dir.path().join("out");
    assert_eq!(outputs(&out)["rejected.jsonl"].len(), 1);
    let none = synthmill(dir.path(), &["retry-rejected", "out", "--class", "timeout"], 0);
    assert!(stderr(&none).contains("no rejected item"), "{}", stderr(&none));
    synthmill(dir.path(), &["retry-rejected", "out"], 0);
    assert_eq!(outputs(&out)["rejected.jsonl"].len(), 1, "still refused, and asked anew");
    assert_eq!(ill.questions().len(), 31, "30 rows, one of them twice");

    let well = answering(Duration::ZERO);
    let yaml = std::fs::read_to_string(out.join("pipeline.yaml")).unwrap();
    std::fs::write(out.join("pipeline.yaml"), yaml.replace(&ill.url, &well.url)).unwrap();
    synthmill(dir.path(), &["retry-rejected", "out"], 0);
    assert_eq!(well.questions().len(), 1);
    assert!(outputs(&out)["rejected.jsonl"].is_empty());
    assert_eq!(ids(&out), 30);
    let repaired = synthmill(dir.path(), &["repair", "out"], 0);
    assert!(stdout(&repaired).contains("nothing to do"), "{}", stdout(&repaired));
}
