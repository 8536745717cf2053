//! The shared environment of all templates: limits, filters, tests, and how values become text.
//!
//! minijinja's defaults, except where prompts need something else: JSON without HTML escapes, Python's methods,
//! null refused like an undefined name, and type checks (`checked_operators`) wherever values are compared.

use std::sync::LazyLock;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, filters};
use minijinja_contrib::pycompat;

use super::checked_operators::{
    self, CHAIN, COMPARISONS, KEPT, MismatchKind, NUMBER, OperandMismatch, TEXT, TRUTH,
};
use super::rewrite::comparing;
use super::{diff, measures, number_lists, patterns, quotation, regexes};
use crate::language::LanguageDetector;

/// The fuel of one render: an instruction costs one, and so do 64 bytes created or searched. Enough for any
/// prompt, and little enough that an endless loop in a template ends within a second and with 64 MB at most.
pub(super) const FUEL: u64 = 1 << 20;
/// The maximum recursion depth of macros and loops.
const RECURSION: usize = 200;
/// The maximum number of digits of a width in a format string.
const WIDEST: usize = 3;
/// Filters that traverse all of their input, or print it.
const WALKING: [&str; 7] = ["pprint", "join", "unique", "groupby", "dictsort", "sum", "format"];
/// Filters that take a text: they would turn null into the word None.
const OF_TEXT: [&str; 11] =
    ["string", "upper", "lower", "title", "capitalize", "trim", "replace", "indent", "lines", "escape", "e"];
/// Names of tests that compare.
const COMPARING: [&str; 18] = [
    "eq",
    "equalto",
    "==",
    "ne",
    "!=",
    "lt",
    "lessthan",
    "<",
    "le",
    "<=",
    "gt",
    "greaterthan",
    ">",
    "ge",
    ">=",
    "in",
    "true",
    "false",
];

/// The beginning of a text that its language is read from.
const LANGUAGE_BYTES: usize = 4096;

/// Used by every template.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);
/// minijinja's own filters, for those that are only guarded here.
static BUILT_IN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
});

/// Detects the common languages.
static LANGUAGES: LazyLock<LanguageDetector> = LazyLock::new(|| LanguageDetector::new(std::iter::empty()));

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    // So that an error names the undefined value.
    environment.set_debug(true);
    environment.set_formatter(write);
    environment.set_unknown_method_callback(method);
    add_operators(&mut environment);
    for name in WALKING.into_iter().chain(OF_TEXT) {
        environment.add_filter(name, move |state: &State<'_, '_>, args: Rest<ValueOrKwargs>| {
            guarded(name, state, &args.into_values())
        });
    }
    environment.add_filter("sort", |state: &State<'_, '_>, value: Value, options: Kwargs| {
        in_order("sort", state, value, options, filters::sort)
    });
    environment.add_filter("min", |state: &State<'_, '_>, value: Value, options: Kwargs| {
        in_order("min", state, value, options, filters::min)
    });
    environment.add_filter("max", |state: &State<'_, '_>, value: Value, options: Kwargs| {
        in_order("max", state, value, options, filters::max)
    });
    environment.add_filter("tojson", tojson);
    environment.add_filter("language", language);
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
    environment.add_filter("bool", |value: Value| {
        checked_operators::truth(value, None).map(|value| value.is_true())
    });
    environment.add_test("search", patterns::search);
    environment.add_filter("regex_search", patterns::regex_search);
    environment.add_filter("regex_replace", regexes::regex_replace);
    environment.add_filter("suffix_sums", number_lists::suffix_sums);
    environment.add_filter("bins", number_lists::bins);
    environment.add_test("quoted_from", quotation::quoted_from);
    environment.add_filter("diff", diff::diff);
    environment.add_filter("mean", measures::mean);
    environment.add_filter("numbers", measures::numbers);
    environment.add_function("pass_at_k", measures::pass_at_k);
    for name in ["int", "float"] {
        environment.add_filter(name, move |state: &State<'_, '_>, args: Rest<ValueOrKwargs>| {
            converted(name, state, &args.into_values())
        });
    }
    environment
}

