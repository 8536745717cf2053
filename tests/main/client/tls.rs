//! TLS failures: the error for an untrusted certificate, and that nothing is sent on such a connection.

use serde_json::json;

use crate::harness::child::rows_folder;
use crate::harness::server_process::ServerProcess;
use crate::harness::{outputs, program};

const CANARY: &str = "canary-key-40123";

/// The outcome of a run against a server with this certificate.
struct Case {
    tls: &'static str,
    /// Whether the authority of the server is trusted.
    trusted: bool,
    code: i32,
    says: &'static [&'static str],
}

fn check(case: &Case) {
    let mut server = ServerProcess::start(json!({
        "tls": case.tls,
        "otherwise": {"answer": "{\"answer\": \"{prompt}\"}"},
    }));
    let dir = rows_folder(6, 2, &server.url);
    let mut run = program(dir.path(), &["run", "p.yaml", "--out", "out"]);
    run.env("LLM_API_KEY", CANARY);
    if case.trusted {
        run.env("SSL_CERT_FILE", server.authority());
    }
    let output = run.output().unwrap();
    server.kill();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(case.code), "{}: {said}", case.tls);
    for part in case.says {
        assert!(said.contains(part), "{}: no `{part}` in: {said}", case.tls);
    }
    let failed = server.failed_connections();
    let asked = server.questions();
    if case.code == 0 {
        assert_eq!((asked.len(), failed.len()), (6, 0));
        assert_eq!(asked[0]["headers"]["authorization"], format!("Bearer {CANARY}"));
        return;
    }
    // Each question at most once, and the key is never sent.
    assert!((1..=6).contains(&failed.len()), "{}: {failed:?}", case.tls);
    assert!(asked.is_empty(), "{}: {asked:?}", case.tls);
    assert!(!format!("{failed:?} {said}").contains(CANARY), "{}: {failed:?} {said}", case.tls);
    assert!(outputs(&dir.path().join("out")).values().all(Vec::is_empty), "{}", case.tls);
}

#[test]
fn a_certificate_is_trusted_or_its_fault_is_reported() {
    let cases = [
        Case { tls: "good", trusted: true, code: 0, says: &[] },
        Case { tls: "good", trusted: false, code: 4, says: &["UnknownIssuer", "SSL_CERT_FILE"] },
        Case { tls: "self_signed", trusted: true, code: 4, says: &["UnknownIssuer", "SSL_CERT_FILE"] },
        Case { tls: "expired", trusted: true, code: 4, says: &["expired"] },
        Case { tls: "other_host", trusted: true, code: 4, says: &["not valid for name"] },
        Case { tls: "garbage", trusted: true, code: 4, says: &["http://"] },
    ];
    cases.iter().for_each(check);
}
