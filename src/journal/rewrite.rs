//! Takes items out of a run, so that the next start makes them again: for `repair` and `retry-rejected`.
//!
//! Every output is written anew without the lines of those items, and the commit logs are gathered into
//! one. The new files are made beside the old ones and put in place after the manifest says so: a kill at
//! any moment leaves either the run as it was or one whose next opening finishes the move.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::answers::{self, Recovered};
use super::batches::{self, Batches};
use super::commits::{self, AnswersFrom, Group, Outcome, Spent, Stable};
use super::disk::{self, Disk, DiskFile};
use super::frames;
use super::manifest::{Manifest, RunState};
use super::open_error::OpenError;
use super::recover;
use super::writer::StorageError;

/// Items in one gathered frame.
const GROUP: usize = 512;
/// Bytes gathered before each write.
const CHUNK: usize = 1 << 20;

/// An existing run directory, locked, whose items are being looked at.
pub(super) struct Existing {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) groups: Vec<Group>,
    _lock: Box<dyn Send + Sync>,
}

/// One committed item and its lines, by file.
pub(super) struct Item<'a> {
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Its lines in each file, with their line ends.
    pub(super) lines: &'a [&'a [u8]],
}

impl Existing {
    /// Locks the run in `root`. `read` takes the groups of one commit log.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        mut read: impl FnMut(&Path, &[u8], &mut Vec<Group>) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        let Some(mut manifest) = recover::manifest(&*disk, root)? else {
            return Err(OpenError::NoRun(root.to_owned()));
        };
        let lock = super::directory::lock(&*disk, root)?;
        finish_rewriting(&*disk, root, &mut manifest)?;
        let mut groups = Vec::new();
        for generation in manifest.first_generation..=manifest.generation {
            let path = recover::commits_path(root, generation);
            let Some(log) = recover::read(&*disk, &path)? else { continue };
            read(&path, &log, &mut groups)?;
        }
        Ok(Self { disk, root: root.to_owned(), manifest, groups, _lock: lock })
    }

    /// Opens the run in `root`, whose logs must be whole.
    pub(super) fn whole(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, OpenError> {
        Self::open(disk, root, |path, log, groups| {
            let failed = |source| OpenError::Log { path: path.to_owned(), source };
            if !frames::check_header(log, commits::KIND).map_err(failed)? {
                return Ok(());
            }
            frames::each(log, frames::HEADER, |_, payload| groups.extend(Group::read(payload)))
                .map_err(failed)
        })
    }

    /// The run's manifest.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The items for which `choose` says yes.
    pub(super) fn choose(&self, choose: impl Fn(Item<'_>) -> bool) -> Result<RoaringTreemap, OpenError> {
        let mut chosen = RoaringTreemap::new();
        for group in &self.groups {
            let ranges = self.ranges(group)?;
            for ((item, outcome), places) in group.items.iter().zip(places(group, &ranges)) {
                let lines: Vec<&[u8]> =
                    ranges.iter().zip(places).map(|(bytes, place)| &bytes[place]).collect();
                if choose(Item { outcome: *outcome, lines: &lines }) {
                    chosen.insert(*item);
                }
            }
        }
        Ok(chosen)
    }

    /// Takes the items in `redo` out of the run. `answers` are those that the next start may find.
    pub(super) fn without(mut self, redo: &RoaringTreemap, answers: &Recovered) -> Result<(), OpenError> {
        let generation = self.manifest.generation + 1;
        let folder = self.root.join("journal/rewrite");
        self.disk.create_dir_all(&folder).map_err(|source| StorageError::new("make", &folder, source))?;
        let mut files = Vec::new();
        for index in 0..self.manifest.files.len() {
            files.push(NewFile::make(&*self.disk, folder.join(index.to_string()))?);
        }
        let log_path = recover::commits_path(&self.root, generation);
        let mut log = NewFile::make(&*self.disk, log_path)?;
        log.write(&frames::header(commits::KIND, generation))?;
        let mut gathered = Gathered::new(generation, self.spent().later(answers.spent).plus(answers.out));
        for group in &self.groups {
            let ranges = self.ranges(group)?;
            let places = places(group, &ranges);
            for (index, (item, outcome)) in group.items.iter().enumerate() {
                if redo.contains(*item) {
                    continue;
                }
                for ((file, bytes), place) in files.iter_mut().zip(&ranges).zip(&places[index]) {
                    file.write(&bytes[place.clone()])?;
                }
                let counts = group.lines_of(index);
                for (file, lines) in files.iter_mut().zip(counts) {
                    file.stable.lines += u64::from(*lines);
                }
                gathered.add(*item, *outcome, counts);
                if gathered.group.items.len() == GROUP {
                    gathered.close(&mut files, &mut log)?;
                }
            }
        }
        gathered.close(&mut files, &mut log)?;
        for file in files.iter_mut().chain([&mut log]) {
            file.sync()?;
        }
        self.write_answers(generation, answers)?;
        self.write_batches(generation, redo)?;
        for folder in [&folder, &self.root.join("journal")] {
            self.disk.sync_dir(folder).map_err(|source| StorageError::new("sync", folder, source))?;
        }
        self.manifest.generation = generation;
        self.manifest.first_generation = generation;
        self.manifest.rewriting = true;
        self.manifest.state = RunState::Interrupted;
        save(&*self.disk, &self.root, &self.manifest)?;
        finish_rewriting(&*self.disk, &self.root, &mut self.manifest)
    }

    /// What the run had spent at its last commit.
    fn spent(&self) -> Spent {
        self.groups.iter().fold(Spent::default(), |spent, group| spent.later(group.spent))
    }

    fn write_answers(&self, generation: u32, answers: &Recovered) -> Result<(), OpenError> {
        let mut file = NewFile::make(&*self.disk, recover::answers_path(&self.root, generation))?;
        file.write(&frames::header(answers::KIND, generation))?;
        for (names, kept) in answers.answers.values() {
            let mut bytes = Vec::new();
            answers::push(&mut bytes, *names, kept, answers.spent, false, true);
            file.write(&bytes)?;
        }
        Ok(file.sync()?)
    }

    /// Batches of items that are made again are forgotten with their answers.
    fn write_batches(&self, generation: u32, redo: &RoaringTreemap) -> Result<(), OpenError> {
        let earlier = self.manifest.first_generation..=self.manifest.generation;
        let batches = Batches::salvage(&*self.disk, &self.root, earlier, &mut Vec::new())?;
        if batches.last == 0 {
            return Ok(());
        }
        let events = batches.carried(redo);
        let mut file = NewFile::make(&*self.disk, batches::path(&self.root, generation))?;
        let mut bytes = frames::header(batches::KIND, generation);
        for event in &events {
            batches::push(&mut bytes, event);
        }
        file.write(&bytes)?;
        Ok(file.sync()?)
    }

    /// A group's bytes in each file.
    fn ranges(&self, group: &Group) -> Result<Vec<Vec<u8>>, StorageError> {
        let mut ranges = Vec::with_capacity(group.files.len());
        for (name, (from, stable)) in self.manifest.files.iter().zip(&group.files) {
            ranges.push(self.range(name, *from, stable.offset)?);
        }
        Ok(ranges)
    }

    /// The bytes `from..to` of a file; fewer where it is shorter or missing.
    pub(super) fn range(&self, name: &str, from: u64, to: u64) -> Result<Vec<u8>, StorageError> {
        let path = self.root.join(name);
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(Vec::new());
        }
        match self.disk.read_at(&path, from, length) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|source| StorageError::new("read", &path, source)),
        }
    }
}

