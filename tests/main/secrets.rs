//! Promise 5: no key of a provider is in a log, an output, a journal, a manifest or an error.

use std::path::Path;
use std::time::Duration;

use crate::child::{answering, rows_folder};
use crate::harness::program;
use crate::model_server::{ModelServer, Reply};

pub(crate) const CANARY: &str = "canary-5d1f0c93b7e24a68";

/// Runs with the canary as key in every way of talking, then searches all that was printed and written.
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
    // A base64 or debug form would hold a part of it too.
    bytes.windows(10).any(|window| window == &CANARY.as_bytes()[..10])
}

/// The number of files in a folder; none may hold the canary.
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
fn a_good_run_keeps_the_key() {
    check(&answering(Duration::ZERO), 0);
}

#[test]
fn a_server_that_repeats_a_refused_key_does_not_spread_it() {
    check(&ModelServer::start(|_| Reply::error(401, "invalid_api_key", &format!("wrong key: {CANARY}"))), 4);
}

#[test]
fn a_server_that_repeats_it_in_every_error_does_not_spread_it() {
    check(&ModelServer::start(|_| Reply::error(400, "bad", &format!("Bearer {CANARY} displeases"))), 5);
}

#[test]
fn a_server_that_fails_once_does_not_spread_it() {
    let server = ModelServer::start(|question| match question.before {
        0 => Reply::raw(500, "text/html", format!("<p>Bearer {CANARY}</p>")),
        _ => crate::child::answer(question),
    });
    check(&server, 0);
}
