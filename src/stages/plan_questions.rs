//! `plan_questions`: for each section of a document, one record per question to be asked about it.
//!
//! Stands last in the source part, after `section`: what leaves it are the items of the run. It decides
//! type, difficulty, fact and companion section; the wording of prompts is left to `prompt`.

mod types;

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::types::{Count, QuestionType};
use super::{Describe, Role};
use crate::config::CheckContext;
use crate::draw::Draws;
use crate::record::Record;
use crate::stage::{BuildContext, BuildError, Declare, Derive, Part, StageError};
use crate::text_file;

/// Plans the questions of each section by a file of question types.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuestions {
    /// The JSON file of question types: how many of each, how hard, and what the prompt says about them.
    #[serde(default = "types_path")]
    types: String,
    /// Plan these types only, by name.
    #[serde(default)]
    only: Vec<String>,
    /// Leave these types out, by name.
    #[serde(default)]
    skip: Vec<String>,
}

fn types_path() -> String {
    "config/question_types.json".to_owned()
}

impl Describe for PlanQuestions {
    const NAME: &'static str = "plan_questions";
    const ROLE: Role = Role::Derive;
    const PURPOSE: &'static str = "Turns each section into one record per question to ask about it: one for each fact, a summary, and \
         a share of the other types in `config/question_types.json`.";
    const EXAMPLE: &'static str = "\
name: plan-questions-example
stages:
  - ingest: {paths: [\"markdown_docs/*.md\"]}
  - section: {}
  - plan_questions:
      types: config/question_types.json
      skip: [CONTEXTUAL_AMBIGUITY]
  - sink: {path: questions.jsonl, format: raw}
";
}

impl Declare for PlanQuestions {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.needs("", "section");
        if let Some(path) = context.render("/types", &self.types) {
            context.depends_on(&path);
            match self.load(&path) {
                Ok(types) => self.check_names(&types, context),
                Err(problems) => {
                    for problem in problems {
                        context.problem("/types", problem);
                        context.hint_if_missing(&path);
                    }
                }
            }
        }
        context.makes(&["question_type", "difficulty", "instruction", "fact", "fact_number"]);
        context.makes(&["companion", "question_number", "variant", "variants", "group"]);
        context.makes(&["companion.key", "companion.number", "companion.title", "companion.heading_path"]);
        context.makes(&["companion.level", "companion.text", "companion.facts"]);
    }

    fn build(&self, context: &BuildContext) -> Result<Part, BuildError> {
        let path = context.render(&self.types)?;
        let mut types = self.load(&path).map_err(|problems| BuildError::Other(problems.join("; ")))?;
        types.retain(|one| self.takes(&one.name));
        Ok(Part::Derive(Box::new(Planner { types, draws: context.draws.clone() })))
    }
}

impl PlanQuestions {
    /// The types of the file at `path`; the error is one message per problem, each naming the file.
    fn load(&self, path: &str) -> Result<Vec<QuestionType>, Vec<String>> {
        let text = text_file::read(path).map_err(|error| vec![format!("cannot read `{path}`: {error}")])?;
        types::parse(&text)
            .map_err(|problems| problems.iter().map(|problem| format!("`{path}`: {problem}")).collect())
    }

    fn takes(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|entry| entry == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }

    /// Reports names in `only` and `skip` that the file does not have, and a choice that leaves nothing.
    fn check_names(&self, types: &[QuestionType], context: &mut CheckContext<'_>) {
        let known: Vec<&str> = types.iter().map(|one| one.name.as_str()).collect();
        for (field, list) in [("only", &self.only), ("skip", &self.skip)] {
            for (index, name) in list.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
                let at = format!("/{field}/{index}");
                let problem = context.problem(&at, format!("no question type `{name}`"));
                problem.expected(format!("one of {}", known.join(", ")));
                if let Some(near) = nearest(name, &known) {
                    problem.hint(format!("did you mean `{near}`?"));
                }
            }
        }
        if !types.iter().any(|one| self.takes(&one.name)) {
            context.problem("", "`only` and `skip` leave no question type");
        }
    }
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let closeness = |one: &&&str| (strsim::jaro_winkler(one, &name.to_uppercase()) * 1000.0) as u64;
    known.iter().max_by_key(closeness).filter(|one| closeness(one) > 800).copied()
}

/// The running part: plans by `types`.
struct Planner {
    types: Vec<QuestionType>,
    draws: Draws,
}

/// A section of the document under work, as `section` made it.
struct Section<'a> {
    record: &'a Record,
    value: &'a Value,
    key: &'a str,
    facts: &'a [Value],
}

impl Derive for Planner {
    fn derive(&self, records: Vec<Record>) -> Result<Vec<Record>, StageError> {
        let sections: Vec<Section<'_>> = records.iter().map(Section::of).collect::<Result<_, _>>()?;
        let mut questions = Vec::new();
        for index in 0..sections.len() {
            self.plan(&sections, index, &mut questions);
        }
        Ok(questions)
    }
}

