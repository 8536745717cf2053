//! Front matter: the metadata before a document's text.
//!
//! Between fences it is YAML (`---`), TOML (`+++`) or JSON (`;;;`, or an object alone); without fences, the
//! headers of Pandoc, MultiMarkdown and Org (`unfenced`). A block that is meant as front matter but cannot be
//! parsed is removed too: fields are recovered line by line (`lenient`), and the error is reported. A thematic
//! break at the very start is not front matter.

mod lenient;
mod unfenced;

use serde_json::{Map, Value};

/// The maximum length in bytes; longer blocks are text.
const MOST: usize = 256 * 1024;

/// The front matter of a document and the text after it.
#[derive(Debug, Default, PartialEq)]
pub struct FrontMatter<'a> {
    /// Its fields; empty if there is none.
    pub fields: Map<String, Value>,
    /// The text that follows; the whole text if there is no front matter.
    pub rest: &'a str,
    /// Why it could not be parsed as a whole, if so: the fields are then those that could be recovered.
    pub problem: Option<String>,
}

impl FrontMatter<'_> {
    /// The title it declares. A template's placeholder is not a title.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let (_, title) = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("title"))?;
        let title = match title {
            Value::String(title) => title.split_whitespace().collect::<Vec<_>>().join(" "),
            Value::Number(title) => title.to_string(),
            _ => return None,
        };
        (!title.is_empty() && !title.contains("{{") && !title.contains("{%")).then_some(title)
    }
}

/// Splits the front matter from a text whose line ends are `\n`.
#[must_use]
pub fn split(text: &str) -> FrontMatter<'_> {
    let body = text.trim_start_matches('\u{feff}');
    let start = &body[lead(body)..];
    let found = fenced(start, start.len() < body.len())
        .or_else(|| json(start))
        .or_else(|| unfenced::pandoc(body))
        .or_else(|| unfenced::org(start))
        .or_else(|| unfenced::multi_markdown(start));
    found.unwrap_or(FrontMatter { rest: body, ..FrontMatter::default() })
}

/// The length of the blank lines and comments at the start.
fn lead(text: &str) -> usize {
    let mut rest = text;
    loop {
        let blank = rest.len() - rest.trim_start().len();
        // The indentation of the first line of text is not blank.
        rest = &rest[rest[..blank].rfind('\n').map_or(0, |end| end + 1)..];
        let Some(comment) = rest.strip_prefix("<!--") else { break };
        let Some(end) = comment.find("-->") else { break };
        let after = &comment[end + 3..];
        let line = after.find('\n').map_or(after.len(), |end| end + 1);
        if !after[..line].trim().is_empty() {
            break;
        }
        rest = &after[line..];
    }
    text.len() - rest.len()
}

/// A block between two fences. `late` means that it is not at the very start.
fn fenced(text: &str, late: bool) -> Option<FrontMatter<'_>> {
    let (first, body) = text.split_once('\n')?;
    let read: fn(&str, bool) -> Option<ParsedBlock> = match first.trim_end() {
        "---" | "---yaml" | "--- yaml" => yaml,
        "+++" | "---toml" | "--- toml" => toml,
        ";;;" | "---json" | "--- json" => bare_json,
        _ => return None,
    };
    let fence = &first[..3];
    let mut end = 0;
    for line in body.split_inclusive('\n') {
        let closes = line.trim_end();
        if closes == fence || fence == "---" && closes == "..." {
            let (fields, problem) = read(&body[..end], late || closes == "...")?;
            return Some(FrontMatter { fields, rest: &body[end + line.len()..], problem });
        }
        end += line.len();
        if end > MOST {
            return None;
        }
    }
    None
}

/// The fields of a block, and why they are incomplete, if they are.
type ParsedBlock = (Map<String, Value>, Option<String>);

/// The fields of a YAML block; `None` if it is text. A `doubtful` one must look like front matter as well.
fn yaml(block: &str, doubtful: bool) -> Option<ParsedBlock> {
    if block.trim().is_empty() {
        return (!doubtful).then(ParsedBlock::default);
    }
    match lenient::yaml(block) {
        Ok(Value::Object(fields)) if !fields.is_empty() => {
            (!doubtful || lenient::are_yaml(block)).then_some((fields, None))
        }
        Ok(_) if lenient::are_yaml(block) => {
            Some((lenient::of_yaml(block), Some("it is no mapping".to_owned())))
        }
        Err(problem) if lenient::are_yaml(block) => Some((lenient::of_yaml(block), Some(problem))),
        _ => None,
    }
}

fn toml(block: &str, _: bool) -> Option<ParsedBlock> {
    match toml::from_str::<toml::Table>(block) {
        Ok(table) => Some((table.into_iter().map(|(name, value)| (name, of_toml(value))).collect(), None)),
        Err(error) => {
            let fields = lenient::of_toml(block);
            (!fields.is_empty()).then(|| (fields, Some(first_line(error.message()))))
        }
    }
}

fn of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(yes) => yes.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(elements) => elements.into_iter().map(of_toml).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(name, value)| (name, of_toml(value))).collect(),
    }
}

/// An object, or the content of one.
fn bare_json(block: &str, _: bool) -> Option<ParsedBlock> {
    let parsed = serde_json::from_str(block);
    let parsed = parsed.or_else(|error| serde_json::from_str(&format!("{{{block}}}")).map_err(|_| error));
    match parsed {
        Ok(fields) => Some((fields, None)),
        Err(error) => {
            let fields = lenient::of_json(block);
            (!fields.is_empty()).then(|| (fields, Some(first_line(&error.to_string()))))
        }
    }
}

/// A JSON object at the start, followed by text.
fn json(text: &str) -> Option<FrontMatter<'_>> {
    let inside = text.strip_prefix('{')?;
    if !inside.trim_start().starts_with('"') {
        return None;
    }
    let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Value>>();
    let (found, end) = match objects.next()? {
        Ok(fields) => ((fields, None), objects.byte_offset()),
        Err(_) => {
            let end = text.find("\n}")? + 2;
            (bare_json(&text[..end], false)?, end)
        }
    };
    let (fields, problem) = found;
    let (line, rest) = text[end..].split_once('\n')?;
    // A file that contains only JSON is not a document with front matter.
    let is_front = !fields.is_empty() && line.trim().is_empty() && !rest.trim().is_empty();
    is_front.then_some(FrontMatter { fields, rest, problem })
}

fn first_line(message: &str) -> String {
    message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
