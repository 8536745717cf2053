//! Every exit code of the program, each from a real cause.

use std::time::Duration;

use crate::harness::child::{Running, answer, answering, ids, rows_folder};
use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::{program, project, stderr, synthmill};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];

/// Runs `arguments` in `dir` to this exit code; stderr must hold each of `parts`.
#[track_caller]
fn check(dir: &std::path::Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let text = stderr(&synthmill(dir, arguments, code));
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn wrong_arguments_exit_with_2() {
    let dir = project();
    let dir = dir.path();
    check(dir, &[], 2, &["Usage"]);
    check(dir, &["previw"], 2, &["previw", "preview"]);
    check(dir, &["run", "pipelines/docs-to-qa.yaml", "--frsh"], 2, &["--frsh", "--fresh"]);
    check(dir, &["run", "nowhere.yaml"], 2, &["nowhere.yaml"]);
    check(dir, &["run", "pipelines/docs-to-qa.yaml", "--set", "seed"], 2, &["seed"]);
    check(dir, &["run", "pipelines/docs-to-qa.yaml", "--var", "dcos=x", "--no-llm"], 2, &["dcos", "docs"]);
    check(dir, &["run", "pipelines/docs-to-qa.yaml", "-q", "-v"], 2, &["--quiet"]);
    assert!(!dir.join("output").exists(), "nothing was begun");
}

#[test]
fn a_wrong_file_exits_with_2_before_anything_starts() {
    let dir = project();
    std::fs::write(dir.path().join("bad.yaml"), "name: bad\nstages:\n  - ingst: {paths: [a]}\n").unwrap();
    check(dir.path(), &["run", "bad.yaml"], 2, &["bad.yaml:3:5", "did you mean `ingest`"]);
    assert!(!dir.path().join("output").exists());
}

#[test]
fn another_pipeline_on_a_run_directory_exits_with_2_without_fresh() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(5, 2, &server.url);
    synthmill(dir.path(), RUN, 0);
    let hot = [RUN, &["--temperature", "1.5"]].concat();
    check(dir.path(), &hot, 2, &["models.teacher", "--fresh"]);
    assert_eq!(server.questions().len(), 5, "a refused run asks nothing");
    // Endpoints and concurrency may change.
    check(dir.path(), &[RUN, &["--set", "models.teacher.concurrency=3"]].concat(), 0, &["is finished"]);
    check(dir.path(), &[&hot[..], &["--fresh"]].concat(), 0, &["moved the old run"]);
    assert_eq!(server.questions().len(), 10);
}

#[test]
fn a_second_process_on_the_directory_exits_with_3() {
    let server = ModelServer::start(|question| answer(question).after(Duration::from_secs(3600)));
    let dir = rows_folder(5, 2, &server.url);
    let mut first = Running::start(dir.path(), RUN);
    assert!(first.runs_until("a question came", || !server.questions().is_empty()));
    check(dir.path(), RUN, 3, &["another process"]);
    check(dir.path(), &[RUN, &["--fresh"]].concat(), 3, &["another process"]);
    first.kill();
    let healthy = answering(Duration::ZERO);
    check(dir.path(), &[RUN, &["--base-url", &healthy.url]].concat(), 0, &["5 admitted"]);
}

#[test]
fn a_directory_that_vanishes_exits_with_3() {
    let server = answering(Duration::from_millis(20));
    let dir = rows_folder(400, 4, &server.url);
    let mut run = Running::start(dir.path(), &["run", "p.yaml", "--out", "out"]);
    assert!(run.runs_until("some questions came", || server.questions().len() >= 20));
    std::fs::remove_dir_all(dir.path().join("out")).unwrap();
    let ended = run.wait();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    // Noticed by the lock or by whichever file was missed first.
    assert!(ended.stderr.contains("cannot") && ended.stderr.contains("`out/"), "{}", ended.stderr);
}

#[test]
fn a_directory_that_cannot_be_created_exits_with_3() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(5, 2, &server.url);
    std::fs::write(dir.path().join("out"), "a file").unwrap();
    check(dir.path(), RUN, 3, &["out"]);
    check(dir.path(), &["run", "p.yaml", "--out", "out/deeper"], 3, &["out/deeper"]);
    assert!(server.questions().is_empty());
}

