//! The test harness: runs a pipeline in this process against a scripted model, runs the program as a child process, and
//! checks what must hold after every run.

pub(crate) mod batch_script;
pub(crate) mod batch_server;
pub(crate) mod browser;
pub(crate) mod child;
pub(crate) mod faulty_disk;
pub(crate) mod forwarder;
pub(crate) mod model_server;
pub(crate) mod output_check;
pub(crate) mod server_process;

pub(crate) use output_check::outputs;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use synthmill::config::{Overrides, Plan};
use synthmill::engine::{self, BuiltPipeline, ConnectedModels, RunEvent, RunOptions, RunReport, Stop};
use synthmill::heuristic::Heuristic;
use synthmill::journal::disk::{Disk, RealDisk};
use synthmill::journal::{OpenError, OpenedRun, RunDirectory, RunSpec, StorageOptions};
use synthmill::llm::Model;
use synthmill::llm::scripted::Scripted;
use synthmill::sandbox::{Sandbox, SandboxError, use_executable};
use tempfile::TempDir;

/// A pipeline of `rows` rows, one question each, whose answers are `{"answer": ...}`.
pub(crate) fn rows_pipeline(dir: &Path, rows: usize, concurrency: u32) -> String {
    let lines: String = (0..rows).map(|row| format!("{{\"topic\": \"topic {row}\"}}\n")).collect();
    std::fs::write(dir.join("rows.jsonl"), lines).unwrap();
    format!(
        r#"
name: rows
seed: 3
models:
  teacher:
    base_urls: ["http://127.0.0.1:9/v1"]
    model: scripted
    concurrency: {concurrency}
stages:
  - ingest: {{paths: ["{}/rows.jsonl"]}}
  - prompt: {{user: "Tell me of {{{{ topic }}}}."}}
  - llm: {{model: teacher}}
  - parse:
      schema: {{type: object, required: [answer], properties: {{answer: {{type: string, minLength: 1}}}}}}
      on_error: [{{retry: 2}}, reject]
  - split: {{ratios: {{train: 3, test: 1}}}}
  - sink: {{path: train.jsonl, format: raw, when: split == 'train', fields: [id, topic, answer]}}
  - sink: {{path: test.jsonl, format: raw, when: split == 'test', fields: [id, topic, answer]}}
"#,
        dir.display()
    )
}

/// One run of a pipeline in this process.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) root: PathBuf,
    pub(crate) model: Arc<Scripted>,
    /// Asked in place of `model`.
    pub(crate) connected: Option<Arc<dyn Model>>,
    pub(crate) limit: Option<u64>,
    pub(crate) stop: Stop,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) sync: bool,
    /// Receives the events of the run.
    pub(crate) events: async_channel::Sender<RunEvent>,
}

impl Run {
    pub(crate) fn new(yaml: &str, root: &Path, model: Scripted) -> Self {
        let plan = match Plan::load_text("test.yaml", yaml, &Overrides::default()) {
            Ok(plan) => plan,
            Err(problems) => panic!("{problems}"),
        };
        Self {
            plan,
            root: root.to_owned(),
            model: Arc::new(model),
            connected: None,
            limit: None,
            stop: Stop::default(),
            disk: Arc::new(RealDisk),
            sync: false,
            // No receiver.
            events: async_channel::bounded(1).0,
        }
    }

    /// Opens the run directory as the program does.
    pub(crate) fn open(&self) -> Result<OpenedRun, OpenError> {
        let parts = self.parts();
        let wanted = RunSpec {
            pipeline: self.plan.name.clone(),
            fingerprint: self.plan.fingerprint(),
            explained: Vec::new(),
            sinks: parts.sink_paths(),
            pipeline_yaml: self.plan.to_yaml(),
            now: "2026-01-31_12-00-00".into(),
            fresh: false,
            reuse_moved: false,
            reuse: None,
        };
        RunDirectory::open(Arc::clone(&self.disk), &self.root, wanted)
    }

