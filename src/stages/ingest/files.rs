//! The files that a glob matches, the files beside them that it does not, and hints if it matches none.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::walk::{self, SkipRules};
use crate::stage::SourceFailure;

/// A file's path, or a folder that cannot be read.
pub(super) type FileResult = Result<String, SourceFailure>;

/// As in a shell: `*` stays within a folder and does not match hidden files.
const LIKE_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
/// The minimum Jaro-Winkler similarity of a suggested name.
const ALIKE: f64 = 0.8;

/// The result of expanding a pattern.
#[derive(Debug, Default)]
pub(super) struct GlobMatches {
    /// The files it matches, each once, without a leading `./`.
    pub(super) found: Vec<FileResult>,
    /// Files in the searched folders that are not hidden and that it does not match.
    pub(super) others: BTreeSet<String>,
    /// Folders that were skipped.
    pub(super) skipped: BTreeSet<String>,
}

/// Whether the glob `pattern` matches a file: by its name, or by its whole path if the glob has a `/`.
pub(super) fn is_match(pattern: &Pattern, path: &str) -> bool {
    let is_of_paths = pattern.as_str().contains('/');
    let subject = if is_of_paths { path } else { path.rsplit('/').next().unwrap_or(path) };
    pattern.matches_with(subject, LIKE_A_SHELL)
}

/// Compiles a glob.
pub(super) fn compile(pattern: &str) -> Result<Pattern, String> {
    let pattern = without_dot(pattern);
    Pattern::new(pattern).map_err(|error| format!("`{pattern}` is no glob: {}", error.msg))
}

/// Expands `pattern`; folders named in `skip` are skipped where the pattern matches at any depth.
pub(super) fn matching(pattern: &str, skip: &[String]) -> Result<GlobMatches, String> {
    let pattern = without_dot(pattern);
    if Path::new(pattern).is_file() {
        // A name may contain brackets, which a glob would take for a character class.
        return Ok(GlobMatches { found: vec![Ok(pattern.to_owned())], ..GlobMatches::default() });
    }
    let compiled = compile(pattern)?;
    let (start, rest) = start_of(pattern);
    let mut matched = match rest.contains("**") {
        true => walk_glob(start, rest, &compiled, skip),
        false => expand_glob(pattern, start, rest, &compiled)?,
    };
    matched.found = deduplicate(matched.found);
    Ok(matched)
}

/// The folder in which a pattern starts, with a slash at its end, and the rest.
fn start_of(pattern: &str) -> (&str, &str) {
    let glob = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    pattern.split_at(pattern[..glob].rfind('/').map_or(0, |slash| slash + 1))
}

/// The files below a folder.
fn walk_glob(start: &str, rest: &str, pattern: &Pattern, skip: &[String]) -> GlobMatches {
    let named = |name: &str| rest.split('/').any(|part| part == name);
    let names: Vec<String> = skip.iter().filter(|name| !named(name)).cloned().collect();
    let hidden = !rest.split('/').any(|part| part.starts_with('.'));
    let mut matched = GlobMatches::default();
    if !Path::new(if start.is_empty() { "." } else { start }).is_dir() {
        return matched;
    }
    let walked = walk::walk(start, &SkipRules { names: &names, hidden });
    for path in walked.files {
        match pattern.matches_with(&path, LIKE_A_SHELL) {
            true => matched.found.extend(regular(Path::new(&path))),
            false if is_shown(&path) => drop(matched.others.insert(path)),
            false => {}
        }
    }
    let failures = walked.failures.into_iter();
    matched.found.extend(failures.map(|(path, message)| Err(failure(Path::new(&path), message))));
    matched.skipped = walked.skipped.into_iter().collect();
    matched
}

/// The files of a pattern of limited depth.
fn expand_glob(pattern: &str, start: &str, rest: &str, compiled: &Pattern) -> Result<GlobMatches, String> {
    let paths = glob::glob_with(pattern, LIKE_A_SHELL)
        .map_err(|error| format!("`{pattern}` is no glob: {}", error.msg))?;
    let mut matched = GlobMatches::default();
    for path in paths {
        match path {
            Ok(path) => matched.found.extend(regular(&path)),
            Err(error) => matched.found.push(Err(failure(error.path(), error.error().to_string()))),
        }
    }
    if !rest.is_empty() && !rest.contains('/') {
        let names = names(start).into_iter().map(|name| format!("{start}{name}"));
        let others = names.filter(|path| !compiled.matches_with(path, LIKE_A_SHELL) && is_shown(path));
        matched.others = others.filter(|path| Path::new(path).is_file()).collect();
    }
    Ok(matched)
}

