//! Operators that check the kinds of their operands: comparing what cannot be compared is an error.
//!
//! A number and a text have no order, and are not unequal either: most often one of them comes from a table of
//! texts. `rewrite` replaces operators by these filters; the environment registers them.

use std::cmp::Ordering;

use minijinja::value::{Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// The filter of a chain such as `a < b <= c`.
pub(super) const CHAIN: &str = "<<";
/// The filter of values assigned to variables.
pub(super) const KEPT: &str = ":=";
/// The filter of arithmetic operands.
pub(super) const NUMBER: &str = "#";
/// The filter of operands of `~`.
pub(super) const TEXT: &str = "~";
/// The filter of conditions.
pub(super) const TRUTH: &str = "?";
/// The comparison operators.
pub(super) const COMPARISONS: [&str; 7] = ["==", "!=", "<", "<=", ">", ">=", "in"];

/// Texts that mean no, in lower case: as a condition each would count as true.
const SAYS_NO: [&str; 12] = ["false", "f", "no", "n", "off", "0", "0.0", "null", "none", "nil", "nan", "n/a"];
/// The maximum depth of a value assigned to a variable.
const DEEPEST: usize = 64;
/// The maximum length of a value in a message, in characters.
const SHOWN: usize = 40;

/// Operands that do not fit their operator; the template's error reports both.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{op}")]
pub(super) struct OperandMismatch {
    /// The number of the operator in its template, if known.
    pub(super) site: Option<usize>,
    pub(super) op: String,
    pub(super) left: Value,
    /// The other operand, if the operator has two.
    pub(super) right: Option<Value>,
    pub(super) problem: MismatchKind,
}

/// Why operands do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MismatchKind {
    /// The kinds have nothing in common.
    Kinds,
    /// Two texts that look like numbers, where they would be compared or joined as text.
    NumbersAsTexts,
    /// A text that means no, where a truth value is expected.
    SaysNo,
    /// Null, where a text or a truth value is expected.
    Null,
    /// Null in a list of texts.
    NullInside,
    /// A value that is nested too deeply.
    TooDeep,
}

impl OperandMismatch {
    fn error(self) -> Error {
        Error::new(ErrorKind::InvalidOperation, "values do not fit").with_source(self)
    }
}

/// Describes a value in a message: its kind and content.
pub(super) fn shown(value: &Value) -> String {
    let text = match value.kind() {
        ValueKind::Bool => return if value.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::None => return "null".to_owned(),
        ValueKind::Undefined => return "undefined".to_owned(),
        ValueKind::Number | ValueKind::String => value.to_string(),
        ValueKind::Map => return "a map".to_owned(),
        _ => return "a list".to_owned(),
    };
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    match value.kind() {
        ValueKind::String => format!("the text `{cut}`"),
        ValueKind::Number => format!("the number {cut}"),
        _ => cut,
    }
}

/// Compares as `op` does; `site` is the number of the operator in its template.
pub(super) fn compare(
    state: &State<'_, '_>,
    op: &str,
    left: &Value,
    right: &Value,
    site: Option<usize>,
) -> Result<bool, Error> {
    let wrong = |problem| {
        let right = Some(right.clone());
        Err(OperandMismatch { site, op: op.to_owned(), left: left.clone(), right, problem }.error())
    };
    if left.is_undefined() || right.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError).with_source(OperandMismatch {
            site,
            op: op.to_owned(),
            left: left.clone(),
            right: Some(right.clone()),
            problem: MismatchKind::Kinds,
        }));
    }
    measure(state, left)?;
    measure(state, right)?;
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        consume_fuel(state, if op == "in" { right.len() } else { left.len().min(right.len()) })?;
    }
    match op {
        "==" | "!=" if !may_equal(left, right) => wrong(MismatchKind::Kinds),
        "==" => Ok(left == right),
        "!=" => Ok(left != right),
        "in" => match contains(right, left) {
            Some(found) => Ok(found),
            None => wrong(MismatchKind::Kinds),
        },
        "not in" => compare(state, "in", left, right, site).map(|found| !found),
        _ if !may_order(left, right) => wrong(MismatchKind::Kinds),
        _ if both_texts_of_numbers(left, right) => wrong(MismatchKind::NumbersAsTexts),
        _ => Ok(ordered(op, left.cmp(right))),
    }
}