fn add_operators(environment: &mut Environment<'static>) {
    for op in COMPARISONS {
        let compare = move |state: &State<'_, '_>, left: &Value, right: &Value, site: usize| {
            checked_operators::compare(state, op, left, right, Some(site))
        };
        environment.add_filter(op, compare);
    }
    for name in COMPARING {
        let Some(op) = comparing(name) else { continue };
        let compare = move |state: &State<'_, '_>, left: &Value, right: &Value| {
            checked_operators::compare(state, op, left, right, None)
        };
        environment.add_test(name, compare);
    }
    environment.add_filter("+", |state: &State<'_, '_>, left: &Value, right: &Value, site: usize| {
        checked_operators::add(state, left, right, site)
    });
    environment.add_filter(CHAIN, |state: &State<'_, '_>, first: &Value, rest: Rest<Value>| {
        checked_operators::chain(state, first, &rest)
    });
    environment.add_filter(TRUTH, |value: Value, site: usize| checked_operators::truth(value, Some(site)));
    environment.add_filter(NUMBER, |value: Value, site: usize| checked_operators::number(value, site));
    environment.add_filter(TEXT, |state: &State<'_, '_>, value: Value, site: usize| {
        checked_operators::text(state, value, site)
    });
    environment.add_filter(KEPT, |state: &State<'_, '_>, value: Value, _site: usize| {
        checked_operators::kept(state, value)
    });
}

/// The English name of a text's language, such as `French`; empty where it is too short or too mixed to tell.
fn language(state: &State<'_, '_>, text: &str) -> Result<&'static str, Error> {
    let beginning = &text[..text.floor_char_boundary(LANGUAGE_BYTES)];
    state.consume_fuel((beginning.len() / 8) as u64)?;
    Ok(LANGUAGES.detect(beginning).map_or("", |language| language.eng_name()))
}

/// Writes the value of `{{ ... }}`.
fn write(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        return Err(null(MismatchKind::Null));
    }
    checked_operators::measure(state, value)?;
    minijinja::escape_formatter(output, state, value)
}

/// The error of a null where a text is expected; the template knows the expression.
fn null(problem: MismatchKind) -> Error {
    let left = Value::from(());
    Error::new(ErrorKind::InvalidOperation, "null").with_source(OperandMismatch {
        site: None,
        op: String::new(),
        left,
        right: None,
        problem,
    })
}