/// Whether the file is not hidden.
fn is_shown(path: &str) -> bool {
    !path.rsplit('/').next().unwrap_or_default().starts_with('.')
}

/// Whether a path is a pattern rather than the name of one file.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[']) && !Path::new(without_dot(path)).is_file()
}

/// Removes duplicates and sorts by path. Of several paths to one file, through links to folders, the one through
/// the fewest folders stays.
pub(super) fn deduplicate(mut found: Vec<FileResult>) -> Vec<FileResult> {
    let depth = |found: &FileResult| path_of(found).split('/').count();
    let by_name = |a: &FileResult, b: &FileResult| path_of(a).as_bytes().cmp(path_of(b).as_bytes());
    found.sort_by(|a, b| depth(a).cmp(&depth(b)).then_with(|| by_name(a, b)));
    let mut seen = HashSet::new();
    found.retain(|found| seen.insert(real_path(Path::new(path_of(found)))));
    found.sort_by(by_name);
    found
}

/// The path with links resolved; if it cannot be resolved, that of its folder, and its name.
fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().and_then(|folder| folder.canonicalize().ok()), path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// The path of a regular file; `None` for a folder.
fn regular(path: &Path) -> Option<FileResult> {
    let problem = match (path.metadata(), path.to_str()) {
        (Ok(kind), _) if kind.is_dir() => return None,
        // A pipe or device might never end.
        (Ok(kind), _) if !kind.is_file() => "not a regular file".to_owned(),
        (Ok(_), Some(path)) => return Some(Ok(path.to_owned())),
        (Ok(_), None) => "its name is not UTF-8".to_owned(),
        (Err(error), _) => error.to_string(),
    };
    Some(Err(failure(path, problem)))
}

/// The path of a file or of a failure.
pub(super) fn path_of(found: &FileResult) -> &str {
    match found {
        Ok(path) => path,
        Err(failure) => &failure.unit,
    }
}

/// The hint for a pattern that matches no file.
pub(super) fn hint(pattern: &str) -> Option<String> {
    let pattern = without_dot(pattern).trim_end_matches('/');
    if Path::new(pattern).is_dir() {
        return Some(format!("`{pattern}` is a folder: did you mean `{pattern}/**/*.md`?"));
    }
    let mut folder = String::new();
    let mut rest = pattern;
    loop {
        let (name, after) = rest.split_once('/').unwrap_or((rest, ""));
        let path = format!("{folder}{name}");
        if name.contains(['*', '?', '[']) {
            return endings(&folder);
        }
        if !path.is_empty() && !Path::new(&path).exists() {
            let names = names(&folder);
            let near = nearest(&names, name)?;
            let separator = if after.is_empty() { "" } else { "/" };
            return Some(format!("did you mean `{folder}{near}{separator}{after}`?"));
        }
        if after.is_empty() {
            return None;
        }
        folder = format!("{path}/");
        rest = after;
    }
}

fn failure(path: &Path, message: String) -> SourceFailure {
    SourceFailure::new(path.to_string_lossy(), message)
}

fn without_dot(pattern: &str) -> &str {
    let mut pattern = pattern;
    while let Some(rest) = pattern.strip_prefix("./") {
        pattern = rest.trim_start_matches('/');
    }
    pattern
}

/// The sorted names in a folder; none if it cannot be read.
fn names(folder: &str) -> Vec<String> {
    let folder = if folder.is_empty() { "." } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn nearest<'a>(names: &'a [String], wanted: &str) -> Option<&'a str> {
    let alike = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &wanted.to_lowercase());
    let best = names.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    if alike(best) < ALIKE { None } else { Some(best) }
}

