//! YAML front matter: the mapping between two `---` lines at the very start of a document.

use serde_json::{Map, Value};

/// The front matter and the text after it. A document without one, or whose first `---` block is no YAML
/// mapping, gives an empty map and the whole text.
#[must_use]
pub fn split(text: &str) -> (Map<String, Value>, &str) {
    let none = (Map::new(), text);
    let Some((yaml, rest)) = block(text) else { return none };
    // As in YAML 1.2: `y` and `no` are words.
    let options = serde_saphyr::options! { strict_booleans: true };
    match serde_saphyr::from_str_with_options::<Value>(yaml, options) {
        Ok(Value::Object(fields)) if !fields.is_empty() => (fields, rest),
        _ => none,
    }
}

/// The lines between the first line, which is `---`, and the next such line; and what follows.
fn block(text: &str) -> Option<(&str, &str)> {
    let (first, body) = text.split_once('\n')?;
    if first.trim_end() != "---" {
        return None;
    }
    let mut end = 0;
    for line in body.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&body[..end], &body[end + line.len()..]));
        }
        end += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str, expected: Value, rest: &str) {
        let (fields, after) = split(text);
        assert_eq!((Value::Object(fields), after), (expected, rest));
    }

    #[test]
    fn a_mapping_at_the_start_is_taken_off() {
        check(
            "---\ntitle: A\ntags: [x, y, no]\n---\n# B\n",
            json!({"title": "A", "tags": ["x", "y", "no"]}),
            "# B\n",
        );
        check("---\r\ndate: 2024-01-02\r\n---\r\nx", json!({"date": "2024-01-02"}), "x");
        check("---\na: 1\n---", json!({"a": 1}), "");
    }

    #[test]
    fn anything_else_is_text() {
        for text in [
            "",
            "# A\n",
            "---\n",
            "---\ntext\n---\nmore",
            "---\n- a\n---\n",
            "---\n---\nx",
            "---\na: [\n---\n",
            "---\na: 1\n",
            "\n---\na: 1\n---\n",
        ] {
            check(text, json!({}), text);
        }
    }
}
