//! Rows of a JSONL or CSV file as the values of an attribute: personas, examples.

use std::path::Path;

use serde_json::Value;

use super::weighted::WeightedValues;
use crate::stages::ingest::rows;

/// Reads the rows of the file at `path` as values: those of `field`, or the whole rows; weighted by the numbers
/// in `score`, or equally.
pub(super) fn read(path: &str, field: Option<&str>, score: Option<&str>) -> Result<WeightedValues, String> {
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let rows = match ending.to_lowercase().as_str() {
        "csv" => rows::csv(path),
        "jsonl" | "ndjson" => rows::jsonl(path),
        _ => Err("does not end in `.jsonl`, `.ndjson` or `.csv`".to_owned()),
    }?;
    let (mut values, mut scores) = (Vec::new(), Vec::new());
    for (number, row) in rows {
        let mut row = row.map_err(|problem| format!("row {number}: {problem}"))?;
        let missing = |name: &str| format!("row {number} has no field `{name}`");
        scores.push(match score {
            Some(name) => {
                let value = row.shift_remove(name).ok_or_else(|| missing(name))?;
                let found = number_of(&value).filter(|score| *score >= 0.0 && score.is_finite());
                found.ok_or_else(|| {
                    format!("row {number}: `{name}` is {value}, expected a number of 0 or more")
                })?
            }
            None => 1.0,
        });
        values.push(match field {
            Some(name) => row.shift_remove(name).ok_or_else(|| missing(name))?,
            None => Value::Object(row),
        });
    }
    WeightedValues::new(values, &scores).map_err(|error| error.to_string())
}

/// A number, also in the text form of CSV.
fn number_of(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks values and shares, or the error.
    fn check(file: &str, text: &str, field: Option<&str>, score: Option<&str>, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file);
        std::fs::write(&path, text).unwrap();
        let found = match read(path.to_str().unwrap(), field, score) {
            Ok(weighted) => format!("{} {:?}", weighted.texts().join(" "), weighted.scores().shares()),
            Err(error) => error,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_are_values() {
        let jsonl = "{\"who\": \"Ada\", \"age\": 36, \"n\": 3}\n\n{\"who\": \"Bo\", \"age\": 7, \"n\": 1}\n";
        check("p.jsonl", jsonl, Some("who"), None, "Ada Bo [0.5, 0.5]");
        check("p.jsonl", jsonl, Some("who"), Some("n"), "Ada Bo [0.75, 0.25]");
        let whole = r#"{"who":"Ada","age":36} {"who":"Bo","age":7} [0.75, 0.25]"#;
        check("p.jsonl", jsonl, None, Some("n"), whole);
        check("p.csv", "who,n\nAda,1\nBo,3\n", Some("who"), Some("n"), "Ada Bo [0.25, 0.75]");
    }

    #[test]
    fn wrong_tables_are_refused() {
        check(
            "p.csv",
            "who,n\nAda,many\n",
            None,
            Some("n"),
            "row 1: `n` is \"many\", expected a number of 0 or more",
        );
        check(
            "p.csv",
            "who,n\nAda,NaN\n",
            None,
            Some("n"),
            "row 1: `n` is \"NaN\", expected a number of 0 or more",
        );
        check("p.csv", "who\nAda\n", Some("name"), None, "row 1 has no field `name`");
        check("p.jsonl", "[]\n", None, None, "row 1: not a JSON object but an array");
        check("p.jsonl", "", None, None, "there is no value");
        check("p.txt", "", None, None, "does not end in `.jsonl`, `.ndjson` or `.csv`");
    }
}
