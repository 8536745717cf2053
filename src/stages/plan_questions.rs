//! `plan_questions`: for each section of a document, one record per question to ask about it.
//!
//! The last stage of the source part, after `section`: its records are the items of the run. It chooses type,
//! difficulty, fact and companion section; the wording of prompts belongs to `prompt`.

mod cap;
mod types;

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::types::{QuestionCount, QuestionType};
use super::{Role, StageDescription};
use crate::draw::Draws;
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, SourceTransform, StageConfig, StageError, UnitRecords,
};
use crate::text_file;

/// Plans the questions of each section by a file of question types.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuestions {
    /// A JSON file of question types, with the number, difficulty and instruction of each.
    #[serde(default = "types_path")]
    types: String,
    /// The names of the only types to plan.
    #[serde(default)]
    only: Vec<String>,
    /// The names of types to leave out.
    #[serde(default)]
    skip: Vec<String>,
    /// The maximum number of typed questions for each fact of a section; of more, a random selection is kept. Typed
    /// questions are those whose type has a percentage of the facts as its `count`. Without a maximum, every such
    /// type is asked at least once, even about a section with a single fact.
    #[serde(default)]
    typed_per_fact: Option<f64>,
}

fn types_path() -> String {
    "config/question_types.json".to_owned()
}

fn text_or_null() -> FieldType {
    FieldType::text().or_null()
}

fn integer_or_null() -> FieldType {
    FieldType::integer().or_null()
}

impl StageDescription for PlanQuestions {
    const NAME: &'static str = "plan_questions";
    const ROLE: Role = Role::SourceTransform;
    const PURPOSE: &'static str = "Creates one record for each question to ask about a section: one for each fact, a summary, and a \
         share of the other types in `config/question_types.json`.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new("question_type", FieldType::text, "The type, by its name in the file."),
        ProducedField::new("difficulty", FieldType::text, "`EASY`, `MEDIUM` or `HARD`."),
        ProducedField::new("instruction", FieldType::text, "The type's instruction for the prompt."),
        ProducedField::new(
            "fact",
            text_or_null,
            "The fact to ask about; null for types that are not about a fact.",
        ),
        ProducedField::new("fact_number", integer_or_null, "Its number in the section, from 1."),
        ProducedField::new(
            "companion.key",
            FieldType::text,
            "The key of a second section; `companion` is null for types that are about one section.",
        ),
        ProducedField::new("companion.number", FieldType::integer, "As in `section`."),
        ProducedField::new("companion.title", FieldType::text, "As in `section`."),
        ProducedField::new("companion.heading_path", FieldType::text, "As in `section`."),
        ProducedField::new("companion.level", FieldType::integer, "As in `section`."),
        ProducedField::new("companion.text", FieldType::text, "As in `section`."),
        ProducedField::new("companion.facts", FieldType::texts, "As in `section`."),
        ProducedField::new(
            "question_number",
            FieldType::integer,
            "The question's number among those of the section, from 1.",
        ),
        ProducedField::new("variant", FieldType::integer, "Its number among those of its type, from 1."),
        ProducedField::new("variants", FieldType::integer, "The number of questions of its type."),
        ProducedField::new(
            "group",
            FieldType::texts,
            "The keys of its sections; `split` keeps records with a common key together.",
        ),
    ];
    const EXAMPLE: &'static str = "\
name: plan-questions-example
stages:
  - ingest: {paths: [\"markdown_docs/*.md\"]}
  - section: {}
  - plan_questions:
      types: config/question_types.json
      skip: [CONTEXTUAL_AMBIGUITY]
      typed_per_fact: 1
  - sink: {path: questions.jsonl, format: raw}
";
}

impl StageConfig for PlanQuestions {
    fn check(&self, context: &mut CheckContext<'_>) {
        let known = vec![("key".to_owned(), FieldType::text()), ("facts".to_owned(), FieldType::any_list())];
        context.needs_type("", "section", &FieldType::object_of(known, true));
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
        if let Some(cap) = self.typed_per_fact
            && !(cap > 0.0 && cap <= cap::LARGEST)
        {
            context
                .problem("/typed_per_fact", format!("`{cap}` is no number of questions for each fact"))
                .expected(format!("a number above 0 and up to {}", cap::LARGEST))
                .hint(
                    "leave it out to have no cap; to have no typed questions, name the other types in `only`",
                );
        }
        context.makes_table(Self::MAKES);
        // Most questions are about one section only.
        let companion = context.type_of("companion").or_null();
        context.makes_as("companion", companion);
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let path = context.render(&self.types)?;
        let mut types = self.load(&path).map_err(|problems| BuildError::Other(problems.join("; ")))?;
        types.retain(|one| self.takes(&one.name));
        let typed_per_fact = self.typed_per_fact;
        Ok(Processor::SourceTransform(Box::new(Planner {
            types,
            typed_per_fact,
            draws: context.draws.clone(),
        })))
    }
}

impl PlanQuestions {
    /// Loads the types of the file at `path`; the error is one message per problem, each naming the file.
    fn load(&self, path: &str) -> Result<Vec<QuestionType>, Vec<String>> {
        let text = text_file::read(path).map_err(|error| vec![format!("cannot read `{path}`: {error}")])?;
        types::parse(&text)
            .map_err(|problems| problems.iter().map(|problem| format!("`{path}`: {problem}")).collect())
    }

    fn takes(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|entry| entry == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }

    /// Reports names in `only` and `skip` that the file does not have, and a selection that leaves nothing.
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

/// The processor: plans questions by `types`.
struct Planner {
    types: Vec<QuestionType>,
    typed_per_fact: Option<f64>,
    draws: Draws,
}

/// A section of the current document, as `section` made it.
struct PlannedSection<'a> {
    record: &'a Record,
    value: &'a Value,
    key: &'a str,
    facts: &'a [Value],
}

impl SourceTransform for Planner {
    fn transform<'a>(&'a self, records: UnitRecords<'a>) -> UnitRecords<'a> {
        // A question may have any other section of the document as its companion.
        let sections = match records.collect::<Result<Vec<Record>, _>>() {
            Ok(sections) => sections,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        Box::new(PlannedQuestions { planner: self, sections, next: 0, questions: Vec::new().into_iter() })
    }
}

/// The questions of a document, those of a section made at a time.
struct PlannedQuestions<'a> {
    planner: &'a Planner,
    sections: Vec<Record>,
    /// The next section to be planned.
    next: usize,
    questions: std::vec::IntoIter<Record>,
}

impl Iterator for PlannedQuestions<'_> {
    type Item = Result<Record, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(question) = self.questions.next() {
                return Some(Ok(question));
            }
            if self.next == self.sections.len() {
                return None;
            }
            match self.planner.plan(&self.sections, self.next) {
                Ok(questions) => self.questions = questions.into_iter(),
                Err(error) => return Some(Err(error)),
            }
            self.next += 1;
        }
    }
}

