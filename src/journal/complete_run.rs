//! Reads the output of a complete run in item order, for a run that takes another run as its source.
//!
//! A file holds its lines in the order in which the items ended, which differs from run to run. The commit logs
//! tell which item each line belongs to, so the lines can be sorted by item. The whole file is read once, to locate
//! the lines and to verify the checksums; only the span of each line stays in memory. Nothing is changed, and the
//! content of the lines is left to the caller.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::commits::{CommitGroup, KIND, StablePrefix};
use super::disk::{Disk, RealDisk};
use super::frames::{self, HEADER};
use super::manifest::{Manifest, RunState};
use super::open_error::OpenError;
use super::recover::{self, commits_path};
use super::writer::{SINKS, StorageError};

/// A run in which every item has ended, and that no process works on.
#[derive(Debug)]
pub struct CompleteRun {
    root: PathBuf,
    manifest: Manifest,
}

/// The lines of one output, by item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemLines {
    /// Path of the output file.
    pub path: PathBuf,
    /// The spans of the lines in item order; those of one item in the order they were written.
    pub places: Vec<LineSpan>,
    /// BLAKE3 over the lines in that order, 32 hex digits: identifies the content whatever the order in the file.
    pub hash: String,
}

/// The position of a line in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSpan {
    /// Offset of the first byte.
    pub offset: u64,
    /// Bytes, including the line ending.
    pub length: u32,
}

/// Why a run cannot be read by another run.
#[derive(Debug, thiserror::Error)]
pub enum RunReadError {
    /// The folder holds no run.
    #[error("`{0}` holds no run")]
    NoRun(PathBuf),
    /// A process works on it.
    #[error("the run in `{0}` is being worked on by another process")]
    Running(PathBuf),
    /// It was stopped or killed before its end.
    #[error("the run in `{path}` is not complete: {state}, {items} items are done")]
    Unfinished {
        /// The run directory.
        path: PathBuf,
        /// The state it stopped in.
        state: &'static str,
        /// Items that have ended.
        items: u64,
    },
    /// It is complete, but its files are not what it wrote.
    #[error("the run in `{path}` is damaged: {}", .found.join("; "))]
    Damaged {
        /// The run directory.
        path: PathBuf,
        /// The contradictions found, one per entry.
        found: Vec<String>,
    },
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] OpenError),
}

impl From<StorageError> for RunReadError {
    fn from(error: StorageError) -> Self {
        Self::Unreadable(error.into())
    }
}

impl RunReadError {
    /// Returns a hint on what to do about it, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoRun(_) => Some("run the pipeline that makes it first".to_owned()),
            Self::Running(_) => Some("wait until it has ended".to_owned()),
            Self::Unfinished { .. } => Some("the command that began it goes on with it".to_owned()),
            Self::Damaged { path, .. } => {
                Some(format!("`synthmill repair {}` takes out what does not hold", path.display()))
            }
            Self::Unreadable(_) => None,
        }
    }
}

impl CompleteRun {
    /// Opens the run in `root`, which must be complete and intact.
    pub fn open(root: &Path) -> Result<Self, RunReadError> {
        let Some(found) = recover::inspect(root)? else { return Err(RunReadError::NoRun(root.to_owned())) };
        let path = root.to_owned();
        if found.running {
            return Err(RunReadError::Running(path));
        }
        let manifest = found.manifest;
        let state = match manifest.state {
            RunState::Finished if manifest.retrying => "rejected items are to be made again",
            RunState::Finished if manifest.rewriting => "a repair was interrupted",
            RunState::Finished => "",
            RunState::Interrupted => "interrupted",
            RunState::Running => "killed",
        };
        if !state.is_empty() {
            let items = found.done.ok + found.done.dropped + found.done.rejected;
            return Err(RunReadError::Unfinished { path, state, items });
        }
        if !found.contradictions.is_empty() {
            return Err(RunReadError::Damaged { path, found: found.contradictions });
        }
        Ok(Self { root: path, manifest })
    }

    /// Returns the run's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the files of the run's sinks, relative to its directory, in sink order.
    #[must_use]
    pub fn sinks(&self) -> &[String] {
        self.manifest.files.get(SINKS..).unwrap_or_default()
    }

