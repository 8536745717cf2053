//! Reads how long a server asks to wait, in any of the ways servers express it.
//!
//! `classify` calls it for each failed response; `retry` treats the result as a lower bound. In order of precedence:
//! `Retry-After`; the body, in a field (Google's `retryDelay`) or in words ("try again in 4s"); the reset of a used-up
//! limit (`x-ratelimit-reset-*`). The last has the lowest precedence because it names the time when a whole quota is
//! refilled, which with most providers is later than when one request is possible. A wait that is invalid or in the
//! past is ignored.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use super::duration;

/// Words that introduce a wait, if a duration follows closely.
const LEADS: &[&str] = &["try again", "retry", "wait", "reset"];
/// The most characters between such words and the duration: "retry your request in about ".
const BETWEEN: usize = 32;

/// Headers as pairs, with lower-case names.
struct HeaderPairs<'h>(Vec<(String, &'h str)>);

/// Returns the wait of `Retry-After`: seconds, a duration with units, or a date.
pub(super) fn retry_after_header(headers: &HeaderMap) -> Option<Duration> {
    HeaderPairs::of(headers).retry_after(Timestamp::now())
}

/// Returns the time until the limits reset that a refusal's headers report as used up; the latest of several.
pub(super) fn reset(headers: &HeaderMap) -> Option<Duration> {
    HeaderPairs::of(headers).reset(Timestamp::now())
}

/// Returns the longest wait in the fields of an object within an error body.
pub(super) fn in_fields(object: &Map<String, Value>) -> Option<Duration> {
    in_fields_at(object, Timestamp::now())
}

/// Returns the longest wait in a lower-case message.
pub(super) fn in_words(words: &str) -> Option<Duration> {
    let leads = LEADS.iter().flat_map(|lead| words.match_indices(lead));
    leads.filter_map(|(at, lead)| soon_after(&words[at + lead.len()..])).max()
}

/// Returns the duration that follows within a few words of the same sentence.
fn soon_after(text: &str) -> Option<Duration> {
    let mut between = text.char_indices().take(BETWEEN);
    let (at, _) = between.find(|(_, c)| c.is_ascii_digit() || ".;!?".contains(*c))?;
    if text[..at].ends_with('-') {
        return None;
    }
    let (wait, _) = duration::leading(&text[at..])?;
    positive(wait)
}

fn in_fields_at(object: &Map<String, Value>, now: Timestamp) -> Option<Duration> {
    let wait = |(name, value): (&String, &Value)| {
        let name = name.to_lowercase().replace(['_', '-'], "");
        match &*name {
            "retrydelay" | "retryafter" | "retryafterseconds" | "quotaresetdelay" => span(value, now),
            "retryafterms" | "retryaftermilliseconds" => milliseconds(value.as_f64()?),
            // Headers of an upstream response, as OpenRouter forwards them.
            "headers" => {
                let pairs = HeaderPairs::of_object(value.as_object()?);
                pairs.retry_after(now).or_else(|| pairs.reset(now))
            }
            _ => None,
        }
    };
    object.iter().filter_map(wait).max()
}

/// Parses seconds, a text, or Google's `{seconds, nanos}`.
fn span(value: &Value, now: Timestamp) -> Option<Duration> {
    let wait = match value {
        Value::Number(number) => duration::until_number(number.as_f64()?, now),
        Value::String(text) => duration::until(text, now),
        Value::Object(parts) => {
            let part = |name: &str| match parts.get(name)? {
                Value::String(text) => text.parse().ok(),
                value => value.as_f64(),
            };
            let seconds = part("seconds").unwrap_or_default() + part("nanos").unwrap_or_default() / 1e9;
            Duration::try_from_secs_f64(seconds).ok()
        }
        _ => None,
    };
    wait.and_then(positive)
}

impl<'h> HeaderPairs<'h> {
    fn of(headers: &'h HeaderMap) -> Self {
        let pair = |(name, value): (&reqwest::header::HeaderName, &'h reqwest::header::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?))
        };
        Self(headers.iter().filter_map(pair).collect())
    }

    fn of_object(object: &'h Map<String, Value>) -> Self {
        let pair = |(name, value): (&String, &'h Value)| Some((name.to_lowercase(), value.as_str()?));
        Self(object.iter().filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<&'h str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let exact = self.get("retry-after-ms").and_then(|text| milliseconds(text.parse().ok()?));
        exact.or_else(|| {
            let said = self.get("retry-after")?;
            // A number is seconds here, however large.
            duration::span(said).or_else(|| duration::until(said, now)).and_then(positive)
        })
    }

    /// The reset of one limit counts only if nothing is left of it; that of an unused limit is meaningless. A reset of
    /// all limits counts unless something is left.
    fn reset(&self, now: Timestamp) -> Option<Duration> {
        let waits = self.0.iter().filter_map(|(name, value)| {
            let name = name.strip_suffix("-after").unwrap_or(name);
            let is_limit = name.contains("ratelimit") || name.contains("rate-limit");
            if !is_limit || !name.contains("reset") {
                return None;
            }
            let left = self.get(&name.replacen("reset", "remaining", 1)).and_then(|text| text.parse().ok());
            let of_all = name.ends_with("limit-reset");
            let is_used_up = left.map_or(of_all, |left: f64| left <= 0.0);
            is_used_up.then(|| duration::until(value, now)).flatten().and_then(positive)
        });
        waits.max()
    }
}

fn milliseconds(count: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(count / 1000.0).ok().and_then(positive)
}

fn positive(wait: Duration) -> Option<Duration> {
    (!wait.is_zero()).then_some(wait)
}
