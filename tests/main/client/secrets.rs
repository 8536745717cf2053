//! No key of a provider appears in a log, an output, a journal, a manifest or an error.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::harness::child::{answering, rows_folder};
use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::program;

pub(crate) const CANARY: &str = "canary-5d1f0c93b7e24a68";

/// Runs with the canary as key at every log level, then searches everything printed and written.
#[track_caller]
fn check(server: &ModelServer, code: i32) {
    for flags in [&["-q"][..], &[], &["--json", "-vv"]] {
        let dir = rows_folder(60, 4, &server.url);
        let run = [&["run", "p.yaml", "--out", "out"], flags].concat();
        for arguments in
            [&run[..], &["status", "out"], &["preview", "p.yaml", "-n", "1"], &["validate", "p.yaml"]]
        {
            let output = program(dir.path(), arguments)
                .env("LLM_API_KEY", CANARY)
                .env("SYNTHMILL_LOG", "trace")
                .output()
                .unwrap();
            if arguments[0] == "run" {
                assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
            }
            assert!(!holds(&output.stdout), "stdout of {arguments:?}");
            assert!(!holds(&output.stderr), "stderr of {arguments:?}");
        }
        assert!(files(&dir.path().join("out")) >= 6);
    }
    let sent = server.questions();
    assert!(sent.iter().all(|question| question.headers["authorization"] == format!("Bearer {CANARY}")));
}

fn holds(bytes: &[u8]) -> bool {
    // Debug output would contain a part of it too, and base64 encodes it at three alignments.
    let base64 = [0, 1, 2].map(|shift| BASE64_STANDARD.encode(&CANARY.as_bytes()[shift..][..12]));
    let hidden = base64.iter().map(|text| text.as_bytes());
    let mut forms = hidden.chain([&CANARY.as_bytes()[..10]]);
    forms.any(|form| bytes.windows(form.len()).any(|window| window == form))
}

/// Returns the number of files in a folder; fails if one contains the canary.
pub(crate) fn files(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += files(&path);
        } else {
            assert!(!holds(&std::fs::read(&path).unwrap()), "{}", path.display());
            count += 1;
        }
    }
    count
}

#[test]
fn a_run_without_faults_does_not_leak_the_key() {
    check(&answering(Duration::ZERO), 0);
}

#[test]
fn a_refused_key_that_the_server_repeats_does_not_leak() {
    check(&ModelServer::start(|_| Reply::error(401, "invalid_api_key", &format!("wrong key: {CANARY}"))), 4);
}

#[test]
fn a_key_that_the_server_repeats_in_every_error_does_not_leak() {
    check(&ModelServer::start(|_| Reply::error(400, "bad", &format!("Bearer {CANARY} displeases"))), 5);
}

#[test]
fn a_key_sent_to_a_server_that_fails_once_does_not_leak() {
    let server = ModelServer::start(|question| match question.before {
        0 => Reply::raw(500, "text/html", format!("<p>Bearer {CANARY}</p>")),
        _ => crate::harness::child::answer(question),
    });
    check(&server, 0);
}

#[test]
fn keys_in_an_address_that_the_server_repeats_do_not_leak() {
    // As the page of a framework for an unknown path, and a proxy that shows the request.
    let server = ModelServer::start(|question| {
        let told = format!(
            "Cannot POST {} as {}",
            question.path,
            question.headers["authorization"].to_str().unwrap()
        );
        Reply::error(400, "bad", &told)
    });
    let address = server.url.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    for url in [
        format!("http://user:{CANARY}%2Fx@{address}/v1"),
        format!("http://user:x@{address}/${{MY_API_KEY}}/v1?api-key=${{MY_API_KEY}}"),
        format!("http://{CANARY}@{address}/v1?key={CANARY}"),
    ] {
        let dir = rows_folder(6, 2, &url);
        for arguments in [&["run", "p.yaml", "--out", "out"][..], &["status", "out"], &["validate", "p.yaml"]]
        {
            let output = program(dir.path(), arguments)
                .env("MY_API_KEY", CANARY)
                .env("SYNTHMILL_LOG", "trace")
                .output()
                .unwrap();
            for printed in [&output.stdout, &output.stderr] {
                assert!(!holds(printed), "{arguments:?}: {}", String::from_utf8_lossy(printed));
            }
        }
        assert!(files(&dir.path().join("out")) >= 6);
        let kept = std::fs::read_to_string(dir.path().join("out/pipeline.yaml")).unwrap();
        assert_eq!(kept.contains("${MY_API_KEY}"), url.contains("MY_API_KEY"), "{kept}");
    }
    let encoded = BASE64_STANDARD.encode(format!("user:{CANARY}/x"));
    assert!(
        server
            .questions()
            .iter()
            .any(|question| question.headers["authorization"].to_str().unwrap().ends_with(&encoded))
    );
}
