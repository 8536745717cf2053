//! Parses the error body of a server in any of the shapes in use: its message, codes, and the parameters that it
//! blames.
//!
//! `classify` uses it. Servers wrap errors in `error`, `errors`, `detail`, `base_resp` and more, as objects, lists,
//! texts or JSON in texts; gateways answer with HTML pages. All of it is searched to a small depth. A body of unknown
//! shape is shown as it is, so that no server message is lost.

use std::time::Duration;

use serde_json::{Map, Value};

use super::clean;
use crate::llm::retry_after;

/// The depth to which nested values are searched, and the number of entries of a list.
const DEPTH: u32 = 10;
const ENTRIES: usize = 5;
/// The number of bytes of a page or text that are read.
const PAGE: usize = 8 << 10;

/// Fields that contain a message, directly or nested; in the order in which messages are shown.
const MESSAGE_FIELDS: &[&str] = &[
    "error",
    "errors",
    "base_resp",
    "data",
    "title",
    "message",
    "Message",
    "detail",
    "msg",
    "status_msg",
    "error_msg",
    "error_message",
    "errorMessage",
    "error_description",
    "metadata",
    "raw",
    "reasons",
];
/// Fields that contain a code. `input` and similar fields are left out: a prompt that is repeated there is meaningless.
const CODE_FIELDS: &[&str] = &[
    "code",
    "type",
    "status",
    "__type",
    "error_type",
    "error_code",
    "errcode",
    "status_code",
    "http_code",
    "object",
    "reason",
];
/// Fields that contain further errors, of which only the codes and waits are useful.
const INNER_FIELDS: &[&str] = &["innererror", "inner_error", "details"];

/// A parsed error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::llm) struct ErrorBody {
    /// The message in one line; empty if there is none.
    pub(super) message: String,
    /// A code that is an HTTP error status.
    pub(super) status: Option<u16>,
    /// The parameters of the request that it blames, as paths: `temperature`, `messages.0.content`.
    pub(in crate::llm) params: Vec<String>,
    /// All codes and messages in lower case.
    pub(in crate::llm) words: String,
    /// The model's output, if the error is that it is unusable.
    pub(in crate::llm) generated: Option<String>,
    /// The wait that its fields ask for.
    pub(super) retry_after: Option<Duration>,
    /// Whether the body contains a message; without one, `message` is the whole body.
    pub(super) has_message: bool,
}

impl ErrorBody {
    /// Parses the body of an error response.
    pub(super) fn of(body: &[u8]) -> Self {
        match crate::llm::dialect::parse(body) {
            Some(value) => Self::of_value(&value),
            None => {
                let text = String::from_utf8_lossy(&body[..body.len().min(PAGE)]).into_owned();
                Self::of_text(&text)
            }
        }
    }

    /// Parses an error, or an object that contains one.
    pub(super) fn of_value(value: &Value) -> Self {
        let mut found = ErrorBodyScan::default();
        found.search(value, DEPTH);
        let is_empty = match value {
            Value::Object(fields) => fields.is_empty(),
            Value::Array(list) => list.is_empty(),
            value => value.is_null(),
        };
        let has_message = !found.messages.is_empty();
        if !has_message && !is_empty {
            found.messages.push(value.to_string());
        }
        Self { has_message, ..found.finish() }
    }

    fn of_text(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim();
        // The error of an event stream follows `data:`.
        let event = text.lines().find_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok());
        match event {
            Some(value) => Self::of_value(&value),
            None if text.starts_with('<') => Self::of_words(&page(text)),
            None => Self::of_words(text),
        }
    }

    fn of_words(words: &str) -> Self {
        let words = words.to_owned();
        ErrorBodyScan { messages: vec![words], ..ErrorBodyScan::default() }.finish()
    }

    /// Whether any of these phrases occurs in its codes or messages.
    pub(in crate::llm) fn contains_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.words.contains(word))
    }
}

