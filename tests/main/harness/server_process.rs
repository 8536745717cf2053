//! The test server in a process of its own, with replies from a script. The test binary starts itself once more, so that
//! no other binary has to be built.
//!
//! Its log is a file that a test can read at any time, even after the server was killed. The server ends with the test that
//! started it, be it by a panic or a signal.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server;

/// The environment variable with the options, set only for the server process.
const OPTIONS: &str = "SYNTHMILL_TEST_SERVER";
const READY: &str = "the test server is at ";

/// A server in another process, killed on drop.
pub(crate) struct ServerProcess {
    /// The base URL, such as `http://127.0.0.1:40123/v1`.
    pub(crate) url: String,
    script: Value,
    child: Child,
    /// Kept open, since printing to a closed pipe fails.
    _prints: BufReader<ChildStdout>,
    folder: TempDir,
}

impl ServerProcess {
    /// Starts a server with this script.
    pub(crate) fn start(script: Value) -> Self {
        let folder = TempDir::new().unwrap();
        let (child, prints, url) = start(&script, &folder, 0);
        Self { url, script, child, _prints: prints, folder }
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Restarts it at the same address; appends to its log.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let port = self.url.trim_end_matches("/v1").rsplit(':').next().unwrap().parse().unwrap();
        (self.child, self._prints, self.url) = start(&self.script, &self.folder, port);
    }

    /// Returns all questions so far, in order of arrival.
    pub(crate) fn questions(&self) -> Vec<Value> {
        self.log("question")
    }

    /// Returns all failed connections.
    pub(crate) fn failed_connections(&self) -> Vec<Value> {
        self.log("connection")
    }

    /// Returns the file of the authority that signs the server's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn log(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("log.jsonl")).unwrap_or_default();
        // A line that is being written is not terminated yet.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start(script: &Value, folder: &TempDir, port: u16) -> (Child, BufReader<ChildStdout>, String) {
    let options = json!({
        "script": script,
        "log": folder.path().join("log.jsonl"),
        "authority": folder.path().join("authority.pem"),
        "port": port,
    });
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["harness::server_process::the_server_itself", "--exact", "--ignored", "--nocapture"])
        .env(OPTIONS, options.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut prints = BufReader::new(child.stdout.take().unwrap());
    let url = address(&mut prints);
    (child, prints, url)
}

/// Returns the base URL, which the server prints among the output of the test binary.
fn address(prints: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(prints.read_line(&mut line).unwrap() > 0, "the server ended before it was ready");
        if let Some((_, url)) = line.split_once(READY) {
            return url.trim().to_owned();
        }
    }
}

#[test]
#[ignore = "it is the server, not a test: started by the tests that need one"]
fn the_server_itself() {
    let Ok(options) = std::env::var(OPTIONS) else { return };
    let options: server::Options = serde_json::from_str(&options).unwrap();
    // The pipe closes when the parent process is gone.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    server::run(options, |url| println!("{READY}{url}"));
}

#[test]
fn the_log_outlives_the_server_and_a_restart() {
    let mut server = ServerProcess::start(json!({}));
    let ask = |url: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let body = json!({"messages": [{"role": "user", "content": "x"}]}).to_string();
        let sent = reqwest::Client::new().post(format!("{url}/chat/completions")).body(body);
        runtime.block_on(async { sent.send().await.unwrap().status() })
    };
    assert_eq!(ask(&server.url), 200);
    let url = server.url.clone();
    server.kill();
    assert_eq!(server.questions().len(), 1);
    server.restart();
    assert_eq!((ask(&server.url).as_u16(), &server.url), (200, &url));
    let questions = server.questions();
    assert_eq!((questions.len(), &questions[1]["prompt"]), (2, &json!("x")));
    assert!(questions[0]["time"].as_f64() <= questions[1]["time"].as_f64());
}
