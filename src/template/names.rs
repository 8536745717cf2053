//! The filters and tests a template names: those that nobody knows are found before it is rendered.
//!
//! Jinja looks them up while it renders, when a model may have been paid already. Here the blocks of a
//! template are read just closely enough to see the names; `template` compiles and renders.

use minijinja::{Environment, ErrorKind};

use super::TemplateError;
use crate::config::nearest;

/// Names to propose for one that is not known.
const FILTERS: [&str; 38] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "default",
    "dictsort",
    "escape",
    "first",
    "float",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "slice",
    "sort",
    "split",
    "string",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
];
const TESTS: [&str; 16] = [
    "defined",
    "undefined",
    "none",
    "boolean",
    "odd",
    "even",
    "number",
    "integer",
    "float",
    "string",
    "sequence",
    "mapping",
    "lower",
    "upper",
    "in",
    "divisibleby",
];

/// What a name in a template stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Filter,
    Test,
}

/// Refuses a template that names a filter or test which `environment` does not have.
pub(super) fn check(environment: &Environment<'_>, source: &str) -> Result<(), TemplateError> {
    for (kind, name, at) in named(source) {
        let (probe, unknown, word, known) = match kind {
            Kind::Filter => (format!("0 | {name}"), ErrorKind::UnknownFilter, "filter", &FILTERS[..]),
            Kind::Test => (format!("0 is {name}"), ErrorKind::UnknownTest, "test", &TESTS[..]),
        };
        let Ok(expression) = environment.compile_expression(&probe) else { continue };
        if !expression.eval(()).is_err_and(|error| error.kind() == unknown) {
            continue;
        }
        return Err(TemplateError {
            message: format!("templates have no {word} `{name}`"),
            line: Some(source[..at].matches('\n').count() + 1),
            word: Some(name.to_owned()),
            hint: nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?")),
        });
    }
    Ok(())
}

/// The filters and tests that `source` names, with the byte where each stands.
fn named(source: &str) -> Vec<(Kind, &str, usize)> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|found| at + found) {
        at = open + 1;
        let close = match source[at..].chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            Some('#') => {
                at = source[at..].find("#}").map_or(source.len(), |end| at + end);
                continue;
            }
            _ => continue,
        };
        let block = block(&source[open + 2..], close);
        at = open + 2 + block.len();
        let inside = block.trim_start_matches(['-', '+', ' ', '\n']);
        if close == "%}" && first_word(inside) == "raw" {
            at = source[at..].find("endraw").map_or(source.len(), |end| at + end);
            continue;
        }
        in_block(block, open + 2, close == "%}" && first_word(inside) == "filter", &mut names);
    }
    names
}

/// What stands before `close`, strings passed over.
pub(super) fn block<'s>(text: &'s str, close: &str) -> &'s str {
    let mut quotes = Quotes::default();
    for (at, char) in text.char_indices() {
        if quotes.outside(char) && text[at..].starts_with(close) {
            return &text[..at];
        }
    }
    text
}

/// Tells what stands in strings from what does not, character by character.
#[derive(Default)]
pub(super) struct Quotes {
    open: Option<char>,
    escaped: bool,
}

impl Quotes {
    /// Whether the next character belongs to no string; its quotes belong to it.
    pub(super) fn outside(&mut self, char: char) -> bool {
        match self.open {
            Some(_) if self.escaped => self.escaped = false,
            Some(_) if char == '\\' => self.escaped = true,
            Some(open) if char == open => self.open = None,
            Some(_) => {}
            None if char == '"' || char == '\'' => self.open = Some(char),
            None => return true,
        }
        false
    }
}

/// The bytes that the string takes with which `text` begins, its quotes counted in.
pub(super) fn string(text: &str) -> usize {
    let mut characters = text.char_indices();
    let quote = characters.next().map(|(_, quote)| quote);
    let mut escaped = false;
    for (at, char) in characters {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            char if Some(char) == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn in_block<'s>(block: &'s str, start: usize, filters: bool, names: &mut Vec<(Kind, &'s str, usize)>) {
    let mut next = None;
    let mut after_dot = false;
    let mut filters = filters;
    let mut at = 0;
    while let Some(char) = block[at..].chars().next() {
        let word = first_word(&block[at..]);
        if !word.is_empty() {
            match (next.take(), word) {
                (Some(Kind::Test), "not") => next = Some(Kind::Test),
                (Some(kind), name) => names.push((kind, name, start + at)),
                (None, "is") if !after_dot => next = Some(Kind::Test),
                (None, "filter") if filters => (next, filters) = (Some(Kind::Filter), false),
                (None, _) => {}
            }
            after_dot = false;
            at += word.len();
            continue;
        }
        if !char.is_whitespace() {
            next = (char == '|').then_some(Kind::Filter);
            after_dot = char == '.';
        }
        at += match char {
            '"' | '\'' => string(&block[at..]),
            other => other.len_utf8(),
        };
        at = at.min(block.len());
    }
}

pub(super) fn first_word(text: &str) -> &str {
    let end = text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use serde_json::Map;

    fn check(source: &str, expected: Option<(&str, usize, Option<&str>)>) {
        let error = Template::new(source, &Map::new()).err();
        let found = error
            .as_ref()
            .map(|error| (error.message.as_str(), error.line.unwrap_or_default(), error.hint.as_deref()));
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn unknown_filters_and_tests_are_found_before_rendering() {
        let upper = Some("did you mean `upper`?");
        check("a\n{{ text | uper }}", Some(("templates have no filter `uper`", 2, upper)));
        check("{{ 'b\\'' ~ a | uper }}", Some(("templates have no filter `uper`", 1, upper)));
        check("{{ a|trim|uper }}", Some(("templates have no filter `uper`", 1, upper)));
        check(
            "{% if a is evn %}{% endif %}",
            Some(("templates have no test `evn`", 1, Some("did you mean `even`?"))),
        );
        check("{% if a is not xyzzy %}{% endif %}", Some(("templates have no test `xyzzy`", 1, None)));
        check("{% filter uper %}x{% endfilter %}", Some(("templates have no filter `uper`", 1, upper)));
    }

    #[test]
    fn what_only_looks_like_a_name_is_none() {
        for source in [
            "a | uper",
            "{# a | uper #}",
            "{{ 'a | uper is evn' }} {{ \"it's | uper\" }} {{ '\\' | uper' }}",
            "{% raw %}{{ a | uper }}{% endraw %} | uper",
            "{{ a.is.filter }} {{ [1, 2] | join(', ') | length }}",
            "{% if a is not none and b is defined and c is in [1] and d is divisibleby(3) %}x{% endif %}",
            "{{ a | default('|x', true) | replace('is y', 'z') }} {{ {'a': 1} | tojson }} ä | ö",
            "{{ a | attr('b') | map(attribute='c') | select('defined') | list }}",
        ] {
            check(source, None);
        }
    }
}
