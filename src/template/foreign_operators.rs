//! Hints about operators of other languages in a template that does not compile.

/// Operators of other languages and Jinja's equivalents; longer ones first.
const OTHERS: [(&str, &str); 5] = [
    ("===", "write `==` to compare"),
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("=", "write `==` to compare"),
    ("!", "write `not`"),
];
/// Valid operators that contain one of those characters.
const FINE: [&str; 4] = ["==", "!=", "<=", ">="];

/// The hint for the first operator in an expression that Jinja does not have.
pub(super) fn in_expression(source: &str) -> Option<String> {
    if let Some(inside) = source.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
        return Some(format!("an expression stands without braces: `{}`", inside.trim()));
    }
    let mut at = 0;
    let mut depth = 0_u32;
    while let Some(char) = source[at..].chars().next() {
        let rest = &source[at..];
        if let Some((found, hint)) = OTHERS.iter().find(|(found, _)| rest.starts_with(found)) {
            let fine = FINE.iter().find(|fine| rest.starts_with(*fine) && *found != "===");
            // In brackets it may name an argument.
            let argument = *found == "=" && depth > 0;
            match fine {
                Some(fine) => {
                    at += fine.len();
                    continue;
                }
                None if !argument => return Some((*hint).to_owned()),
                None => {}
            }
        }
        match char {
            '"' | '\'' => at += string(rest) - 1,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '<' | '>' if rest[1..].starts_with('=') => at += 1,
            _ => {}
        }
        at = (at + char.len_utf8()).min(source.len());
    }
    None
}

/// The same for the conditions in a template.
pub(super) fn in_template(source: &str) -> Option<String> {
    for (open, _) in source.match_indices("{%") {
        let inside = block(&source[open + 2..], "%}").trim_start_matches(['-', '+', ' ', '\n']);
        if let condition @ ("if" | "elif") = first_word(inside)
            && let Some(hint) = in_expression(&inside[condition.len()..])
        {
            return Some(hint);
        }
    }
    None
}

/// The text before `close`, ignoring strings.
fn block<'s>(text: &'s str, close: &str) -> &'s str {
    let mut quotes = StringTracker::default();
    for (at, char) in text.char_indices() {
        if quotes.outside(char) && text[at..].starts_with(close) {
            return &text[..at];
        }
    }
    text
}

/// Tracks whether characters are inside a string.
#[derive(Default)]
struct StringTracker {
    open: Option<char>,
    escaped: bool,
}

impl StringTracker {
    /// Whether the next character is outside of strings; quotes are part of them.
    fn outside(&mut self, char: char) -> bool {
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

/// The length in bytes of the string at the beginning of `text`, including its quotes.
fn string(text: &str) -> usize {
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

fn first_word(text: &str) -> &str {
    let end = text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::super::{Expression, Template};
    use serde_json::Map;

    fn check(source: &str, hint: Option<&str>) {
        let error = Expression::new(source, &Map::new()).unwrap_err();
        assert_eq!(error.hint.as_deref(), hint, "{source}");
        let condition = format!("ä {{%- if {source} %}}x{{% endif %}}");
        assert_eq!(Template::new(&condition, &Map::new()).unwrap_err().hint.as_deref(), hint, "{condition}");
    }

    #[test]
    fn operators_of_other_languages_get_a_hint() {
        let compare = Some("write `==` to compare");
        check("a = 'b'", compare);
        check("a == 'x=y' and b = 1", compare);
        check("a === 1", compare);
        check("a >= 1 && b", Some("write `and`"));
        check("a != 1 || b", Some("write `or`"));
        check("!a", Some("write `not`"));
        check("a | round(precision=1) >", None);
        check("a <= 'ä' 1", None);
        check("{{ a < 4 }}", Some("an expression stands without braces: `a < 4`"));
        check("{{a}} < 4", None);
    }
}