impl Planner {
    /// The questions of section `index`.
    fn plan(&self, sections: &[Record], index: usize) -> Result<Vec<Record>, StageError> {
        let section = &PlannedSection::of(&sections[index])?;
        let others = sections.len() - 1;
        let mut questions = Vec::new();
        for (kind, variants) in self.types.iter().zip(self.counts(section, others == 0)) {
            let companions = if kind.sections == 2 {
                self.choices(others, variants, kind, "companion", section.key)
            } else {
                vec![]
            };
            let facts = match (kind.count, kind.fact) {
                (QuestionCount::PerFact, _) => (0..variants).collect(),
                (_, Some(_)) => self.choices(section.facts.len(), variants, kind, "fact", section.key),
                (_, None) => vec![],
            };
            for variant in 0..variants {
                // The section itself is not among the others.
                let other = companions.get(variant).map(|choice| choice + usize::from(*choice >= index));
                let companion = other.map(|other| PlannedSection::of(&sections[other])).transpose()?;
                let mut record = question(kind, section, companion.as_ref(), facts.get(variant).copied());
                record.set("question_number", questions.len() + 1);
                record.set("variant", variant + 1);
                record.set("variants", variants);
                questions.push(record);
            }
        }
        Ok(questions)
    }

    /// The number of questions of each type for the section; `alone` means that it is its document's only one.
    fn counts(&self, section: &PlannedSection<'_>, alone: bool) -> Vec<usize> {
        let facts = section.facts.len();
        let mut counts = Vec::with_capacity(self.types.len());
        for kind in &self.types {
            counts.push(if kind.sections == 2 && alone { 0 } else { kind.count.of(facts) });
        }
        if let Some(typed_per_fact) = self.typed_per_fact {
            let typed = self.types.iter().zip(&mut counts).filter(|(kind, _)| kind.count.is_typed());
            let mut typed: Vec<&mut usize> = typed.map(|(_, count)| count).collect();
            cap::draw(
                &mut typed,
                cap::most(facts, typed_per_fact),
                &mut self.draws.rng("typed", section.key),
            );
        }
        counts
    }

    /// Draws `count` of the numbers below `of`, without replacement as long as there are any left.
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

impl<'a> PlannedSection<'a> {
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
    section: &PlannedSection<'_>,
    companion: Option<&PlannedSection<'_>>,
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
mod tests;
