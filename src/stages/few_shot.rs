//! `few_shot`: adds demonstrations from a file to a record, for its prompt to show.
//!
//! Precedes `prompt`. `demonstrations` reads the file and excludes the record itself and its group; `bm25` finds the
//! most similar rows.

mod bm25;
mod demonstrations;

use std::collections::HashSet;

use rand::seq::index;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::bm25::Bm25;
use self::demonstrations::{Demonstration, Own};
use super::{Role, StageDescription};
use crate::draw::Draws;
use crate::pipeline::{CheckContext, FieldType, ProducedField};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};

/// The number of rows from which the types of the fields are inferred.
const PEEK: usize = 100;

/// Adds demonstrations from a file to a record.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FewShot {
    /// A JSONL file with a demonstration per line, an object with any fields; at most 200,000 lines.
    path: String,
    /// The number of demonstrations for each record; fewer only if the file has no more that the record may use.
    #[serde(default = "k")]
    k: usize,
    /// How demonstrations are selected.
    #[serde(default)]
    by: SelectBy,
    /// The field of the record whose text is compared with the demonstrations; required with `similar`. A
    /// demonstration with the same text is taken for the record itself and never used.
    #[serde(default)]
    field: Option<String>,
    /// The field of the demonstrations that is compared with `field`; by default the same name.
    #[serde(default)]
    example_field: Option<String>,
    /// The field of records and demonstrations with the group that they belong to: a text or a list of texts. A
    /// record never gets demonstrations of its own group. A demonstration without this field is a group of its own,
    /// named like a row that `ingest` reads from the file.
    #[serde(default = "group")]
    group: String,
    /// The field in which the list of demonstrations is stored, the most similar first or in the order drawn.
    #[serde(default = "into")]
    into: String,
}

/// How demonstrations are selected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SelectBy {
    /// At random, for each record anew.
    #[default]
    Random,
    /// The most similar by the words that their texts share with the record's text (BM25). If fewer than `k` share a
    /// word, the rest are drawn at random.
    Similar,
}

fn k() -> usize {
    3
}

fn group() -> String {
    "group".into()
}

fn into() -> String {
    "examples".into()
}

const EXAMPLES: ProducedField = ProducedField::named_by(
    "into",
    "examples",
    FieldType::any_list,
    "The demonstrations: objects with the fields that they have in the file.",
);

impl StageDescription for FewShot {
    const NAME: &'static str = "few_shot";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Adds demonstrations (few-shot examples) from a file to a record: a random selection, or the most \
         similar ones.";
    const MAKES: &'static [ProducedField] = &[EXAMPLES];
    const EXAMPLE: &'static str = r#"name: few-shot-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - few_shot: {path: config/demonstrations.jsonl, k: 2, by: similar, field: section.text, example_field: text}
  - prompt:
      user: |
        Ask and answer one question about the last text, as JSON.

        {% for example in examples %}
        Text: {{ example.text }}
        {{ {'question': example.question, 'answer': example.answer} | tojson }}

        {% endfor %}
        Text: {{ section.text }}
  - llm: {model: teacher}
  - parse:
      schema:
        type: object
        required: [question, answer]
        properties: {question: {type: string}, answer: {type: string}}
  - sink: {path: pairs.jsonl, format: raw, fields: [question, answer]}
"#;
}

impl StageConfig for FewShot {
    fn check(&self, context: &mut CheckContext<'_>) {
        if self.k == 0 {
            context.problem("/k", "no demonstration is wanted").expected("1 or more");
        }
        match &self.field {
            Some(field) => context.needs_type("/field", field, &FieldType::text()),
            None if self.by == SelectBy::Similar => {
                context.problem("", "nothing says what is similar").expected("`field`, such as `question`");
            }
            None if self.example_field.is_some() => {
                context.problem("/example_field", "nothing is compared with it without `field`").on_key();
            }
            None => {}
        }
        let row = self.type_of_rows(context);
        context.makes_as(&self.into, FieldType::list(row));
        context.keeps_items();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let path = context.render(&self.path)?;
        let demonstrations = demonstrations::read(&path, &self.group, self.compared())
            .map_err(|error| BuildError::Other(format!("`{path}`: {error}")))?;
        let index = (self.by == SelectBy::Similar).then(|| {
            let field = self.compared().unwrap_or_default();
            Bm25::new(demonstrations.iter().map(|one| {
                demonstrations::inside(&one.fields, field).and_then(Value::as_str).unwrap_or_default()
            }))
        });
        let draws = context.draws.clone();
        Ok(Processor::Transform(Box::new(Demonstrator {
            options: self.clone(),
            demonstrations,
            index,
            draws,
        })))
    }
}

