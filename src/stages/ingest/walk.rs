//! A recursive directory walk for patterns with `**`: each real folder once, so that link cycles end.
//!
//! Shallower folders come first, real ones before links to them, by name: every walk finds the same files under
//! the same paths. Folders of dependencies and caches are skipped, as by tools that follow `.gitignore`.

use std::collections::HashSet;
use std::fs::{DirEntry, Metadata};
use std::path::Path;
use std::time::{Duration, Instant};

/// A longer walk logs its position.
const PATIENCE: Duration = Duration::from_secs(2);
/// The interval of these log messages.
const AGAIN: Duration = Duration::from_secs(10);
/// Files that mark their folder as a cache or a language environment.
const MARKS: &[&str] = &["CACHEDIR.TAG", "pyvenv.cfg"];

/// Which folders are skipped.
#[derive(Debug, Clone)]
pub(super) struct SkipRules<'a> {
    /// By name.
    pub(super) names: &'a [String],
    /// Whether hidden folders are skipped.
    pub(super) hidden: bool,
}

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct WalkResult {
    /// The paths of everything except folders.
    pub(super) files: Vec<String>,
    /// Folders that cannot be read, and why.
    pub(super) failures: Vec<(String, String)>,
    /// Folders that were skipped because of their names or marks.
    pub(super) skipped: Vec<String>,
}

struct Folder {
    path: String,
    is_link: bool,
    /// Whether the pattern names it: then it is never skipped.
    is_start: bool,
}

/// Walks `start`, a path with a slash at its end, or empty for the working directory.
pub(super) fn walk(start: &str, skip: &SkipRules<'_>) -> WalkResult {
    let mut walk = FolderWalker {
        skip,
        walked: WalkResult::default(),
        seen: HashSet::new(),
        tell: Instant::now() + PATIENCE,
    };
    let mut level = vec![Folder { path: start.to_owned(), is_link: false, is_start: true }];
    while !level.is_empty() {
        level.sort_by(|a, b| (a.is_link, &a.path).cmp(&(b.is_link, &b.path)));
        let mut below = Vec::new();
        for folder in level {
            walk.log_progress(start, &folder.path);
            walk.folder(&folder, &mut below);
        }
        level = below;
    }
    walk.walked
}

struct FolderWalker<'a> {
    skip: &'a SkipRules<'a>,
    walked: WalkResult,
    seen: HashSet<FileId>,
    tell: Instant,
}

impl FolderWalker<'_> {
    fn folder(&mut self, folder: &Folder, below: &mut Vec<Folder>) {
        let path = if folder.path.is_empty() { Path::new(".") } else { Path::new(&folder.path) };
        let listed =
            path.metadata().and_then(|found| Ok((identity(path, &found)?, std::fs::read_dir(path)?)));
        let entries = match listed {
            Ok((identity, _)) if !self.seen.insert(identity) => return,
            Ok((_, entries)) => entries.filter_map(Result::ok).collect::<Vec<DirEntry>>(),
            Err(error) => return self.walked.failures.push((folder.path.clone(), error.to_string())),
        };
        let is_marked = entries.iter().any(|entry| MARKS.iter().any(|mark| entry.file_name() == *mark));
        if is_marked && !folder.is_start && !self.skip.names.is_empty() {
            return self.walked.skipped.push(folder.path.trim_end_matches('/').to_owned());
        }
        for entry in entries {
            let name = entry.file_name();
            let path = format!("{}{}", folder.path, name.to_string_lossy());
            let kind = entry.file_type();
            let is_link = kind.as_ref().is_ok_and(std::fs::FileType::is_symlink);
            let is_folder = match is_link {
                true => Path::new(&path).is_dir(),
                false => kind.is_ok_and(|kind| kind.is_dir()),
            };
            if !is_folder {
                self.walked.files.push(path);
            } else if self.skip.hidden && name.to_string_lossy().starts_with('.') {
                // As in a shell, silently.
            } else if self.skip.names.iter().any(|skipped| name == skipped.as_str()) {
                self.walked.skipped.push(path);
            } else {
                below.push(Folder { path: format!("{path}/"), is_link, is_start: false });
            }
        }
    }

    /// Logs the position of a long walk.
    fn log_progress(&mut self, start: &str, at: &str) {
        if Instant::now() < self.tell {
            return;
        }
        self.tell = Instant::now() + AGAIN;
        let start = if start.is_empty() { "." } else { start };
        let (folders, files) = (self.seen.len(), self.walked.files.len());
        tracing::info!(
            "looking for files below `{start}`: {folders} folders and {files} files so far, now in `{at}`"
        );
    }
}

/// Identifies a real folder.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = std::path::PathBuf;

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere the path is asked for, which may fail")]
fn identity(_: &Path, found: &Metadata) -> std::io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    Ok((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path, _: &Metadata) -> std::io::Result<FileId> {
    path.canonicalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the files and the skipped folders of a walk of a folder with these files.
    fn check(
        files: &[&str],
        links: &[(&str, &str)],
        names: &[&str],
        expected: &[&str],
        passed_over: &[&str],
    ) {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        #[cfg(unix)]
        for (to, at) in links {
            std::os::unix::fs::symlink(to, folder.path().join(at)).unwrap();
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let start = format!("{}/", folder.path().to_str().unwrap());
        let walked = walk(&start, &SkipRules { names: &names, hidden: true });
        let bare = |paths: Vec<String>| -> Vec<String> {
            let mut paths: Vec<String> = paths.iter().map(|path| path.replacen(&start, "", 1)).collect();
            paths.sort();
            paths
        };
        assert_eq!(bare(walked.files), expected);
        assert_eq!(bare(walked.skipped), passed_over);
        assert!(walked.failures.is_empty());
    }

    #[test]
    fn folders_of_dependencies_and_caches_are_skipped() {
        let files = [
            "a.md",
            "b/c.md",
            "node_modules/d.md",
            "b/node_modules/e.md",
            "target/CACHEDIR.TAG",
            "target/f.md",
            "venv/pyvenv.cfg",
            ".git/g.md",
        ];
        let passed_over = ["b/node_modules", "node_modules", "target", "venv"];
        check(&files, &[], &["node_modules"], &["a.md", "b/c.md"], &passed_over);
        let all = [
            "a.md",
            "b/c.md",
            "b/node_modules/e.md",
            "node_modules/d.md",
            "target/CACHEDIR.TAG",
            "target/f.md",
            "venv/pyvenv.cfg",
        ];
        check(&files, &[], &[], &all, &[]);
    }

    #[cfg(unix)]
    #[test]
    fn each_real_folder_is_walked_once_however_it_is_linked() {
        let mut files = Vec::new();
        let mut links = Vec::new();
        let names: Vec<String> = (0..12).map(|number| format!("p{number:02}")).collect();
        for name in &names {
            files.push(format!("{name}/a.md"));
            for other in names.iter().filter(|other| *other != name) {
                links.push((format!("../{other}"), format!("{name}/{other}")));
            }
            links.push(("..".to_owned(), format!("{name}/up")));
        }
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let links: Vec<(&str, &str)> = links.iter().map(|(to, at)| (to.as_str(), at.as_str())).collect();
        check(&files, &links, &[], &files, &[]);
        // The path through the fewest folders stays, and a real one before a link.
        check(&["z/deep/x.md"], &[("z/deep", "a")], &[], &["a/x.md"], &[]);
        check(&["z/x.md"], &[("z", "a")], &[], &["z/x.md"], &[]);
    }
}
