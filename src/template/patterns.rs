//! Patterns with which templates search texts: named lists of regular expressions, in a file that users edit.
//!
//! `text is search(patterns)` is whether one of them matches in a text, or in a text of a list; `text |
//! regex_search(patterns)` returns the words that it matched. `patterns.en` is one list, `patterns` all of them. Both
//! take a pattern in place too, or a list of them (`regexes`).
//! The expressions are those of the `regex` crate, which runs in linear time; case is ignored.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use regex::RegexBuilder;
use regex_filtered::{Builder, Options, Regexes};
use serde_saphyr::Spanned;

use super::{checked_operators, regexes};

/// The maximum size of a compiled pattern, in bytes.
const LARGEST: usize = 64 << 20;
/// The maximum nesting depth of lists of texts.
const DEEPEST: usize = 8;

/// The lists of a file, by name.
#[derive(Debug, Clone)]
pub struct Patterns(Arc<PatternLists>);

#[derive(Debug)]
struct PatternLists {
    by_name: BTreeMap<String, Arc<PatternList>>,
    /// All of them together.
    all: PatternList,
}

/// One list.
struct PatternList {
    sources: Vec<String>,
    /// Compiled when a text is first searched, which may be long after the start of a run. A text is searched once
    /// for the words of all patterns, and then only with the few patterns whose words it contains.
    compiled: OnceLock<Result<Regexes, String>>,
}

impl Patterns {
    /// The name by which expressions see the patterns of a stage's file.
    pub const NAME: &'static str = "patterns";

    /// Reads the text of a file: a YAML mapping of names to lists of regular expressions. The error is every problem
    /// found, each a message of one line that says where.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let file: BTreeMap<String, Vec<Spanned<String>>> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| vec![format!("{error}; expected names, each with a list of patterns")])?;
        let (mut lists, mut all, mut problems) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, entries) in file {
            for entry in &entries {
                let line = entry.referenced.line();
                problems.extend(problem(&entry.value).map(|problem| format!("line {line}: {problem}")));
            }
            if entries.is_empty() {
                problems.push(format!("the list `{name}` is empty"));
            }
            let sources: Vec<String> = entries.into_iter().map(|entry| entry.value).collect();
            all.extend(sources.iter().cloned());
            lists.insert(name, Arc::new(PatternList::new(sources)));
        }
        if lists.is_empty() {
            problems.push("the file holds no list of patterns".to_owned());
        }
        if problems.is_empty() {
            Ok(Self(Arc::new(PatternLists { by_name: lists, all: PatternList::new(all) })))
        } else {
            Err(problems)
        }
    }

    /// The names of the lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.by_name.keys().map(String::as_str)
    }

    /// What templates see.
    pub(super) fn value(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }
}

/// Returns what is wrong with one pattern.
fn problem(source: &str) -> Option<String> {
    match regex_syntax::Parser::new().parse(source) {
        Ok(pattern) if pattern.properties().minimum_len() == Some(0) => {
            Some(format!("`{source}` matches the empty text, so it would be found in every text"))
        }
        Ok(_) => None,
        Err(error) => {
            // The last line is the error; those before it show the pattern.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Some(format!("`{source}` is no regular expression: {reason}"))
        }
    }
}

impl PatternList {
    fn new(sources: Vec<String>) -> Self {
        Self { sources, compiled: OnceLock::new() }
    }

    /// The first pattern that matches in the text.
    fn first(&self, text: &str) -> Result<Option<&str>, Error> {
        let compiled = self.compiled.get_or_init(|| compile(&self.sources));
        let compiled =
            compiled.as_ref().map_err(|error| Error::new(ErrorKind::InvalidOperation, error.clone()))?;
        Ok(compiled.matching(text).next().map(|(at, _)| self.sources[at].as_str()))
    }
}

impl fmt::Debug for PatternList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PatternList").field(&self.sources).finish()
    }
}

fn compile(sources: &[String]) -> Result<Regexes, String> {
    let mut options = Options::new();
    options.case_insensitive(true);
    let mut builder = Builder::new();
    for source in sources {
        builder = builder.push_opt(source, &options).map_err(|error| format!("`{source}`: {error}"))?;
    }
    builder.build().map_err(|error| error.to_string())
}

impl Object for PatternLists {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        self.by_name.get(name.as_str()?).map(|list| Value::from_dyn_object(Arc::clone(list)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.by_name.keys().map(|name| Value::from(name.as_str())).collect())
    }
}

