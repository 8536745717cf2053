//! Reads how long a server wants to be left alone, in any of the ways servers say it.
//!
//! `classify` calls it for each failed response; `retry` treats the result as a floor.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The wait asked for by `retry-after-ms` or `retry-after` (seconds or an HTTP date). `None` where there is
/// none, or what there is makes no sense: past, negative, unreadable.
pub(super) fn read(headers: &HeaderMap) -> Option<Duration> {
    read_at(headers, SystemTime::now())
}

fn read_at(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok());
    if let Some(wait) = milliseconds.and_then(|milliseconds| positive(milliseconds / 1000.0)) {
        return Some(wait);
    }
    let said = text(RETRY_AFTER.as_str())?;
    match said.parse::<f64>() {
        Ok(seconds) => positive(seconds),
        // In any of the three forms that HTTP knows.
        Err(_) => {
            httpdate::parse_http_date(said).ok()?.duration_since(now).ok().filter(|wait| !wait.is_zero())
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

    #[test]
    fn milliseconds_that_say_nothing_do_not_hide_seconds() {
        let headers = [("retry-after-ms", "0"), ("retry-after", "2")];
        let headers =
            headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert_eq!(read(&HeaderMap::from_iter(headers)), Some(Duration::from_secs(2)));
    }

    fn check(name: &'static str, value: &'static str, expected: Option<f64>) {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 12:00:00 GMT").unwrap();
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
        check("retry-after", "Friday, 20-Nov-26 12:01:30 GMT", Some(90.0));
        check("retry-after", "Fri Nov 20 12:01:30 2026", Some(90.0));
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
