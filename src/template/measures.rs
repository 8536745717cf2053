//! The filters `mean` and `numbers` and the function `pass_at_k`: figures of lists, texts and test runs.
//!
//! `scores | mean` is the mean of numbers, `scores | mean(weights)` a weighted one, where true counts as 1 and false
//! as 0: such as the share of a rubric that is met. `text | numbers` are the numbers in a text, each converted to a
//! plain decimal or fraction, so that `1,200` and `1200` are equal, for example to check that a rewritten text keeps
//! them.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use num_rational::BigRational;
use serde_json::Number;

use super::checked_operators;
use crate::number::{self, DecimalSign};
use crate::rational;

/// The maximum number of decimals; a number with more is written as a fraction.
const MOST_DECIMALS: u32 = 12;

/// The most solutions of `pass_at_k`: binomial coefficients of more are no floats.
const MOST_SOLUTIONS: i64 = 1000;

/// The filter `mean`: null for an empty list, or if all weights are 0. Decimals are added exactly, so that values
/// with a mean of 0.65 reach a bound of 0.65.
pub(super) fn mean(state: &State<'_, '_>, values: &Value, weights: Option<Value>) -> Result<Value, Error> {
    let values = figures(state, values, "a list of numbers")?;
    let weights = match weights {
        Some(weights) => figures(state, &weights, "weights in a list of numbers")?,
        None => vec![rational::whole(1); values.len()],
    };
    if weights.len() != values.len() {
        let detail = format!("`mean` got {} values and {} weights", values.len(), weights.len());
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    let nothing = rational::whole(0);
    if let Some(weight) = weights.iter().find(|weight| **weight < nothing) {
        let detail = format!("the weight {} is less than 0", plain(weight));
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    let total: BigRational = weights.iter().sum();
    if total == nothing {
        return Ok(Value::from(()));
    }
    let sum: BigRational = values.iter().zip(&weights).map(|(value, weight)| value * weight).sum();
    Ok(Value::from(float(&(sum / total))))
}

/// The function `pass_at_k(n, c, k)`: the probability that at least one of `k` solutions passes, if `c` of `n` did. It is
/// 1 - C(n-c, k) / C(n, k), which does not underestimate as `1 - (1 - c/n)^k` does.
pub(super) fn pass_at_k(state: &State<'_, '_>, n: i64, c: i64, k: i64) -> Result<f64, Error> {
    if !(1..=MOST_SOLUTIONS).contains(&n) || !(0..=n).contains(&c) || !(1..=n).contains(&k) {
        let detail = format!(
            "`pass_at_k({n}, {c}, {k})` wants 1 to {MOST_SOLUTIONS} solutions, of which 0 to {n} passed and 1 to {n} are taken"
        );
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    state.consume_fuel(c.unsigned_abs())?;
    // None of the k passes: for each solution that did, it is not among the k.
    let mut none = rational::whole(1);
    for left in n - c + 1..=n {
        none *= rational::whole((left - k).max(0)) / rational::whole(left);
    }
    Ok(float(&(rational::whole(1) - none)))
}

/// The nearest float of a number whose numerator and denominator are floats.
fn float(exact: &BigRational) -> f64 {
    let parsed = |whole: String| whole.parse::<f64>().unwrap_or_default();
    parsed(exact.numer().to_string()) / parsed(exact.denom().to_string())
}

fn figures(state: &State<'_, '_>, list: &Value, wanted: &str) -> Result<Vec<BigRational>, Error> {
    checked_operators::measure(state, list)?;
    let wrong = |value: &Value| {
        let shown = checked_operators::shown(value);
        Error::new(ErrorKind::InvalidOperation, format!("`mean` wants {wanted}, got {shown}"))
    };
    if !matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(wrong(list));
    }
    let mut figures = Vec::new();
    for value in list.try_iter()? {
        figures.push(match value.kind() {
            ValueKind::Number => {
                let float = f64::try_from(value.clone()).ok().and_then(Number::from_f64);
                float.as_ref().and_then(rational::of_number).ok_or_else(|| wrong(&value))?
            }
            ValueKind::Bool => rational::whole(i64::from(value.is_true())),
            _ => return Err(wrong(&value)),
        });
    }
    Ok(figures)
}

/// The filter `numbers`: in the order of the text. Digits that are not a number, such as a date, are kept as they are
/// written.
pub(super) fn numbers(state: &State<'_, '_>, text: &Value) -> Result<Vec<String>, Error> {
    let Some(text) = text.as_str() else {
        let shown = checked_operators::shown(text);
        return Err(Error::new(ErrorKind::InvalidOperation, format!("`numbers` wants a text, got {shown}")));
    };
    state.consume_fuel((text.len() / 64) as u64)?;
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(number) = number::next(text, at, DecimalSign::Point) {
        match number {
            Ok(numeral) => {
                found.push(plain(&numeral.value));
                at = numeral.end;
            }
            Err(end) => {
                let is_part = |c: char| c.is_alphanumeric() || ".,'/".contains(c);
                let words = text[at..end].trim_end_matches(['.', ',']);
                let start = words.rfind(|c: char| !is_part(c)).map_or(0, |last| last + 1);
                found.push(words.get(start..).unwrap_or(words).to_owned());
                at = end;
            }
        }
        state.consume_fuel(1)?;
    }
    Ok(found)
}

/// A number as a decimal, or as a fraction if it has no short one.
fn plain(number: &BigRational) -> String {
    for decimals in 0..=MOST_DECIMALS {
        let scale = rational::whole(10_i64.pow(decimals));
        let scaled = number * &scale;
        if !scaled.is_integer() {
            continue;
        }
        let digits = scaled.to_integer().to_string();
        let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
        let decimals = decimals as usize;
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, part) = padded.split_at(padded.len() - decimals);
        return if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") };
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::template::Expression;
    use serde_json::{Map, Value, json};

    #[track_caller]
    fn check(source: &str, expected: Result<Value, &str>) {
        let fields = json!({
            "marks": [1, 0.5, 0],
            "met": [true, false, true],
            "rubric": [{"weight": 3}, {"weight": 2}, {"weight": 5}],
            "nothing": [],
            "broken": [1, null],
        });
        let record = Record::new(fields.as_object().unwrap().clone());
        match (Expression::new(source, &Map::new()).unwrap().value(&record), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{source}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{source}: {error}");
            }
            (found, expected) => panic!("{source}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn means_count_truth_and_weights() {
        check("marks | mean", Ok(json!(0.5)));
        check("met | mean(rubric | map(attribute='weight'))", Ok(json!(0.8)));
        check("met | mean([1, 1, 2])", Ok(json!(0.75)));
        check("[0.7, 0.6, 0.7, 0.6] | mean == 0.65", Ok(json!(true)));
        check("nothing | mean", Ok(json!(null)));
        check("marks | mean([0, 0, 0])", Ok(json!(null)));
        check("rubric | map(attribute='weight') | mean | round(2)", Ok(json!(3.33)));
        check("marks | mean([1, 2])", Err("`mean` got 3 values and 2 weights"));
        check("marks | mean([1, -2, 1])", Err("the weight -2 is less than 0"));
        check("broken | mean", Err("`mean` wants a list of numbers, got null"));
        check("5 | mean", Err("`mean` wants a list of numbers, got the number 5"));
        check("marks | mean(5)", Err("`mean` wants weights in a list of numbers, got the number 5"));
    }

    #[test]
    fn pass_at_k_is_unbiased() {
        check("pass_at_k(10, 3, 1)", Ok(json!(0.3)));
        check("pass_at_k(10, 3, 5) | round(6)", Ok(json!(0.916667)));
        check("pass_at_k(10, 3, 8)", Ok(json!(1.0)));
        check("pass_at_k(10, 0, 5)", Ok(json!(0.0)));
        check("pass_at_k(10, 10, 1)", Ok(json!(1.0)));
        check("pass_at_k(1000, 500, 500) <= 1", Ok(json!(true)));
        check("pass_at_k(marks | length, 1, 2) | round(6)", Ok(json!(0.666667)));
        check("pass_at_k(10, 11, 1)", Err("of which 0 to 10 passed"));
        check("pass_at_k(10, 3, 11)", Err("1 to 10 are taken"));
        check("pass_at_k(0, 0, 0)", Err("wants 1 to 1000 solutions"));
        check("pass_at_k(1001, 0, 1)", Err("wants 1 to 1000 solutions"));
    }

    #[test]
    fn numbers_of_a_text_are_the_same_however_they_are_written() {
        check("'It costs 1,200.50 for 3 kg.' | numbers", Ok(json!(["1200.5", "3"])));
        check("'1200.5 for three, or 3 kg' | numbers", Ok(json!(["1200.5", "3"])));
        check("'½ l, 0.25 l and 1/3' | numbers", Ok(json!(["0.5", "0.25", "1/3"])));
        check("'-4 °C at 06:30' | numbers", Ok(json!(["-4", "6", "30"])));
        check("'Since 1/2/2024, in version 2.3.1.' | numbers", Ok(json!(["1/2/2024", "2.3.1"])));
        check("'none' | numbers", Ok(json!([])));
        check("5 | numbers", Err("`numbers` wants a text, got the number 5"));
    }
}
