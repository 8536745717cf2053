//! Reads how long a server wants to be left alone, in any of the ways servers say it.
//!
//! `classify` calls it for each failed response; `retry` treats the result as a floor. In order of what is believed:
//! `Retry-After`; what the body says, in a field (Google's `retryDelay`) or in words ("try again in 4s"); when a
//! meter that is used up starts anew (`x-ratelimit-reset-*`). The last comes last because it says when all of a quota
//! is back, which with most is later than when there is room for one request. What makes no sense, or is past, is no
//! wait.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use super::duration;

/// Words behind which a span says when to come back, if it follows soon.
const LEADS: &[&str] = &["try again", "retry", "wait", "reset"];
/// Characters between such words and the span: "retry your request in about ".
const BETWEEN: usize = 32;

/// Headers as pairs, the names in small letters.
struct HeaderPairs<'h>(Vec<(String, &'h str)>);

/// The wait that `Retry-After` names: seconds, a span with units or a date.
pub(super) fn named(headers: &HeaderMap) -> Option<Duration> {
    HeaderPairs::of(headers).named(Timestamp::now())
}

/// When the limits start anew that a refusal's headers say are used up; of several the last.
pub(super) fn reset(headers: &HeaderMap) -> Option<Duration> {
    HeaderPairs::of(headers).reset(Timestamp::now())
}

/// The longest wait that the fields of an object within an error's body name.
pub(super) fn in_fields(object: &Map<String, Value>) -> Option<Duration> {
    in_fields_at(object, Timestamp::now())
}

/// The longest wait that a message in small letters names.
pub(super) fn in_words(words: &str) -> Option<Duration> {
    let leads = LEADS.iter().flat_map(|lead| words.match_indices(lead));
    leads.filter_map(|(at, lead)| soon_after(&words[at + lead.len()..])).max()
}

/// The span that follows within a few words of the same sentence.
fn soon_after(text: &str) -> Option<Duration> {
    let mut between = text.char_indices().take(BETWEEN);
    let (at, _) = between.find(|(_, c)| c.is_ascii_digit() || ".;!?".contains(*c))?;
    if text[..at].ends_with('-') {
        return None;
    }
    let (wait, _) = duration::leading(&text[at..])?;
    something(wait)
}

fn in_fields_at(object: &Map<String, Value>, now: Timestamp) -> Option<Duration> {
    let wait = |(name, value): (&String, &Value)| {
        let name = name.to_lowercase().replace(['_', '-'], "");
        match &*name {
            "retrydelay" | "retryafter" | "retryafterseconds" | "quotaresetdelay" => span(value, now),
            "retryafterms" | "retryaftermilliseconds" => milliseconds(value.as_f64()?),
            // Of an upstream's answer, as OpenRouter passes them on.
            "headers" => {
                let pairs = HeaderPairs::of_object(value.as_object()?);
                pairs.named(now).or_else(|| pairs.reset(now))
            }
            _ => None,
        }
    };
    object.iter().filter_map(wait).max()
}

/// Seconds, a text, or Google's `{seconds, nanos}`.
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
    wait.and_then(something)
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

    fn named(&self, now: Timestamp) -> Option<Duration> {
        let exact = self.get("retry-after-ms").and_then(|text| milliseconds(text.parse().ok()?));
        exact.or_else(|| {
            let said = self.get("retry-after")?;
            // A number is seconds here, however large.
            duration::span(said).or_else(|| duration::until(said, now)).and_then(something)
        })
    }

    /// What is said of one meter counts only where nothing is left of it: a full one's reset says nothing. What is
    /// said of all, unless there is something left.
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
            is_used_up.then(|| duration::until(value, now)).flatten().and_then(something)
        });
        waits.max()
    }
}

fn milliseconds(count: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(count / 1000.0).ok().and_then(something)
}

fn something(wait: Duration) -> Option<Duration> {
    (!wait.is_zero()).then_some(wait)
}
