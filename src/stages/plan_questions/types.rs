//! The question types file: parsed, checked entry by entry, with errors that explain what is wrong.
//!
//! Users edit this file, so every error names its entry and what is expected. The planning is in the stage.

use serde::Deserialize;
use serde_json::Value;

/// A type of question and how often it is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuestionType {
    /// Its name, which becomes the field `question_type`.
    #[serde(rename = "type")]
    pub(super) name: String,
    /// How many are planned for a section.
    pub(super) count: QuestionCount,
    /// How hard the question is meant to be.
    pub(super) difficulty: Difficulty,
    /// How many sections it is about: 1 or 2.
    #[serde(default = "one")]
    pub(super) sections: u8,
    /// Whether one fact of the section goes with it.
    #[serde(default)]
    pub(super) fact: Option<FactChoice>,
    /// The instruction for this type in the prompt.
    pub(super) instruction: String,
}

fn one() -> u8 {
    1
}

/// The number of questions of a type for a section.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum QuestionCount {
    PerFact,
    PerSection,
    PercentOfFacts(f64),
}

impl QuestionCount {
    /// Whether it counts typed questions, which ask about the facts in a way of their own; the others ask about
    /// each fact itself, or about the section as a whole.
    pub(super) fn is_typed(self) -> bool {
        matches!(self, Self::PercentOfFacts(_))
    }

    /// The number of questions for a section with `facts` facts.
    pub(super) fn of(self, facts: usize) -> usize {
        match self {
            Self::PerFact => facts,
            Self::PerSection => 1,
            // A percentage such as 7 has no exact binary fraction: dividing last keeps 100 x 7 % at 7.
            Self::PercentOfFacts(percent) => ((facts as f64 * percent / 100.0).floor() as usize).max(1),
        }
    }
}

/// How hard a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Difficulty {
    Easy,
    Medium,
    Hard,
}

impl Difficulty {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Easy => "EASY",
            Self::Medium => "MEDIUM",
            Self::Hard => "HARD",
        }
    }
}

/// Which fact a question gets that is not planned per fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FactChoice {
    Random,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypesFile {
    /// For people who read the file.
    #[serde(default, rename = "about")]
    _about: Option<Value>,
    types: Vec<Value>,
}

/// Parses the text of a types file; the error is every problem found, each a message of one line.
pub(super) fn parse(text: &str) -> Result<Vec<QuestionType>, Vec<String>> {
    // Some editors add a byte order mark, which JSON does not allow.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: TypesFile = serde_json::from_str(text).map_err(|error| vec![format!("{error}")])?;
    if file.types.is_empty() {
        return Err(vec!["`types` is empty, so no question would be planned".to_owned()]);
    }
    let mut types: Vec<QuestionType> = Vec::new();
    let mut problems = Vec::new();
    for (index, entry) in file.types.into_iter().enumerate() {
        let label = label(index, &entry);
        let read: Result<QuestionType, _> = serde_path_to_error::deserialize(entry);
        match read {
            Err(error) => problems.push(format!("{label}: {}", shape_problem(&error))),
            Ok(entry) if types.iter().any(|earlier| earlier.name == entry.name) => {
                problems.push(format!("{label}: the type `{}` is already given above", entry.name));
            }
            Ok(entry) => {
                problems.extend(value_problems(&entry).into_iter().map(|what| format!("{label}: {what}")));
                types.push(entry);
            }
        }
    }
    if problems.is_empty() { Ok(types) } else { Err(problems) }
}

/// Describes an entry as `entry 3 (INFERENCE)`, or by its number alone if it has no name.
fn label(index: usize, entry: &Value) -> String {
    match entry.get("type").and_then(Value::as_str) {
        Some(name) => format!("entry {} (`{name}`)", index + 1),
        None => format!("entry {}", index + 1),
    }
}

fn shape_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    if path.is_empty() || path == "." {
        error.inner().to_string()
    } else {
        format!("`{path}`: {}", error.inner())
    }
}

fn value_problems(entry: &QuestionType) -> Vec<String> {
    let mut problems = Vec::new();
    if entry.name.trim().is_empty() {
        problems.push("`type` is empty".to_owned());
    }
    if entry.instruction.trim().is_empty() {
        problems.push("`instruction` is empty: say what a question of this type must test".to_owned());
    }
    if let QuestionCount::PercentOfFacts(percent) = entry.count
        && !(percent > 0.0 && percent <= 1000.0)
    {
        problems.push(format!(
            "`percent_of_facts` is `{percent}`, expected a number above 0 and up to 1000; to leave a type out, \
             remove its entry"
        ));
    }
    if !(1..=2).contains(&entry.sections) {
        problems.push(format!("`sections` is `{}`, expected 1 or 2", entry.sections));
    }
    if entry.fact.is_some() && entry.count == QuestionCount::PerFact {
        problems
            .push("`fact` does not go with `\"count\": \"per_fact\"`, which already gives a fact".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let problems = parse(text).unwrap_err();
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.contains(expected), "`{problem}` lacks `{expected}`");
        }
    }

    fn entry(body: &str) -> String {
        format!(
            r#"{{"types": [{{"type": "A", "count": "per_fact", "difficulty": "EASY", "instruction": "x"}}, {body}]}}"#
        )
    }

    #[test]
    fn the_shipped_file_has_the_types_of_the_original() {
        let types = parse(include_str!("../../../config/question_types.json")).unwrap();
        assert_eq!(types.len(), 15);
        let percent: f64 = types
            .iter()
            .filter_map(|one| {
                if let QuestionCount::PercentOfFacts(percent) = one.count { Some(percent) } else { None }
            })
            .sum();
        assert_eq!(percent, 93.0);
        let two: Vec<&str> =
            types.iter().filter(|one| one.sections == 2).map(|one| one.name.as_str()).collect();
        assert_eq!(two, ["MULTI_HOP_REASONING", "COMPARATIVE_ANALYSIS"]);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        check("{\"types\": [\n  {,}]}", &["line 2 column 4"]);
        check(r#"{"typs": []}"#, &["unknown field `typs`"]);
        check(r#"{"types": []}"#, &["`types` is empty"]);
        let good = r#""difficulty": "EASY", "instruction": "x""#;
        check(
            &entry(&format!(r#"{{"type": "B", "count": "per_fact", "pct": 1, {good}}}"#)),
            &["entry 2 (`B`): `pct`: unknown field `pct`"],
        );
        check(
            &entry(&format!(r#"{{"type": "A", "count": "per_fact", {good}}}"#)),
            &["entry 2 (`A`): the type `A` is already"],
        );
        check(
            &entry(&format!(r#"{{"type": "B", "count": {{"percent_of_facts": -5}}, {good}}}"#)),
            &["`percent_of_facts` is `-5`"],
        );
        check(
            &entry(&format!(r#"{{"type": "B", "count": "per_page", {good}}}"#)),
            &["unknown variant `per_page`"],
        );
        check(
            &entry(&format!(
                r#"{{"type": "B", "count": "per_fact", "sections": 3, "fact": "random", {good}}}"#
            )),
            &["`sections` is `3`", "`fact` does not go"],
        );
        check(
            &entry(
                r#"{"type": "B", "count": "per_fact", "difficulty": "TOUGH", "instruction": "x"}, {"count": "per_fact"}"#,
            ),
            &[
                "`difficulty`: unknown variant `TOUGH`, expected one of `EASY`, `MEDIUM`, `HARD`",
                "entry 3: missing field `type`",
            ],
        );
    }
}