/// The extensions of the files in `folder`.
fn endings(folder: &str) -> Option<String> {
    let mut endings: Vec<String> = names(folder)
        .iter()
        .filter(|name| !name.starts_with('.') && Path::new(&format!("{folder}{name}")).is_file())
        .filter_map(|name| Some(format!("`.{}`", Path::new(name).extension()?.to_str()?)))
        .collect();
    endings.sort();
    endings.dedup();
    let shown = if folder.is_empty() { "." } else { folder.trim_end_matches('/') };
    match endings.len() {
        0 => Some(format!("`{shown}` itself holds no files with an ending; `**/` goes into its folders")),
        _ => Some(format!("`{shown}` has files ending in {}", endings.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a few files, and its path with a slash at the end.
    fn folder() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["docs/b.md", "docs/a.md", "docs/.hidden.md", "docs/deep/c.md", "docs/rows.csv"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let path = format!("{}/", folder.path().to_str().unwrap());
        (folder, path)
    }

    #[test]
    fn globs_match_files_as_a_shell_does() {
        let (_kept, root) = folder();
        for (pattern, expected) in [
            ("docs/*.md", vec!["docs/a.md", "docs/b.md"]),
            ("docs/**/*.md", vec!["docs/a.md", "docs/b.md", "docs/deep/c.md"]),
            ("docs/*", vec!["docs/a.md", "docs/b.md", "docs/rows.csv"]),
            ("docs", vec![]),
            ("none/*.md", vec![]),
        ] {
            let mut found: Vec<String> = matching(&format!("{root}{pattern}"), &[])
                .unwrap()
                .found
                .into_iter()
                .map(Result::unwrap)
                .collect();
            found.sort();
            let expected: Vec<String> = expected.iter().map(|path| format!("{root}{path}")).collect();
            assert_eq!(found, expected, "{pattern}");
        }
        assert!(matching("a/***", &[]).unwrap_err().contains("no glob"));
    }

    #[test]
    fn names_with_brackets_and_broken_links_are_found() {
        let (_kept, root) = folder();
        std::fs::write(format!("{root}docs/[x].md"), "x").unwrap();
        assert_eq!(matching(&format!("{root}docs/[x].md"), &[]).unwrap().found.len(), 1);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", format!("{root}docs/link.md")).unwrap();
            let found = matching(&format!("{root}docs/l*.md"), &[]).unwrap().found;
            assert!(found[0].as_ref().unwrap_err().message.contains("No such file"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_give_no_file_twice() {
        let (_kept, root) = folder();
        std::os::unix::fs::symlink("../docs", format!("{root}docs/aa")).unwrap();
        let found = matching(&format!("{root}docs/**/*.md"), &[]).unwrap().found;
        let names: Vec<&str> =
            found.iter().map(|found| path_of(found).strip_prefix(&root).unwrap()).collect();
        assert_eq!(names, ["docs/a.md", "docs/b.md", "docs/deep/c.md"]);
    }

    #[test]
    fn files_beside_those_that_match_are_known() {
        let (_kept, root) = folder();
        for (pattern, expected) in [
            ("docs/**/*.md", vec!["docs/rows.csv"]),
            ("docs/**/a.md", vec!["docs/b.md", "docs/deep/c.md", "docs/rows.csv"]),
            ("docs/a*.md", vec!["docs/b.md", "docs/rows.csv"]),
            ("*/a.md", vec![]),
            ("docs/a.md", vec![]),
        ] {
            let found = matching(&format!("{root}{pattern}"), &[]).unwrap();
            let expected: Vec<String> = expected.iter().map(|path| format!("{root}{path}")).collect();
            assert_eq!(found.others.into_iter().collect::<Vec<_>>(), expected, "{pattern}");
        }
        std::fs::create_dir_all(format!("{root}docs/node_modules/x")).unwrap();
        std::fs::write(format!("{root}docs/node_modules/x/n.md"), "x").unwrap();
        let skip = ["node_modules".to_owned()];
        let found = matching(&format!("{root}docs/**/*.md"), &skip).unwrap();
        assert_eq!((found.found.len(), found.skipped.len()), (3, 1));
        // Folders that a pattern names are searched.
        let found = matching(&format!("{root}docs/**/node_modules/**/*.md"), &skip).unwrap();
        assert_eq!((found.found.len(), found.skipped.len()), (1, 0));
        let found = matching(&format!("{root}docs/node_modules/**/*.md"), &skip).unwrap();
        assert_eq!((found.found.len(), found.skipped.len()), (1, 0));
    }

    #[test]
    fn a_hint_names_what_is_near() {
        let (_kept, root) = folder();
        for (pattern, expected) in [
            ("docs", "`@docs` is a folder: did you mean `@docs/**/*.md`?"),
            ("dosc/*.md", "did you mean `@docs/*.md`?"),
            ("docs/bb.md", "did you mean `@docs/b.md`?"),
            ("docs/*.txt", "`@docs` has files ending in `.csv`, `.md`"),
        ] {
            let hint = hint(&format!("{root}{pattern}")).map(|hint| hint.replace(&root, "@"));
            assert_eq!(hint.as_deref(), Some(expected), "{pattern}");
        }
        assert_eq!(hint(&format!("{root}quite/other")), None);
    }
}
