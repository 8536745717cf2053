//! Tells a setting that a server refuses for every request from what is wrong with one record.
//!
//! `remote` and `batch` show it each failure before they act on it. A refusal that names a setting the pipeline sends
//! with all requests would meet every record: it ends the run, with what to write instead, and no record is charged
//! with it. Where an answer has come with the very same setting, it cannot be to blame.

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::ModelRequest;
use super::classify::{ErrorBody, Failure, Verdict};
use super::dialect::RequestEncoder;
use super::streaming::is_own_setting;

/// Sets of parameters that are remembered; a pipeline has one for each stage.
const MOST_TAKEN: usize = 64;

/// What refusing a setting sounds like.
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
/// Words for a value that is too high, rather than for a setting that is not known.
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
/// What stands before the length that a model can take.
const LENGTHS: &[&str] =
    &["maximum context length is", "max_model_len", "maximum context length of", "context size"];

/// What a model's server was found to take.
pub(super) struct RefusedSettings {
    model: String,
    taken: Mutex<Vec<Taken>>,
}

/// What a request had that was answered.
#[derive(PartialEq)]
struct Taken {
    params: Map<String, Value>,
    system: bool,
    images: bool,
}

/// What a server refuses.
#[derive(Debug, PartialEq)]
enum Blamed {
    Param(String),
    System,
    Images,
}

impl RefusedSettings {
    pub(super) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), taken: Mutex::default() }
    }

    /// Remembers that a request was answered.
    pub(super) fn note_answer(&self, request: &ModelRequest) {
        let mut taken = self.taken();
        let is_known = |taken: &Taken| {
            taken.system == has_system(request)
                && taken.images == (request.images_shown() > 0)
                && same_but_seed(&taken.params, &request.params)
        };
        if taken.len() >= MOST_TAKEN || taken.iter().any(is_known) {
            return;
        }
        let (params, system) = (request.params.clone(), has_system(request));
        taken.push(Taken { params, system, images: request.images_shown() > 0 });
    }

    /// The failure as it is to be acted on: it ends the run if it is of a setting that every request has.
    pub(super) fn judge(&self, asked: &RequestEncoder, request: &ModelRequest, failure: Failure) -> Failure {
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
        let Some(said) = failure.said.as_deref().filter(|_| of_request) else { return failure };
        let Some(blamed) = find(asked, request, said, &failure.class) else { return failure };
        if self.was_taken(&blamed, request) {
            return failure;
        }
        let hint = match &blamed {
            Blamed::Param(name) => self.advice(asked, request, said, name),
            Blamed::System => {
                "the model takes no system message: put its text into `user` and leave `system` out of \
                               `prompt`"
                    .to_owned()
            }
            Blamed::Images => {
                format!("the model sees no images: name one that does in `models.{}.model`", self.model)
            }
        };
        let message = format!("{}\nhint: {hint}", failure.message);
        // What an earlier start of the run was refused may have been mended.
        let verdict = if failure.earlier { Verdict::Retry } else { Verdict::Fatal };
        Failure { verdict, class: "setting_refused".to_owned(), message, ..failure }
    }

    fn was_taken(&self, blamed: &Blamed, request: &ModelRequest) -> bool {
        self.taken().iter().any(|taken| match blamed {
            Blamed::Param(name) if name == "seed" => {
                taken.params.contains_key(name) == request.params.contains_key(name)
            }
            Blamed::Param(name) => taken.params.get(name) == request.params.get(name),
            Blamed::System => taken.system,
            Blamed::Images => taken.images,
        })
    }

    fn advice(&self, asked: &RequestEncoder, request: &ModelRequest, said: &ErrorBody, name: &str) -> String {
        let model = &self.model;
        if name == "stream" && asked.streaming.is_on() {
            return format!("the model cannot be asked for a stream: leave `stream` out of `models.{model}`");
        }
        let place = match () {
            () if asked.extra_body.contains_key(name) => format!("`models.{model}.extra_body`"),
            () if request.params.contains_key(name) && !asked.params.contains_key(name) => {
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
                if !said.any(TOO_HIGH) || said.any(&["unsupported_parameter", "extra_forbidden"]) =>
            {
                format!("the model refuses `{name}`: write `{other}` in its place, in {place}")
            }
            (_, Some(_)) => format!("the model refuses this `{name}` for every request: lower it in {place}"),
            ("response_format" | "structured_outputs" | "guided_json", None) => {
                format!(
                    "leave `{name}` out of {place}: `structured_output` of the model sends a schema in a form that it takes"
                )
            }
            _ if said.any(SETTING_CODES) && !said.any(&["unsupported_value"]) => {
                format!("the model refuses `{name}`: leave it out of {place}")
            }
            _ => format!(
                "the model refuses this `{name}`: leave it out of {place}, or give it a value that the model takes"
            ),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a request is refused, if it is something that every request has.
fn find(asked: &RequestEncoder, request: &ModelRequest, said: &ErrorBody, class: &str) -> Option<Blamed> {
    if matches!(class, "context_length" | "request_too_large") {
        return find_limit(asked, request, said, class);
    }
    if has_system(request)
        && (said.any(NO_SYSTEM) || (is_one_question(request) && said.any(&["roles must alternate"])))
    {
        return Some(Blamed::System);
    }
    if request.images_shown() > 0 && said.any(NO_IMAGES) {
        return Some(Blamed::Images);
    }
    let names = asked.names(request);
    for param in &said.params {
        let head = param.split(['.', '[']).next().unwrap_or_default();
        if matches!(head, "messages" | "prompt" | "input" | "model") {
            continue;
        }
        let is_sent = names.iter().any(|name| name == head);
        if is_sent || said.any(SETTING_CODES) && !is_own_setting(head) {
            return Some(Blamed::Param(head.to_owned()));
        }
    }
    let is_refusal = said.any(REFUSING);
    let named = |name: &&String| names_setting(&said.words, name);
    // The longest: `max_tokens` is part of nothing, but `top_p` may stand beside `temperature`.
    let found = names.iter().filter(named).max_by_key(|name| name.len()).filter(|_| is_refusal)?;
    Some(Blamed::Param(found.clone()))
}

/// An answer's length that no prompt leaves room for.
fn find_limit(
    asked: &RequestEncoder,
    request: &ModelRequest,
    said: &ErrorBody,
    class: &str,
) -> Option<Blamed> {
    let (name, most) = ["max_tokens", "max_completion_tokens"]
        .into_iter()
        .find_map(|name| Some((name, asked.param(request, name)?.as_u64()?)))?;
    let limit = match class {
        "request_too_large" => said.number_after("limit"),
        _ => LENGTHS.iter().find_map(|words| said.number_after(words)),
    };
    limit.filter(|limit| most >= *limit).map(|_| Blamed::Param(name.to_owned()))
}

/// Whether words name a setting. A name that is a word of English too must be marked as one.
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
        let is_told = [
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
            || is_told.iter().any(|words| before.ends_with(words))
    })
}

fn has_system(request: &ModelRequest) -> bool {
    request.messages.iter().any(|message| matches!(&*message.role, "system" | "developer"))
}

/// Whether there is a single message beside the system's: in longer conversations the order may be at fault.
fn is_one_question(request: &ModelRequest) -> bool {
    request.messages.iter().filter(|message| !matches!(&*message.role, "system" | "developer")).count() == 1
}

/// Each request may have a seed of its own.
fn same_but_seed(some: &Map<String, Value>, others: &Map<String, Value>) -> bool {
    some.len() == others.len()
        && some
            .iter()
            .all(|(name, value)| others.get(name).is_some_and(|other| name == "seed" || other == value))
}
