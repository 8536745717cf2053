//! Templates with their slices written another way, so that the names in them are seen.
//!
//! minijinja tells which names a template reads, but leaves out what is sliced: `{{ text[:200] }}` reads
//! nothing, as it sees it. `a[x:y]` becomes `a[x~y]` here, which reads the same names. Nothing of this is
//! rendered.

use super::names::{Quotes, block};

/// `source` without slices; `None` if it has none.
pub(super) fn without(source: &str) -> Option<String> {
    let mut out = String::with_capacity(source.len() + 8);
    let mut at = 0;
    let mut any = false;
    while let Some(open) = source[at..].find('{').map(|found| at + found) {
        let close = match source[open + 1..].chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            _ => {
                out.push_str(&source[at..=open]);
                at = open + 1;
                continue;
            }
        };
        let start = open + 2;
        let inside = block(&source[start..], close);
        out.push_str(&source[at..start]);
        any |= rewrite(inside, &mut out);
        at = start + inside.len();
    }
    out.push_str(&source[at..]);
    any.then_some(out)
}

/// Writes a block with `~` for each colon that belongs to a slice, and `0` where a bound is left out.
fn rewrite(block: &str, out: &mut String) -> bool {
    let mut brackets = Vec::new();
    let mut quotes = Quotes::default();
    let mut any = false;
    for (at, char) in block.char_indices() {
        let outside = quotes.outside(char);
        if outside && "[({".contains(char) {
            brackets.push(char);
        } else if outside && "])}".contains(char) {
            brackets.pop();
        }
        if !(outside && char == ':' && brackets.last() == Some(&'[')) {
            out.push(char);
            continue;
        }
        any = true;
        if block[..at].trim_end().ends_with('[') {
            out.push('0');
        }
        out.push('~');
        if block[at + 1..].trim_start().starts_with([']', ':']) {
            out.push('0');
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_and_nothing_else_are_rewritten() {
        let check = |source: &str, expected: Option<&str>| {
            assert_eq!(without(source).as_deref(), expected, "{source}");
        };
        check("{{ a.b[:3] }} [x:y]", Some("{{ a.b[0~3] }} [x:y]"));
        check("{% if a[1:] %}{{ a[x:y] }}{% endif %}", Some("{% if a[1~0] %}{{ a[x~y] }}{% endif %}"));
        check("{{ a[::2] + a[ : ] }}", Some("{{ a[0~0~2] + a[ 0~0 ] }}"));
        check("{{ a[{'k': 1}['k']:9] }}", Some("{{ a[{'k': 1}['k']~9] }}"));
        check("{{ {'k': a[0]} }} {{ a['x:y'] }} {{ \"[:\" }} { [:3] }", None);
        check("{# a[:3] #} {{ ä | default('[\\':') }}", None);
    }
}
