//! Images in questions: what is sent to a model server for the images in documents and rows.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::batch_script::Script;
use crate::harness::batch_server::BatchServer;
use crate::harness::child::Running;
use crate::harness::model_server::{ModelServer, Question, Reply};
use crate::harness::{outputs, provenance_lines, stderr, stdout, synthmill};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];
const GUIDE: &str = "\
# Lamp

## Front ![logo](img/logo.gif)
The front has two lamps and a switch.

![The front](img/front%20side.png \"Front\") ![again](img/front%20side.png)

## Back
Here <img alt=\"The back\" src=\"img/back.png\"> is the plug.

![gone](img/gone.png) ![large](img/large.jpg) ![drawing](img/drawing.svg) ![far](https://x.invalid/a.png)
![secret](../../../../../../../etc/hosts)

## Words
There is nothing to see here; ![gone](img/gone.png) neither.
";

/// Every byte value, so that any loss shows.
pub(crate) fn png() -> Vec<u8> {
    b"\x89PNG\r\n\x1a\n".iter().copied().chain(0..=255).collect()
}

/// As long as the first, with a different last byte.
fn other_png() -> Vec<u8> {
    [&png()[..263], &[0]].concat()
}

/// Makes a document with images, and the pipeline `p.yaml` with a question per section.
fn guide(url: &str, model: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir_all(dir.path().join("docs/img")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("docs/guide.md", GUIDE.as_bytes());
    write("docs/img/logo.gif", b"GIF89a logo");
    write("docs/img/front side.png", &png());
    write("docs/img/back.png", b"\xff\xd8\xff a JPEG, whatever its name says");
    write("docs/img/large.jpg", &[b"\xff\xd8\xff", &[0; 998][..]].concat());
    write("docs/img/drawing.svg", b"<svg/>");
    let yaml = format!(
        r#"
name: p
models: {{seer: {{base_urls: ["{url}"], model: seer{model}}}}}
stages:
  - ingest: {{paths: [docs/*.md]}}
  - section: {{}}
  - prompt: {{user: "Look at {{{{ section.title }}}}.", images: section.images, max_image_bytes: 1000}}
  - llm: {{model: seer}}
  - sink: {{path: seen.jsonl, format: raw, fields: [id, prompt, section.images, completion]}}
"#
    );
    write("p.yaml", yaml.as_bytes());
    dir
}

/// Makes rows with the field `photo`, and the pipeline `p.yaml` that wants a one-letter answer for each.
fn rows(url: &str, photos: &[Value]) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("photos")).unwrap();
    std::fs::write(dir.path().join("photos/a.png"), png()).unwrap();
    let lines: String = photos.iter().map(|photo| format!("{}\n", json!({"photo": photo}))).collect();
    std::fs::write(dir.path().join("rows.jsonl"), lines).unwrap();
    let yaml = format!(
        r#"
name: p
models: {{seer: {{base_urls: ["{url}"], model: seer}}}}
stages:
  - ingest: {{paths: [rows.jsonl]}}
  - prompt: {{user: "What is it?", images: photo, image_root: photos, min_images: 1}}
  - llm: {{model: seer}}
  - parse:
      schema: {{type: object, required: [it], properties: {{it: {{type: string}}}}}}
      on_error: [{{retry: 1}}, reject]
  - sink: {{path: seen.jsonl, format: raw, fields: [id, photo, it]}}
"#
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    dir
}

/// Returns the content of the question about the section `title`.
fn about(questions: &[Question], title: &str) -> Value {
    let contents = questions.iter().map(|question| question.body["messages"][0]["content"].clone());
    let found: Vec<Value> =
        contents.filter(|content| content.to_string().contains(&format!("Look at {title}."))).collect();
    assert_eq!(found.len(), 1, "{title}");
    found[0].clone()
}

fn url(media_type: &str, bytes: &[u8]) -> Value {
    let url = format!("data:{media_type};base64,{}", STANDARD.encode(bytes));
    json!({"type": "image_url", "image_url": {"url": url}})
}

fn sink(dir: &Path) -> Vec<Value> {
    outputs(&dir.join("out"))["seen.jsonl"].iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn images_of_a_section_arrive_byte_for_byte_and_other_files_are_left_out() {
    let server = ModelServer::replies(vec![Reply::answer("I see.")]);
    let dir = guide(&server.url, "");
    let said = stderr(&synthmill(dir.path(), RUN, 0));
    let questions = server.questions();
    assert_eq!(questions.len(), 3);
    let text = |title: &str| json!({"type": "text", "text": format!("Look at {title}.")});
    let front = [text("Front logo"), url("image/gif", b"GIF89a logo"), url("image/png", &png())];
    assert_eq!(about(&questions, "Front logo"), json!(front));
    let back = [text("Back"), url("image/jpeg", b"\xff\xd8\xff a JPEG, whatever its name says")];
    assert_eq!(about(&questions, "Back"), json!(back));
    assert_eq!(about(&questions, "Words"), json!("Look at Words."), "without images a text, as ever");

    // Each file is reported once, though two sections include one of them.
    for (part, times) in [
        ("an image of `docs/guide.md` is left out: there is no file `docs/img/gone.png`", 1),
        ("`docs/img/large.jpg` has 1001 bytes, `max_image_bytes` is 1000", 1),
        ("`docs/img/drawing.svg` is no PNG, JPEG, GIF or WebP image", 1),
        ("etc/hosts` lies outside of the working directory", 1),
        ("is left out", 4),
        ("x.invalid", 0),
    ] {
        assert_eq!(said.matches(part).count(), times, "{part}\n{said}");
    }

    // Records store the reference of an image, not the image.
    let lines = sink(dir.path());
    let hash = &blake3::hash(&png()).to_hex()[..32];
    let kept =
        json!({"path": "docs/img/front side.png", "media_type": "image/png", "bytes": 264, "hash": hash});
    assert_eq!(lines[0]["prompt"][0]["images"][1], kept);
    assert_eq!(lines[0]["section.images"][1]["alt"], "The front");
    assert_eq!(lines[2]["section.images"], json!([]));
    assert!(!json!(lines).to_string().contains("base64"));
}

#[test]
fn an_answer_is_reused_only_for_the_same_image() {
    let server = ModelServer::replies(vec![Reply::answer("I see.")]);
    let dir = guide(&server.url, "");
    let hashes = || -> Vec<Value> {
        let text = provenance_lines(&dir.path().join("out"));
        let mut calls: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        calls.sort_by_key(|line| line["id"].to_string());
        calls.iter().map(|line| line["calls"][0]["prompt_hash"].clone()).collect()
    };
    let again = [RUN, &["--fresh", "--reuse-answers"]].concat();
    synthmill(dir.path(), RUN, 0);
    let first = hashes();
    // With another path and name, it is the same image.
    let docs = dir.path().join("docs");
    std::fs::rename(docs.join("img/front side.png"), docs.join("moved.png")).unwrap();
    std::fs::write(docs.join("guide.md"), GUIDE.replace("img/front%20side.png", "moved.png")).unwrap();
    synthmill(dir.path(), &again, 0);
    assert_eq!((server.questions().len(), hashes()), (3, first.clone()));
    // With one byte changed, it is another image.
    std::fs::write(docs.join("moved.png"), other_png()).unwrap();
    synthmill(dir.path(), &again, 0);
    let second = hashes();
    assert_eq!(server.questions().len(), 4);
    assert_ne!(second[0], first[0], "the hash of the prompt covers what it shows");
    assert_eq!(second[1..], first[1..]);
}

#[test]
fn a_killed_run_with_images_finds_the_answers_it_had_received() {
    let server = ModelServer::replies(vec![
        Reply::answer("no JSON"),
        Reply::answer("never seen").after(std::time::Duration::from_secs(600)),
        Reply::answer(r#"{"it": "a"}"#),
    ]);
    let dir = rows(&server.url, &[json!("a.png")]);
    let mut run = Running::start(dir.path(), RUN);
    run.runs_until("it asks again", || server.questions().len() == 2);
    run.kill();
    synthmill(dir.path(), RUN, 0);
    let asked: Vec<usize> = server
        .questions()
        .iter()
        .map(|question| {
            let messages = question.body["messages"].as_array().unwrap();
            assert_eq!(messages[0]["content"][1], url("image/png", &png()), "with its image each time");
            messages.len()
        })
        .collect();
    assert_eq!(asked, [1, 3, 3], "the first answer had come, the second had not");
}

#[test]
fn an_image_that_changes_after_its_request_was_built_is_never_sent() {
    let photo = std::sync::Arc::new(std::sync::OnceLock::<std::path::PathBuf>::new());
    let path = std::sync::Arc::clone(&photo);
    let server = ModelServer::start(move |_| {
        std::fs::write(path.get().unwrap(), other_png()).unwrap();
        Reply::answer("no JSON")
    });
    let dir = rows(&server.url, &[json!("a.png")]);
    photo.set(dir.path().join("photos/a.png")).unwrap();
    synthmill(dir.path(), RUN, 5);
    assert_eq!(server.questions().len(), 1, "the question is not put again with another picture");
    let rejected: Value =
        serde_json::from_str(&outputs(&dir.path().join("out"))["rejected.jsonl"][0]).unwrap();
    assert_eq!(rejected["class"], "images");
    assert_eq!(rejected["message"], "`photos/a.png` has changed since its question was made");
}

#[test]
fn rows_name_their_images_and_rows_without_any_are_rejected() {
    let server = ModelServer::replies(vec![Reply::answer(r#"{"it": "a"}"#)]);
    let photos = [json!("a.png"), json!(["a.png", "a.png"]), json!("none.png"), json!(null)];
    let dir = rows(&server.url, &photos);
    let said = stderr(&synthmill(dir.path(), RUN, 0));
    let mut counts: Vec<usize> = server
        .questions()
        .iter()
        .map(|question| question.body["messages"][0]["content"].as_array().unwrap().len() - 1)
        .collect();
    counts.sort_unstable();
    assert_eq!((counts, sink(dir.path()).len()), (vec![1, 2], 2));
    let rejected = &outputs(&dir.path().join("out"))["rejected.jsonl"];
    assert_eq!(rejected.len(), 2);
    assert!(rejected.iter().all(|line| line.contains("`min_images` wants 1")), "{rejected:?}");
    assert!(said.contains("an image of `rows.jsonl` is left out: cannot read `photos/none.png`"), "{said}");
}

#[test]
fn anthropic_receives_image_blocks() {
    let reply = json!({"content": [{"type": "text", "text": "I see."}], "stop_reason": "end_turn"});
    let server = ModelServer::replies(vec![Reply::json(200, &reply)]);
    let dir = guide(&server.url, ", provider: anthropic");
    synthmill(dir.path(), RUN, 0);
    let image = |kind: &str, bytes: &[u8]| json!({"type": "image", "source": {"type": "base64", "media_type": kind, "data": STANDARD.encode(bytes)}});
    let expected = json!([
        image("image/gif", b"GIF89a logo"),
        image("image/png", &png()),
        {"type": "text", "text": "Look at Front logo."},
    ]);
    assert_eq!(about(&server.questions(), "Front logo"), expected);
}

#[test]
fn a_line_of_a_batch_holds_its_images() {
    let server = BatchServer::start(Script::default());
    let dir = guide(&server.url, ", mode: batch, batch: {linger: 0.2, poll: 0.01}");
    synthmill(dir.path(), RUN, 0);
    let batches = server.batches();
    let contents: Vec<&Value> =
        batches[0].iter().map(|line| &line["body"]["messages"][0]["content"]).collect();
    let text = json!({"type": "text", "text": "Look at Front logo."});
    let front = json!([text, url("image/gif", b"GIF89a logo"), url("image/png", &png())]);
    assert!(contents.len() == 3 && contents.contains(&&front), "{contents:?}");
    assert_eq!(sink(dir.path()).len(), 3);
}

#[test]
fn preview_names_the_images_and_plan_counts_them() {
    let dir = guide("http://127.0.0.1:9/v1", "");
    let shown = stdout(&synthmill(dir.path(), &["preview", "p.yaml", "--prompts-only"], 0));
    assert!(shown.contains("      with image docs/img/front side.png (image/png, 264 bytes)\n"), "{shown}");
    let plan = |file: &str| -> Value {
        let told = stdout(&synthmill(dir.path(), &["plan", file, "--json"], 0));
        serde_json::from_str::<Value>(&told).unwrap()["stages"][0].clone()
    };
    let yaml = std::fs::read_to_string(dir.path().join("p.yaml")).unwrap();
    std::fs::write(dir.path().join("words.yaml"), yaml.replace(", images: section.images", "")).unwrap();
    let (with, without) = (plan("p.yaml"), plan("words.yaml"));
    assert_eq!((&with["images"], &without["images"]), (&json!(3.0), &json!(0.0)));
    let tokens = |plan: &Value| plan["prompt_tokens"].as_f64().unwrap();
    assert_eq!(tokens(&with) - tokens(&without), 3.0 * 1600.0);
    // The heuristic ignores images and needs none to answer.
    std::fs::remove_dir_all(dir.path().join("docs/img")).unwrap();
    synthmill(dir.path(), &[RUN, &["--no-llm"]].concat(), 0);
}
