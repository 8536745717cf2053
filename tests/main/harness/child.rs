//! The program as a child process that a test observes, signals and kills.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::model_server::{ModelServer, Question, Reply};
use crate::harness::program;

/// The timeout of every wait, after which the test fails. It measures nothing.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running child process, killed on drop.
pub(crate) struct Running {
    child: Child,
    prints: TempDir,
}

/// How a child ended.
pub(crate) struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts the program in `dir`.
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        let prints = TempDir::new().unwrap();
        let stderr = File::create(prints.path().join("stderr")).unwrap();
        let child = program(dir, arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, prints }
    }

    /// Returns what it has printed to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.prints.path().join("stderr")).unwrap()
    }

    /// Waits until `condition` holds or the program has ended; returns whether it is still running.
    pub(crate) fn runs_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if condition() {
                return true;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}\n{}", self.stderr());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Waits until stderr holds `text`.
    pub(crate) fn says(&mut self, text: &str) {
        let path = self.prints.path().join("stderr");
        let still = self.runs_until(text, || std::fs::read_to_string(&path).unwrap().contains(text));
        assert!(still || self.stderr().contains(text), "ended without `{text}`:\n{}", self.stderr());
    }

    /// Returns its peak memory in bytes; `None` once it has ended.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
    }

    /// Sends a signal by its name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// Kills it with SIGKILL and reaps it.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.wait()
    }

    /// Waits until it ends.
    pub(crate) fn wait(mut self) -> Ended {
        self.runs_until("the program ends", || false);
        let code = self.child.wait().unwrap().code();
        Ended { code, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server whose answers suit `rows_pipeline` and depend only on the question; each takes `delay`.
pub(crate) fn answering(delay: Duration) -> ModelServer {
    ModelServer::start(move |question| answer(question).after(delay))
}

/// Returns the answer to a question of `rows_pipeline`.
pub(crate) fn answer(question: &Question) -> Reply {
    Reply::answer(&json!({"answer": format!("An answer to: {}", question.prompt)}).to_string())
}

/// Makes a folder with `rows_pipeline` as `p.yaml`, for the server at `url`.
pub(crate) fn rows_folder(rows: usize, concurrency: u32, url: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let yaml = crate::harness::rows_pipeline(dir.path(), rows, concurrency);
    // The group of a row includes its path: two folders are split alike only if their paths are equal.
    let yaml = yaml.replace(&format!("{}/", dir.path().display()), "");
    let yaml = yaml.replace("model: scripted", "model: scripted\n    api_key_env: LLM_API_KEY");
    std::fs::write(dir.path().join("p.yaml"), yaml.replace("http://127.0.0.1:9/v1", url)).unwrap();
    dir
}

/// Returns the number of ids in all outputs of a run of `rows_pipeline`; fails if one occurs twice.
pub(crate) fn ids(root: &Path) -> usize {
    let mut ids = std::collections::BTreeSet::new();
    let mut lines = 0;
    for (file, texts) in crate::harness::outputs(root) {
        for text in texts {
            let line: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}: {text}"));
            assert!(ids.insert(line["id"].as_str().unwrap().to_owned()), "{} stands twice", line["id"]);
            lines += 1;
        }
    }
    lines
}
