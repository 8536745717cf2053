//! Reads how long a server wants to be left alone, in any of the ways servers say it.
//!
//! `classify` calls it for each failed response; `retry` treats the result as a floor.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The wait asked for by `retry-after-ms` or `retry-after` (seconds or an HTTP date). `None` where there is
/// none, or what there is makes no sense: past, negative, unreadable.
pub(super) fn read(headers: &HeaderMap) -> Option<Duration> {
    read_at(headers, Timestamp::now())
}

fn read_at(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return positive(milliseconds / 1000.0);
    }
    let said = text(RETRY_AFTER.as_str())?;
    match said.parse::<f64>() {
        Ok(seconds) => positive(seconds),
        Err(_) => {
            let date = rfc2822::parse(said).ok()?.timestamp();
            positive(date.duration_since(now).as_secs_f64())
        }
    }
}

fn positive(seconds: f64) -> Option<Duration> {
    if seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn check(name: &'static str, value: &'static str, expected: Option<f64>) {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        let read = read_at(&headers, now).map(|duration| duration.as_secs_f64());
        assert_eq!(read, expected, "{name}: {value}");
    }

    #[test]
    fn seconds_milliseconds_and_dates_are_read() {
        check("retry-after", "7", Some(7.0));
        check("retry-after", " 0.25 ", Some(0.25));
        check("retry-after-ms", "1500", Some(1.5));
        check("retry-after", "Fri, 20 Nov 2026 12:01:30 GMT", Some(90.0));
        check("retry-after", "1000000000", Some(1e9));
    }

    #[test]
    fn nonsense_is_no_wait() {
        check("retry-after", "Fri, 20 Nov 2026 11:59:00 GMT", None);
        check("retry-after", "-5", None);
        check("retry-after", "0", None);
        check("retry-after", "NaN", None);
        check("retry-after", "inf", None);
        check("retry-after", "soon", None);
        check("x-other", "5", None);
    }
}