fn ordered(op: &str, order: Ordering) -> bool {
    match op {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// Whether two values have an order: both are numbers, texts, or lists.
fn may_order(left: &Value, right: &Value) -> bool {
    use ValueKind::{Bool, Iterable, Number, Seq, String};
    match (left.kind(), right.kind()) {
        (Number, Number) => !is_nan(left) && !is_nan(right),
        (String, String) | (Bool, Bool) => true,
        (Seq | Iterable, Seq | Iterable) => true,
        _ => false,
    }
}

/// Whether two values can be unequal: a number or truth value and a text cannot. An empty text stands for an
/// empty cell, which is equal to none.
fn may_equal(left: &Value, right: &Value) -> bool {
    use ValueKind::{Bool, Number, String};
    let empty = |value: &Value| value.as_str() == Some("");
    match (left.kind(), right.kind()) {
        (Number | Bool, String) | (String, Number | Bool) => empty(left) || empty(right),
        _ => true,
    }
}

/// Whether `list` contains `item`; `None` if it contains only values that `item` cannot be compared with.
fn contains(list: &Value, item: &Value) -> Option<bool> {
    if let (Some(text), Some(part)) = (list.as_str(), item.as_str()) {
        return Some(text.contains(part));
    }
    if matches!(list.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool | ValueKind::None) {
        return None;
    }
    let (mut alike, mut unlike) = (false, false);
    for entry in list.try_iter().ok()? {
        if entry == *item {
            return Some(true);
        }
        match may_equal(&entry, item) {
            true => alike |= entry.kind() == item.kind(),
            false => unlike = true,
        }
    }
    if unlike && !alike { None } else { Some(false) }
}

fn is_nan(value: &Value) -> bool {
    !value.is_integer() && f64::try_from(value.clone()).is_ok_and(f64::is_nan)
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        && text.parse::<f64>().is_ok()
}

fn both_texts_of_numbers(left: &Value, right: &Value) -> bool {
    left.as_str().is_some_and(is_number) && right.as_str().is_some_and(is_number)
}

/// `a + b`: numbers are added, texts and lists joined.
pub(super) fn add(state: &State<'_, '_>, left: &Value, right: &Value, site: usize) -> Result<Value, Error> {
    use ValueKind::{Bool, Iterable, Number, Seq, String};
    let wrong = |problem| {
        let (left, right) = (left.clone(), Some(right.clone()));
        Err(OperandMismatch { site: Some(site), op: "+".to_owned(), left, right, problem }.error())
    };
    match (left.kind(), right.kind()) {
        (Number | Bool, Number | Bool) => {
            let whole = i128::try_from(left.clone()).ok().zip(i128::try_from(right.clone()).ok());
            let float = f64::try_from(left.clone()).ok().zip(f64::try_from(right.clone()).ok());
            match (whole.and_then(|(left, right)| left.checked_add(right)), float) {
                (Some(sum), _) => Ok(i64::try_from(sum).map_or_else(|_| Value::from(sum), Value::from)),
                (None, Some((left, right))) => Ok(Value::from(left + right)),
                (None, None) => wrong(MismatchKind::Kinds),
            }
        }
        (String, String) if both_texts_of_numbers(left, right) => wrong(MismatchKind::NumbersAsTexts),
        (String, String) => {
            let (left, right) = (left.as_str().unwrap_or_default(), right.as_str().unwrap_or_default());
            consume_fuel(state, left.len() + right.len())?;
            Ok(Value::from(format!("{left}{right}")))
        }
        (Seq | Iterable, Seq | Iterable) => {
            let mut items = Vec::new();
            for item in left.try_iter()?.chain(right.try_iter()?) {
                consume_fuel(state, size_of::<Value>())?;
                items.push(item);
            }
            Ok(Value::from(items))
        }
        _ => wrong(MismatchKind::Kinds),
    }
}

/// Consumes fuel for `bytes` before they are allocated, in the engine's own unit.
fn consume_fuel(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / 64) as u64)
}