impl Planner {
    /// Adds the questions of section `index`.
    fn plan(&self, sections: &[Section<'_>], index: usize, questions: &mut Vec<Record>) {
        let section = &sections[index];
        let others: Vec<usize> = (0..sections.len()).filter(|other| *other != index).collect();
        let mut number = 0;
        for kind in &self.types {
            if kind.sections == 2 && others.is_empty() {
                continue;
            }
            let variants = kind.count.of(section.facts.len());
            let companions = if kind.sections == 2 {
                self.choices(others.len(), variants, kind, "companion", section.key)
            } else {
                vec![]
            };
            let facts = match (kind.count, kind.fact) {
                (Count::PerFact, _) => (0..variants).collect(),
                (_, Some(_)) => self.choices(section.facts.len(), variants, kind, "fact", section.key),
                (_, None) => vec![],
            };
            for variant in 0..variants {
                number += 1;
                let companion = companions.get(variant).map(|choice| &sections[others[*choice]]);
                let mut record = question(kind, section, companion, facts.get(variant).copied());
                record.set("question_number", number);
                record.set("variant", variant + 1);
                record.set("variants", variants);
                questions.push(record);
            }
        }
    }

    /// `count` of the numbers below `of`, drawn without replacement as long as there are any left.
    fn choices(&self, of: usize, count: usize, kind: &QuestionType, name: &str, key: &str) -> Vec<usize> {
        let mut choices = Vec::with_capacity(count);
        if of == 0 {
            return choices;
        }
        for round in 0..count.div_ceil(of) {
            let mut order: Vec<usize> = (0..of).collect();
            order.shuffle(&mut self.draws.rng(name, format_args!("{key} {} {round}", kind.name)));
            choices.extend(order.into_iter().take(count - choices.len()));
        }
        choices
    }
}

impl<'a> Section<'a> {
    fn of(record: &'a Record) -> Result<Self, StageError> {
        let missing = |what: &str| {
            StageError::new(
                "fields",
                format!("the record has no {what}; `plan_questions` stands after `section`"),
            )
        };
        let value = record.get("section").ok_or_else(|| missing("field `section`"))?;
        let key = value.get("key").and_then(Value::as_str).ok_or_else(|| missing("text `section.key`"))?;
        let facts =
            value.get("facts").and_then(Value::as_array).ok_or_else(|| missing("list `section.facts`"))?;
        Ok(Self { record, value, key, facts })
    }
}

/// The record of one question.
fn question(
    kind: &QuestionType,
    section: &Section<'_>,
    companion: Option<&Section<'_>>,
    fact: Option<usize>,
) -> Record {
    let mut record = section.record.clone();
    record.set("question_type", kind.name.as_str());
    record.set("difficulty", kind.difficulty.name());
    record.set("instruction", kind.instruction.as_str());
    record.set("fact", fact.map_or(Value::Null, |fact| section.facts[fact].clone()));
    record.set("fact_number", fact.map(|fact| fact + 1));
    record.set("companion", companion.map_or(Value::Null, |other| other.value.clone()));
    let group = match companion {
        Some(other) => json!([section.key, other.key]),
        None => json!([section.key]),
    };
    record.set("group", group);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;
    use std::collections::BTreeSet;

    fn planner() -> Planner {
        let types = types::parse(include_str!("../../config/question_types.json")).unwrap();
        Planner { types, draws: Draws::new(42, "plan_questions".into()) }
    }

    /// A document whose sections have these numbers of facts.
    fn document(facts: &[usize]) -> Vec<Record> {
        let section = |(index, count): (usize, &usize)| {
            let facts: Vec<String> = (0..*count).map(|n| format!("Fact {n} of section {index}.")).collect();
            let mut record = Record::default();
            record.set("section", json!({"key": format!("a.md#{}", index + 1), "facts": facts, "text": ""}));
            record
        };
        facts.iter().enumerate().map(section).collect()
    }

    fn typed(records: &[Record], key: &str) -> usize {
        let plain = ["FACT_BASED", "SECTION_SUMMARY"];
        let of_key = records.iter().filter(|record| record.text("section.key") == Some(key));
        of_key.filter(|record| !plain.contains(&record.text("question_type").unwrap())).count()
    }

    #[test]
    fn the_numbers_of_the_original_hold() {
        let several =
            [(0, 13), (1, 13), (10, 13), (14, 14), (20, 18), (30, 23), (50, 42), (100, 93), (200, 186)];
        let single = [11, 11, 11, 12, 16, 21, 38, 83, 166];
        for ((facts, expected), expected_single) in several.into_iter().zip(single) {
            let records = planner().derive(document(&[facts, 3, 5])).unwrap();
            assert_eq!(typed(&records, "a.md#1"), expected, "{facts} facts");
            assert_eq!(records.len(), (facts + 1 + expected) + (3 + 1 + 13) + (5 + 1 + 13));
            let alone = planner().derive(document(&[facts])).unwrap();
            assert_eq!(typed(&alone, "a.md#1"), expected_single, "{facts} facts, one section");
        }
    }

    #[test]
    fn companions_and_facts_differ_while_they_last() {
        let records = planner().derive(document(&[100, 2, 2, 2, 2, 2])).unwrap();
        let of = |name: &str, field: &str| -> Vec<String> {
            let first = records.iter().filter(|record| record.text("section.key") == Some("a.md#1"));
            let named = first.filter(|record| record.text("question_type") == Some(name));
            named.map(|record| record.get(field).unwrap().to_string()).collect()
        };
        let companions: BTreeSet<String> = of("MULTI_HOP_REASONING", "companion.key").into_iter().collect();
        assert_eq!(companions.len(), 5);
        assert!(!companions.contains("\"a.md#1\""));
        let facts: BTreeSet<String> = of("FACTUAL_RECALL", "fact_number").into_iter().collect();
        assert_eq!(facts.len(), 15);
        assert_eq!(of("FACTUAL_RECALL", "variant").last().unwrap(), "15");
        assert_eq!(of("FACT_BASED", "fact_number"), (1..=100).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn a_question_over_two_sections_is_grouped_by_both() {
        let records = planner().derive(document(&[0, 0])).unwrap();
        let two = records
            .iter()
            .find(|record| record.text("question_type") == Some("COMPARATIVE_ANALYSIS"))
            .unwrap();
        assert_eq!(two.get("group").unwrap(), &json!(["a.md#1", "a.md#2"]));
        let recall =
            records.iter().find(|record| record.text("question_type") == Some("FACTUAL_RECALL")).unwrap();
        assert_eq!((recall.get("fact"), recall.get("group")), (Some(&Value::Null), Some(&json!(["a.md#1"]))));
        let numbers: Vec<u64> = records[..14]
            .iter()
            .map(|record| record.get("question_number").unwrap().as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (1..=14).collect::<Vec<u64>>());
    }

    #[test]
    fn the_shipped_prompts_render_every_question() {
        let read = |source: &str| Template::new(source, &serde_json::Map::new()).unwrap();
        let system = read(include_str!("../../pipelines/prompts/qa-system.j2"));
        let user = read(include_str!("../../pipelines/prompts/qa-user.j2"));
        let mut sections = document(&[20, 1]);
        for record in &mut sections {
            record.set("document", json!({"title": "Guide"}));
            for (name, value) in [("title", "Tides"), ("heading_path", "Guide > Tides"), ("text", "Body.")] {
                record.fields["section"][name] = json!(value);
            }
        }
        let mut prompts = BTreeSet::new();
        for record in planner().derive(sections).unwrap() {
            let prompt = user.render(&record).unwrap();
            assert!(prompt.contains("Body.") && prompt.contains(record.text("instruction").unwrap()));
            assert_eq!(prompt.contains("<second_source>"), record.get("companion").unwrap().is_object());
            assert_eq!(
                prompt.contains("Ask about this fact: Fact "),
                record.get("fact").unwrap().is_string()
            );
            prompts.insert((record.text("section.key").map(str::to_owned), prompt));
            // About four characters a token: the frame must leave a context of 2,048 to the section.
            let frame = system.render(&record).unwrap().len() + user.render(&record).unwrap().len();
            assert!(frame < 2_600, "{frame} characters");
        }
        assert_eq!(prompts.len(), (20 + 1 + 18) + (1 + 1 + 13));
    }

    #[test]
    fn a_wrong_file_is_named() {
        let plan = |types: &str| PlanQuestions { types: types.to_owned(), only: vec![], skip: vec![] };
        let missing = "config/no_such_types.json";
        assert!(
            plan(missing).load(missing).unwrap_err()[0]
                .starts_with("cannot read `config/no_such_types.json`")
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("types.json");
        std::fs::write(&path, "{\"types\": [{\"type\": \"A\"}, 7]}").unwrap();
        let path = path.to_str().unwrap();
        let problems = plan(path).load(path).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(
            problems[0].starts_with(&format!("`{path}`: entry 1 (`A`): missing field `count`")),
            "{problems:?}"
        );
        assert!(problems[1].starts_with(&format!("`{path}`: entry 2: ")), "{problems:?}");
    }

    #[test]
    fn only_and_skip_choose_types() {
        let plan: PlanQuestions = serde_json::from_value(json!({"only": ["A", "B"], "skip": ["B"]})).unwrap();
        assert_eq!(["A", "B", "C"].map(|name| plan.takes(name)), [true, false, false]);
        assert!(serde_json::from_value::<PlanQuestions>(json!({"typs": "x"})).is_err());
    }

    #[test]
    fn names_close_to_a_known_one_are_found() {
        assert_eq!(nearest("inferense", &["INFERENCE", "FACT_BASED"]), Some("INFERENCE"));
        assert_eq!(nearest("xyz", &["INFERENCE", "FACT_BASED"]), None);
    }
}
