//! Recognizes Windows paths in the raw text of a JSON string whose backslashes were not doubled: `C:\new\table`.
//!
//! `escapes` asks where one ends. A colon before a line break is far more frequent than a path, so a letter and a colon
//! alone prove nothing.

/// Whether a sequence of parts with single backslashes is a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathMatch {
    /// No path.
    None,
    /// A path that ends at this byte.
    Path(usize),
    /// A path or lines, up to this byte.
    Unclear(usize),
}

/// Frequent parts of paths whose first letter makes an escape.
const FREQUENT_PARTS: &[&str] = &[
    "name",
    "names",
    "net",
    "network",
    "new",
    "nginx",
    "node",
    "node_modules",
    "nodejs",
    "notebooks",
    "notes",
    "npm",
    "readme",
    "release",
    "releases",
    "repo",
    "repos",
    "reports",
    "resources",
    "results",
    "root",
    "table",
    "tables",
    "tasks",
    "temp",
    "templates",
    "test",
    "testing",
    "tests",
    "tmp",
    "tools",
    "training",
    "trunk",
];

/// File extensions that count as such even at the end of a sentence.
const EXTENSIONS: &[&str] = &[
    "bat", "cfg", "conf", "cpp", "cs", "csv", "dat", "db", "dll", "doc", "docx", "exe", "gz", "html", "ini",
    "jpg", "js", "json", "jsonl", "log", "md", "pdf", "png", "ps1", "py", "rs", "sql", "toml", "ts", "txt",
    "xlsx", "xml", "yaml", "yml", "zip",
];

/// Parts of paths that contain spaces.
const PARTS_WITH_SPACES: &[&str] = &["Program Files (x86)", "Program Files", "Documents and Settings"];

/// Whether a path may start at the backslash `at`: after a drive (`C:`) or a variable (`%TEMP%`).
pub(super) fn may_start(raw: &str, at: usize) -> bool {
    after_drive(raw, at) || after_variable(raw, at)
}

fn after_drive(raw: &str, at: usize) -> bool {
    let bytes = raw.as_bytes();
    if at < 2 || bytes[at - 1] != b':' || !bytes[at - 2].is_ascii_alphabetic() {
        return false;
    }
    let before = &bytes[..at - 2];
    match before.last() {
        None => true,
        Some(b'n' | b't' | b'r') => before.len() > 1 && before[before.len() - 2] == b'\\',
        Some(byte) => byte.is_ascii() && !byte.is_ascii_alphanumeric(),
    }
}

fn after_variable(raw: &str, at: usize) -> bool {
    let Some(inside) = raw[..at].strip_suffix('%') else { return false };
    let name = inside.bytes().rev().take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_').count();
    name >= 3 && inside[..inside.len() - name].ends_with('%')
}

/// Matches the path that may start at the backslash `at`.
pub(super) fn match_path(raw: &str, at: usize) -> PathMatch {
    let mut sure = after_variable(raw, at);
    let mut end = at;
    let mut unclear = false;
    let mut parts = 0;
    while let Some(part) = part(raw, end) {
        let rest = &raw[part.end..];
        let continues = rest.starts_with('\\') && !rest.starts_with("\\\\") && !rest.starts_with("\\\"");
        if part.white_space {
            let next = raw.as_bytes().get(end + 2);
            if !next.is_some_and(|byte| byte.is_ascii_lowercase()) {
                break;
            }
            let known = FREQUENT_PARTS.contains(&part.text) || (!continues && has_extension(part.text));
            let then_sure = continues && is_certain_part(raw, part.end);
            if !(known || then_sure) {
                let may_be_one =
                    sure || (parts == 0 && continues && are_different_escapes(raw, end, part.end));
                if !may_be_one {
                    break;
                }
                unclear = true;
            } else if parts == 0 || known {
                sure = true;
            }
        } else {
            sure = true;
        }
        parts += 1;
        end = part.end;
        if !continues {
            break;
        }
    }
    match (parts, unclear) {
        (0, _) => PathMatch::None,
        (_, true) => PathMatch::Unclear(end),
        _ if sure => PathMatch::Path(end),
        _ => PathMatch::None,
    }
}

/// One part of a path with the backslash before it.
struct PathPart<'a> {
    text: &'a str,
    end: usize,
    /// Whether the backslash makes an escape for a line break, a tab or a return.
    white_space: bool,
}

fn part(raw: &str, at: usize) -> Option<PathPart<'_>> {
    let rest = raw.get(at..)?.strip_prefix('\\')?;
    if rest.strip_prefix('u').and_then(|rest| rest.get(..4)).is_some_and(is_hex) {
        return None;
    }
    let spaced = PARTS_WITH_SPACES.iter().find(|name| rest.starts_with(**name)).map(|name| name.len());
    let is_part = |next: char| next.is_alphanumeric() || "_-.~$@+()".contains(next);
    let length = spaced.unwrap_or_else(|| rest.find(|next| !is_part(next)).unwrap_or(rest.len()));
    let text = rest[..length].trim_end_matches(['.', ')']);
    (!text.is_empty()).then(|| PathPart {
        text,
        end: at + 1 + text.len(),
        white_space: text.starts_with(['n', 't', 'r']),
    })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn has_extension(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(_, ending)| EXTENSIONS.contains(&ending))
}

/// Whether the part at `at` is certainly part of a path: its backslash makes no escape for white space, or it is
/// frequent.
fn is_certain_part(raw: &str, at: usize) -> bool {
    part(raw, at).is_some_and(|part| {
        !part.white_space || FREQUENT_PARTS.contains(&part.text) || has_extension(part.text)
    })
}

/// Whether two backslashes make different escapes, as neither lines nor table cells would.
fn are_different_escapes(raw: &str, first: usize, second: usize) -> bool {
    let bytes = raw.as_bytes();
    bytes.get(first + 1) != bytes.get(second + 1)
}
