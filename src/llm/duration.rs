//! Parses durations and points in time in the formats that servers use.
//!
//! `retry_after` and `quota::headers` use it for headers and for error bodies, and interpret the result.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// From here on, a number is not a duration in seconds but a Unix time (2001), and from the second value on one in
/// milliseconds (1973); a duration as long as the first value is thirty years.
const UNIX_SECONDS: f64 = 1e9;
const UNIX_MILLISECONDS: f64 = 1e11;

/// Parses a text that is only a duration: `1m30s`, `4.5 s`, `300ms`, or plain seconds.
pub(super) fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let text = text.to_lowercase();
    leading(&text).filter(|(_, rest)| rest.is_empty()).map(|(span, _)| span)
}

/// Parses a duration, or the duration from `now` until a future time in RFC 3339, as an HTTP date, or as a Unix time in
/// seconds or milliseconds. `None` for a time in the past.
pub(super) fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return until_number(number, now);
    }
    span(text).or_else(|| {
        let time = text.parse().ok().or_else(|| httpdate::parse_http_date(text).ok()?.try_into().ok())?;
        ahead(time, now)
    })
}

/// Does the same for a number: seconds, or a Unix time in seconds or milliseconds.
pub(super) fn until_number(number: f64, now: Timestamp) -> Option<Duration> {
    let milliseconds = match number {
        number if number >= UNIX_MILLISECONDS => number,
        number if number >= UNIX_SECONDS => number * 1000.0,
        seconds => return Duration::try_from_secs_f64(seconds).ok(),
    };
    ahead(Timestamp::from_millisecond(milliseconds as i64).ok()?, now)
}

fn ahead(time: Timestamp, now: Timestamp) -> Option<Duration> {
    let ahead: SignedDuration = time.duration_since(now);
    ahead.try_into().ok()
}

/// Parses the duration with units at the start of a lower-case text (`1m30s`, `5 minutes and 3 seconds`), and returns
/// the rest.
pub(super) fn leading(text: &str) -> Option<(Duration, &str)> {
    let (mut seconds, mut rest) = amount(text)?;
    while let Some((more, behind)) = amount(rest) {
        seconds += more;
        rest = behind;
    }
    Some((Duration::try_from_secs_f64(seconds).ok()?, rest))
}

/// Parses a number with its unit into seconds, and returns the rest.
fn amount(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..end].parse().ok()?;
    let text = text[end..].trim_start();
    let end = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    let seconds = match &text[..end] {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    let rest = text[end..].trim_start_matches([' ', ',']);
    Some((number * seconds, rest.strip_prefix("and ").unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn check(text: &str, expected: Option<f64>) {
        let read = until(text, now()).map(|wait| wait.as_secs_f64());
        let same = match (read, expected) {
            (Some(read), Some(expected)) => (read - expected).abs() < 1e-6,
            (read, expected) => read == expected,
        };
        assert!(same, "{text}: {read:?}");
    }

    #[test]
    fn spans_have_many_units() {
        for (text, seconds) in [
            ("7", 7.0),
            (" 0.25 ", 0.25),
            ("4s", 4.0),
            ("4.5 s", 4.5),
            ("4000ms", 4.0),
            ("20ms", 0.02),
            ("1m30s", 90.0),
            ("1m12.5s", 72.5),
            ("6m0s", 360.0),
            ("1h2m3.5s", 3723.5),
            ("1d2h", 93_600.0),
            ("58.934310785s", 58.934_310_785),
            ("512µs", 0.000_512),
            ("9 Seconds", 9.0),
            ("1 minute and 5 seconds", 65.0),
            ("1 hour, 5 mins", 3900.0),
            ("0s", 0.0),
        ] {
            check(text, Some(seconds));
        }
    }

    #[test]
    fn times_are_seconds_from_now() {
        check("2026-11-20T12:00:30Z", Some(30.0));
        check("2026-11-20T13:00:30+01:00", Some(30.0));
        check("Fri, 20 Nov 2026 12:01:30 GMT", Some(90.0));
        check("1795176045", Some(45.0));
        check("1795176045.5", Some(45.5));
        check("1795176002500", Some(2.5));
        check("1795175000", None);
        check("1000000000", None);
        check("2026-11-20T11:59:59Z", None);
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in [
            "",
            "s",
            "-5",
            "-5s",
            "NaN",
            "inf",
            "infs",
            "1e400",
            "soon",
            "4 parsecs",
            "4s!",
            "1.2.3s",
            "..s",
            "in 4s",
            "1m30",
            "9999999999999999999999999s",
            "99999999999999999999",
            "١s",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_duration_ends_where_no_amount_follows() {
        let check = |text: &str, seconds: u64, rest: &str| {
            assert_eq!(leading(text), Some((Duration::from_secs(seconds), rest)), "{text}");
        };
        check("7 seconds. bye", 7, ". bye");
        check("7 second(s)", 7, "(s)");
        check("30 seconds, 2 attempts left", 30, "2 attempts left");
        check("1m 5s and retry", 65, "retry");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,40}", number in any::<f64>()) {
            until(&text, now());
            until_number(number, now());
        }

        #[test]
        fn any_likely_text_is_read(text in "([0-9]{1,25}|[.]|e|-| |µ|ms|m|s|h|d|and |:|Z|T){0,12}") {
            until(&text, now());
        }
    }
}
