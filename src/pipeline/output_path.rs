//! The paths that a sink may write to: inside the run directory, and not over the run's own files.

/// Files and folders reserved for the run itself.
const RESERVED: [&str; 8] = [
    ".lock",
    "manifest.json",
    "pipeline.yaml",
    "status.json",
    "report.html",
    "rejected.jsonl",
    "journal",
    "provenance",
];

/// Why a path cannot be used.
pub(crate) struct WrongPath {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Normalizes a path, or returns what is wrong with it.
pub(crate) fn output_path(path: &str) -> Result<String, WrongPath> {
    let wrong = |message: &str, hint: &str| {
        Err(WrongPath { message: message.to_owned(), hint: Some(hint.to_owned()).filter(|h| !h.is_empty()) })
    };
    if path.trim().is_empty() || path.ends_with('/') {
        return wrong("a file name is missing", "");
    }
    let drive = path.as_bytes().get(1) == Some(&b':');
    if path.starts_with(['/', '\\', '~']) || drive {
        let hint = "write it relative to the run directory; `--out` says where that is";
        return wrong(&format!("`{path}` is outside the run directory"), hint);
    }
    if path.contains(['\\', '\0', '\n']) {
        return wrong(&format!("`{}` cannot be a path", path.escape_default()), "separate folders by `/`");
    }
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return wrong(&format!("`{path}` is outside the run directory"), "leave the `..` out");
        }
        parts.push(part);
    }
    let Some(first) = parts.first() else { return wrong("a file name is missing", "") };
    // Compared case-insensitively: on some file systems both names are one file.
    if RESERVED.contains(&first.to_lowercase().as_str()) {
        return wrong(&format!("the run keeps `{first}` for itself"), "choose another name");
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_sinks_inside_the_run_directory() {
        for (path, expected) in [
            ("train.jsonl", Some("train.jsonl")),
            ("./a//b.jsonl", Some("a/b.jsonl")),
            ("/etc/x", None),
            ("../x.jsonl", None),
            ("a/../../x", None),
            ("C:\\x", None),
            ("", None),
            ("a/", None),
            ("manifest.json", None),
            ("journal/x.jsonl", None),
            ("Provenance/x", None),
        ] {
            assert_eq!(output_path(path).ok().as_deref(), expected, "{path}");
        }
    }
}
