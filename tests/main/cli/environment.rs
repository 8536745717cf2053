//! Effects of the environment on a run: proxy variables, few file descriptors.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::child::{answering, ids, rows_folder};
use crate::harness::{program, stderr};

#[test]
fn a_server_on_this_machine_is_reached_past_any_proxy() {
    let server = answering(Duration::ZERO);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let dir = rows_folder(3, 2, &server.url);
        let mut run = program(dir.path(), &["run", "p.yaml", "--out", "out"]);
        let output = run.env(variable, "socks5h://127.0.0.1:9").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_proxy_that_fails_is_named_by_its_variable_and_without_its_password() {
    let dir = rows_folder(3, 2, "http://server.example/v1");
    let mut run = program(dir.path(), &["run", "p.yaml", "--out", "out"]);
    let output = run.env("HTTP_PROXY", "http://me:hidden-word@127.0.0.1:9").output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("(through the proxy `http://127.0.0.1:9` of `HTTP_PROXY`)"), "{told}");
    assert!(told.contains("NO_PROXY") && !told.contains("hidden-word"), "{told}");
    let mut run = program(dir.path(), &["run", "p.yaml", "--out", "out"]);
    let output = run.env("HTTP_PROXY", "http://:x:").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("`HTTP_PROXY` in the environment"), "{}", stderr(&output));
}

#[test]
fn a_run_gets_by_with_few_file_descriptors() {
    let server = answering(Duration::from_millis(40));
    let run = |limit: &str| {
        let dir = rows_folder(400, 300, &server.url);
        let mut shell = Command::new("sh");
        let line = format!("ulimit {limit} 110 && exec \"$0\" run p.yaml --out out");
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_synthmill")]).current_dir(dir.path());
        let output = shell.env_remove("LLM_BASE_URL").stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{limit}: {}", stderr(&output));
        assert_eq!(ids(&dir.path().join("out")), 400);
        stderr(&output)
    };
    // The hard limit stands.
    let told = run("-n");
    assert!(told.contains("gets 60 requests at a time instead of 300"), "{told}");
    // The soft one may be raised.
    assert!(!run("-Sn").contains("at a time instead"));
}
