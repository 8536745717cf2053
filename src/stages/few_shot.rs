//! `few_shot`: adds demonstrations from a file or another run to a record, for its prompt to show.
//!
//! Precedes `prompt`. `demonstrations` reads them and excludes the record itself and its group; `bm25` finds the most
//! similar rows.

mod bm25;
mod demonstrations;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::seq::index;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::bm25::Bm25;
use self::demonstrations::{Demonstration, Own};
use super::ingest::run;
use super::{Role, StageDescription};
use crate::draw::Draws;
use crate::pipeline::{CheckContext, FieldType, ProducedField};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};

/// The number of rows from which the types of the fields are inferred.
const PEEK: usize = 100;

/// Adds demonstrations from a file or another run to a record.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FewShot {
    /// A JSONL file with a demonstration per line, an object with any fields; at most 200,000 lines.
    #[serde(default)]
    path: Option<String>,
    /// Instead of `path`, the directory of a complete run: the lines of one of its sinks are the demonstrations, in the
    /// order of its items. If there are none, records get an empty list. May name `vars`.
    #[serde(default)]
    run: Option<String>,
    /// With `run`, the id of the sink; optional if the run has only one.
    #[serde(default)]
    sink: Option<String>,
    /// The number of demonstrations for each record, 0 for none; fewer only if there are no more that the record may
    /// use.
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
    /// The same for all records, drawn once for the run, so that prompts have a common beginning which servers can
    /// cache. A record gets the next ones instead of those that it may not use.
    Same,
    /// The first ones in the order of the file that the record may use, the same for all records.
    First,
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
    const PURPOSE: &'static str = "Adds demonstrations (few-shot examples) from a file or another run to a record: a random selection, the most \
         similar ones, or the same for all.";
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
        let demonstrations = match (&self.path, &self.run) {
            (Some(path), None) => {
                let path = context.render(path)?;
                demonstrations::of_file(&path, &self.group, self.compared())
                    .map_err(|error| BuildError::Other(format!("`{path}`: {error}")))?
            }
            (None, Some(folder)) => {
                let folder = PathBuf::from(context.render(folder)?);
                let lines = Arc::new(run::lines(&folder, self.sink.as_deref())?);
                demonstrations::of_run(&lines, &self.group, self.compared())
                    .map_err(|error| BuildError::Other(format!("`{}`: {error}", lines.path.display())))?
            }
            _ => return Err(BuildError::Other("neither or both of `path` and `run` are given".into())),
        };
        let order = match self.by {
            SelectBy::Random => Order::Drawn,
            SelectBy::Similar => {
                let field = self.compared().unwrap_or_default();
                let text = |one| demonstrations::inside(one, field).and_then(Value::as_str);
                let texts = demonstrations.iter().map(|one| text(&one.fields).unwrap_or_default());
                Order::Similar(Bm25::new(texts))
            }
            SelectBy::First => Order::Fixed((0..demonstrations.len()).collect()),
            SelectBy::Same => {
                let mut rng = context.draws.rng("demonstrations", "all records");
                let all = demonstrations.len();
                Order::Fixed(index::sample(&mut rng, all, all).into_vec())
            }
        };
        let draws = context.draws.clone();
        Ok(Processor::Transform(Box::new(Demonstrator {
            options: self.clone(),
            demonstrations,
            order,
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

    /// Reads the demonstrations, reports what is wrong with them, and returns the type of one.
    fn type_of_rows(&self, context: &mut CheckContext<'_>) -> FieldType {
        let rows = match (&self.path, &self.run) {
            (Some(path), None) => self.rows_of_file(context, path),
            (None, Some(folder)) => self.rows_of_run(context, folder),
            (given, _) => {
                let message = match given {
                    Some(_) => "`path` and `run` are both given",
                    None => "nothing says where the demonstrations are",
                };
                context
                    .problem("", message)
                    .expected("`path`, a JSONL file; or `run`, the directory of a run");
                None
            }
        };
        if self.run.is_none() && self.sink.is_some() {
            context.problem("/sink", "`sink` is of a run, and there is no `run`").on_key();
        }
        let rows = rows.unwrap_or_default();
        let types = rows.iter().take(PEEK).map(|row| FieldType::of_value(&Value::Object(row.fields.clone())));
        match types.reduce(FieldType::or) {
            None => FieldType::object(),
            Some(row) if rows.len() > PEEK => row.presumed(),
            Some(row) => row,
        }
    }

    fn rows_of_file(&self, context: &mut CheckContext<'_>, path: &str) -> Option<Vec<Demonstration>> {
        let path = context.render("/path", path)?;
        context.depends_on(&path);
        match demonstrations::of_file(&path, &self.group, self.compared()) {
            Ok(rows) => Some(rows),
            Err(error) => {
                context
                    .problem("/path", format!("`{path}`: {error}"))
                    .expected("a JSONL file with a demonstration in each line");
                context.hint_if_missing(&path);
                None
            }
        }
    }

    /// The lines of the run in `folder`; `None` if an earlier pipeline of the same command makes them.
    fn rows_of_run(&self, context: &mut CheckContext<'_>, folder: &str) -> Option<Vec<Demonstration>> {
        let folder = context.render("/run", folder)?;
        if context.is_planned_run(Path::new(&folder)) {
            return None;
        }
        let lines = match run::lines(Path::new(&folder), self.sink.as_deref()) {
            Ok(lines) => Arc::new(lines),
            Err(wrong) => {
                wrong.report(context);
                return None;
            }
        };
        let path = lines.path.display().to_string();
        context.depends_on_as(&path, &lines.hash);
        match demonstrations::of_run(&lines, &self.group, self.compared()) {
            Ok(rows) => {
                if rows.is_empty() {
                    context.warning("/run", format!("`{path}` has no lines, so there are no demonstrations"));
                }
                Some(rows)
            }
            Err(error) => {
                context.problem("/run", format!("`{path}`: {error}"));
                None
            }
        }
    }
}

/// The order in which demonstrations are taken.
enum Order {
    /// Drawn for each record.
    Drawn,
    /// By similarity to the record, then drawn.
    Similar(Bm25),
    /// The same for all records.
    Fixed(Vec<usize>),
}

/// The processor: adds demonstrations to a record.
struct Demonstrator {
    options: FewShot,
    demonstrations: Vec<Demonstration>,
    order: Order,
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
        let may_see = |row: &usize| !own.has(&self.demonstrations[*row]);
        let mut chosen: Vec<usize> = Vec::with_capacity(self.options.k.min(self.demonstrations.len()));
        match (&self.order, text) {
            (Order::Fixed(order), _) => {
                chosen.extend(order.iter().copied().filter(may_see).take(self.options.k));
            }
            (Order::Similar(index), Some(text)) => {
                let similar = index.ranked(text).into_iter().map(|row| row as usize);
                chosen.extend(similar.filter(may_see).take(self.options.k));
                self.draw(record, &own, &mut chosen);
            }
            _ => self.draw(record, &own, &mut chosen),
        }
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
mod tests;