#[test]
fn a_refused_key_exits_with_4_and_costs_no_item() {
    let refusing = ModelServer::replies(vec![Reply::error(401, "invalid_api_key", "no such key")]);
    let dir = rows_folder(20, 4, &refusing.url);
    check(dir.path(), RUN, 4, &["0 rejected", "no such key", "LLM_API_KEY"]);
    let asked = refusing.questions().len();
    assert!(asked <= 8, "{asked} questions to a server that refuses the key");
    let healthy = answering(Duration::ZERO);
    check(dir.path(), &[RUN, &["--base-url", &healthy.url]].concat(), 0, &["20 ok"]);
    assert_eq!(ids(&dir.path().join("out")), 20);
}

#[test]
fn an_unreachable_server_exits_with_4() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/v1");
    let dir = rows_folder(5, 2, &url);
    check(dir.path(), RUN, 4, &[&url, "0 rejected"]);
}

#[test]
fn too_many_rejected_exits_with_5_and_reports_the_reasons() {
    let server = ModelServer::replies(vec![Reply::error(400, "bad", "the prompt displeases")]);
    let dir = rows_folder(200, 4, &server.url);
    check(dir.path(), RUN, 5, &["error_budget", "the prompt displeases"]);
    assert!(server.questions().len() < 200, "it stopped before the end");
    let rejected = std::fs::read_to_string(dir.path().join("out/rejected.jsonl")).unwrap();
    assert!(rejected.lines().count() >= 50);
}

#[test]
fn a_complete_run_without_output_exits_with_5_until_there_is_some() {
    let server = ModelServer::start(|question| match question.before {
        0 => Reply::error(400, "content_filter", "the prompt displeases"),
        _ => answer(question),
    });
    let dir = rows_folder(5, 4, &server.url);
    check(
        dir.path(),
        RUN,
        5,
        &["complete, but nothing was made", "retry-rejected out", "5 records: content_filter"],
    );
    check(dir.path(), RUN, 5, &["is finished", "nothing was made"]);
    assert_eq!(server.questions().len(), 5, "a finished run asks nothing");
    check(dir.path(), &["retry-rejected", "out"], 0, &["5 ok"]);
    check(dir.path(), RUN, 0, &["is finished"]);
    assert_eq!(ids(&dir.path().join("out")), 5);
}

#[test]
fn a_source_of_unreadable_rows_is_not_a_success() {
    let server = answering(std::time::Duration::ZERO);
    let dir = rows_folder(5, 4, &server.url);
    let rubbish: Vec<u8> = (0..2000_u32).flat_map(|number| [0xff, (number % 251) as u8, b'\n']).collect();
    let rows = dir.path().join("rows.jsonl");
    std::fs::write(&rows, &rubbish).unwrap();
    check(dir.path(), RUN, 5, &["complete, but nothing was made", "`rows.jsonl:1`", "could be read"]);
    check(dir.path(), RUN, 5, &["is finished", "could be read"]);
    // A single good row is worth a run.
    let good = [&rubbish[..], b"{\"topic\": \"topic 7\"}\n"].concat();
    std::fs::write(&rows, good).unwrap();
    check(dir.path(), &[RUN, &["--fresh"]].concat(), 0, &["1 ok"]);
}

