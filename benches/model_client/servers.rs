//! The servers for the measurements: the test server with several scripts, each in a process of its own, for which the
//! benchmark starts itself once more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server;

pub(crate) const LATENCY: Duration = Duration::from_millis(200);
pub(crate) const SLOW: Duration = Duration::from_secs(3);
/// One in this many questions is slow, or always refused.
pub(crate) const EVERY: u64 = 50;
/// The rate limit of the refusing server, in questions per second.
pub(crate) const RATE: f64 = 200.0;
/// The seconds that a refusal asks to wait.
const ASKED: f64 = 1.0;
/// How long requests in flight at a refusal may still arrive.
const ON_THE_WAY: f64 = 0.05;

/// A server in another process, killed on drop.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Child,
    folder: TempDir,
}

/// Starts a server that takes 200 ms per answer, 3 s for each fiftieth `slow N`, and refuses each fiftieth `poison N`.
pub(crate) fn patient() -> Server {
    let fiftieth = |word: &str| json!({"contains": word, "multiple_of": EVERY});
    let poison = json!({"status": 400, "error": ["", "bad"]});
    start(&json!({
        "rules": [
            {"when": fiftieth("slow "), "reply": {"delay": SLOW.as_secs_f64()}},
            {"when": fiftieth("poison "), "reply": poison},
        ],
        "otherwise": {"delay": LATENCY.as_secs_f64()},
    }))
}

/// Starts a server that refuses above its rate limit and asks to wait for a second.
pub(crate) fn refusing() -> Server {
    let refusal = json!({"status": 429, "error": ["", "slow down"], "headers": [["retry-after", "1"]]});
    start(&json!({
        "rate": {"per_second": RATE, "refusal": refusal},
        "otherwise": {"delay": LATENCY.as_secs_f64()},
    }))
}

/// Starts a server that takes 50 ms per answer, with extra rules.
pub(crate) fn with_faults(rules: &Value) -> Server {
    start(&json!({"rules": rules, "otherwise": {"delay": 0.05}}))
}

/// Serves until the process is killed.
pub(crate) fn serve(options: &str) {
    server::run(serde_json::from_str(options).unwrap(), |url| println!("{url}"));
}

fn start(script: &Value) -> Server {
    let folder = TempDir::new().unwrap();
    let options = json!({"script": script, "log": folder.path().join("log.jsonl")}).to_string();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["serve", &options])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    Server { url: url.trim().to_owned(), child, folder }
}

impl Server {
    /// Returns the lines of the log so far.
    pub(crate) fn questions(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("log.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns how many questions were refused, and how many arrived before the time that a refusal had named.
pub(crate) fn refusals(questions: &[Value]) -> (usize, usize) {
    let (mut refused, mut early) = (0, 0);
    let mut first = f64::MIN;
    for question in questions {
        let at = question["at"].as_f64().unwrap();
        early += usize::from(at > first + ON_THE_WAY && at < first + ASKED);
        if question["refused"] == true {
            refused += 1;
            if at >= first + ASKED {
                first = at;
            }
        }
    }
    (refused, early)
}

pub(crate) fn is_poison(question: &Value) -> bool {
    let number = question["prompt"].as_str().and_then(|prompt| prompt.strip_prefix("poison "));
    number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|number| number.is_multiple_of(EVERY))
}
