//! JSON numbers that a 64-bit number cannot represent exactly.
//!
//! `serde_json` parses an integer beyond 64 bits as a float with 17 digits, and a decimal number as the nearest
//! float. The first is another number; the second is what every JSON parser does.

use serde_json::{Map, Value};

/// Whether any number in the fields was parsed as a float. Others are exact.
pub(super) fn has_float(fields: &Map<String, Value>) -> bool {
    fields.values().any(is_float)
}

fn is_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(elements) => elements.iter().any(is_float),
        Value::Object(fields) => has_float(fields),
        _ => false,
    }
}

/// Checks the numbers of a valid JSON text. Returns an error for one that is parsed as quite another number; of
/// those with more digits than are kept, the first as it is written and as it is parsed.
pub(super) fn check(json: &str) -> Result<Option<(&str, f64)>, String> {
    let mut rounded = None;
    for number in (NumberTokens { rest: json }) {
        if !number.contains(['.', 'e', 'E']) {
            if number.parse::<u64>().is_err() && number.parse::<i64>().is_err() {
                return Err(format!(
                    "the number {} does not fit into 64 bits; written as a text, `\"{number}\"`, it is kept",
                    shortened(number)
                ));
            }
            continue;
        }
        let read: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
        let written = digits(number);
        // Numbers of up to 17 digits are distinguished, though the last digit may be printed differently.
        if written.0.len() <= 17 && (read != 0.0 || written.0.is_empty()) {
            continue;
        }
        if written == digits(&format!("{read:e}")) {
            continue;
        }
        if read == 0.0 {
            return Err(format!("the number {} is too small to be told from 0", shortened(number)));
        }
        rounded = rounded.or(Some((number, read)));
    }
    Ok(rounded)
}

fn shortened(number: &str) -> String {
    const MOST: usize = 60;
    if number.len() > MOST { format!("{}...", &number[..MOST]) } else { number.to_owned() }
}

/// The significant digits, without zeros at the ends, and the exponent of the first.
fn digits(number: &str) -> (String, i64) {
    let number = number.trim_start_matches('-');
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return (String::new(), 0);
    }
    let zeros = (all.len() - digits.len()) as i64;
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX / 2) + whole.len() as i64 - zeros;
    (digits.trim_end_matches('0').to_owned(), exponent)
}

/// Iterates over the numbers of a JSON text, outside of its strings.
struct NumberTokens<'a> {
    rest: &'a str,
}

impl<'a> Iterator for NumberTokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let start = self.rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            let rest = &self.rest[start..];
            if let Some(string) = rest.strip_prefix('"') {
                self.rest = after_string(string);
                continue;
            }
            let is_end = |c: char| !(c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'));
            let end = rest.find(is_end).unwrap_or(rest.len());
            self.rest = &rest[end..];
            return Some(&rest[..end]);
        }
    }
}

/// The text after the closing quote of a string.
fn after_string(mut text: &str) -> &str {
    while let Some(at) = text.find(['"', '\\']) {
        if text[at..].starts_with('"') {
            return &text[at + 1..];
        }
        let mut escaped = text[at + 1..].chars();
        escaped.next();
        text = escaped.as_str();
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_beyond_64_bits_are_no_numbers_here() {
        for wrong in
            ["18446744073709551616", "-9223372036854775809", "340282366920938463463374607431768211455"]
        {
            assert!(check(&format!("[1, {{\"a\": {wrong}}}]")).unwrap_err().contains(wrong), "{wrong}");
        }
        assert!(check("{\"a\": 1e-400}").unwrap_err().contains("too small"));
        for fine in ["18446744073709551615", "-9223372036854775808", "-0", "1e300", "0.0", "-0.0e7", "0e-999"]
        {
            assert_eq!(check(fine), Ok(None), "{fine}");
        }
        assert_eq!(check("{\"18446744073709551616\\\"\": \"99999999999999999999\"}"), Ok(None));
    }

    #[test]
    fn digits_beyond_the_seventeenth_are_reported() {
        assert_eq!(
            check("[0.1, 1.414213562373095048]"),
            Ok(Some(("1.414213562373095048", std::f64::consts::SQRT_2)))
        );
        for fine in ["0.1", "0.10", "1.0", "1E5", "100.00e-2", "0.30000000000000004", "5e-324", "1.5e+3"] {
            assert_eq!(check(fine), Ok(None), "{fine}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_of_a_64_bit_number_is_kept(float in any::<f64>(), json in ".{0,60}") {
            prop_assume!(float.is_finite());
            let written = serde_json::to_string(&float).unwrap();
            prop_assert_eq!(check(&written), Ok(None), "{}", written);
            let _ = check(&json);
        }
    }
}
