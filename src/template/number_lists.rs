//! Filters that compute over lists of numbers: sums from each element to the end, and numbers put into bins.
//!
//! `rewards | suffix_sums` computes the return of each step of an episode; `action | bins(-1, 1, 256)` discretizes
//! measured values. `environment` registers them.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::checked_operators::{measure, shown};

/// The maximum number of bins.
const MOST_BINS: i64 = 1 << 31;

/// The filter `suffix_sums`: for each element the sum of it and all later ones, each discounted by `factor` relative
/// to the one before; 1 by default.
pub(super) fn suffix_sums(
    state: &State<'_, '_>,
    value: &Value,
    factor: Option<&Value>,
) -> Result<Vec<f64>, Error> {
    measure(state, value)?;
    let factor = factor.map_or(Ok(1.0), |factor| number("suffix_sums", "a factor", factor))?;
    let mut sum = 0.0;
    let mut sums = numbers("suffix_sums", value)?;
    for element in sums.iter_mut().rev() {
        sum = *element + factor * sum;
        *element = sum;
    }
    Ok(sums)
}

/// The filter `bins`: the index, from 0, of the bin that contains a number, of `count` bins of equal width between
/// `low` and `high`. Numbers outside belong to the first or last bin. Of a list, the index of each number; `low`,
/// `high` and `count` may then be lists of the same length.
pub(super) fn bins(
    state: &State<'_, '_>,
    value: &Value,
    low: &Value,
    high: &Value,
    count: &Value,
) -> Result<Value, Error> {
    measure(state, value)?;
    if !is_list(value) {
        return bin(value, low, high, count);
    }
    let values: Vec<Value> = value.try_iter()?.collect();
    let of = |what: &str, setting: &Value| -> Result<Vec<Value>, Error> {
        if !is_list(setting) {
            return Ok(vec![setting.clone(); values.len()]);
        }
        let given: Vec<Value> = setting.try_iter()?.collect();
        match given.len() == values.len() {
            true => Ok(given),
            false => {
                Err(wrong(format!("`bins` has {} numbers, but {} for `{what}`", values.len(), given.len())))
            }
        }
    };
    let (low, high, count) = (of("low", low)?, of("high", high)?, of("count", count)?);
    let found: Result<Vec<Value>, Error> =
        values.iter().enumerate().map(|(at, value)| bin(value, &low[at], &high[at], &count[at])).collect();
    found.map(Value::from)
}

fn bin(value: &Value, low: &Value, high: &Value, count: &Value) -> Result<Value, Error> {
    let value = number("bins", "a number", value)?;
    let (low, high) = (number("bins", "a number", low)?, number("bins", "a number", high)?);
    if low >= high {
        return Err(wrong(format!("`bins` wants a range, got {low} to {high}")));
    }
    let Some(count) = count.as_i64().filter(|count| (1..=MOST_BINS).contains(count)) else {
        return Err(wrong(format!("`bins` wants how many there are, got {}", shown(count))));
    };
    let place = ((value - low) / (high - low) * count as f64).floor();
    Ok(Value::from((place as i64).clamp(0, count - 1)))
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn numbers(name: &str, value: &Value) -> Result<Vec<f64>, Error> {
    if !is_list(value) {
        return Err(wrong(format!("`{name}` wants a list of numbers, got {}", shown(value))));
    }
    value.try_iter()?.map(|element| number(name, "a list of numbers", &element)).collect()
}

/// A finite number; booleans and texts are not numbers.
fn number(name: &str, wanted: &str, value: &Value) -> Result<f64, Error> {
    let number = match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).ok().filter(|number| number.is_finite()),
        _ => None,
    };
    number.ok_or_else(|| wrong(format!("`{name}` wants {wanted}, got {}", shown(value))))
}

fn wrong(detail: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::template::Expression;
    use serde_json::{Map, Value, json};

    #[track_caller]
    fn check(source: &str, expected: Result<Value, &str>) {
        let fields = json!({"action": [-1, -0.01, 0, 0.99, 1, 7], "text": "1", "n": null});
        let record = Record::new(fields.as_object().unwrap().clone());
        let found = Expression::new(source, &Map::new()).and_then(|expression| expression.value(&record));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{source}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{source}: {error}");
            }
            (found, expected) => panic!("{source}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn sums_run_to_the_end() {
        check("[1, 2, 3] | suffix_sums", Ok(json!([6.0, 5.0, 3.0])));
        check("[0, 0, 1] | suffix_sums", Ok(json!([1.0, 1.0, 1.0])));
        check("[0, 0, 1] | suffix_sums(0.5)", Ok(json!([0.25, 0.5, 1.0])));
        check("[] | suffix_sums", Ok(json!([])));
        check("([1, 2] | suffix_sums)[0]", Ok(json!(3.0)));
        check("[1, text] | suffix_sums", Err("`suffix_sums` wants a list of numbers, got the text `1`"));
        check("[1, true] | suffix_sums", Err("got true"));
        check("n | suffix_sums", Err("got null"));
        check("[1] | suffix_sums(text)", Err("`suffix_sums` wants a factor, got the text `1`"));
    }

    #[test]
    fn numbers_are_put_into_bins() {
        check("action | bins(-1, 1, 4)", Ok(json!([0, 1, 2, 3, 3, 3])));
        check("action[:2] | bins([-1, -0.01], [1, 1], [256, 2])", Ok(json!([0, 0])));
        check("0.5 | bins(0, 1, 256)", Ok(json!(128)));
        check("-3 | bins(0, 1, 256)", Ok(json!(0)));
        check("action | bins([0, 0], 1, 4)", Err("`bins` has 6 numbers, but 2 for `low`"));
        check("action | bins(1, 1, 4)", Err("`bins` wants a range, got 1 to 1"));
        check("action | bins(0, 1, 0)", Err("`bins` wants how many there are, got the number 0"));
        check("text | bins(0, 1, 4)", Err("`bins` wants a number, got the text `1`"));
    }
}