    fn parts(&self) -> BuiltPipeline {
        let names = self.plan.models.keys();
        let model = self.connected.clone().unwrap_or_else(|| Arc::clone(&self.model) as Arc<dyn Model>);
        let models = names.map(|name| (name.clone(), Arc::clone(&model))).collect();
        let providers = ConnectedModels { models, heuristic: Arc::new(Heuristic::default()) };
        BuiltPipeline::build(&self.plan, &providers, "2026-01-31_12-00-00").unwrap()
    }

    /// Runs to the end, whatever the outcome.
    pub(crate) async fn run(&self) -> RunReport {
        self.try_run().await.unwrap()
    }

    pub(crate) async fn try_run(&self) -> Result<RunReport, OpenError> {
        let opened = self.open()?;
        let options = RunOptions {
            storage: StorageOptions { sync: self.sync, pack: true },
            ..RunOptions::new(&self.plan, self.limit)
        };
        engine::run(self.parts(), opened, options, self.stop.clone(), self.events.clone()).await
    }
}

/// Decompresses zstd frames, of which there may be none.
pub(crate) fn decompressed(frames: Vec<u8>) -> Vec<u8> {
    if frames.is_empty() { frames } else { zstd::stream::decode_all(&*frames).unwrap() }
}

/// Returns the lines of `provenance/`, in the order of the commits.
pub(crate) fn provenance_lines(root: &Path) -> String {
    let folder = root.join("provenance");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let lines = paths.iter().map(|path| {
        assert!(path.to_string_lossy().ends_with(".jsonl.zst"), "{}", path.display());
        decompressed(std::fs::read(path).unwrap())
    });
    String::from_utf8(lines.collect::<Vec<_>>().concat()).unwrap()
}

/// Fails at the first line in which the outputs of two runs differ.
#[track_caller]
pub(crate) fn assert_same_outputs(left: &Path, right: &Path) {
    let (left, right) = (outputs(left), outputs(right));
    assert!(left.keys().eq(right.keys()), "{:?} and {:?}", left.keys(), right.keys());
    for (file, lines) in &left {
        let others = &right[file];
        for (line, other) in lines.iter().zip(others) {
            assert_eq!(line, other, "{file}");
        }
        assert_eq!(lines.len(), others.len(), "{file}");
    }
}

/// Checks what holds after every run: the accounting of items, complete lines, unique record ids.
pub(crate) fn check_invariants(root: &Path, report: &RunReport) {
    let snapshot = &report.snapshot;
    assert_eq!(
        snapshot.admitted,
        snapshot.ok + snapshot.dropped + snapshot.rejected + snapshot.in_flight,
        "{snapshot:?}"
    );
    let mut ids = BTreeSet::new();
    for (file, lines) in outputs(root) {
        let bytes = std::fs::read(root.join(&file)).unwrap();
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "{file} ends in half a line");
        for line in &lines {
            let value: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {error}: {line}"));
            if let Some(id) = value.get("id").and_then(Value::as_str) {
                assert!(ids.insert(id.to_owned()), "{id} stands twice");
            }
        }
    }
    let told: u64 = snapshot.records.iter().map(|(_, count)| count).sum();
    let written: usize = outputs(root)
        .iter()
        .filter(|(file, _)| *file != "rejected.jsonl")
        .map(|(_, lines)| lines.len())
        .sum();
    assert_eq!(told, written as u64, "the summary's counts are those of the files");
}

/// Makes a temporary folder with the pipelines, configuration and documents of the project.
pub(crate) fn project() -> TempDir {
    let dir = TempDir::new().unwrap();
    for folder in ["pipelines", "config", "markdown_docs"] {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &dir.path().join(folder));
    }
    dir
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Returns a command for the program in `dir`, without a model server or key in its environment.
pub(crate) fn program(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthmill"));
    command.current_dir(dir).args(arguments).env_remove("LLM_BASE_URL").env_remove("LLM_API_KEY");
    command
}

/// Runs the program to its end and asserts the exit code.
pub(crate) fn synthmill(dir: &Path, arguments: &[&str], code: i32) -> Output {
    let output = program(dir, arguments).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "synthmill {}\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Returns the sandbox of this machine, with the program inside it rather than this test.
pub(crate) fn sandbox() -> Result<Sandbox, SandboxError> {
    use_executable(env!("CARGO_BIN_EXE_synthmill").into());
    Sandbox::detect()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
