//! Distinguishes a setting that a server refuses in every request from what is wrong with one record.
//!
//! `remote` and `batch` pass it each failure before they act on it. A refusal of a setting that the pipeline sends with
//! all requests would affect every record: it stops the run with advice on what to write instead, and no record is
//! blamed. A setting that an answered request had cannot be to blame.

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::ModelRequest;
use super::classify::{ErrorBody, Failure, Verdict};
use super::dialect::RequestEncoder;
use super::streaming::is_own_setting;

/// The number of accepted requests that are remembered; a pipeline has one set of parameters for each stage.
const MAX_ACCEPTED: usize = 64;

/// Phrases by which servers refuse a setting.
const REFUSING: &[&str] = &[
    "not support",
    "n't support",
    "unsupported",
    "unknown",
    "unrecognized",
    "not recognized",
    "unexpected",
    "extra inputs",
    "not permitted",
    "not allowed",
    "is allowed",
    "allowed number",
    "only the default",
    "invalid",
    "must be",
    "must set",
    "should be",
    "cannot be",
    "cannot both",
    "out of range",
    "valid range",
    "too large",
    "less than or equal",
    "deprecated",
    "not available",
];
/// Codes for a setting of the request rather than its content.
const SETTING_CODES: &[&str] =
    &["unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"];
/// Phrases for a value that is too high, rather than for an unknown setting.
const TOO_HIGH: &[&str] =
    &["too large", "less than or equal", "range", "maximum", "at most", "exceed", "limit"];
const NO_SYSTEM: &[&str] = &[
    "system role not supported",
    "system role is not supported",
    "system messages are not supported",
    "system message is not supported",
    "not support system",
    "not support the system role",
    "'system' with this model",
    "developer instruction is not enabled",
];
const NO_IMAGES: &[&str] = &[
    "not support image",
    "image input is not supported",
    "image inputs are not supported",
    "not support vision",
    "not a multimodal model",
    "at most 0 image",
    "unknown variant `image_url`",
];
/// What precedes a model's context length.
const LENGTHS: &[&str] =
    &["maximum context length is", "max_model_len", "maximum context length of", "context size"];

/// The settings that a model's server has accepted.
pub(super) struct RefusedSettings {
    model: String,
    accepted: Mutex<Vec<AcceptedRequest>>,
}

/// The settings of a request that was answered.
#[derive(PartialEq)]
struct AcceptedRequest {
    params: Map<String, Value>,
    system: bool,
    images: bool,
}

/// A setting that a server refuses.
#[derive(Debug, PartialEq)]
enum RefusedSetting {
    Param(String),
    System,
    Images,
}

impl RefusedSettings {
    pub(super) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), accepted: Mutex::default() }
    }

    /// Records that a request was answered.
    pub(super) fn note_answer(&self, request: &ModelRequest) {
        let mut accepted = self.accepted();
        let is_known = |known: &AcceptedRequest| {
            known.system == has_system(request)
                && known.images == (request.images_shown() > 0)
                && same_but_seed(&known.params, &request.params)
        };
        if accepted.len() >= MAX_ACCEPTED || accepted.iter().any(is_known) {
            return;
        }
        let (params, system) = (request.params.clone(), has_system(request));
        accepted.push(AcceptedRequest { params, system, images: request.images_shown() > 0 });
    }

    /// Returns the failure to act on: a fatal one if it is due to a setting that every request has.
    pub(super) fn judge(
        &self,
        encoder: &RequestEncoder,
        request: &ModelRequest,
        failure: Failure,
    ) -> Failure {
        let of_request = matches!(
            &*failure.class,
            "status_400"
                | "status_404"
                | "status_422"
                | "status_500"
                | "status_501"
                | "error_in_200"
                | "context_length"
                | "request_too_large"
        );
        let Some(error) = failure.error_body.as_deref().filter(|_| of_request) else { return failure };
        let Some(blamed) = find(encoder, request, error, &failure.class) else { return failure };
        if self.was_accepted(&blamed, request) {
            return failure;
        }
        let hint = match &blamed {
            RefusedSetting::Param(name) => self.advice(encoder, request, error, name),
            RefusedSetting::System => {
                "the model takes no system message: put its text into `user` and leave `system` out of \
                               `prompt`"
                    .to_owned()
            }
            RefusedSetting::Images => {
                format!("the model sees no images: name one that does in `models.{}.model`", self.model)
            }
        };
        let message = format!("{}\nhint: {hint}", failure.message);
        // What was refused in an earlier start of the run may have been fixed.
        let verdict = if failure.earlier { Verdict::Retry } else { Verdict::Fatal };
        Failure { verdict, class: "setting_refused".to_owned(), message, ..failure }
    }

    fn was_accepted(&self, blamed: &RefusedSetting, request: &ModelRequest) -> bool {
        self.accepted().iter().any(|known| match blamed {
            RefusedSetting::Param(name) if name == "seed" => {
                known.params.contains_key(name) == request.params.contains_key(name)
            }
            RefusedSetting::Param(name) => known.params.get(name) == request.params.get(name),
            RefusedSetting::System => known.system,
            RefusedSetting::Images => known.images,
        })
    }

    fn advice(
        &self,
        encoder: &RequestEncoder,
        request: &ModelRequest,
        error: &ErrorBody,
        name: &str,
    ) -> String {
        let model = &self.model;
        if name == "stream" && encoder.streaming.is_on() {
            return format!("the model cannot be asked for a stream: leave `stream` out of `models.{model}`");
        }
        let place = match () {
            () if encoder.extra_body.contains_key(name) => format!("`models.{model}.extra_body`"),
            () if request.params.contains_key(name) && !encoder.params.contains_key(name) => {
                "`params` of the stage".to_owned()
            }
            () => format!("`models.{model}.params`"),
        };
        let other = match name {
            "max_tokens" => Some("max_completion_tokens"),
            "max_completion_tokens" => Some("max_tokens"),
            _ => None,
        };
        match (name, other) {
            (_, Some(other))
                if !error.contains_any(TOO_HIGH)
                    || error.contains_any(&["unsupported_parameter", "extra_forbidden"]) =>
            {
                format!("the model refuses `{name}`: write `{other}` in its place, in {place}")
            }
            (_, Some(_)) => format!("the model refuses this `{name}` for every request: lower it in {place}"),
            ("response_format" | "structured_outputs" | "guided_json", None) => {
                format!(
                    "leave `{name}` out of {place}: `structured_output` of the model sends a schema in a form that it takes"
                )
            }
            _ if error.contains_any(SETTING_CODES) && !error.contains_any(&["unsupported_value"]) => {
                format!("the model refuses `{name}`: leave it out of {place}")
            }
            _ => format!(
                "the model refuses this `{name}`: leave it out of {place}, or give it a value that the model takes"
            ),
        }
    }

    fn accepted(&self) -> MutexGuard<'_, Vec<AcceptedRequest>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the refused setting, if it is one that every request has.