    /// Returns the file of the sink with this index in `sinks`.
    #[must_use]
    pub fn path(&self, sink: usize) -> PathBuf {
        self.root.join(self.sinks().get(sink).map_or("", String::as_str))
    }

    /// Locates the lines of the sink with this index in `sinks`, and verifies every byte against the checksums.
    /// Blocks while it reads the file.
    pub fn lines(&self, sink: usize) -> Result<ItemLines, RunReadError> {
        let path = self.path(sink);
        let mut found = LineIndex::default();
        let mut lines =
            match RealDisk.length(&path).map_err(|source| StorageError::new("look at", &path, source))? {
                Some(_) => Some(LineReader::open(&path)?),
                None => None,
            };
        for generation in self.manifest.first_generation..=self.manifest.generation {
            let log_path = commits_path(&self.root, generation);
            let Some(log) = recover::read(&RealDisk, &log_path)? else { continue };
            let mut whole = Ok(true);
            let read = frames::check_header(&log, KIND).and_then(|header| match header {
                Some(_) => frames::for_each(&log, HEADER, |_, payload| {
                    if let (Ok(true), Some(group)) = (&whole, CommitGroup::read(payload)) {
                        whole = found.add_group(&group, SINKS + sink, lines.as_mut());
                    }
                }),
                None => Ok(0),
            });
            read.map_err(|source| OpenError::Log { path: log_path, source })?;
            if !whole? {
                let what = format!("`{}` is not what was committed", path.display());
                return Err(RunReadError::Damaged { path: self.root.clone(), found: vec![what] });
            }
        }
        Ok(found.into_item_lines(path))
    }
}

/// The lines of the groups read so far.
#[derive(Default)]
struct LineIndex {
    /// Item number, index of its first line in `places`, number of lines, and their hash.
    items: Vec<(u64, usize, u32, [u8; 16])>,
    places: Vec<LineSpan>,
}

impl LineIndex {
    /// Adds the lines of a group; returns whether they are what was committed.
    fn add_group(
        &mut self,
        group: &CommitGroup,
        file: usize,
        lines: Option<&mut LineReader>,
    ) -> Result<bool, StorageError> {
        let Some((_, stable)) = group.files.get(file) else { return Ok(false) };
        let Some(lines) = lines else { return Ok(stable.offset == 0) };
        for (index, (item, _)) in group.items.iter().enumerate() {
            let count = group.lines_of(index).get(file).copied().unwrap_or_default();
            if count == 0 {
                continue;
            }
            let first = self.places.len();
            let mut hasher = blake3::Hasher::new();
            for _ in 0..count {
                let Some(place) = lines.next(stable.offset)? else { return Ok(false) };
                hasher.update(&lines.line);
                self.places.push(place);
            }
            let mut hash = [0; 16];
            hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
            self.items.push((*item, first, count, hash));
        }
        Ok(lines.seen == *stable)
    }

    fn into_item_lines(mut self, path: PathBuf) -> ItemLines {
        self.items.sort_unstable_by_key(|(item, ..)| *item);
        let mut hasher = blake3::Hasher::new();
        let mut places = Vec::with_capacity(self.places.len());
        for (_, first, count, hash) in &self.items {
            hasher.update(hash);
            places.extend(self.places.iter().skip(*first).take(*count as usize));
        }
        ItemLines { path, places, hash: hasher.finalize().to_hex()[..32].to_owned() }
    }
}

/// Reads a file line by line and keeps the checksum of what has been read.
struct LineReader {
    path: PathBuf,
    reader: BufReader<Box<dyn std::io::Read + Send>>,
    line: Vec<u8>,
    seen: StablePrefix,
}

impl LineReader {
    fn open(path: &Path) -> Result<Self, StorageError> {
        let file = RealDisk.read(path).map_err(|source| StorageError::new("open", path, source))?;
        let reader = BufReader::with_capacity(1 << 18, file);
        Ok(Self { path: path.to_owned(), reader, line: Vec::new(), seen: StablePrefix::default() })
    }