impl FewShot {
    /// The field of the demonstrations that is compared.
    fn compared(&self) -> Option<&str> {
        let field = self.field.as_deref()?;
        Some(self.example_field.as_deref().unwrap_or(field))
    }

    /// Reads the file, reports what is wrong with it, and returns the type of its rows.
    fn type_of_rows(&self, context: &mut CheckContext<'_>) -> FieldType {
        let Some(path) = context.render("/path", &self.path) else { return FieldType::object() };
        context.depends_on(&path);
        match demonstrations::read(&path, &self.group, self.compared()) {
            Ok(rows) => {
                let types =
                    rows.iter().take(PEEK).map(|row| FieldType::of_value(&Value::Object(row.fields.clone())));
                let row = types.fold(FieldType::never(), FieldType::or);
                if rows.len() > PEEK { row.presumed() } else { row }
            }
            Err(error) => {
                context
                    .problem("/path", format!("`{path}`: {error}"))
                    .expected("a JSONL file with a demonstration in each line");
                context.hint_if_missing(&path);
                FieldType::object()
            }
        }
    }
}

/// The processor: adds demonstrations to a record.
struct Demonstrator {
    options: FewShot,
    demonstrations: Vec<Demonstration>,
    /// With `similar`.
    index: Option<Bm25>,
    draws: Draws,
}

impl Transform for Demonstrator {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let text = match &self.options.field {
            None => None,
            Some(field) => Some(
                record
                    .text(field)
                    .ok_or_else(|| StageError::new("fields", format!("field `{field}` is not a text")))?,
            ),
        };
        let own = Own::new(record.get(&self.options.group), text);
        let mut chosen: Vec<usize> = Vec::with_capacity(self.options.k);
        if let (Some(index), Some(text)) = (&self.index, text) {
            let similar = index.ranked(text).into_iter().map(|row| row as usize);
            chosen.extend(similar.filter(|row| !own.has(&self.demonstrations[*row])).take(self.options.k));
        }
        self.draw(record, &own, &mut chosen);
        let shown: Vec<&Demonstration> = chosen.iter().map(|row| &self.demonstrations[*row]).collect();
        let lines: Vec<u64> = shown.iter().map(|one| one.line).collect();
        let examples: Vec<Value> = shown.iter().map(|one| Value::Object(one.fields.clone())).collect();
        record.set(&self.options.into, examples);
        record.provenance.fields.insert(self.draws.stage().to_string(), json!({ "lines": lines }));
        Ok(TransformOutput::Pass)
    }
}

