//! Recovers front matter that its parser refuses, line by line: a colon in a title, `@name`, a tab, a duplicate
//! key, placeholders of a template.

use serde_json::{Map, Value};

/// Keys that may be followed by a value without a space, and that mark a block as front matter.
const USUAL: &[&str] = &[
    "title",
    "date",
    "layout",
    "tags",
    "tag",
    "author",
    "authors",
    "category",
    "categories",
    "description",
    "draft",
    "slug",
    "permalink",
    "id",
    "weight",
    "image",
    "summary",
    "aliases",
    "keywords",
    "lang",
    "excerpt",
    "published",
    "sidebar_label",
    "sidebar_position",
    "nav_order",
    "parent",
    "url",
    "type",
    "status",
    "name",
];
/// The maximum length of a key, in characters.
const KEY: usize = 40;

/// Converts a YAML text to JSON; the error is one line.
pub(super) fn yaml(text: &str) -> Result<Value, String> {
    // As in YAML 1.2: `y` and `no` are strings.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options::<Value>(text, options)
        .map_err(|error| super::first_line(&error.to_string()).trim_start_matches("error: ").to_owned())
}

/// Whether an ambiguous block is meant as YAML: lines of `key: value`, and what belongs to them.
pub(super) fn are_yaml(block: &str) -> bool {
    let (mut keys, mut strays, mut usual, mut blank) = (0, 0, false, false);
    for line in block.lines() {
        if line.trim().is_empty() {
            blank = true;
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        if let Some((key, _)) = key_value(line) {
            keys += 1;
            usual |= is_usual(key);
        } else if keys == 0 {
            return false;
        } else if !goes_on(line) {
            // Continuation lines of a long value that are not indented.
            strays += 1;
            if blank {
                return false;
            }
        }
        blank = false;
    }
    keys > 0 && (strays == 0 || usual && strays <= keys)
}

/// Whether a line belongs to the key above it.
fn goes_on(line: &str) -> bool {
    line.starts_with([' ', '\t', ']', '}'])
        || line.starts_with("- ")
        || line == "-"
        || line.starts_with("{{")
        || line.starts_with("{%")
}

/// The fields of a block that is not valid YAML as a whole. Of duplicate keys, the last wins.
pub(super) fn of_yaml(block: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut chunk = String::new();
    for line in block.lines().filter(|line| !line.starts_with('#')) {
        if key_value(line).is_some() {
            add(&mut fields, &chunk);
            chunk.clear();
        }
        chunk.push_str(line);
        chunk.push('\n');
    }
    add(&mut fields, &chunk);
    fields
}

/// Adds one key with the lines of its value.
fn add(fields: &mut Map<String, Value>, chunk: &str) {
    let Some((key, value)) = chunk.lines().next().and_then(key_value) else { return };
    let spaced = chunk.replace('\t', "  ");
    for text in [chunk, &spaced] {
        if let Ok(Value::Object(parsed)) = yaml(text) {
            return fields.extend(parsed);
        }
    }
    let further = chunk.lines().skip(1).map(str::trim);
    let value: Vec<&str> = std::iter::once(value).chain(further).filter(|line| !line.is_empty()).collect();
    fields.insert(key.to_owned(), unquoted(&value.join("\n")).into());
}

/// The key and the value of a line such as `key: value`.
pub(super) fn key_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let quoted = key.len() > 2 && key.starts_with(['"', '\'']) && key.ends_with(['"', '\'']);
    let key = if quoted { &key[1..key.len() - 1] } else { key };
    let fits = key.starts_with(char::is_alphanumeric)
        && key.chars().count() <= KEY
        && key.split(' ').count() <= 3
        && key.trim_end().chars().all(|c| c.is_alphanumeric() || "_-./@$ ".contains(c));
    let apart = value.is_empty() || value.starts_with([' ', '\t']) || is_usual(key);
    (fits && apart).then(|| (key.trim_end(), value.trim()))
}

fn is_usual(key: &str) -> bool {
    USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(key))
}

/// The fields `key = value` before the first table.
pub(super) fn of_toml(block: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for line in block.lines().take_while(|line| !line.starts_with('[')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || !key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
            continue;
        }
        match toml::from_str::<toml::Table>(line) {
            Ok(table) => fields.extend(table.into_iter().map(|(name, value)| (name, super::of_toml(value)))),
            Err(_) => drop(fields.insert(key.to_owned(), unquoted(value).into())),
        }
    }
    fields
}

/// The fields `"key": value,` of lines.
pub(super) fn of_json(block: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for line in block.lines() {
        let line = line.trim().trim_end_matches(',');
        let Some((key, value)) = line.strip_prefix('"').and_then(|line| line.split_once("\":")) else {
            continue;
        };
        if let Ok(value) = serde_json::from_str(value.trim()) {
            fields.insert(key.to_owned(), value);
        }
    }
    fields
}

/// The text without the quotes around it.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}
