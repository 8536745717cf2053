//! Translates an engine error into the user's terms: which expression, what its value is, what to write instead.

use minijinja::{Error, ErrorKind};

use super::TemplateError;
use super::checked_operators::{MismatchKind, NUMBER, OperandMismatch, shown};
use super::environment::FUEL;
use super::rewrite::{OperatorSite, Rewriter};

/// Explains an error that occurred while `source`, as prepared by `rewriter`, was run.
pub(super) fn explain(error: &Error, source: &str, rewriter: &Rewriter) -> TemplateError {
    let range = error.range().unwrap_or_default();
    let written = source.get(range.clone()).unwrap_or_default().trim();
    let mut explained = TemplateError::from_ref(error);
    if let Some(mismatch) = mismatch(error) {
        let site = mismatch.site.and_then(|site| rewriter.sites.get(site));
        let written = rewriter.operands.get(&range.start).map_or(written, String::as_str);
        let mut mismatch = mismatch.clone();
        let mapped = source.get(range).is_some_and(|filter| filter.starts_with("map"));
        if mapped && mismatch.problem == MismatchKind::Null {
            mismatch.problem = MismatchKind::NullInside;
        }
        let (message, hint) = of_mismatch(&mismatch, site, written, error.kind());
        (explained.message, explained.hint) = (message, hint);
        return explained;
    }
    match error.kind() {
        ErrorKind::OutOfFuel => {
            let megabytes = (FUEL * 64) >> 20;
            explained.message = format!(
                "the template does too much: more than {FUEL} steps, or more than {megabytes} MiB of text and lists"
            );
        }
        ErrorKind::InvalidOperation | ErrorKind::UnknownMethod if !written.is_empty() => {
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            let operand = rewriter.operands.get(&range.start).map(|operand| format!("{operand} | "));
            explained.message = format!("`{}{}`: {detail}", operand.unwrap_or_default(), one_line(written));
            if written == "float" || written == "int" {
                explained.hint = Some(format!("`{written}(0)` takes 0 for what is none"));
            }
        }
        _ => {}
    }
    explained
}

fn mismatch(error: &Error) -> Option<&OperandMismatch> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<OperandMismatch>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn of_mismatch(
    mismatch: &OperandMismatch,
    site: Option<&OperatorSite>,
    written: &str,
    kind: ErrorKind,
) -> (String, Option<String>) {
    let written = one_line(written);
    let left = site.map_or(written.as_str(), |site| site.left.as_str());
    let right = site.map_or("", |site| site.right.as_str());
    if kind == ErrorKind::UndefinedError {
        let name = if mismatch.left.is_undefined() { left } else { right };
        return (format!("undefined value: `{name}` is undefined"), None);
    }
    match mismatch.problem {
        MismatchKind::Null => (
            format!("`{left}` is null, which has no text"),
            Some(match mismatch.op.as_str() {
                NUMBER => format!("`{left} | default(0, true)` takes 0 for it"),
                _ => format!("`{left} or ''` leaves it empty"),
            }),
        ),
        MismatchKind::SaysNo => (
            format!("`{left}` is {}, which would count as true", shown(&mismatch.left)),
            Some(format!("compare it: `{left} == 'true'`, or `{left} != ''` where any text is meant")),
        ),
        MismatchKind::NullInside => (
            format!("`{left}`: the list holds null, which has no text"),
            Some("`reject('none')` before it leaves null out".to_owned()),
        ),
        MismatchKind::TooDeep => {
            ("a list or map is more than 64 levels deep, or holds itself".to_owned(), None)
        }
        MismatchKind::NumbersAsTexts => {
            let (what, joined) = match mismatch.op.as_str() {
                "+" => ("be joined", format!(", or `{left} ~ {right}` to join them")),
                _ => ("be ordered letter by letter", String::new()),
            };
            let message = match &mismatch.right {
                Some(other) => format!(
                    "`{left}` and `{right}` are {} and {}, which would {what}",
                    shown(&mismatch.left),
                    shown(other)
                ),
                None => format!(
                    "`{}` is given texts of numbers, such as {}, which would {what}",
                    mismatch.op,
                    shown(&mismatch.left)
                ),
            };
            let numbers = match site {
                Some(_) => format!("`{left} | float` is its number{joined}"),
                None => "`map('float')` makes them numbers".to_owned(),
            };
            (message, Some(numbers))
        }
        MismatchKind::Kinds => of_kinds(mismatch, site, left, right),
    }
}

fn of_kinds(
    mismatch: &OperandMismatch,
    site: Option<&OperatorSite>,
    left: &str,
    right: &str,
) -> (String, Option<String>) {
    let op = mismatch.op.as_str();
    let Some(other) = &mismatch.right else {
        let message = format!("`{left}` is {}, with which nothing can be reckoned", shown(&mismatch.left));
        return (message, Some(format!("`{left} | float` (or `| int`) is its number")));
    };
    let (shown_left, shown_right) = (shown(&mismatch.left), shown(other));
    let message = match site {
        _ if op == "+" => {
            format!("`{left}` is {shown_left} and `{right}` is {shown_right}: they cannot be added")
        }
        Some(_) => format!(
            "`{left}` is {shown_left}, which cannot be compared by `{op}` with `{right}`, {shown_right}"
        ),
        None => format!("`{left}`: {shown_left} cannot be compared by `{op}` with {shown_right}"),
    };
    (message, hint(mismatch, site, left, right))
}

/// How to convert the text of two operands to the other one's kind.
fn hint(mismatch: &OperandMismatch, site: Option<&OperatorSite>, left: &str, right: &str) -> Option<String> {
    use minijinja::value::ValueKind;
    let other = mismatch.right.as_ref()?;
    let is_text = |value: &minijinja::Value| value.kind() == ValueKind::String;
    let (text, name, against) = match (is_text(&mismatch.left), is_text(other)) {
        (true, _) => (&mismatch.left, left, other),
        (_, true) => (other, right, &mismatch.left),
        _ if mismatch.left.is_none() => return Some(format!("`{left} is not none and ...` leaves null out")),
        _ => return None,
    };
    let Some(_) = site else { return Some("`map('float')` makes numbers of texts".to_owned()) };
    let literal = name.starts_with(['"', '\'']);
    match against.kind() {
        _ if mismatch.op == "+" && !literal => {
            Some(format!("`{name} | float` is its number, `~` joins texts"))
        }
        ValueKind::Number if literal => Some(format!("leave out the quotes of {name}")),
        ValueKind::Bool if literal => Some("write `true` or `false` without quotes".to_owned()),
        ValueKind::Bool => Some(format!("compare it with a text: `{name} == 'true'`")),
        ValueKind::Number if text.as_str().is_some() => {
            Some(format!("`{name} | float` (or `| int`) is its number"))
        }
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    const LONGEST: usize = 80;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
