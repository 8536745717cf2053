//! Exact numbers: the value of a decimal, a fraction or a JSON number, without the rounding of binary floats.
//!
//! For stages that compare numbers exactly: scores that must differ by `1/2`, an answer that must equal the expected
//! one. `num_rational` does the arithmetic, with numbers of any length; this module parses them.

use std::borrow::Cow;
use std::fmt;

use num_rational::BigRational;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// The largest exponent that is parsed: enough for every float.
const LARGEST_EXPONENT: i32 = 400;
/// The maximum length of a number.
const LONGEST: usize = 400;
/// Decimals with more significant digits are taken for the result of arithmetic, such as the mean of three ratings.
const WRITTEN_DIGITS: usize = 12;

/// Parses a decimal such as `-12.50` or `1.5e-3`, or a fraction such as `3/4`, with ASCII digits and without
/// separators.
#[must_use]
pub fn parse(text: &str) -> Option<BigRational> {
    if text.len() > LONGEST {
        return None;
    }
    match text.split_once('/') {
        None => decimal(text),
        Some((top, bottom)) => {
            let bottom = decimal(bottom.trim())?;
            (bottom != whole(0)).then_some(())?;
            Some(decimal(top.trim())? / bottom)
        }
    }
}

/// A whole number.
#[must_use]
pub fn whole(number: i64) -> BigRational {
    BigRational::from_integer(number.into())
}

/// The exact value of a JSON number. A float has the value of its shortest decimal, so 0.1 is 1/10. One with more
/// digits than people write is taken for the result of arithmetic: it has the value of the simplest fraction that
/// rounds to it, so that a mean of 13/3 is 13/3 and `0.1 + 0.2` is 3/10.
#[must_use]
pub fn of_number(number: &Number) -> Option<BigRational> {
    let written = number.to_string();
    let exact = decimal(&written)?;
    let mantissa = written.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    if !number.is_f64() || digits.skip_while(|digit| *digit == b'0').count() <= WRITTEN_DIGITS {
        return Some(exact);
    }
    let negative = exact < whole(0);
    let size = if negative { -exact } else { exact };
    // A few units in the last place around it.
    let slack = &size / BigRational::from_integer(1_000_000_000_000_000_i64.into());
    let simplest = simplest_between(&size - &slack, size + slack);
    Some(if negative { -simplest } else { simplest })
}

/// The fraction with the smallest denominator from `low` to `high`, both positive.
fn simplest_between(low: BigRational, high: BigRational) -> BigRational {
    let floor = low.floor();
    if floor == low {
        return floor;
    }
    if floor < high.floor() {
        return floor + whole(1);
    }
    &floor + simplest_between((high - &floor).recip(), (low - &floor).recip()).recip()
}

fn decimal(text: &str) -> Option<BigRational> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (integer, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{integer}{decimals}");
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || exponent.abs() > LARGEST_EXPONENT {
        return None;
    }
    let power = exponent - i32::try_from(decimals.len()).ok()?;
    let zeros = "0".repeat(power.unsigned_abs() as usize);
    let size: BigRational = match power >= 0 {
        true => format!("{digits}{zeros}").parse().ok()?,
        false => format!("{digits}/1{zeros}").parse().ok()?,
    };
    Some(if negative { -size } else { size })
}

/// An exact number in a pipeline file: `0.5`, or a text such as `"1/2"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactNumber(pub BigRational);

impl<'de> Deserialize<'de> for ExactNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactNumberVisitor)
    }
}

struct ExactNumberVisitor;

impl Visitor<'_> for ExactNumberVisitor {
    type Value = ExactNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a fraction such as `1/2`")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ExactNumber, E> {
        Ok(ExactNumber(BigRational::from_integer(number.into())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ExactNumber, E> {
        Ok(ExactNumber(whole(number)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<ExactNumber, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ExactNumber, E> {
        let number = parse(text.trim());
        number.map(ExactNumber).ok_or_else(|| E::custom("expected a number, or a fraction such as `1/2`"))
    }
}

impl JsonSchema for ExactNumber {
    fn schema_name() -> Cow<'static, str> {
        "ExactNumber".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "number"},
                {"type": "string", "pattern": r"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*(/\s*[0-9.]+)?\s*$"},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> String {
        parse(text).map_or("none".to_owned(), |number| number.to_string())
    }

    #[test]
    fn decimals_and_fractions_are_read_exactly() {
        for (text, expected) in [
            ("0.5", "1/2"),
            ("1/2", "1/2"),
            ("-12.50", "-25/2"),
            ("+3", "3"),
            ("1.5e-3", "3/2000"),
            ("2E2", "200"),
            (".5", "1/2"),
            ("5.", "5"),
            ("3 / 4", "3/4"),
            ("0.5/0.25", "2"),
            ("0.1", "1/10"),
            ("-0", "0"),
            ("", "none"),
            (".", "none"),
            ("1/0", "none"),
            ("1/2/3", "none"),
            ("1,5", "none"),
            ("--1", "none"),
            ("1e500", "none"),
            ("NaN", "none"),
            ("inf", "none"),
            ("٣", "none"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn json_numbers_are_what_they_stand_for() {
        for (number, expected) in [
            (json!(0.1), "1/10"),
            (json!(4.35), "87/20"),
            (json!(0.1 + 0.2), "3/10"),
            (json!(13.0 / 3.0), "13/3"),
            (json!(-2.0 / 7.0), "-2/7"),
            (json!(26.0 / 3.0), "26/3"),
            (json!(123_456_789_012_345_678_u64), "123456789012345678"),
            (json!(-3), "-3"),
            (json!(0.0), "0"),
            (json!(0.123_456_789_012), "30864197253/250000000000"),
        ] {
            let Some(number) = number.as_number() else { panic!("{number} is a number") };
            assert_eq!(of_number(number).unwrap().to_string(), expected, "{number}");
        }
    }

    #[test]
    fn a_number_of_a_file_may_be_a_fraction() {
        for (written, expected) in
            [(json!("1/2"), "1/2"), (json!(0.5), "1/2"), (json!(2), "2"), (json!(-1), "-1")]
        {
            let number: ExactNumber = serde_json::from_value(written).unwrap();
            assert_eq!(number.0.to_string(), expected);
        }
        for wrong in [json!("half"), json!(true), json!("1/0")] {
            let error = serde_json::from_value::<ExactNumber>(wrong).unwrap_err().to_string();
            assert!(error.contains("a fraction such as `1/2`"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn means_of_ratings_keep_their_value(ratings in prop::collection::vec(-10_i64..=100, 1..40)) {
            let sum: i64 = ratings.iter().sum();
            let mean = sum as f64 / ratings.len() as f64;
            let exact = whole(sum) / whole(ratings.len() as i64);
            prop_assert_eq!(of_number(json!(mean).as_number().unwrap()), Some(exact));
        }
    }
}
