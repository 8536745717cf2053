//! The selection of an `ingest`: the files it reads, and those it leaves out where it looks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Ingest;
use super::files::{self, FileResult, GlobMatches};
use crate::stage::LeftOut;

/// The result of all paths together.
#[derive(Debug, Default)]
pub(super) struct FileSelection {
    /// The files; without duplicates after `left_out`.
    pub(super) found: Vec<FileResult>,
    others: BTreeSet<String>,
    skipped: BTreeSet<String>,
    /// Files that cannot be read, judging by their beginning, and why.
    pub(super) unreadable: Vec<(String, String)>,
}

impl FileSelection {
    /// Adds the result of one path, and returns its files. Matches whose extension is unknown are left out if
    /// others can be read.
    pub(super) fn add(&mut self, config: &Ingest, pattern: &str, matched: GlobMatches) -> Vec<FileResult> {
        let GlobMatches { mut found, others, skipped } = matched;
        let can_be_read = |found: &FileResult| found.as_ref().is_ok_and(|path| config.can_read(path));
        if files::is_pattern(pattern) && found.iter().any(can_be_read) {
            let (kept, left): (Vec<FileResult>, Vec<FileResult>) =
                found.into_iter().partition(|found| found.is_err() || can_be_read(found));
            self.others.extend(left.into_iter().flatten());
            found = kept;
        }
        self.found.extend(found.iter().cloned());
        self.others.extend(others);
        self.skipped.extend(skipped);
        found
    }

    /// Returns what is left out, once all paths are known.
    pub(super) fn left_out(&mut self) -> LeftOut {
        let found = files::deduplicate(std::mem::take(&mut self.found));
        for file in found.iter().flatten() {
            self.others.remove(file);
        }
        self.found = found;
        let read = self.found.iter().flatten().count() as u64;
        count(read, &self.others, &self.skipped)
    }
}

/// Counts files by kind: those of one extension together, as `.pdf`; others by what they are.
fn count(read: u64, files: &BTreeSet<String>, folders: &BTreeSet<String>) -> LeftOut {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for file in files.iter().filter(|file| !is_licence(file)) {
        *kinds.entry(kind(file)).or_default() += 1;
    }
    LeftOut { read, kinds, folders: folders.iter().cloned().collect() }
}

/// Whether a file is the licence of those beside it, which nobody expects to be read.
fn is_licence(file: &str) -> bool {
    let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["LICENSE", "LICENCE", "COPYING", "NOTICE"].iter().any(|known| name.to_uppercase().starts_with(known))
}

fn kind(file: &str) -> String {
    match Path::new(file).extension().and_then(|ending| ending.to_str()) {
        Some(ending) => format!(".{}", ending.to_lowercase()),
        None => "without an ending".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_the_most_frequent_first() {
        let files = ["a.pdf", "b.PDF", "c.docx", "Makefile", "d/e.pdf", "LICENSE", "d/COPYING.txt"];
        let files: BTreeSet<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let told = count(2, &files, &BTreeSet::from(["x/node_modules".to_owned()]));
        assert_eq!(
            told.to_string(),
            "read 2 files, left out 5: 3 .pdf, 1 .docx, 1 without an ending; not looked into: x/node_modules"
        );
        assert_eq!(count(1, &BTreeSet::new(), &BTreeSet::new()).to_string(), "read 1 file, left out none");
    }
}
