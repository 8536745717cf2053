//! Changes to the files of a run by others, during and after it, are detected; and what a start left unfinished is resumed
//! by the same command.

use std::path::Path;
use std::time::Duration;

use crate::harness::child::{Running, answer, answering, ids, rows_folder};
use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::{outputs, project, stderr, stdout, synthmill};

/// What an output is changed to.
type Edit = fn(&[u8]) -> Vec<u8>;
/// What is done to the file at a path.
type Deed = fn(&Path);

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];

#[test]
fn a_complete_run_is_compared_before_it_says_there_is_nothing_to_do() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(20, 4, &server.url);
    synthmill(dir.path(), RUN, 0);
    let edits: [(&str, Edit); 5] = [
        ("a flipped bit", |bytes| [&bytes[..9], &[bytes[9] ^ 1], &bytes[10..]].concat()),
        ("swapped lines", |bytes| {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            lines.reverse();
            lines.concat()
        }),
        ("a line more", |bytes| [bytes, b"{\"id\": \"mine\"}\n"].concat()),
        ("a line less", |bytes| bytes[bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1..].to_vec()),
        ("nothing left", |_| Vec::new()),
    ];
    for name in ["train.jsonl", "test.jsonl", "provenance/records-0001.jsonl.zst"] {
        let path = dir.path().join("out").join(name);
        let good = std::fs::read(&path).unwrap();
        for (what, edit) in edits {
            std::fs::write(&path, edit(&good)).unwrap();
            let told = stderr(&synthmill(dir.path(), RUN, 3));
            assert!(told.contains(name) && told.contains("synthmill repair"), "{name}, {what}: {told}");
            synthmill(dir.path(), &["repair", "out"], 0);
            let told = stderr(&synthmill(dir.path(), RUN, 0));
            assert!(told.contains("going on"), "{name}, {what}: {told}");
            assert_eq!((ids(&dir.path().join("out")), server.questions().len()), (20, 20), "{name}, {what}");
            // The lines are the same, but may be in another order.
            assert_eq!(sorted(std::fs::read(&path).unwrap()), sorted(good.clone()), "{name}, {what}");
        }
    }
    let told = stderr(&synthmill(dir.path(), RUN, 0));
    assert!(told.contains("nothing to do"), "{told}");
}

/// Returns the sorted lines of an output, decompressed if they are one or more zstd frames.
fn sorted(bytes: Vec<u8>) -> Vec<String> {
    let lines = zstd::stream::decode_all(&*bytes).unwrap_or(bytes);
    let mut lines: Vec<String> = String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn accepted_items_survive_a_repair_unchanged() {
    // Slow enough for several commits, so that the byte may be in any of them.
    let server = answering(Duration::from_millis(40));
    let dir = rows_folder(60, 4, &server.url);
    let yaml = std::fs::read_to_string(dir.path().join("p.yaml")).unwrap();
    std::fs::write(dir.path().join("p.yaml"), format!("accept: 30\n{yaml}")).unwrap();
    synthmill(dir.path(), RUN, 0);
    let out = dir.path().join("out");
    let (whole, train) = (outputs(&out), out.join("train.jsonl"));
    let ends: Vec<usize> = {
        let bytes = std::fs::read(&train).unwrap();
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect()
    };
    for at in [0, ends[ends.len() / 2] - 4, ends[ends.len() - 1] - 4] {
        let mut bytes = std::fs::read(&train).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&train, bytes).unwrap();
        let repaired = synthmill(dir.path(), &["repair", "out", "--json"], 0);
        let repaired: serde_json::Value = serde_json::from_str(&stdout(&repaired)).unwrap();
        let undone = |key: &str| repaired[key].as_array().unwrap().len();
        assert!(undone("items") + undone("dependents") > 0, "{repaired}");
        let asked = server.questions().len();
        synthmill(dir.path(), RUN, 0);
        assert_eq!(outputs(&out), whole, "byte {at}: {repaired}");
        assert!(server.questions().len() - asked <= 4, "what was kept is not asked for again");
    }
}