/// A folder whose pipeline asks nobody and writes only the rows for which `when` holds.
fn picky(rows: &str, when: &str) -> tempfile::TempDir {
    let dir = rows_folder(0, 4, "http://127.0.0.1:9/v1");
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    let yaml = format!(
        "name: t\nstages:\n  - ingest: {{paths: [rows.jsonl]}}\n  - sink: {{path: out.jsonl, format: raw, when: {when}}}\n"
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    dir
}

#[test]
fn no_output_exits_with_5_whatever_the_reason() {
    let coffee = "{\"topic\": \"coffee\"}\n";
    for (rows, why) in [
        (coffee.repeat(3), "nothing was made: all 3 dropped: unrouted;"),
        (
            format!("{coffee}[]\n"),
            "nothing was made: all 1 dropped: unrouted, and one file or row could not be read",
        ),
        ("[]\n".to_owned(), "nothing was made: nothing of the source could be read"),
        (String::new(), "nothing was made: the source gave no items"),
    ] {
        let dir = picky(&rows, "source.name == 'none'");
        check(dir.path(), RUN, 5, &["complete, but nothing was made", why]);
        // The same of the run that is there.
        check(dir.path(), RUN, 5, &["is finished", why]);
    }
    let dir = picky(&coffee.repeat(3), "topic == 'tea'");
    check(dir.path(), &[RUN, &["--limit", "0"]].concat(), 0, &["0 admitted"]);
    let dir = picky(&format!("{coffee}{{\"topic\": \"tea\"}}\n"), "topic == 'tea'");
    check(dir.path(), RUN, 0, &["1 ok + 1 dropped"]);
}

#[test]
fn a_source_that_ends_early_exits_with_6() {
    let dir = picky("{\"topic\": \"tea\"}\n{\"topic\": \"coffee\"}\n", "topic == 'tea'");
    let accept = [RUN, &["--set", "accept=2"]].concat();
    check(dir.path(), &accept, 6, &["`accept` wants 2 items, but the source ended with 1 accepted"]);
    check(dir.path(), &accept, 6, &["1 accepted"]);
}

#[test]
fn a_spent_budget_exits_with_7_until_it_is_raised() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(60, 4, &server.url);
    let run = |most: u64, code: i32, parts: &[&str]| {
        let budget = format!("budget.max_tokens_total={most}");
        check(dir.path(), &[RUN, &["--max-tokens", "400", "--set", &budget]].concat(), code, parts);
    };
    run(900, 7, &["the budget is used up", "goes on once `budget` is raised"]);
    let status = synthmill(dir.path(), &["status", "out", "--json"], 0);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let spent = 10 * server.questions().len() as u64;
    assert_eq!((&status["state"], &status["spent"]["tokens"]), (&"out_of_budget".into(), &spent.into()));
    assert!(spent <= 900 && spent + 700 > 900, "{spent} of 900, and less than 700 for one more");
    run(900, 7, &["the budget is used up"]);
    run(100_000, 0, &["60 ok"]);
    assert_eq!(server.questions().len(), 60, "nothing is asked twice");
}

#[test]
fn a_source_that_changes_while_it_is_read_exits_with_3() {
    let line = |number: u32| format!("{{\"topic\": \"topic {number}\"}}\n");
    let rows = |count: u32| (0..count).map(line).collect::<String>();
    let as_it_was = rows(400);
    for (changed, told) in [
        (rows(150), Some("bytes, where it had")),
        (rows(405), Some("bytes, where it had")),
        (as_it_was.replace("topic 39", "topic 93"), Some("has another content")),
        (as_it_was.clone(), None),
    ] {
        let server = answering(Duration::from_millis(5));
        let dir = rows_folder(400, 4, &server.url);
        let mut run = Running::start(dir.path(), RUN);
        assert!(run.runs_until("some questions came", || server.questions().len() >= 20));
        std::fs::write(dir.path().join("rows.jsonl"), &changed).unwrap();
        let ended = run.wait();
        let Some(told) = told else {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            continue;
        };
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        for part in ["the source is not what it was", "`rows.jsonl`", told] {
            assert!(ended.stderr.contains(part), "`{part}` is not in\n{}", ended.stderr);
        }
        check(dir.path(), RUN, 2, &["files.rows.jsonl"]);
        std::fs::write(dir.path().join("rows.jsonl"), &as_it_was).unwrap();
        let on = program(dir.path(), RUN).output().unwrap();
        match changed.len() > as_it_was.len() {
            true => assert_eq!(on.status.code(), Some(3), "more is done than there is: {}", stderr(&on)),
            false => assert_eq!(on.status.code(), Some(0), "{}", stderr(&on)),
        }
    }
}

#[test]
fn help_and_version_exit_with_0_and_name_the_codes() {
    let dir = project();
    let help = program(dir.path(), &["--help"]).output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    // Wherever its lines are broken.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for code in [
        "0 complete",
        "1 unexpected",
        "2 arguments",
        "3 storage",
        "4 cred",
        "5 too many",
        "6 source",
        "7 budget",
        "75 inter",
    ] {
        assert!(text.contains(code), "{code} is not in\n{text}");
    }
    synthmill(dir.path(), &["--version"], 0);
    synthmill(dir.path(), &["help", "run"], 0);
}