/// Where each item's lines stand in the group's bytes: by item, then by file.
fn places(group: &Group, ranges: &[Vec<u8>]) -> Vec<Vec<Range<usize>>> {
    let mut at = vec![0; ranges.len()];
    let mut places = Vec::with_capacity(group.items.len());
    for index in 0..group.items.len() {
        let mut of_item = Vec::with_capacity(ranges.len());
        for ((bytes, at), lines) in ranges.iter().zip(&mut at).zip(group.lines_of(index)) {
            let start = *at;
            for _ in 0..*lines {
                let rest = &bytes[*at..];
                *at += rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
            }
            of_item.push(start..*at);
        }
        places.push(of_item);
    }
    places
}

/// Puts files that were written anew in their places, if a kill left that undone. They are copied, and
/// stay beside until the manifest says that all are in place: a rename whose two halves are not durable
/// together could otherwise lose one.
pub(super) fn finish_rewriting(
    disk: &dyn Disk,
    root: &Path,
    manifest: &mut Manifest,
) -> Result<(), OpenError> {
    if !manifest.rewriting {
        return Ok(());
    }
    let waiting = |index: usize| root.join("journal/rewrite").join(index.to_string());
    for (index, name) in manifest.files.iter().enumerate() {
        put_in_place(disk, &waiting(index), &root.join(name))?;
    }
    manifest.rewriting = false;
    save(disk, root, manifest)?;
    for path in (0..manifest.files.len()).map(waiting) {
        disk.remove(&path).map_err(|source| StorageError::new("remove", &path, source))?;
    }
    Ok(())
}

