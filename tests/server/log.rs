//! The server's log: a line of JSON for each question and each connection that failed, with its time.
//!
//! Each line is written before the reply, with one `write`, so that a test can read the log while the server runs and
//! after it was killed. A later start appends to the log.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::handler::Question;

pub(crate) struct Log {
    file: Option<Mutex<File>>,
    start: Instant,
}

impl Log {
    pub(crate) fn open(path: Option<&Path>) -> Self {
        let open = |path| File::options().create(true).append(true).open(path).unwrap();
        Self { file: path.map(open).map(Mutex::new), start: Instant::now() }
    }

    /// Logs a question, and the rule of the script that matched.
    pub(crate) fn question(&self, question: &Question, rule: Option<usize>) {
        let headers = question.headers.iter();
        let headers: Map<String, Value> = headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        self.line(&json!({
            "event": "question",
            "at": question.at.duration_since(self.start).as_secs_f64(),
            "time": now(),
            "path": question.path,
            "prompt": question.prompt,
            "before": question.before,
            "connection": question.connection,
            "on_connection": question.on_connection,
            "refused": question.refused,
            "rule": rule,
            "headers": headers,
            "body": question.body,
        }));
    }

    /// Logs a connection that failed, and what the client had sent on it.
    pub(crate) fn connection(&self, connection: u64, why: &str, received: &[u8]) {
        self.line(&json!({
            "event": "connection",
            "at": self.start.elapsed().as_secs_f64(),
            "time": now(),
            "connection": connection,
            "why": why,
            "received": String::from_utf8_lossy(received),
        }));
    }

    fn line(&self, value: &Value) {
        if let Some(file) = &self.file {
            file.lock().unwrap().write_all(format!("{value}\n").as_bytes()).unwrap();
        }
    }
}

/// Returns the seconds since 1970, a clock that two servers share.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
