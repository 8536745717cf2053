//! Begins a start on an opened run directory: a new generation, with its own logs.
//!
//! The order of the steps makes whatever a kill leaves distinguishable from what was lost (`integrity`): the logs
//! of a killed start are synced and their lengths saved; the outputs are truncated to their stable prefix; the
//! manifest records that a start began; then its logs are created, and at last the mark in the lock file is
//! written. From there on `writer`, `answer_log` and `note_log` do the writing.

use std::path::PathBuf;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::answer_log::{AnswerCollector, AnswerLog, AnswerLogThread};
use super::answers::RequestKey;
use super::commits::{Spent, StablePrefix};
use super::directory::RunDirectory;
use super::disk;
use super::frames::LogHeader;
use super::lock::HighWaterMark;
use super::manifest::{LogLengths, Manifest, RunState};
use super::note_log::{NoteLog, NoteLogThread};
use super::notes::{self, CompactNotes, EarlierNotes};
use super::open_error::OpenError;
use super::recover;
use super::removed;
use super::writer::{CommitWriter, StorageError, UNITS, WriterFiles};

/// How a run's files are written.
#[derive(Debug, Clone, Copy)]
pub struct StorageOptions {
    /// Whether files are synced with each commit.
    pub sync: bool,
    /// Whether answers are compressed.
    pub pack: bool,
}

/// The handles of a start's threads.
pub struct StartedRun {
    /// Commits items that have ended.
    pub writer: CommitWriter,
    /// Stores and looks up answers.
    pub answers: Arc<AnswerLog>,
    /// To be run as a task, without which no answer is stored. Ends once every `answers` is dropped.
    pub collector: AnswerCollector,
    /// Ends once every `answers` is dropped.
    pub answers_thread: AnswerLogThread,
    /// The notes of earlier starts and of this one.
    pub notes: NoteLog,
    /// Ends once `notes` is dropped.
    pub notes_thread: NoteLogThread,
    /// What earlier starts have spent on the models.
    pub spent: Spent,
}

impl RunDirectory {
    /// Begins a new generation that covers the items before `limit`: truncates the outputs to their stable prefix,
    /// collects the answers of unfinished items, and starts the threads that write.
    pub fn start(
        &mut self,
        done: &RoaringTreemap,
        limit: Option<u64>,
        how: StorageOptions,
        carry: CompactNotes,
    ) -> Result<StartedRun, OpenError> {
        let (mut recovered, ends) = recover::answers(self, self.checked.done.answers, done)?;
        let reuse = recover::reuse(self)?;
        let earlier = self.manifest.first_generation..=self.manifest.generation;
        let EarlierNotes { notes, ends: note_ends } = EarlierNotes::read(&*self.disk, &self.root, earlier)?;
        let last = self.manifest.generation;
        let found = LogLengths {
            commits: self.checked.last_commits,
            answers: ends.get(&last).copied(),
            notes: note_ends.get(&last).copied(),
        };
        self.close_last_start(found, how.sync)?;
        let is_awaited =
            |item, key: &RequestKey| !done.contains(item) && !recovered.answers.contains_key(key);
        let carried = carry(&notes, &is_awaited);
        let spent = recovered.settle(self.checked.done.spent);
        // Truncated before the manifest records the start, so that a start without a log implies clean outputs.
        self.cut_outputs(how.sync)?;
        self.manifest.generation += 1;
        // Written before any other file: without it, the next start would refuse the folder as foreign.
        self.save(|manifest| {
            manifest.state = RunState::Running;
            manifest.limit = limit;
        })?;
        self.save_pipeline()?;
        self.remove_replaced()?;
        let mut outputs = Vec::with_capacity(self.manifest.files.len());
        for (name, stable) in self.manifest.files.iter().zip(&self.checked.done.files) {
            let path = self.root.join(name);
            if let Some(parent) = path.parent() {
                self.disk
                    .create_dir_all(parent)
                    .map_err(|source| StorageError::new("make", parent, source))?;
            }
            outputs.push((path, *stable));
        }
        let Manifest { run, generation, first_generation: first, .. } = self.manifest;
        let header = LogHeader { run, generation, first };
        let log = recover::answers_path(&self.root, generation);
        let sync = (how.sync, how.pack);
        let (answers, collector, answers_thread) =
            AnswerLog::start(&self.disk, &log, (header, &self.lock), recovered, reuse, sync)?;
        // If a start fails from here on, it waits for its threads, which hold the lock.
        let rest = self.start_writing(header, outputs, carried, how.sync);
        let (writer, notes, notes_thread) = match rest {
            Ok(rest) => rest,
            Err(error) => {
                drop((answers, collector));
                let _ = answers_thread.finish();
                return Err(error.into());
            }
        };
        let answers = Arc::new(answers);
        Ok(StartedRun { writer, answers, collector, answers_thread, notes, notes_thread, spent })
    }

