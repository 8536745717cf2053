//! A run directory with a file that was lost, emptied, cut or restored from an earlier time either resumes as if nothing had
//! happened, or is refused with the reason and can be repaired. Never fewer lines, never a duplicate, never a question asked
//! again without a message.
//!
//! The files are found by walking the directory, so that new kinds of files are covered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use serde_json::Value;

use crate::batches::runs::folder;
use crate::harness::batch_script::{End, Script};
use crate::harness::batch_server::BatchServer;
use crate::harness::child::Running;
use crate::harness::model_server::{ModelServer, Reply, qa_pair};
use crate::harness::{outputs, program, project, provenance_lines, stderr, stdout, synthmill};

/// A run directory, an earlier state of it, and the commands to resume.
struct Bench<'a> {
    /// The project; the run is in its `out`, `older` and `state` are copies.
    dir: &'a Path,
    /// The command without the limit.
    run: &'a [&'a str],
    /// The limit with which the run was started, and a higher one.
    limits: [&'a str; 2],
    /// Returns how many questions the server received so far.
    asked: &'a dyn Fn() -> usize,
}

const HARMS: [Harm; 4] = [Harm::Remove, Harm::Empty, Harm::Halve, Harm::Older];

#[derive(Debug, Clone, Copy)]
enum Harm {
    Remove,
    Empty,
    Halve,
    Older,
}