/// What a search through a body has collected.
#[derive(Default)]
struct ErrorBodyScan {
    messages: Vec<String>,
    codes: Vec<String>,
    params: Vec<String>,
    generated: Option<String>,
    retry_after: Option<Duration>,
}

impl ErrorBodyScan {
    fn search(&mut self, value: &Value, depth: u32) {
        if depth == 0 {
            return;
        }
        match value {
            Value::String(text) => match nested(text) {
                Some(inner) => self.search(&inner, depth - 1),
                None => self.say(text),
            },
            Value::Array(list) => list.iter().take(ENTRIES).for_each(|entry| self.search(entry, depth - 1)),
            Value::Object(fields) => self.search_object(fields, depth),
            _ => {}
        }
    }

    fn search_object(&mut self, object: &Map<String, Value>, depth: u32) {
        self.retry_after = self.retry_after.max(retry_after::in_fields(object));
        self.codes.extend(CODE_FIELDS.iter().filter_map(|name| scalar(object.get(*name)?)));
        for inner in INNER_FIELDS.iter().filter_map(|name| object.get(*name)) {
            let mut within = Self::default();
            within.search(inner, depth - 1);
            self.codes.append(&mut within.codes);
            self.retry_after = self.retry_after.max(within.retry_after);
        }
        let blamed = object.get("loc").and_then(path).or_else(|| scalar(object.get("param")?));
        if let Some(text) = object.get("failed_generation").and_then(Value::as_str) {
            self.generated.get_or_insert_with(|| text.to_owned());
        }
        let before = self.messages.len();
        for said in MESSAGE_FIELDS.iter().filter_map(|name| object.get(*name)) {
            self.search(said, depth - 1);
        }
        let Some(blamed) = blamed.filter(|blamed| !blamed.is_empty()) else { return };
        // The message of a pydantic error alone does not say what is wrong.
        if object.get("loc").is_some() && self.messages.len() == before + 1 {
            self.messages[before] = format!("{blamed}: {}", self.messages[before]);
        }
        self.params.push(blamed);
    }

    fn say(&mut self, text: &str) {
        let text = text.trim();
        let known = self.messages.iter().any(|message| message.contains(text));
        if !text.is_empty() && !known {
            self.messages.push(text.to_owned());
        }
    }