/// Python's methods of texts, lists and maps.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    args.iter().try_for_each(|argument| checked_operators::measure(state, argument))?;
    if name == "format" {
        check_widths(value.as_str().unwrap_or_default())?;
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

/// One of minijinja's filters that traverses its input, whose fuel is consumed first.
fn guarded(name: &str, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    args.iter().try_for_each(|argument| checked_operators::measure(state, argument))?;
    match (name, args.first()) {
        (name, Some(value)) if value.is_none() && OF_TEXT.contains(&name) => {
            return Err(null(MismatchKind::Null));
        }
        ("join", Some(list)) => refuse_nulls(list)?,
        ("format", Some(form)) => check_widths(form.as_str().unwrap_or_default())?,
        _ => {}
    }
    built_in(name, state, args)
}

/// Refuses a list that contains nulls, which would become the word `none` within a text.
fn refuse_nulls(list: &Value) -> Result<(), Error> {
    let is_list = matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list && list.try_iter()?.any(|item| item.is_none()) {
        return Err(null(MismatchKind::NullInside));
    }
    Ok(())
}

/// Refuses a format such as `%1000000000d`, which would allocate its padding before any fuel is consumed.
fn check_widths(form: &str) -> Result<(), Error> {
    let mut braces = 0_usize;
    for (at, char) in form.char_indices() {
        match char {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        if char != '%' && (braces == 0 || !":.".contains(char)) {
            continue;
        }
        let digits = form[at + char.len_utf8()..].trim_start_matches(|char: char| !char.is_alphanumeric());
        let digits = digits.trim_start_matches('0');
        if digits.bytes().take_while(u8::is_ascii_digit).count() > WIDEST {
            return Err(Error::new(ErrorKind::InvalidOperation, "a width of more than 999 characters"));
        }
    }
    Ok(())
}

/// Converts a text to a number. Null cannot be converted unless there is a default.
fn converted(name: &str, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    match args.first() {
        Some(value) if value.is_none() && args.len() == 1 => {
            let problem = MismatchKind::Null;
            let (op, left) = (NUMBER.to_owned(), value.clone());
            let mismatch = OperandMismatch { site: None, op, left, right: None, problem };
            Err(Error::new(ErrorKind::InvalidOperation, "null").with_source(mismatch))
        }
        // Spaces around a number are ignored.
        Some(value) if value.as_str().is_some() => {
            let mut trimmed = args.to_vec();
            trimmed[0] = Value::from(value.as_str().unwrap_or_default().trim());
            built_in(name, state, &trimmed).map_err(|error| match error.kind() {
                ErrorKind::InvalidOperation => {
                    let detail = format!("{} is no number", checked_operators::shown(value));
                    Error::new(ErrorKind::InvalidOperation, detail)
                }
                _ => error,
            })
        }
        _ => built_in(name, state, args),
    }
}

/// Calls minijinja's own filter and consumes fuel for it.
fn built_in(name: &str, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let mut inner = BUILT_IN.empty_state();
    let result = inner.apply_filter(name, args);
    let (consumed, _) = inner.fuel_levels().unwrap_or_default();
    state.consume_fuel(consumed)?;
    result
}

/// A filter that sorts values, which must be comparable.
fn in_order(
    name: &str,
    state: &State<'_, '_>,
    value: Value,
    options: Kwargs,
    filter: fn(&State<'_, '_>, Value, Kwargs) -> Result<Value, Error>,
) -> Result<Value, Error> {
    checked_operators::measure(state, &value)?;
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let attributes = options.peek::<Option<&str>>("attribute").ok().flatten();
        let items: Vec<Value> = value.try_iter()?.collect();
        match attributes {
            None => checked_operators::may_be_ordered(state, name, &items)?,
            Some(attributes) => {
                for attribute in attributes.split(',').map(str::trim) {
                    let key = |item: &Value| inside(item, attribute);
                    checked_operators::may_be_ordered(
                        state,
                        name,
                        &items.iter().map(key).collect::<Vec<_>>(),
                    )?;
                }
            }
        }
    }
    filter(state, value, options)
}

/// The value at a dotted name inside a value.
fn inside(value: &Value, path: &str) -> Value {
    let mut value = value.clone();
    for step in path.split('.') {
        value = match step.parse::<usize>() {
            Ok(index) => value.get_item_by_index(index).unwrap_or_default(),
            Err(_) => value.get_attr(step).unwrap_or_default(),
        };
    }
    value
}

/// JSON as Python's `json.dumps` writes it. minijinja's own is made for HTML and escapes `<`, `>`, `&` and `'`.
fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    checked_operators::measure(state, value)?;
    let escaped = filters::tojson(value, indent, options)?;
    let text = escaped.as_str().unwrap_or_default();
    state.consume_fuel((text.len() / 64) as u64)?;
    Ok(Value::from(without_html_escapes(text)))
}

fn without_html_escapes(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let plain = match escape.get(..6) {
            Some("\\u003c") => Some('<'),
            Some("\\u003e") => Some('>'),
            Some("\\u0026") => Some('&'),
            Some("\\u0027") => Some('\''),
            _ => None,
        };
        let length = match plain {
            Some(plain) => {
                out.push(plain);
                6
            }
            // The character after a backslash belongs to it.
            None => {
                let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&escape[..length]);
                length
            }
        };
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_a_language_where_it_can_be_told() {
        let check = |text: &str, expected: &str| {
            let found = ENVIRONMENT.compile_expression("text | language").unwrap();
            let found = found.eval(minijinja::context! { text }).unwrap();
            assert_eq!(found.as_str(), Some(expected), "{text}");
        };
        check("How do I build a compost heap in a small garden?", "English");
        check("Comment monter un tas de compost dans un petit jardin ?", "French");
        check("Wie stelle ich die Bremsen an meinem Fahrrad ein?", "German");
        check(
            "\u{7dd1}\u{8336}\u{306f}\u{3069}\u{3046}\u{3084}\u{3063}\u{3066}\u{4f5c}\u{308a}\u{307e}\u{3059}\u{304b}",
            "Japanese",
        );
        check("42", "");
        check("", "");
    }

    #[test]
    fn json_keeps_its_own_escapes_and_loses_those_of_html() {
        for (json, expected) in [
            (r#"["it\u0027s \u003cb\u003e \u0026 more"]"#, r#"["it's <b> & more"]"#),
            (r#""\\u003c \n \" \u00e9""#, r#""\\u003c \n \" \u00e9""#),
            (r"\", r"\"),
            ("", ""),
        ] {
            assert_eq!(without_html_escapes(json), expected);
        }
    }
}