impl Bench<'_> {
    fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// Restores the run to its undamaged state.
    fn restore(&self) {
        std::fs::remove_dir_all(self.out()).unwrap_or_default();
        copy(&self.dir.join("state"), &self.out());
    }

    /// Damages a file, or all files of a named group; returns false if that would change nothing.
    fn harm(&self, name: &str, harm: Harm) -> bool {
        let names: Vec<String> = match name {
            "all outputs" | "all logs" => {
                let ends: &[&str] = if name == "all logs" { &[".log"] } else { &[".jsonl", ".zst"] };
                let has_end = |name: &String| ends.iter().any(|end| name.ends_with(end));
                files(&self.out()).into_keys().filter(has_end).collect()
            }
            // As after a backup that excluded the lock file, and the outputs because of their size.
            "all but the lock" => ["journal", "manifest.json", "status.json"].map(str::to_owned).to_vec(),
            name => vec![name.to_owned()],
        };
        names.iter().fold(false, |changed, name| self.harm_one(name, harm) | changed)
    }

    fn harm_one(&self, name: &str, harm: Harm) -> bool {
        let path = self.out().join(name);
        let older = self.dir.join("older").join(name);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap();
            match harm {
                Harm::Remove => {}
                Harm::Older => copy(&older, &path),
                Harm::Empty | Harm::Halve => std::fs::create_dir(&path).unwrap(),
            }
            return true;
        }
        let before = std::fs::read(&path).unwrap();
        let after = match harm {
            Harm::Remove => {
                std::fs::remove_file(&path).unwrap();
                return true;
            }
            Harm::Empty => Vec::new(),
            Harm::Halve => before[..before.len() / 2].to_vec(),
            Harm::Older => match std::fs::read(&older) {
                Ok(bytes) => bytes,
                Err(_) => return false,
            },
        };
        std::fs::write(&path, &after).unwrap();
        after != before
    }

    fn command(&self, limit: &str) -> std::process::Output {
        program(self.dir, &[self.run, &["--limit", limit]].concat()).output().unwrap()
    }

    /// Damages each file in turn, in each way, before the run resumes under each limit.
    fn check(&self) {
        let (mut refused, mut unharmed) = (0, 0);
        for limit in self.limits {
            self.restore();
            let before = (self.asked)();
            let output = self.command(limit);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let golden = (data(&self.out()), (self.asked)() - before);
            let mut names: Vec<String> = files(&self.dir.join("state")).into_keys().collect();
            names.extend(["journal", "all outputs", "all logs", "all but the lock"].map(str::to_owned));
            for name in &names {
                for harm in HARMS {
                    self.restore();
                    if !self.harm(name, harm) {
                        continue;
                    }
                    match self.goes_on(limit, &golden, &format!("{name} {harm:?}, then --limit {limit}")) {
                        true => unharmed += 1,
                        false => refused += 1,
                    }
                }
            }
        }
        assert!(refused > 20 && unharmed > 10, "{refused} refused, {unharmed} unharmed");
    }

    /// Resumes a damaged run: returns true if it ended as if undamaged, false if it was refused and repaired.
    fn goes_on(&self, limit: &str, golden: &(Data, usize), what: &str) -> bool {
        let harmed = files(&self.out());
        let before = (self.asked)();
        let output = self.command(limit);
        let asked = (self.asked)() - before;
        let told = stderr(&output);
        if output.status.code() == Some(0) {
            same(&data(&self.out()), &golden.0, what, &told);
            assert!(asked <= golden.1, "{what}: asked {asked} instead of {} times\n{told}", golden.1);
            return true;
        }
        assert_eq!(output.status.code(), Some(3), "{what}: {told}");
        assert!(told.contains("error: ") && told.contains("hint: "), "{what}: {told}");
        assert_eq!(asked, 0, "{what}: it asked before it refused");
        let left = files(&self.out());
        for (name, bytes) in harmed.iter().filter(|(name, _)| *name != ".lock") {
            assert!(left.get(name) == Some(bytes), "{what}: `{name}` was changed by a refused start\n{told}");
        }
        let repaired = program(self.dir, &["repair", "out"]).output().unwrap();
        let again = if repaired.status.code() == Some(0) {
            assert!(!stdout(&repaired).contains("nothing to do"), "{what}: {told}\n{}", stdout(&repaired));
            self.command(limit)
        } else {
            // Without the manifest the run cannot be identified, but its answers can be reused.
            let told = stderr(&repaired) + &told;
            assert!(
                told.contains("manifest.json") && told.contains("--fresh --reuse-answers"),
                "{what}: {told}"
            );
            let fresh = [self.run, &["--limit", limit, "--fresh"]].concat();
            let reusing = program(self.dir, &[&fresh[..], &["--reuse-answers"]].concat()).output().unwrap();
            match stderr(&reusing).contains("no run whose answers could be used again") {
                true => program(self.dir, &fresh).output().unwrap(),
                false => reusing,
            }
        };
        let told = format!("{told}\n{}\n{}", stdout(&repaired), stderr(&again));
        assert_eq!(again.status.code(), Some(0), "{what}: {told}");
        same(&data(&self.out()), &golden.0, what, &told);
        let asked = (self.asked)() - before;
        // If answers are lost, the message names their log, or the time of the journal.
        let named = ["answers-", "batches-", "uses its answers", "is from an earlier time"];
        let answers_lost = named.iter().any(|word| told.contains(word));
        assert!(asked <= golden.1 || answers_lost, "{what}: asked {asked}, not {}\n{told}", golden.1);
        // The run is complete again.
        let repaired = stdout(&synthmill(self.dir, &["repair", "out"], 0));
        assert!(repaired.contains("nothing to do"), "{what}: {repaired}");
        false
    }
}

/// Returns the sorted lines of each output; arrays by element, under a name without the timestamp.
type Data = BTreeMap<String, Vec<String>>;

fn data(root: &Path) -> Data {
    let mut data = outputs(root);
    let mut provenance: Vec<String> = provenance_lines(root).lines().map(str::to_owned).collect();
    provenance.sort();
    data.insert("provenance".to_owned(), provenance);
    for (name, bytes) in files(root) {
        if let (Some((kind, _)), false) = (name.split_once("-synthetic-data-"), name.contains('/')) {
            let elements: Vec<Value> = serde_json::from_slice(&bytes).unwrap_or_default();
            let mut elements: Vec<String> = elements.iter().map(Value::to_string).collect();
            elements.sort();
            data.insert(format!("{kind} as an array"), elements);
        }
    }
    data
}

#[track_caller]
fn same(left: &Data, right: &Data, what: &str, told: &str) {
    assert!(left.keys().eq(right.keys()), "{what}: {:?} and {:?}\n{told}", left.keys(), right.keys());
    for (file, lines) in left {
        assert_eq!(lines.len(), right[file].len(), "{what}: lines of {file}\n{told}");
        assert!(lines == &right[file], "{what}: {file} differs\n{told}");
    }
}