#[test]
fn a_missing_array_is_rewritten_and_a_changed_one_is_kept() {
    let dir = project();
    let run = [
        "run",
        "pipelines/docs-to-qa.yaml",
        "--no-llm",
        "--var",
        "arrays=true",
        "--limit",
        "40",
        "--out",
        "out",
    ];
    synthmill(dir.path(), &run, 0);
    let out = dir.path().join("out");
    let arrays = || -> Vec<_> {
        let entries = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains("-synthetic-data-")).collect()
    };
    let made = arrays();
    assert_eq!(made.len(), 2);
    let good = std::fs::read(&made[0]).unwrap();
    std::fs::remove_file(&made[0]).unwrap();
    let told = stderr(&synthmill(dir.path(), &run, 0));
    assert!(told.contains("is gone, and made again"), "{told}");
    assert_eq!((std::fs::read(&made[0]).unwrap(), arrays().len()), (good.clone(), 2));

    let mine = [&b"[ "[..], &good[2..]].concat();
    std::fs::write(&made[0], &mine).unwrap();
    let told = stderr(&synthmill(dir.path(), &run, 3));
    assert!(told.contains(&*made[0].file_name().unwrap().to_string_lossy()), "{told}");
    assert!(std::fs::read(&made[0]).unwrap() == mine, "a start overwrote it");
    let told = stdout(&synthmill(dir.path(), &["repair", "out"], 0));
    let kept = told.lines().find_map(|line| line.strip_prefix("what was taken out is kept in `")).unwrap();
    assert!(std::fs::read(dir.path().join(kept.trim_end_matches('`'))).unwrap() == mine);
    synthmill(dir.path(), &run, 0);
    assert!(std::fs::read(&made[0]).unwrap() == good);
}

/// What is done to a file under a running run.
const UNDER_A_RUN: &[(&str, Deed)] = &[
    (".lock", |path| std::fs::remove_file(path).unwrap()),
    (".lock", replace),
    ("train.jsonl", |path| std::fs::remove_file(path).unwrap()),
    ("train.jsonl", replace),
    ("train.jsonl", |path| std::fs::write(path, "").unwrap()),
    ("test.jsonl", |path| {
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"mine\n").unwrap();
    }),
    ("provenance/records-0001.jsonl.zst", replace),
    ("journal/commits-0001.log", replace),
];

/// Replaces a file by a copy, as editors and `sed -i` do.
fn replace(path: &Path) {
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).unwrap();
    std::fs::rename(copy, path).unwrap();
}

#[test]
fn a_file_removed_or_replaced_under_a_run_ends_it() {
    for (name, tamper) in UNDER_A_RUN {
        let server = answering(Duration::from_millis(10));
        let dir = rows_folder(120, 4, &server.url);
        let path = dir.path().join("out").join(name);
        let mut run = Running::start(dir.path(), RUN);
        assert!(run.runs_until("some questions came", || server.questions().len() >= 30));
        tamper(&path);
        let ended = run.wait();
        assert_eq!(ended.code, Some(3), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("`out/{name}`")), "{name}: {}", ended.stderr);
        synthmill(dir.path(), &["repair", "out"], 0);
        synthmill(dir.path(), RUN, 0);
        assert_eq!(ids(&dir.path().join("out")), 120, "{name}");
    }
}

#[test]
fn a_second_process_that_got_in_stops_the_first_and_nothing_is_written_twice() {
    let server = answering(Duration::from_millis(10));
    let dir = rows_folder(200, 4, &server.url);
    let mut first = Running::start(dir.path(), RUN);
    assert!(first.runs_until("some questions came", || server.questions().len() >= 30));
    std::fs::remove_file(dir.path().join("out/.lock")).unwrap();
    let second = Running::start(dir.path(), RUN);
    let (first, second) = (first.wait(), second.wait());
    assert_eq!(first.code, Some(3), "{}", first.stderr);
    assert!(second.code == Some(0) || second.code == Some(3), "{}", second.stderr);
    synthmill(dir.path(), &["repair", "out"], 0);
    synthmill(dir.path(), RUN, 0);
    assert_eq!(ids(&dir.path().join("out")), 200);
}

#[test]
fn a_run_whose_folder_is_renamed_stops_and_can_resume_there() {
    let server = answering(Duration::from_millis(10));
    let dir = rows_folder(120, 4, &server.url);
    let mut first = Running::start(dir.path(), RUN);
    assert!(first.runs_until("some questions came", || server.questions().len() >= 30));
    std::fs::rename(dir.path().join("out"), dir.path().join("moved")).unwrap();
    let second = Running::start(dir.path(), RUN).wait();
    let first = first.wait();
    assert_eq!((first.code, second.code), (Some(3), Some(0)), "{}\n{}", first.stderr, second.stderr);
    synthmill(dir.path(), &["run", "p.yaml", "--out", "moved"], 0);
    assert_eq!((ids(&dir.path().join("out")), ids(&dir.path().join("moved"))), (120, 120));
}

/// A server that refuses the topics 1 and 2, and one that answers them when it is let.
fn refusing() -> ModelServer {
    ModelServer::start(|question| {
        match question.prompt.ends_with("topic 1.") || question.prompt.ends_with("topic 2.") {
            true => Reply::error(400, "content_filter", "refused"),
            false => answer(question),
        }
    })
}