    fn finish(self) -> ErrorBody {
        let message = self.messages.join("; ");
        let words = format!("{} {} {message}", self.codes.join(" "), self.params.join(" ")).to_lowercase();
        let status =
            self.codes.iter().find_map(|code| code.parse().ok().filter(|code| (400..600).contains(code)));
        ErrorBody {
            message: clean(&message),
            status,
            params: self.params,
            words,
            generated: self.generated,
            retry_after: self.retry_after,
            has_message: true,
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns Pydantic's `loc` as a path, without its leading `body`.
fn path(loc: &Value) -> Option<String> {
    let steps: Vec<String> = loc.as_array()?.iter().filter_map(scalar).collect();
    let steps = steps.strip_prefix(&["body".to_owned()]).unwrap_or(&steps);
    Some(steps.join("."))
}

/// Parses JSON within a text, as gateways forward errors.
fn nested(text: &str) -> Option<Value> {
    let text = text.trim();
    let value = text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok())?;
    value.filter(|value: &Value| value.is_object() || value.is_array())
}

/// Returns the title and first heading of a page, or its text.
fn page(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let between = |open: &str, close: &str| {
        let start = lower.find(open)?;
        let start = start + lower[start..].find('>')? + 1;
        let end = start + lower[start..].find(close)?;
        Some(without_tags(&html[start..end]))
    };
    let title = between("<title", "</title").unwrap_or_default();
    let heading = between("<h1", "</h1").unwrap_or_default();
    match (title.trim(), heading.trim()) {
        ("", "") => without_tags(html),
        (title, "") => title.to_owned(),
        (title, heading) if title.contains(heading) => title.to_owned(),
        ("", heading) => heading.to_owned(),
        (title, heading) => format!("{title}; {heading}"),
    }
}

fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut inside = false;
    for character in html.chars() {
        match character {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                text.push(' ');
            }
            character if !inside => text.push(character),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(body: &str, message: &str, words: &[&str]) {
        let said = ErrorBody::of(body.as_bytes());
        assert_eq!(said.message, message, "{body}");
        for word in words {
            assert!(said.contains_any(&[word]), "{word}: {said:?}");
        }
    }

    #[test]
    fn messages_are_found_in_every_shape() {
        check(r#"{"error": {"message": "no", "code": "bad", "param": "seed"}}"#, "no", &["bad", "seed"]);
        check(r#"{"error": "no"}"#, "no", &[]);
        check(
            r#"[{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}]"#,
            "no",
            &["invalid_argument"],
        );
        check(r#"{"object": "error", "message": "no", "code": 40303}"#, "no", &["40303"]);
        check(
            r#"{"choices": null, "base_resp": {"status_code": 1008, "status_msg": "no"}}"#,
            "no",
            &["1008"],
        );
        check(r#"{"code": "InvalidApiKey", "message": "no", "request_id": "r"}"#, "no", &["invalidapikey"]);
        check(
            r#"{"success": false, "errors": [{"code": 5007, "message": "no"}], "messages": []}"#,
            "no",
            &["5007"],
        );
        check(r#"{"detail": "no"}"#, "no", &[]);
        check(r#"{"errors": ["no", "never"]}"#, "no; never", &[]);
        check(r#"{"errors": {"data": [{"message": "no"}]}}"#, "no", &[]);
        check(
            r#"{"title": "Not Found", "status": 404, "detail": "no such account"}"#,
            "Not Found; no such account",
            &[],
        );
        check(r#"{"msg": "no"}"#, "no", &[]);
        check(r#"{"error_code": 17, "error_msg": "no"}"#, "no", &["17"]);
        check(
            r#"{"__type": "x#ThrottlingException", "message": null, "Message": "no"}"#,
            "no",
            &["throttling"],
        );
        check(r#"{"status": "failure", "message": "no", "error": {"message": "no"}}"#, "no", &[]);
        check(r#"{"error": {"code": "busy"}}"#, r#"{"error":{"code":"busy"}}"#, &["busy"]);
        check(r#"{"odd": ["shape"]}"#, r#"{"odd":["shape"]}"#, &["shape"]);
        check("plain\n words", "plain words", &[]);
        check("", "", &[]);
        check("{}", "", &[]);
        check("null", "", &[]);
    }

    #[test]
    fn json_in_texts_and_events_is_parsed() {
        let mistral =
            r#"{"object":"error","message":"{\"detail\":[{\"loc\":[\"body\",\"n\"],\"msg\":\"no\"}]}"}"#;
        check(mistral, "n: no", &[]);
        let raw = r#"{"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"error\":{\"message\":\"no\"}}", "provider_name": "X"}}}"#;
        check(raw, "Provider returned error; no", &[]);
        check("event: error\ndata: {\"message\": \"no\"}\n\n", "no", &[]);
    }

    #[test]
    fn pages_are_read_as_text() {
        check(
            "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
            "502 Bad Gateway",
            &[],
        );
        check("<html>\n<h1>No</h1> <p>way</p>", "No", &[]);
        check("<p>no <b>way</b></p>", "no way", &[]);
    }

    #[test]
    fn blamed_parameters_are_named() {
        let said = ErrorBody::of(br#"{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 42}]}"#);
        assert_eq!(
            (&*said.message, said.params),
            ("seed: Extra inputs are not permitted", vec!["seed".to_owned()])
        );
        let said =
            ErrorBody::of(br#"{"error": {"message": "no", "param": "messages[0].role", "code": 418}}"#);
        assert_eq!((said.params, said.status), (vec!["messages[0].role".to_owned()], Some(418)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..300)) {
            ErrorBody::of(&body);
        }

        #[test]
        fn any_page_is_read(text in "[<>/a-zİß ]{0,200}") {
            ErrorBody::of(format!("<{text}").as_bytes());
        }
    }
}