fn find(
    encoder: &RequestEncoder,
    request: &ModelRequest,
    error: &ErrorBody,
    class: &str,
) -> Option<RefusedSetting> {
    if matches!(class, "context_length" | "request_too_large") {
        return find_limit(encoder, request, error, class);
    }
    if has_system(request)
        && (error.contains_any(NO_SYSTEM)
            || (is_one_question(request) && error.contains_any(&["roles must alternate"])))
    {
        return Some(RefusedSetting::System);
    }
    if request.images_shown() > 0 && error.contains_any(NO_IMAGES) {
        return Some(RefusedSetting::Images);
    }
    let names = encoder.names(request);
    for param in &error.params {
        let head = param.split(['.', '[']).next().unwrap_or_default();
        if matches!(head, "messages" | "prompt" | "input" | "model") {
            continue;
        }
        let is_sent = names.iter().any(|name| name == head);
        if is_sent || error.contains_any(SETTING_CODES) && !is_own_setting(head) {
            return Some(RefusedSetting::Param(head.to_owned()));
        }
    }
    let is_refusal = error.contains_any(REFUSING);
    let named = |name: &&String| names_setting(&error.words, name);
    // The longest name: `max_tokens` is part of no other, but `top_p` may be mentioned beside `temperature`.
    let found = names.iter().filter(named).max_by_key(|name| name.len()).filter(|_| is_refusal)?;
    Some(RefusedSetting::Param(found.clone()))
}

/// Returns a limit of the answer's length that leaves no room for any prompt.
fn find_limit(
    encoder: &RequestEncoder,
    request: &ModelRequest,
    error: &ErrorBody,
    class: &str,
) -> Option<RefusedSetting> {
    let (name, most) = ["max_tokens", "max_completion_tokens"]
        .into_iter()
        .find_map(|name| Some((name, encoder.param(request, name)?.as_u64()?)))?;
    let limit = match class {
        "request_too_large" => error.number_after("limit"),
        _ => LENGTHS.iter().find_map(|words| error.number_after(words)),
    };
    limit.filter(|limit| most >= *limit).map(|_| RefusedSetting::Param(name.to_owned()))
}

/// Whether a message names a setting. A name that is also an English word must be marked as a setting.
fn names_setting(words: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    let is_plain = name.chars().all(char::is_alphabetic);
    words.match_indices(&*name).any(|(at, _)| {
        let (before, after) = (&words[..at], &words[at + name.len()..]);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        if before.ends_with(is_part) || after.starts_with(is_part) {
            return false;
        }
        let is_marked = before.ends_with(['\'', '`', '"']) && after.starts_with(['\'', '`', '"', '=']);
        let is_reported = [
            "parameter ",
            "parameter: ",
            "supplied: ",
            "support ",
            "supports ",
            "invalid ",
            "setting ",
            "argument ",
        ];
        let is_valued = after.trim_start().starts_with(|c: char| c.is_ascii_digit());
        !is_plain
            || is_marked
            || is_valued
            || after.starts_with('=')
            || is_reported.iter().any(|words| before.ends_with(words))
    })
}

fn has_system(request: &ModelRequest) -> bool {
    request.messages.iter().any(|message| matches!(&*message.role, "system" | "developer"))
}

/// Whether there is a single message besides the system's: in longer conversations the order may be at fault.
fn is_one_question(request: &ModelRequest) -> bool {
    request.messages.iter().filter(|message| !matches!(&*message.role, "system" | "developer")).count() == 1
}

/// Whether two sets of parameters are equal except for the seed, which may differ in each request.
fn same_but_seed(some: &Map<String, Value>, others: &Map<String, Value>) -> bool {
    some.len() == others.len()
        && some
            .iter()
            .all(|(name, value)| others.get(name).is_some_and(|other| name == "seed" || other == value))
}