/// An arithmetic operand: a text is not a number, whatever it contains.
pub(super) fn number(value: Value, site: usize) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::None => {
            let problem = if value.is_none() { MismatchKind::Null } else { MismatchKind::Kinds };
            Err(OperandMismatch {
                site: Some(site),
                op: NUMBER.to_owned(),
                left: value,
                right: None,
                problem,
            }
            .error())
        }
        _ => Ok(value),
    }
}

/// An operand joined to a text.
pub(super) fn text(state: &State<'_, '_>, value: Value, site: usize) -> Result<Value, Error> {
    if value.is_none() {
        let problem = MismatchKind::Null;
        return Err(OperandMismatch {
            site: Some(site),
            op: TEXT.to_owned(),
            left: value,
            right: None,
            problem,
        }
        .error());
    }
    measure(state, &value)?;
    Ok(value)
}

/// A condition: a text that means no would count as true.
pub(super) fn truth(value: Value, site: Option<usize>) -> Result<Value, Error> {
    let says_no = |text: &str| {
        let text = text.trim();
        text.len() <= 5 && SAYS_NO.contains(&text.to_ascii_lowercase().as_str())
    };
    if value.as_str().is_some_and(says_no) {
        let problem = MismatchKind::SaysNo;
        return Err(OperandMismatch { site, op: TRUTH.to_owned(), left: value, right: None, problem }.error());
    }
    Ok(value)
}

/// A value assigned to a variable: its nesting must be limited, since everything that traverses it is recursive.
pub(super) fn kept(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    measure(state, &value)?;
    Ok(value)
}

/// Consumes fuel for traversing a value. A value that contains another one twice, and that the next, is counted
/// as often as it is reached, which is what every traversal costs.
pub(super) fn measure(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if !is_container(value) {
        return Ok(());
    }
    let mut open = vec![(value.clone(), 0_usize)];
    while let Some((value, depth)) = open.pop() {
        if depth > DEEPEST {
            let (left, problem) = (Value::from(()), MismatchKind::TooDeep);
            return Err(OperandMismatch { site: None, op: String::new(), left, right: None, problem }.error());
        }
        let is_map = value.kind() == ValueKind::Map;
        for item in value.try_iter()? {
            state.consume_fuel(1)?;
            let inner = if is_map { value.get_item(&item).unwrap_or_default() } else { item };
            if is_container(&inner) {
                open.push((inner, depth + 1));
            }
        }
    }
    Ok(())
}

fn is_container(value: &Value) -> bool {
    // Namespaces, macros and the like are plain objects, which cannot be traversed.
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map)
}

/// `a < b <= c`: takes the number of the first operator, the operators, and all operands but the first.
pub(super) fn chain(state: &State<'_, '_>, first: &Value, rest: &Rest<Value>) -> Result<bool, Error> {
    let site = rest.first().and_then(|site| usize::try_from(site.clone()).ok()).unwrap_or_default();
    let count = rest.len() / 2;
    let mut left = first;
    for at in 0..count {
        let (op, right) = (&rest[1 + at], &rest[1 + count + at]);
        if !compare(state, op.as_str().unwrap_or_default(), left, right, Some(site + at))? {
            return Ok(false);
        }
        left = right;
    }
    Ok(true)
}

/// Checks that the values a filter sorts are comparable with each other.
pub(super) fn may_be_ordered(state: &State<'_, '_>, filter: &str, keys: &[Value]) -> Result<(), Error> {
    let known = |key: &&Value| !key.is_undefined();
    let mut keys = keys.iter().filter(known);
    let Some(first) = keys.next() else { return Ok(()) };
    let mut alone = true;
    let mut texts_of_numbers = first.as_str().is_some_and(is_number);
    for key in keys {
        alone = false;
        if !may_order(first, key) {
            let (left, right) = (first.clone(), Some(key.clone()));
            return Err(OperandMismatch {
                site: None,
                op: filter.to_owned(),
                left,
                right,
                problem: MismatchKind::Kinds,
            }
            .error());
        }
        texts_of_numbers &= key.as_str().is_some_and(is_number);
        state.consume_fuel(1)?;
    }
    if texts_of_numbers && !alone {
        let (left, right) = (first.clone(), None);
        let problem = MismatchKind::NumbersAsTexts;
        return Err(OperandMismatch { site: None, op: filter.to_owned(), left, right, problem }.error());
    }
    Ok(())
}
