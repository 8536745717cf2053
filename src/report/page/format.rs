//! Number formats of the report: filters of its templates, and labels of its charts.
//!
//! Numbers have as many digits as are useful, commas between thousands, and a real minus sign.

use minijinja::{Environment, HtmlEscape, Value};

/// Registers the filters. A value that is not a number is written as a dash.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("number", |value: Value| written(&value, count));
    environment.add_filter("decimal", |value: Value, digits: usize| {
        written(&value, |number| decimal(number, digits))
    });
    environment.add_filter("measure", |value: Value| written(&value, measure));
    environment.add_filter("percent", |value: Value| written(&value, percent));
    environment.add_filter("points", |value: Value| written(&value, points));
    environment.add_filter("score", |value: Value| written(&value, score));
    environment.add_filter("chance", |value: Value| written(&value, chance));
    environment.add_filter("expected", |value: Value| written(&value, expected));
    environment.add_filter("share", |part: Value| written(&share(&part), percent));
    environment.add_filter("width", |value: Value| written(&value, width));
    environment.add_filter("duration", |value: Value| written(&value, duration));
    environment.add_filter("marked", |text: &str| Value::from_safe_string(marked(text)));
}

fn written(value: &Value, write: impl Fn(f64) -> String) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_finite() => write(number),
        _ => "–".to_owned(),
    }
}

/// Renders text between backticks as code, and escapes everything.
fn marked(text: &str) -> String {
    let mut html = String::new();
    let parts: Vec<&str> = text.split('`').collect();
    let last = parts.len() - 1;
    for (place, part) in parts.into_iter().enumerate() {
        let is_code = place % 2 == 1;
        match (is_code, place == last) {
            (false, _) => html.push_str(&HtmlEscape(part).to_string()),
            (true, false) => html.push_str(&format!("<code>{}</code>", HtmlEscape(part))),
            (true, true) => html.push_str(&format!("`{}", HtmlEscape(part))),
        }
    }
    html
}

/// `12,345`; a part of one is shown to one digit (items that a sample holds in part).
pub(super) fn count(number: f64) -> String {
    let digits = usize::from((number - number.round()).abs() >= 0.05);
    decimal(number, digits)
}

/// With so many digits after the point.
pub(super) fn decimal(number: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", number.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|sign| matches!(sign, '0' | '.'));
    let minus = if number < 0.0 && !is_zero { "\u{2212}" } else { "" };
    format!("{minus}{grouped}{rest}")
}

/// Three figures that count.
fn measure(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => decimal(number, 0),
        size if size >= 10.0 => decimal(number, 1),
        size if size >= 1.0 => decimal(number, 2),
        _ => decimal(number, 3),
    }
}

/// A share in percent: `12.3 %`, and `<0.1 %` for what would else look like nothing. The space does not break.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let number = match percent.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.1 => "<0.1".to_owned(),
        size if (100.0 - size).abs() < 1e-9 => "100".to_owned(),
        size if size > 99.9 && size < 100.0 => ">99.9".to_owned(),
        _ => decimal(percent, 1),
    };
    format!("{number}\u{a0}%")
}

/// The share of a part that was counted, of its whole.
fn share(part: &Value) -> Value {
    let number = |name: &str| part.get_attr(name).ok().and_then(|value| f64::try_from(value).ok());
    match (number("count"), number("of")) {
        (Some(count), Some(of)) if of > 0.0 => Value::from(count / of),
        _ => Value::UNDEFINED,
    }
}

/// A share as the width of a bar, in the percent of CSS.
fn width(share: f64) -> String {
    format!("{:.2}%", (share * 100.0).clamp(0.0, 100.0))
}

/// A count that was to be expected: whole, and `<1` for what is nearly nothing.
fn expected(number: f64) -> String {
    if number > 0.0 && number < 0.5 { "<1".to_owned() } else { decimal(number, 0) }
}

/// A difference of shares in percentage points: `+1.2`.
fn points(difference: f64) -> String {
    signed(difference * 100.0, 1)
}

/// A standard score: `+3.2`.
pub(super) fn score(z: f64) -> String {
    signed(z, usize::from(z.abs() < 100.0))
}

fn signed(number: f64, digits: usize) -> String {
    let text = decimal(number, digits);
    let is_positive = number > 0.0 && text.contains(|sign: char| matches!(sign, '1'..='9'));
    if is_positive { format!("+{text}") } else { text }
}

/// Formats a p-value: `0.042`, `under 0.001`.
pub(super) fn chance(p: f64) -> String {
    if p < 0.001 { "under 0.001".to_owned() } else { decimal(p, if p < 0.1 { 3 } else { 2 }) }
}

/// Formats a duration, as `12 min 34 s`.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) if seconds < 10.0 => format!("{} s", decimal(seconds, 1)),
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes} min {rest} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_readers() {
        let cases = [
            (count(0.0), "0"),
            (count(1_234_567.0), "1,234,567"),
            (count(12.5), "12.5"),
            (count(-1_000.0), "\u{2212}1,000"),
            (decimal(-0.001, 2), "0.00"),
            (measure(0.031), "0.031"),
            (measure(41.33), "41.3"),
            (percent(0.0), "0\u{a0}%"),
            (percent(0.1234), "12.3\u{a0}%"),
            (percent(0.000_2), "<0.1\u{a0}%"),
            (percent(0.999_9), ">99.9\u{a0}%"),
            (percent(1.0), "100\u{a0}%"),
            (points(-0.05), "\u{2212}5.0"),
            (score(3.21), "+3.2"),
            (score(0.0), "0.0"),
            (chance(1e-12), "under 0.001"),
            (chance(0.042), "0.042"),
            (expected(0.2), "<1"),
            (expected(1_234.4), "1,234"),
            (width(0.1234), "12.34%"),
            (width(1.2), "100.00%"),
            (marked("a `<b>` c"), "a <code>&lt;b&gt;</code> c"),
            (marked("it`s <b>"), "it`s &lt;b&gt;"),
            (duration(3.21), "3.2 s"),
            (duration(754.2), "12 min 34 s"),
            (duration(7_380.0), "2 h 3 min"),
        ];
        for (written, expected) in cases {
            assert_eq!(written, expected);
        }
    }
}