impl Demonstrator {
    /// Draws demonstrations that are allowed for the record until there are enough.
    fn draw(&self, record: &Record, own: &Own, chosen: &mut Vec<usize>) {
        let all = self.demonstrations.len();
        let mut taken: HashSet<usize> = chosen.iter().copied().collect();
        // Few draws are usually enough; otherwise all rows are tried.
        for tried in [self.options.k.saturating_mul(4).saturating_add(16).min(all), all] {
            if chosen.len() >= self.options.k {
                return;
            }
            let mut rng = self.draws.rng("demonstrations", &record.id);
            for row in index::sample(&mut rng, all, tried) {
                let is_new = chosen.len() < self.options.k && !taken.contains(&row);
                if is_new && !own.has(&self.demonstrations[row]) {
                    taken.insert(row);
                    chosen.push(row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordId;
    use crate::stages::testing::{build, record};
    use std::collections::BTreeMap;

    /// A file of these rows.
    fn file(rows: &[Value]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        file
    }

    fn stage(file: &tempfile::NamedTempFile, mut config: Value) -> Box<dyn Transform> {
        config["path"] = file.path().to_str().unwrap().into();
        let Processor::Transform(part) = build::<FewShot>(config) else { panic!("not a transform") };
        part
    }

    /// The field `n` of the demonstrations that a record gets.
    fn shown(part: &dyn Transform, item: u64, fields: Value) -> Vec<u64> {
        let mut record = record(fields);
        record.id = RecordId::item(item);
        part.process(&mut record).unwrap();
        record
            .get("examples")
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["n"].as_u64().unwrap())
            .collect()
    }

    fn questions() -> tempfile::NamedTempFile {
        file(&[
            json!({"n": 0, "question": "How is green tea brewed?", "topic": "tea"}),
            json!({"n": 1, "question": "How is bread baked?", "topic": "bread"}),
            json!({"n": 2, "question": "Why does sourdough bread rise?", "topic": "bread"}),
            json!({"n": 3, "question": "What moves the tides?", "topic": "sea"}),
        ])
    }

    #[test]
    fn the_most_similar_come_first_and_never_the_record_itself() {
        let file = questions();
        let part = stage(&file, json!({"k": 2, "by": "similar", "field": "question"}));
        let ask = |question: &str| shown(&*part, 0, json!({ "question": question }));
        assert_eq!(ask("Why does my sourdough not rise?"), [2, ask("Why does my sourdough not rise?")[1]]);
        assert_eq!(ask("Bread baked at home"), [1, 2]);
        // The record itself, regardless of case and white space.
        assert_eq!(ask(" how is  bread baked? ")[0], 0);
        assert!(!ask("How is bread baked?").contains(&1));
        let part = stage(&file, json!({"k": 4, "by": "similar", "field": "q", "example_field": "question"}));
        assert_eq!(shown(&*part, 0, json!({"q": "How is bread baked?"})).len(), 3);
        // Rows that share no word are drawn to fill up.
        assert_eq!(shown(&*part, 0, json!({"q": "xyz"})).len(), 4);
    }

    #[test]
    fn a_group_is_never_shown_to_its_own() {
        let file = questions();
        let part = stage(&file, json!({"k": 4, "group": "topic"}));
        for item in 0..50 {
            let mut found = shown(&*part, item, json!({"topic": "bread"}));
            found.sort_unstable();
            assert_eq!(found, [0, 3]);
            assert_eq!(shown(&*part, item, json!({"topic": ["tea", "sea", "bread"]})), [0; 0]);
        }
        // A row that `ingest` read from the same file has the same group as its line.
        let part = stage(&file, json!({"k": 4}));
        let group = json!([format!("{}:2", file.path().to_str().unwrap())]);
        assert!(!shown(&*part, 0, json!({ "group": group })).contains(&1));
    }

    #[test]
    fn draws_are_fair_and_belong_to_the_record() {
        let file = file(&(0..10).map(|n| json!({ "n": n })).collect::<Vec<_>>());
        let part = stage(&file, json!({"k": 3}));
        let mut counts: BTreeMap<u64, i32> = BTreeMap::new();
        for item in 0..3000 {
            let found = shown(&*part, item, json!({}));
            assert_eq!(found.iter().collect::<HashSet<_>>().len(), 3);
            assert_eq!(found, shown(&*part, item, json!({})));
            found.iter().for_each(|n| *counts.entry(*n).or_default() += 1);
        }
        assert!(counts.len() == 10 && counts.values().all(|count| (count - 900).abs() < 120), "{counts:?}");
    }

    #[test]
    fn provenance_names_the_lines() {
        let file = questions();
        let part = stage(&file, json!({"k": 1, "by": "similar", "field": "question"}));
        let mut record = record(json!({"question": "the tides"}));
        part.process(&mut record).unwrap();
        assert_eq!(record.provenance.fields["stage"], json!({"lines": [4]}));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let right = questions();
        let (right, none) = (right.path().to_str().unwrap(), "/no/such/file.jsonl");
        let empty = file(&[]);
        let wrong = file(&[json!({"question": "a"}), json!({"question": 5})]);
        let (empty, wrong) = (empty.path().to_str().unwrap(), wrong.path().to_str().unwrap());
        for (config, expected) in [
            (json!({"path": right}), ""),
            (json!({"path": right, "by": "similar", "field": "question"}), ""),
            (json!({"path": right, "by": "similar"}), "nothing says what is similar"),
            (json!({"path": right, "example_field": "question"}), "nothing is compared with it"),
            (json!({"path": right, "k": 0}), "no demonstration is wanted"),
            (
                json!({"path": right, "field": "query", "example_field": "question"}),
                "no earlier stage makes `query`",
            ),
            (json!({"path": none}), "No such file"),
            (json!({"path": empty}), "has no rows"),
            (json!({"path": wrong, "field": "question"}), "line 2: `question` is not a text"),
        ] {
            let (vars, models) = Default::default();
            let mut context = CheckContext::new(&vars, &models);
            context.makes_as("question", FieldType::text());
            serde_json::from_value::<FewShot>(config.clone()).unwrap().check(&mut context);
            let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
            assert!(messages.concat().contains(expected), "{config}: {messages:?}");
            assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{config}: {messages:?}");
        }
    }
}
