//! The test server in a process of its own, for which the soak starts itself once more. It is never killed while a run
//! lasts, so its log says what was asked and paid for.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A server in another process, killed on drop.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server with these rules; it logs into `folder`.
    pub(crate) fn start(script: &Value, folder: &Path) -> Self {
        let log = folder.join("questions.jsonl");
        let options = json!({"script": script, "log": log}).to_string();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(["serve", &options]).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { url: url.trim().to_owned(), child, log }
    }

    /// Returns the prompts that were answered in full, each as often as it was.
    pub(crate) fn answered(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let mut answered = Vec::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["event"] == "question" && line["rule"].is_null() {
                answered.push(line["prompt"].as_str().unwrap().to_owned());
            }
        }
        answered
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