fn put_in_place(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StorageError> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let mut file = NewFile::make(disk, to.with_file_name(name))?;
    let mut source = disk.read(from).map_err(|source| StorageError::new("open", from, source))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk).map_err(|source| StorageError::new("read", from, source))?;
        if read == 0 {
            break;
        }
        file.write(&chunk[..read])?;
    }
    file.sync()?;
    disk.rename(&file.path, to).map_err(|source| StorageError::new("rename", &file.path, source))?;
    match to.parent() {
        Some(parent) => disk.sync_dir(parent).map_err(|source| StorageError::new("sync", parent, source)),
        None => Ok(()),
    }
}

fn save(disk: &dyn Disk, root: &Path, manifest: &Manifest) -> Result<(), StorageError> {
    let path = root.join("manifest.json");
    let json = serde_json::to_vec_pretty(manifest)
        .map_err(|error| StorageError::new("write", &path, std::io::Error::other(error)))?;
    disk::replace(disk, &path, &json, true).map_err(|source| StorageError::new("replace", &path, source))
}

/// The frame being gathered.
struct Gathered {
    group: Group,
    from: Vec<u64>,
    spent: Spent,
    frames: u64,
}

impl Gathered {
    fn new(generation: u32, spent: Spent) -> Self {
        let answers = AnswersFrom { generation, offset: 0 };
        Self { group: Group { answers, ..Group::default() }, from: Vec::new(), spent, frames: 0 }
    }

    fn add(&mut self, item: u64, outcome: Outcome, lines: &[u32]) {
        self.group.items.push((item, outcome));
        self.group.lines.extend_from_slice(lines);
    }

    fn close(&mut self, files: &mut [NewFile], log: &mut NewFile) -> Result<(), StorageError> {
        // One frame at least, if only to say what was spent and from where on answers are found.
        if self.group.items.is_empty() && self.frames > 0 {
            return Ok(());
        }
        self.frames += 1;
        self.from.resize(files.len(), 0);
        self.group.files = self.from.iter().zip(&*files).map(|(from, file)| (*from, file.stable)).collect();
        self.group.spent = self.spent;
        self.from = files.iter().map(|file| file.stable.offset).collect();
        let mut frame = Vec::new();
        self.group.push(&mut frame);
        self.group.items.clear();
        self.group.lines.clear();
        log.write(&frame)
    }
}

/// A file written from its start, with its length and checksum.
struct NewFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    stable: Stable,
    waiting: Vec<u8>,
}

impl NewFile {
    fn make(disk: &dyn Disk, path: PathBuf) -> Result<Self, StorageError> {
        // Left by an earlier try that was killed.
        if disk.length(&path).map_err(|source| StorageError::new("look at", &path, source))?.is_some() {
            disk.remove(&path).map_err(|source| StorageError::new("remove", &path, source))?;
        }
        let file = disk.append(&path).map_err(|source| StorageError::new("open", &path, source))?;
        Ok(Self { path, file, stable: Stable::default(), waiting: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.stable.crc, self.stable.offset);
        crc.update(bytes);
        self.stable.crc = crc.finalize();
        self.stable.offset += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.file.write(&waiting).map_err(|source| StorageError::new("write", &self.path, source))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.flush()?;
        self.file.sync().map_err(|source| StorageError::new("sync", &self.path, source))
    }
}