/// Returns the content of every file in a folder, by relative path.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                // A live run may replace a file meanwhile.
                files.extend(std::fs::read(&path).ok().map(|bytes| (name, bytes)));
            }
        }
    }
    files
}

fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap_or_default();
    std::fs::create_dir_all(to).unwrap();
    for (name, bytes) in files(from) {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Makes a project with one document, and a server that answers `docs-to-qa` with a delay.
fn documents() -> (tempfile::TempDir, ModelServer, Arc<AtomicU64>) {
    let delay = Arc::new(AtomicU64::new(0));
    let millis = Arc::clone(&delay);
    let server = ModelServer::start(move |question| {
        let number = crc32fast::hash(question.prompt.as_bytes());
        let text = qa_pair(question, &number.to_string());
        Reply::answer(&text.to_string()).after(Duration::from_millis(millis.load(SeqCst)))
    });
    let dir = project();
    let note = std::fs::read_dir(dir.path().join("markdown_docs")).unwrap().next().unwrap().unwrap().path();
    std::fs::create_dir(dir.path().join("notes")).unwrap();
    std::fs::copy(note, dir.path().join("notes/note.md")).unwrap();
    (dir, server, delay)
}

const DOCUMENTS: &[&str] =
    &["run", "pipelines/docs-to-qa.yaml", "--out", "out", "--var", "docs=notes", "--base-url"];

#[test]
fn a_complete_run_of_documents() {
    let (dir, server, _) = documents();
    let run = [DOCUMENTS, &[&server.url]].concat();
    for (limit, copied) in [("6", "older"), ("8", "between"), ("10", "between"), ("12", "state")] {
        synthmill(dir.path(), &[&run[..], &["--limit", limit]].concat(), 0);
        copy(&dir.path().join("out"), &dir.path().join(copied));
    }
    let asked = || server.questions().len();
    Bench { dir: dir.path(), run: &run, limits: ["12", "18"], asked: &asked }.check();
}

#[test]
fn a_killed_run_of_documents() {
    let (dir, server, delay) = documents();
    delay.store(100, SeqCst);
    let run = [DOCUMENTS, &[&server.url, "--set", "models.teacher.concurrency=2"]].concat();
    let out = dir.path().join("out");
    let ok = || {
        let status: Value = serde_json::from_slice(&std::fs::read(out.join("status.json")).ok()?).ok()?;
        status["ok"].as_u64()
    };
    let mut killed = Running::start(dir.path(), &[&run[..], &["--limit", "80"]].concat());
    assert!(killed.runs_until("some items are committed", || ok() >= Some(4)));
    copy(&out, &dir.path().join("older"));
    let earlier = ok();
    assert!(killed.runs_until("more items are committed", || ok() > earlier));
    killed.kill();
    copy(&out, &dir.path().join("state"));
    delay.store(0, SeqCst);
    let asked = || server.questions().len();
    Bench { dir: dir.path(), run: &run, limits: ["80", "90"], asked: &asked }.check();
}

#[test]
fn a_run_killed_while_its_batches_are_with_the_provider_resumes_them() {
    let server = BatchServer::start(Script::default());
    let dir = folder(16, "requests: 3", &server.url);
    let run = ["run", "p.yaml", "--out", "out"];
    let out = dir.path().join("out");
    synthmill(dir.path(), &[&run[..], &["--limit", "4"]].concat(), 0);
    copy(&out, &dir.path().join("older"));
    // The next one returns, those after it stay with the provider.
    let end = |batch: usize| if batch < 3 { End::Done } else { End::Never };
    server.now(Script { end: Box::new(end), ..Script::default() });
    let looks = server.calls("GET /batches/ID");
    let mut killed = Running::start(dir.path(), &[&run[..], &["--limit", "12"]].concat());
    let is_waiting = || server.batches().len() >= 5 && server.calls("GET /batches/ID") > looks + 9;
    assert!(killed.runs_until("batches are with the provider", is_waiting));
    killed.kill();
    copy(&out, &dir.path().join("state"));
    server.now(Script::default());
    let asked = || server.paid().values().sum();
    Bench { dir: dir.path(), run: &run, limits: ["12", "16"], asked: &asked }.check();
}