    /// Starts the threads of the notes and the outputs, and writes the mark once all logs exist.
    fn start_writing(
        &self,
        header: LogHeader,
        outputs: Vec<(PathBuf, StablePrefix)>,
        carried: Vec<Vec<u8>>,
        sync: bool,
    ) -> Result<(CommitWriter, NoteLog, NoteLogThread), StorageError> {
        let generation = header.generation;
        let commits = recover::commits_path(&self.root, generation);
        let lock = Some(Arc::clone(&self.lock));
        let (notes, notes_thread) =
            NoteLog::start(Arc::clone(&self.disk), &self.root, (header, lock), carried, sync)?;
        let files = WriterFiles {
            disk: Arc::clone(&self.disk),
            root: self.root.clone(),
            log: commits,
            outputs,
            lock: Arc::clone(&self.lock),
            sync,
        };
        let begun =
            CommitWriter::start(files, header).and_then(|writer| match self.write_mark(header, sync) {
                Ok(()) => Ok(writer),
                Err(error) => {
                    let _ = writer.finish();
                    Err(error)
                }
            });
        match begun {
            Ok(writer) => Ok((writer, notes, notes_thread)),
            Err(error) => {
                drop(notes);
                notes_thread.finish();
                Err(error)
            }
        }
    }

    fn write_mark(&self, header: LogHeader, sync: bool) -> Result<(), StorageError> {
        let LogHeader { run, generation, .. } = header;
        let lengths = LogLengths {
            commits: self.length(&recover::commits_path(&self.root, generation))?,
            answers: self.length(&recover::answers_path(&self.root, generation))?,
            notes: self.length(&notes::path(&self.root, generation))?,
        };
        self.lock.begin(HighWaterMark { run, generation, lengths }, sync)
    }

    /// Saves the lengths of the last start's logs if it was killed. The logs are synced first: what a kill left in
    /// the page cache would otherwise be missing after a loss of power.
    fn close_last_start(&mut self, found: LogLengths, sync: bool) -> Result<(), OpenError> {
        let generation = self.manifest.generation;
        if generation < self.manifest.first_generation {
            return Ok(());
        }
        let paths = [
            recover::commits_path(&self.root, generation),
            recover::answers_path(&self.root, generation),
            notes::path(&self.root, generation),
        ];
        if let Some(closed) = self.manifest.logs.get(&generation) {
            // These logs are read to their ends only here.
            for (path, found, closed) in
                [(&paths[1], found.answers, closed.answers), (&paths[2], found.notes, closed.notes)]
            {
                if found != closed {
                    let what = format!("`{}` is damaged at its end, or was added to", path.display());
                    return Err(OpenError::Contradicted { path: self.root.clone(), found: vec![what] });
                }
            }
            return Ok(());
        }
        for path in paths.iter().filter(|_| sync) {
            if self.length(path)?.is_some() {
                let opened = self.disk.append(path);
                opened
                    .and_then(|mut file| file.sync())
                    .map_err(|source| StorageError::new("sync", path, source))?;
            }
        }
        self.manifest.logs.insert(generation, found);
        Ok(())
    }

    /// Truncates the outputs to their last commit. The bytes removed were about to be committed when the last start
    /// was killed, and are made again; if that is not certain, they are kept aside and a warning is logged.
    fn cut_outputs(&self, sync: bool) -> Result<(), StorageError> {
        let all: u64 = self.checked.excess.iter().sum();
        if all > 0 && self.checked.is_witnessed {
            tracing::info!("{all} bytes that were about to be committed at the last stop are made again");
        }
        let outputs = self.manifest.files.iter().zip(&self.checked.done.files).zip(&self.checked.excess);
        for ((name, stable), excess) in outputs.filter(|(_, excess)| **excess > 0) {
            let path = self.root.join(name);
            if !self.checked.is_witnessed {
                let kept =
                    removed::copy_excess(&*self.disk, &self.root, self.manifest.generation, name, *stable)?;
                tracing::warn!(
                    "`{}`: {excess} bytes were not committed, and nothing tells how far the last start came; \
                     they are kept in `{}`, and made again",
                    path.display(),
                    kept.display()
                );
            }
            let failed = |source| StorageError::new("cut", &path, source);
            let mut file = self.disk.append(&path).map_err(failed)?;
            file.truncate(stable.offset).map_err(failed)?;
            if sync {
                file.sync().map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes the empty outputs of the replaced run, and what is stored about its source.
    fn remove_replaced(&self) -> Result<(), StorageError> {
        let Some(files) = &self.replaced else { return Ok(()) };
        let gone = files.iter().filter(|name| !self.manifest.files.contains(name)).map(String::as_str);
        for name in gone.chain([UNITS]) {
            let path = self.root.join(name);
            if self.length(&path)?.is_some() {
                self.disk.remove(&path).map_err(|source| StorageError::new("remove", &path, source))?;
            }
        }
        Ok(())
    }

    /// Saves the pipeline as it is run now: endpoints and limits may differ from those of earlier starts.
    fn save_pipeline(&self) -> Result<(), StorageError> {
        let path = self.root.join("pipeline.yaml");
        if recover::read(&*self.disk, &path)?.is_some_and(|found| found == self.pipeline_yaml.as_bytes()) {
            return Ok(());
        }
        disk::replace(&*self.disk, &path, self.pipeline_yaml.as_bytes(), true)
            .map_err(|source| StorageError::new("write", &path, source))
    }
}
