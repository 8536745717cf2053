//! Responses of real servers and their classification: a table in `tests/cases/model_client/servers`, one file per server.
//!
//! A row has a response as the server sends it, the source of its wording, and how the client classifies it. Every row goes
//! over HTTP, from the test server to the real client. The values of `becomes`:
//!
//! * `answer`: the text, its reasoning, the finish reason and the tokens; where a schema was refused, of the next form
//! * `record`: the record is rejected at the first such answer, with this class and these words
//! * `retry`: the same is asked again within the attempts, and rejected in the end
//! * `pause`: the server is waited for, at no cost for the record
//! * `run`: the run ends at the first such answer, and no record is charged with it

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use synthmill::llm::{Completion, Message, Model, ModelError, ModelErrorKind, ModelRequest, Remote};
use synthmill::pipeline::ModelConfig;
use synthmill::record::Record;

use crate::harness::server_process::ServerProcess;

const SERVERS: [&str; 16] = [
    "anthropic",
    "azure",
    "dashscope",
    "deepseek",
    "gemini",
    "groq",
    "llama.cpp",
    "lmdeploy",
    "minimax",
    "mistral",
    "ollama",
    "openai",
    "openrouter",
    "sglang",
    "together",
    "vllm",
];
/// The minimum number of rows per server, and in total.
const FEWEST: (usize, usize) = (6, 120);
/// Attempts for retryable errors.
const ATTEMPTS: u32 = 2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    what: String,
    /// The source of the wording: a repository and its issue or file, or the documentation of a provider.
    from: String,
    /// Options of the model.
    #[serde(default)]
    asked: Map<String, Value>,
    /// Whether the question has a schema and a system message.
    #[serde(default)]
    schema: bool,
    #[serde(default)]
    system: bool,
    #[serde(default = "success")]
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Value,
    becomes: Becomes,
    class: Option<String>,
    /// A part of the message shown.
    says: Option<String>,
    answer: Option<String>,
    reasoning: Option<String>,
    finish_reason: Option<String>,
    usage: Option<(Option<u64>, Option<u64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Becomes {
    Answer,
    Record,
    Retry,
    Pause,
    Run,
}

fn success() -> u16 {
    200
}

impl Row {
    fn key(&self, server: &str) -> String {
        format!("{server}: {}", self.what)
    }

    /// Returns the rules of the server for this row: after a pause or a refused schema comes an answer.
    fn rules(&self, server: &str) -> Vec<Value> {
        let reply = json!({"status": self.status, "headers": self.headers, "json": self.body});
        let is = self.key(server);
        let answer = match self.asked.get("provider") {
            Some(_) => {
                json!({"json": {"content": [{"type": "text", "text": "fine"}], "stop_reason": "end_turn"}})
            }
            None => json!({"answer": "{\"a\": 1}"}),
        };
        let answer = json!({"when": {"is": is}, "reply": answer});
        let first = json!({"when": {"is": is}, "uses": 1, "reply": reply});
        match self.becomes {
            Becomes::Pause => vec![first, answer],
            // The first form is refused every time.
            Becomes::Answer if self.status >= 400 => {
                vec![json!({"when": {"is": is, "format": "json_schema"}, "reply": reply}), answer]
            }
            _ => vec![json!({"when": {"is": is}, "reply": reply})],
        }
    }

    async fn ask(&self, server: &str, url: &str) -> Result<Completion, ModelError> {
        let attempts = if self.becomes == Becomes::Pause { 1 } else { ATTEMPTS };
        let mut config = json!({"base_urls": [url], "model": "test-model", "max_attempts": attempts});
        config.as_object_mut().unwrap().extend(self.asked.clone());
        let config: ModelConfig = serde_json::from_value(config).unwrap();
        let model = Remote::new("teacher", &config).unwrap().first_wait(Duration::from_millis(2));
        let mut messages = vec![Message::new("user", self.key(server))];
        if self.system {
            messages.insert(0, Message::new("system", "Be brief."));
        }
        let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}});
        let schema = self.schema.then(|| schema.into());
        let request = ModelRequest { messages, schema, ..ModelRequest::default() };
        let record = Record::default();
        let answered = model.complete(&request, &record);
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, answered).await.unwrap_or_else(|_| panic!("{}: no end", self.what))
    }

    /// Compares the result, after `asked` requests, with the row.
    fn holds(&self, result: &Result<Completion, ModelError>, asked: u32) -> bool {
        let mended = self.status >= 400 && asked == 1;
        let times = match self.becomes {
            Becomes::Record | Becomes::Run => 1,
            Becomes::Answer => 1 + u32::from(self.status >= 400 && !mended),
            Becomes::Retry | Becomes::Pause => ATTEMPTS,
        };
        let counted = |attempts: u32| attempts == asked && asked == times;
        match (self.becomes, result) {
            (Becomes::Answer, Ok(completion)) => {
                let usage = (completion.usage.prompt_tokens, completion.usage.completion_tokens);
                counted(completion.attempts)
                    && Some(&completion.text) == self.answer.as_ref()
                    && completion.reasoning == self.reasoning
                    && (self.status >= 400 || completion.finish_reason == self.finish_reason)
                    && self.usage.is_none_or(|expected| expected == usage)
            }
            (Becomes::Pause, Ok(completion)) => counted(completion.attempts),
            (Becomes::Record | Becomes::Retry, Err(error)) => {
                counted(error.attempts) && error.kind == ModelErrorKind::Record && self.describes(error)
            }
            (Becomes::Run, Err(error)) => {
                counted(error.attempts) && error.kind == ModelErrorKind::Fatal && self.describes(error)
            }
            _ => false,
        }
    }

    fn describes(&self, error: &ModelError) -> bool {
        // A failure that a row says nothing of would hold whatever it is.
        let class = self.class.as_ref().expect("a failure has a class");
        let says = self.says.as_ref().expect("a failure has words");
        *class == error.class && error.message.contains(says.as_str())
    }
}

