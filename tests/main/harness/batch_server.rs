//! A provider with OpenAI's batch API, on a thread of its own: files, batches, results and faults.
//!
//! The script of a test determines how lines are answered and which calls fail. Every line of every created batch is paid
//! for, whether its result is ever fetched or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::harness::batch_script::{End, Fault, Line, Script};
use crate::harness::model_server::Served;

#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    batches: Vec<Batch>,
    calls: BTreeMap<String, usize>,
    /// How often each question was in a batch, and how often it was answered.
    asked: BTreeMap<String, usize>,
    answered: BTreeMap<String, usize>,
    headers: Vec<HeaderMap>,
}

struct Batch {
    body: Value,
    id: String,
    looks: usize,
    ended: Option<Value>,
}

struct Provider {
    script: Mutex<Script>,
    shelf: Mutex<Shelf>,
}

/// A running provider, stopped on drop.
pub(crate) struct BatchServer {
    pub(crate) url: String,
    provider: Arc<Provider>,
    _served: Served,
}

impl BatchServer {
    pub(crate) fn start(script: Script) -> Self {
        let provider = Arc::new(Provider { script: Mutex::new(script), shelf: Mutex::default() });
        let router = Router::new()
            .route("/v1/files", post(upload))
            .route("/v1/files/{id}/content", get(content))
            .route("/v1/batches", post(create).get(list))
            .route("/v1/batches/{id}", get(look))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&provider));
        let served = Served::start(router);
        Self { url: served.url.clone(), provider, _served: served }
    }

    /// Replaces the script from now on.
    pub(crate) fn now(&self, script: Script) {
        *self.provider.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Returns how often each question is in a batch in progress.
    pub(crate) fn paid(&self) -> BTreeMap<String, usize> {
        let shelf = self.shelf();
        let mut paid = BTreeMap::new();
        for batch in &shelf.batches {
            if batch.ended.as_ref().is_some_and(|ended| ended["status"] == "failed") {
                continue;
            }
            for line in lines(&shelf.files[batch.body["input_file_id"].as_str().unwrap()]) {
                *paid.entry(prompt(&line)).or_default() += 1;
            }
        }
        paid
    }

    /// Returns how often each question was answered.
    pub(crate) fn answered(&self) -> BTreeMap<String, usize> {
        self.shelf().answered.clone()
    }

    /// Returns how often each question was in a batch.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        self.shelf().asked.clone()
    }

    /// Returns the number of all calls.
    pub(crate) fn all_calls(&self) -> usize {
        self.shelf().calls.values().sum()
    }

    /// Returns the number of calls of a kind, such as `POST /batches`.
    pub(crate) fn calls(&self, name: &str) -> usize {
        self.shelf().calls.get(name).copied().unwrap_or_default()
    }

    /// Returns the lines of each batch, in order of creation.
    pub(crate) fn batches(&self) -> Vec<Vec<Value>> {
        let shelf = self.shelf();
        let file = |batch: &Batch| &shelf.files[batch.body["input_file_id"].as_str().unwrap()];
        shelf.batches.iter().map(|batch| lines(file(batch))).collect()
    }

    /// Returns the bodies of the calls that created batches.
    pub(crate) fn orders(&self) -> Vec<Value> {
        self.shelf().batches.iter().map(|batch| batch.body.clone()).collect()
    }

    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.shelf().headers.clone()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.provider.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider {
    /// Counts a call and returns its fault.
    fn called(&self, name: &str, headers: &HeaderMap) -> Option<Fault> {
        let mut shelf = self.shelf.lock().unwrap();
        shelf.headers.push(headers.clone());
        let count = shelf.calls.entry(name.to_owned()).or_default();
        *count += 1;
        let before = *count - 1;
        drop(shelf);
        let script = self.script.lock().unwrap();
        (script.call_fault)(name, before)
    }

    /// Performs a call, unless a fault prevents it, and responds.
    fn answer(&self, fault: Option<Fault>, work: impl FnOnce(&mut Shelf, &Script) -> Response) -> Response {
        if let Some(Fault::Status(status)) = fault {
            return refuse(status);
        }
        let script = self.script.lock().unwrap();
        let response = work(&mut self.shelf.lock().unwrap(), &script);
        match fault {
            Some(Fault::DoneThen(status)) => refuse(status),
            Some(Fault::DoneThenCut) => cut(1000, Bytes::new()),
            _ => response,
        }
    }
}

