//! Metadata at the beginning of a document without fences: the title block of Pandoc (`% Title`), the metadata of
//! MultiMarkdown (`Title: ...`), the keywords of Org (`#+TITLE: ...`).

use serde_json::{Map, Value};

use super::FrontMatter;
use super::lenient::key_value;

/// Keys that mark the first lines of a text as metadata.
const KNOWN: &[&str] = &[
    "title",
    "subtitle",
    "author",
    "authors",
    "date",
    "modified",
    "copyright",
    "keywords",
    "language",
    "lang",
    "affiliation",
    "email",
    "web",
    "revision",
    "version",
    "base header level",
    "css",
    "html header",
    "xhtml header",
    "latex input",
    "latex mode",
    "latex config",
    "latex footer",
    "quotes language",
    "bibtex",
    "tags",
    "category",
    "slug",
    "status",
    "summary",
    "description",
    "uuid",
    "layout",
    "permalink",
    "template",
];

/// `% title`, `% authors`, `% date`, each of which may continue on indented lines.
pub(super) fn pandoc(text: &str) -> Option<FrontMatter<'_>> {
    let mut fields = Map::new();
    let mut rest = text;
    for name in ["title", "author", "date"] {
        let Some(first) = rest.strip_prefix('%').filter(|first| first.starts_with([' ', '\n'])) else {
            break;
        };
        let mut end = first.find('\n').map_or(first.len(), |end| end + 1);
        while first[end..].starts_with([' ', '\t'])
            && !first[end..].trim_start_matches([' ', '\t']).starts_with('\n')
        {
            end += first[end..].find('\n').map_or(first.len() - end, |line| line + 1);
        }
        let value: Vec<&str> = first[..end].split_whitespace().collect();
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.join(" ").into());
        }
        rest = &first[end..];
    }
    (!fields.is_empty()).then_some(FrontMatter { fields, rest, problem: None })
}

/// Lines of `#+KEY: value`.
pub(super) fn org(text: &str) -> Option<FrontMatter<'_>> {
    let mut fields = Map::new();
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let Some((key, value)) = line.strip_prefix("#+").and_then(|line| line.split_once(':')) else { break };
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
            break;
        }
        fields.insert(key.to_lowercase(), value.trim().into());
        end += line.len();
    }
    (!fields.is_empty()).then(|| FrontMatter { fields, rest: &text[end..], problem: None })
}

/// Lines of `Key: value` up to the first blank line, whose keys are those of metadata. One line of prose among
/// them makes them text.
pub(super) fn multi_markdown(text: &str) -> Option<FrontMatter<'_>> {
    let mut fields: Map<String, Value> = Map::new();
    let (mut end, mut known, mut last) = (0, 0, String::new());
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            break;
        }
        end += line.len();
        match (key_value(line), fields.get_mut(&last)) {
            (Some((key, value)), _) => {
                let key = key.to_lowercase();
                let is_known = KNOWN.contains(&key.as_str());
                if fields.is_empty() && !is_known || value.is_empty() {
                    return None;
                }
                known += usize::from(is_known);
                last.clone_from(&key);
                fields.insert(key, value.into());
            }
            (None, Some(Value::String(above))) if line.starts_with([' ', '\t']) => {
                above.push(' ');
                above.push_str(line.trim());
            }
            _ => return None,
        }
    }
    let rest = &text[end..];
    let sure = fields.contains_key("title") || known > 1 && known == fields.len();
    (sure && !rest.trim().is_empty()).then_some(FrontMatter { fields, rest, problem: None })
}
