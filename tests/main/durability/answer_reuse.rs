//! Reuse of answers: after a change only what really changed is asked, and each answer is used once.

use std::path::Path;
use std::time::Duration;

use crate::harness::child::{answer, answering, ids, rows_folder};
use crate::harness::model_server::{ModelServer, Reply};
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

    // Another split: refused with the difference, then run afresh with the old answers.
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

    // More rows than answers: the others are asked.
    std::fs::write(dir.path().join("rows.jsonl"), "{\"topic\": \"x\"}\n".repeat(50)).unwrap();
    synthmill(dir.path(), &[RUN, &["--fresh", "--reuse-answers"]].concat(), 0);
    assert_eq!(server.questions().len(), 50);
    assert_eq!(outputs(&dir.path().join("out")).values().map(Vec::len).sum::<usize>(), 50);
}

#[test]
fn rejected_items_are_retried_and_replaced() {
    let ill = ModelServer::start(|question| match question.prompt.contains("topic 7") {
        true => Reply::error(400, "content_filter", "refused"),
        false => answer(question),
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

#[test]
fn once_accept_has_enough_no_rejected_item_is_retried() {
    let server = ModelServer::start(|question| match question.prompt.contains("topic 7") {
        true => Reply::error(400, "content_filter", "refused"),
        false => answer(question),
    });
    let dir = rows_folder(30, 4, &server.url);
    let path = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("accept: 10\n{yaml}")).unwrap();
    synthmill(dir.path(), RUN, 0);
    let out = dir.path().join("out");
    let (lines, asked) = (outputs(&out), server.questions().len());
    assert_eq!((lines["rejected.jsonl"].len(), ids(&out)), (1, 11));
    let manifest = std::fs::read(out.join("manifest.json")).unwrap();
    let told = stderr(&synthmill(dir.path(), &["retry-rejected", "out"], 0));
    assert!(told.contains("nothing is changed") && told.contains("`accept`"), "{told}");
    assert_eq!(std::fs::read(out.join("manifest.json")).unwrap(), manifest);
    assert_eq!((outputs(&out), server.questions().len()), (lines, asked));

    // With a higher limit, it is retried.
    std::fs::write(&path, format!("accept: 40\n{yaml}")).unwrap();
    synthmill(dir.path(), &["run", "p.yaml", "--out", "more"], 6);
    let asked = server.questions().len();
    let told = stderr(&synthmill(dir.path(), &["retry-rejected", "more"], 6));
    assert!(told.contains("1 rejected items are made again"), "{told}");
    assert_eq!(server.questions().len(), asked + 1);
}

#[test]
fn a_run_of_an_earlier_format_is_refused_and_its_answers_are_reusable() {
    let server = ModelServer::start(|question| match question.prompt.contains("topic 7") {
        true => Reply::error(400, "content_filter", "refused"),
        false => answer(question),
    });
    let dir = rows_folder(30, 4, &server.url);
    let out = dir.path().join("out");
    synthmill(dir.path(), RUN, 0);
    put_back_to_format_2(&out);
    for command in [RUN, &["repair", "out"], &["retry-rejected", "out"], &["status", "out"]] {
        let told = stderr(&synthmill(dir.path(), command, 3));
        for part in ["has format 2", "reads formats 3 to 4", "earlier release", "--reuse-answers"] {
            assert!(told.contains(part), "{command:?}: {told}");
        }
    }
    synthmill(dir.path(), &[RUN, &["--fresh", "--reuse-answers"]].concat(), 0);
    assert_eq!(server.questions().len(), 31, "a failure is another run's own; all else was there");
    assert_eq!(ids(&out), 30);

    // Still older runs hold nothing useful and are not moved.
    put_format(&out.join("manifest.json"), 1);
    let told = stderr(&synthmill(dir.path(), &[RUN, &["--fresh", "--reuse-answers"]].concat(), 3));
    assert!(told.contains("has format 1") && told.contains("cannot be used again"), "{told}");
    assert!(out.join("manifest.json").exists());
    synthmill(dir.path(), &[RUN, &["--fresh"]].concat(), 0);
    assert_eq!(server.questions().len(), 31 + 30);
}

/// Converts a run to format 2, in which only the answer itself said whether another run may reuse it.
fn put_back_to_format_2(out: &Path) {
    put_format(&out.join("manifest.json"), 2);
    for entry in std::fs::read_dir(out.join("journal")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".log") {
            continue;
        }
        let mut log = std::fs::read(&path).unwrap();
        log[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let crc = crc32fast::hash(&log[..36]);
        log[36..40].copy_from_slice(&crc.to_le_bytes());
        let mut at = 40;
        while name.starts_with("answers-") && at < log.len() {
            let length = u32::from_le_bytes(log[at..at + 4].try_into().unwrap()) as usize;
            let payload = at + 8..at + 8 + length;
            log[payload.start + 41] &= 1;
            let crc = crc32fast::hash(&log[payload.clone()]);
            log[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
            at = payload.end;
        }
        std::fs::write(path, log).unwrap();
    }
}

fn put_format(manifest: &Path, format: u32) {
    let json = std::fs::read(manifest).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    json["format"] = format.into();
    std::fs::write(manifest, json.to_string()).unwrap();
}