#[test]
fn a_killed_retry_of_rejected_items_resumes() {
    let ill = refusing();
    let dir = rows_folder(12, 4, &ill.url);
    synthmill(dir.path(), &[RUN, &["--limit", "8"]].concat(), 0);
    let out = dir.path().join("out");
    assert_eq!(outputs(&out)["rejected.jsonl"].len(), 2);
    let slow = ModelServer::start(|question| answer(question).after(Duration::from_secs(3600)));
    let pipeline = out.join("pipeline.yaml");
    let yaml = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, yaml.replace(&ill.url, &slow.url)).unwrap();
    let mut retry = Running::start(dir.path(), &["retry-rejected", "out"]);
    assert!(retry.runs_until("the rejected are asked", || slow.questions().len() == 2));
    retry.kill();
    let well = answering(Duration::ZERO);
    std::fs::write(&pipeline, yaml.replace(&ill.url, &well.url)).unwrap();
    let told = stderr(&synthmill(dir.path(), &["retry-rejected", "out"], 0));
    assert!(told.contains("going on with the rejected items"), "{told}");
    assert!(outputs(&out)["rejected.jsonl"].is_empty());
    // The limit of the run applies to later commands too.
    assert_eq!((ids(&out), well.questions().len()), (8, 2));
    let told = stderr(&synthmill(dir.path(), &["retry-rejected", "out"], 0));
    assert!(told.contains("no rejected item"), "{told}");
}

#[test]
fn a_killed_run_keeps_its_limit_when_rejected_items_are_retried() {
    let ill = ModelServer::start(|question| match question.prompt.ends_with("topic 1.") {
        true => Reply::error(400, "content_filter", "refused"),
        false => answer(question).after(Duration::from_secs(3600)),
    });
    let dir = rows_folder(12, 8, &ill.url);
    let out = dir.path().join("out");
    let mut run = Running::start(dir.path(), &[RUN, &["--limit", "4"]].concat());
    let rejected =
        || std::fs::metadata(out.join("journal/commits-0001.log")).is_ok_and(|file| file.len() > 40);
    assert!(run.runs_until("one is rejected", rejected));
    run.kill();
    let well = answering(Duration::ZERO);
    let pipeline = out.join("pipeline.yaml");
    let yaml = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, yaml.replace(&ill.url, &well.url)).unwrap();
    synthmill(dir.path(), &["retry-rejected", "out"], 0);
    assert_eq!((ids(&out), well.questions().len()), (4, 4));
}

#[test]
fn a_run_without_output_gives_way_to_a_changed_pipeline() {
    let dir = project();
    let run = ["run", "pipelines/docs-to-qa.yaml", "--out", "out", "--limit", "10"];
    // There is no server.
    let base = ["--base-url", "http://127.0.0.1:9/v1"];
    synthmill(dir.path(), &[&run[..], &base].concat(), 4);
    synthmill(dir.path(), &[&run[..], &base].concat(), 4);
    let told = stderr(&synthmill(dir.path(), &[&run[..], &["--no-llm"]].concat(), 0));
    assert!(told.contains("had made nothing"), "{told}");
    let lines = outputs(&dir.path().join("out")).values().map(Vec::len).sum::<usize>();
    assert!(lines > 0);
    // Now there is output.
    let told = stderr(&synthmill(dir.path(), &[&run[..], &["--seed", "9"]].concat(), 2));
    assert!(told.contains("seed: 42 -> 9"), "{told}");
    let told = stderr(&synthmill(dir.path(), &[&run[..], &["--no-llm"]].concat(), 0));
    assert!(told.contains("nothing to do"), "{told}");
    let whole = stdout(&synthmill(dir.path(), &["repair", "out"], 0));
    assert!(whole.contains("nothing to do"), "{whole}");
}

#[test]
fn the_empty_outputs_of_a_run_without_records_are_replaced() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(6, 4, "http://127.0.0.1:9/v1");
    synthmill(dir.path(), RUN, 4);
    let path = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        yaml.replace("train.jsonl", "other.jsonl").replace("http://127.0.0.1:9/v1", &server.url),
    )
    .unwrap();
    synthmill(dir.path(), RUN, 0);
    let out = dir.path().join("out");
    assert_eq!(ids(&out), 6);
    assert!(!out.join("train.jsonl").exists());
    let kept = std::fs::read_to_string(out.join("pipeline.yaml")).unwrap();
    assert!(kept.contains("other.jsonl"), "{kept}");
}