fn table() -> Vec<(String, Vec<Row>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/model_client/servers");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &Path| {
        let rows = serde_json::from_str(&std::fs::read_to_string(path).unwrap());
        let name = path.file_name().unwrap().to_string_lossy();
        (
            name.trim_end_matches(".json").to_owned(),
            rows.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
    };
    files.iter().map(|path| read(path)).collect()
}

#[test]
fn each_server_has_at_least_one_row() {
    let table = table();
    let names: Vec<&str> = table.iter().map(|(server, _)| &**server).collect();
    assert_eq!(names, SERVERS);
    for (server, rows) in &table {
        assert!(rows.len() >= FEWEST.0, "{server} has {} rows", rows.len());
        let mut whats: Vec<&str> = rows.iter().map(|row| &*row.what).collect();
        whats.sort_unstable();
        whats.dedup();
        assert_eq!(whats.len(), rows.len(), "{server} has a row twice");
        assert!(rows.iter().all(|row| !row.from.is_empty()), "{server} has a row without a source");
    }
    assert!(table.iter().map(|(_, rows)| rows.len()).sum::<usize>() >= FEWEST.1);
}

#[tokio::test]
async fn responses_of_real_servers_are_classified_as_the_table_says() {
    let table = table();
    let rows: Vec<(&str, &Row)> =
        table.iter().flat_map(|(server, rows)| rows.iter().map(|row| (&**server, row))).collect();
    let rules: Vec<Value> = rows.iter().flat_map(|(server, row)| row.rules(server)).collect();
    let process = ServerProcess::start(json!({"rules": rules}));
    let results = rows.iter().map(|(server, row)| row.ask(server, &process.url));
    let results = futures::future::join_all(results).await;
    let questions = process.questions();
    let mut wrong = Vec::new();
    for ((server, row), result) in rows.iter().zip(results) {
        let key = row.key(server);
        let asked = questions.iter().filter(|question| question["prompt"] == *key).count();
        if !row.holds(&result, asked as u32) {
            wrong.push(format!("{key}: asked {asked} times, to become {:?}: {result:?}", row.becomes));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