impl Object for PatternList {
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// The test `search`: whether a pattern matches in the text, or in one of a list of texts.
pub(super) fn search(state: &State<'_, '_>, value: &Value, arguments: Rest<Value>) -> Result<bool, Error> {
    found(state, value, &arguments, "search").map(|found| found.is_some())
}

/// The filter `regex_search`: the first words that a pattern matches; empty if none does.
pub(super) fn regex_search(
    state: &State<'_, '_>,
    value: &Value,
    arguments: Rest<Value>,
) -> Result<String, Error> {
    let Some((text, pattern)) = found(state, value, &arguments, "regex_search")? else {
        return Ok(String::new());
    };
    let pattern = RegexBuilder::new(&pattern).case_insensitive(true).size_limit(LARGEST).build();
    let words = pattern.ok().and_then(|pattern| pattern.find(&text).map(|found| found.as_str().to_owned()));
    Ok(words.unwrap_or_default())
}

/// The first text in which a pattern matches, and the pattern.
fn found(
    state: &State<'_, '_>,
    value: &Value,
    arguments: &[Value],
    name: &str,
) -> Result<Option<(String, String)>, Error> {
    checked_operators::measure(state, value)?;
    let wrong = |detail: String| Error::new(ErrorKind::InvalidOperation, detail);
    let [patterns] = arguments else {
        return Err(wrong(format!("`{name}` wants one argument: the patterns")));
    };
    let (lists, list) =
        (patterns.downcast_object_ref::<PatternLists>(), patterns.downcast_object_ref::<PatternList>());
    let list = lists.map(|lists| &lists.all).or(list);
    let in_place = match list {
        Some(_) => Vec::new(),
        None => texts(patterns).map_err(|what| {
            wrong(format!("`{name}` wants patterns: a text, a list of texts or those of a file, got {what}"))
        })?,
    };
    let texts = texts(value);
    for text in
        texts.map_err(|what| wrong(format!("`{name}` wants a text or a list of texts, got {what}")))?
    {
        let text = text.as_str().unwrap_or_default();
        if let Some(pattern) = list.map_or(Ok(None), |list| list.first(text))? {
            return Ok(Some((text.to_owned(), pattern.to_owned())));
        }
        for pattern in in_place.iter().filter_map(Value::as_str) {
            if regexes::compiled(pattern)?.is_match(text) {
                return Ok(Some((text.to_owned(), pattern.to_owned())));
            }
        }
    }
    Ok(None)
}

/// The texts of a value that is a text or a list of texts, nested or not; the error shows a value that is
/// neither.
pub(super) fn texts(value: &Value) -> Result<Vec<Value>, String> {
    let mut texts = Vec::new();
    take_texts(value, DEEPEST, &mut texts)?;
    Ok(texts)
}

fn take_texts(value: &Value, depth: usize, texts: &mut Vec<Value>) -> Result<(), String> {
    if value.as_str().is_some() {
        texts.push(value.clone());
        return Ok(());
    }
    let is_list = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    match value.try_iter() {
        Ok(mut items) if is_list && depth > 0 => {
            items.try_for_each(|item| take_texts(&item, depth - 1, texts))
        }
        _ => Err(checked_operators::shown(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::template::{Expression, Template};
    use serde_json::{Map, json};

    const FILE: &str = "en:\n  # \"the section says\"\n  - '\\bthe (section|text) says\\b'\n  - 'as stated above'\nde:\n  - 'laut dem Text'\n";

    #[test]
    fn texts_are_searched_for_every_pattern() {
        let patterns = Patterns::parse(FILE).unwrap();
        assert_eq!(patterns.names().collect::<Vec<_>>(), ["de", "en"]);
        let check = |source: &str, expected: Result<serde_json::Value, &str>| {
            let fields = json!({"a": "The Section  says.", "b": "So THE SECTION says so.", "c": ["x", "Laut dem Text"], "n": null});
            let record = Record::new(fields.as_object().unwrap().clone());
            let expression =
                Expression::new(source, &Map::new()).unwrap().with_patterns("patterns", &patterns);
            match (expression.value(&record), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{source}"),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{source}: {error}")
                }
                (found, expected) => panic!("{source}: {found:?}, expected {expected:?}"),
            }
        };
        check("a is search(patterns)", Ok(json!(false)));
        check("b is search(patterns)", Ok(json!(true)));
        check("b is search(patterns.en)", Ok(json!(true)));
        check("b is not search(patterns.de)", Ok(json!(true)));
        check("not (c is search(patterns.de))", Ok(json!(false)));
        check("[a, b] | regex_search(patterns)", Ok(json!("THE SECTION says")));
        check("a | regex_search(patterns)", Ok(json!("")));
        check("[[a, c], b] is search(patterns.de)", Ok(json!(true)));
        check("[] is search(patterns)", Ok(json!(false)));
        check("n is search(patterns)", Err("wants a text or a list of texts, got null"));
        check("[a, n] is search(patterns)", Err("wants a text or a list of texts, got null"));
        check("a is search", Err("wants one argument"));
        check("a is search(patterns.fr)", Err("undefined"));
        let message = Template::new("Leave out \"{{ b | regex_search(patterns) }}\".", &Map::new()).unwrap();
        let record = Record::new(Map::from_iter([("b".to_owned(), json!("As stated above."))]));
        let message = message.with_patterns("patterns", &patterns).render(&record).unwrap();
        assert_eq!(message, "Leave out \"As stated above\".");
    }

    #[test]
    fn problems_of_a_file_are_reported_line_by_line() {
        for (file, expected) in [
            (
                "en:\n  - 'a('\n  - ok\n  - 'b|'\nde: []\n",
                vec![
                    "the list `de` is empty",
                    "line 2: `a(` is no regular expression: unclosed group",
                    "line 4: `b|` matches the empty text, so it would be found in every text",
                ],
            ),
            ("- a\n", vec!["expected names, each with a list of patterns"]),
            ("en: x\n", vec!["expected names, each with a list of patterns"]),
            ("en: [1, [2]]\n", vec!["expected names, each with a list of patterns"]),
            ("", vec!["the file holds no list of patterns"]),
            ("{}", vec!["the file holds no list of patterns"]),
        ] {
            let problems = Patterns::parse(file).unwrap_err();
            assert_eq!(problems.len(), expected.len(), "{file}: {problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.contains(expected), "{file}: {problem}");
            }
        }
    }
}