    /// Reads the next line into `line`; `None` if neither the file nor the bytes up to `end` hold another one.
    fn next(&mut self, end: u64) -> Result<Option<LineSpan>, StorageError> {
        self.line.clear();
        let left = end.saturating_sub(self.seen.offset);
        let mut bounded = std::io::Read::take(&mut self.reader, left);
        let read = bounded.read_until(b'\n', &mut self.line);
        read.map_err(|source| StorageError::new("read", &self.path, source))?;
        let offset = self.seen.offset;
        let Some(length) = u32::try_from(self.line.len()).ok().filter(|_| self.line.ends_with(b"\n")) else {
            return Ok(None);
        };
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.seen.crc, offset);
        crc.update(&self.line);
        self.seen = StablePrefix {
            offset: offset + u64::from(length),
            lines: self.seen.lines + 1,
            crc: crc.finalize(),
        };
        Ok(Some(LineSpan { offset, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::commits::ItemOutcome;

    /// Groups of items with their lines, as the file and as the commit log hold them.
    fn written(groups: &[&[(u64, &[&str])]]) -> (Vec<u8>, Vec<CommitGroup>) {
        let (mut bytes, mut committed) = (Vec::new(), Vec::new());
        let mut stable = StablePrefix::default();
        for items in groups {
            let from = stable.offset;
            let mut group = CommitGroup::default();
            for (item, lines) in *items {
                group.items.push((*item, ItemOutcome::Ok));
                group.lines.push(lines.len() as u32);
                for line in *lines {
                    bytes.extend_from_slice(line.as_bytes());
                    bytes.push(b'\n');
                    stable.lines += 1;
                }
            }
            stable.offset = bytes.len() as u64;
            stable.crc = crc32fast::hash(&bytes);
            group.files.push((from, stable));
            committed.push(group);
        }
        (bytes, committed)
    }

    /// The lines of the file in item order, and their hash; `None` if they are not what was committed.
    fn read(bytes: &[u8], groups: &[CommitGroup]) -> Option<(Vec<String>, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        RealDisk.append(&path).unwrap().write(bytes).unwrap();
        let mut lines = LineReader::open(&path).unwrap();
        let mut found = LineIndex::default();
        for group in groups {
            if !found.add_group(group, 0, Some(&mut lines)).unwrap() {
                return None;
            }
        }
        let found = found.into_item_lines(path);
        let line = |place: &LineSpan| {
            let from = place.offset as usize;
            String::from_utf8(bytes[from..from + place.length as usize].to_vec())
                .unwrap()
                .trim_end()
                .to_owned()
        };
        Some((found.places.iter().map(line).collect(), found.hash))
    }

    #[test]
    fn lines_are_in_item_order_and_their_hash_ignores_the_order_in_the_file() {
        let (bytes, groups) = written(&[&[(3, &["d"]), (0, &["a", "b"])], &[(2, &[]), (1, &["c"])]]);
        let (lines, hash) = read(&bytes, &groups).unwrap();
        assert_eq!(lines, ["a", "b", "c", "d"]);
        let (other, groups) = written(&[&[(0, &["a", "b"]), (1, &["c"]), (2, &[]), (3, &["d"])]]);
        assert_ne!(bytes, other);
        assert_eq!(read(&other, &groups).unwrap(), (lines, hash.clone()));
        let (changed, groups) = written(&[&[(0, &["a", "b"]), (1, &["c"]), (2, &[]), (3, &["e"])]]);
        assert_ne!(read(&changed, &groups).unwrap().1, hash);
        let (swapped, groups) = written(&[&[(0, &["a", "b"]), (1, &["d"]), (2, &[]), (3, &["c"])]]);
        assert_ne!(read(&swapped, &groups).unwrap().1, hash);
    }

    #[test]
    fn a_byte_that_differs_from_the_commit_is_detected() {
        let (bytes, groups) = written(&[&[(1, &["one", "two"])], &[(0, &["three"])]]);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed, &groups), None, "byte {at}");
            assert_eq!(read(&bytes[..at], &groups), None, "cut at {at}");
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"not committed\n");
        assert_eq!(read(&longer, &groups), read(&bytes, &groups));
    }
}