fn refuse(status: u16) -> Response {
    let body = json!({"error": {"message": "not now", "code": null}}).to_string();
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.header("retry-after-ms", "20").body(Body::from(body)).unwrap()
}

/// Returns a body that breaks off.
fn cut(length: usize, start: Bytes) -> Response {
    let broken = async { Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)) };
    let parts = futures::StreamExt::chain(futures::stream::iter([Ok(start)]), futures::stream::once(broken));
    Response::builder().header("content-length", length).body(Body::from_stream(parts)).unwrap()
}

fn answer(value: Value) -> Response {
    axum::Json(value).into_response()
}

fn lines(file: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the last message of a line, or the prompt of a raw completion.
fn prompt(line: &Value) -> String {
    let messages = line["body"]["messages"].as_array();
    let last = messages.and_then(|messages| messages.last()).map(|message| &message["content"]);
    let prompt = last.unwrap_or(&line["body"]["prompt"]);
    // A list of parts if images are attached.
    prompt.as_str().map_or_else(|| prompt.to_string(), str::to_owned)
}

async fn upload(State(provider): State<Arc<Provider>>, headers: HeaderMap, mut form: Multipart) -> Response {
    let mut file = Vec::new();
    let mut purpose = String::new();
    while let Some(field) = form.next_field().await.unwrap() {
        match field.name() {
            Some("purpose") => purpose = field.text().await.unwrap(),
            // An upload that breaks off, as when its sender is killed, is discarded.
            Some("file") => match field.bytes().await {
                Ok(bytes) => file = bytes.to_vec(),
                Err(_) => return refuse(400),
            },
            other => panic!("a field `{other:?}`"),
        }
    }
    assert_eq!(purpose, "batch");
    let fault = provider.called("POST /files", &headers);
    provider.answer(fault, |shelf, _| {
        let id = format!("file-{}", shelf.files.len() + 1);
        shelf.files.insert(id.clone(), file);
        let at = 1_000_000 + shelf.files.len();
        answer(json!({"id": id, "object": "file", "purpose": "batch", "created_at": at}))
    })
}

async fn create(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let fault = provider.called("POST /batches", &headers);
    provider.answer(fault, |shelf, _| {
        if body["input_file_id"].as_str().is_none_or(|id| !shelf.files.contains_key(id)) {
            return refuse(400);
        }
        let id = format!("batch_{}", shelf.batches.len() + 1);
        shelf.batches.push(Batch { body, id, looks: 0, ended: None });
        let made = shelf.batches.last().unwrap();
        answer(shown(made, shelf.batches.len()))
    })
}

fn shown(batch: &Batch, number: usize) -> Value {
    let mut value = batch.ended.clone().unwrap_or_else(|| json!({"status": "in_progress"}));
    value["id"] = batch.id.clone().into();
    value["object"] = "batch".into();
    value["input_file_id"] = batch.body["input_file_id"].clone();
    value["created_at"] = (1_000_000 + number).into();
    value
}

/// Lists the newest first, two per page, whatever page size was requested.
async fn list(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let fault = provider.called("GET /batches", &headers);
    provider.answer(fault, |shelf, _| {
        let mut all: Vec<Value> =
            shelf.batches.iter().enumerate().map(|(index, batch)| shown(batch, index + 1)).collect();
        all.reverse();
        let after = query.get("after").and_then(|after| all.iter().position(|batch| batch["id"] == **after));
        let rest = &all[after.map_or(0, |index| index + 1)..];
        answer(json!({"object": "list", "data": &rest[..rest.len().min(2)], "has_more": rest.len() > 2}))
    })
}

async fn look(State(provider): State<Arc<Provider>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let fault = provider.called("GET /batches/ID", &headers);
    provider.answer(fault, |shelf, script| {
        let Some(index) = shelf.batches.iter().position(|batch| batch.id == id) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        shelf.batches[index].looks += 1;
        if shelf.batches[index].ended.is_none() && shelf.batches[index].looks > script.looks {
            end(shelf, script, index);
        }
        let batch = &shelf.batches[index];
        let mut shown = shown(batch, index + 1);
        if shown["status"] == "completed" && batch.looks <= script.looks + 1 + script.lag {
            if script.lag > 0 {
                shown["output_file_id"] = Value::Null;
            }
            // The form that some providers use.
            shown["status"] = "COMPLETED".into();
        }
        answer(shown)
    })
}

/// Processes a batch, unless it never ends.
fn end(shelf: &mut Shelf, script: &Script, index: usize) {
    let input = shelf.batches[index].body["input_file_id"].as_str().unwrap().to_owned();
    let questions = lines(&shelf.files[&input]);
    let worked = match (script.end)(index) {
        End::Never => return,
        End::Failed(errors) => {
            shelf.batches[index].ended = Some(json!({"status": "failed", "errors": {"data": errors}}));
            return;
        }
        End::Cancelled(from) => from,
        End::Done => questions.len(),
    };
    let (mut output, mut errors) = (String::new(), String::new());
    let (mut expired, mut completed) = (false, 0);
    for question in questions.iter().take(worked) {
        let prompt = prompt(question);
        let before = shelf.asked.entry(prompt.clone()).or_default();
        *before += 1;
        let line = |response: Value, error: Value| {
            let id = &question["custom_id"];
            format!("{}\n", json!({"custom_id": id, "response": response, "error": error}))
        };
        match (script.work)(&prompt, *before - 1) {
            Line::Answer(text) => {
                let choice = json!({"message": {"content": text}, "finish_reason": "stop"});
                let body =
                    json!({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}});
                output.push_str(&line(json!({"status_code": 200, "body": body}), Value::Null));
                *shelf.answered.entry(prompt).or_default() += 1;
                completed += 1;
            }
            Line::Status(status, code) => {
                let body = json!({"error": {"message": code, "code": code}});
                errors.push_str(&line(json!({"status_code": status, "body": body}), Value::Null));
            }
            Line::Expired => {
                expired = true;
                errors.push_str(&line(Value::Null, json!({"code": "batch_expired", "message": "too late"})));
            }
            Line::Nothing => {}
            Line::Garbage => output.push_str("{\"custom_id\": \n"),
        }
    }
    let status = match (worked < questions.len(), expired) {
        (true, _) => "cancelled",
        (_, true) => "expired",
        _ => "completed",
    };
    let counts = json!({"total": questions.len(), "completed": completed + script.boast, "failed": errors.lines().count()});
    let mut ended =
        json!({"status": status, "request_counts": counts, "output_file_id": null, "error_file_id": null});
    for (name, text) in [("output_file_id", output), ("error_file_id", errors)] {
        if !text.is_empty() {
            let id = format!("file-{}", shelf.files.len() + 1);
            shelf.files.insert(id.clone(), text.into_bytes());
            ended[name] = id.into();
        }
    }
    shelf.batches[index].ended = Some(ended);
}

async fn content(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let fault = provider.called("GET /files/ID/content", &headers);
    provider.answer(fault, |shelf, _| {
        let file = shelf.files[&id].clone();
        match fault {
            Some(Fault::Half) => cut(file.len(), Bytes::copy_from_slice(&file[..file.len() / 2])),
            _ => Body::from(file).into_response(),
        }
    })
}
