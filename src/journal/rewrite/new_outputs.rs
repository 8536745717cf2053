//! The outputs and the commit log of a run as they are written anew, group by group.

use std::path::{Path, PathBuf};

use super::GROUP;
use crate::journal::commits::{AnswerLogPosition, CommitGroup, ItemOutcome, Spent, StablePrefix};
use crate::journal::decision::GateRecord;
use crate::journal::disk::Disk;
use crate::journal::line_frames::FrameEncoder;
use crate::journal::new_file::NewFile;
use crate::journal::writer::{GROUP_BYTES, StorageError};

/// A new version of an output.
pub(super) struct NewOutput {
    file: NewFile,
    lines: u64,
    encoder: Option<FrameEncoder>,
    /// Lines that the next frame is made of, if the output is compressed.
    waiting: Vec<u8>,
}

impl NewOutput {
    /// Creates the file at `path` for the output `name`.
    pub(super) fn make(disk: &dyn Disk, path: PathBuf, name: &str) -> Result<Self, StorageError> {
        let encoder = FrameEncoder::of_output(Path::new(name))
            .map_err(|source| StorageError::new("open", &path, source))?;
        let file = NewFile::make(disk, path)?;
        Ok(Self { file, lines: 0, encoder, waiting: Vec::new() })
    }

    /// Adds `count` lines of an item.
    pub(super) fn write(&mut self, lines: &[u8], count: u32) -> Result<(), StorageError> {
        self.lines += u64::from(count);
        if self.encoder.is_none() {
            return self.file.write(lines);
        }
        self.waiting.extend_from_slice(lines);
        Ok(())
    }

    /// Ends a group; returns the stable prefix with it.
    fn end_group(&mut self) -> Result<StablePrefix, StorageError> {
        if let Some(encoder) = self.encoder.as_mut().filter(|_| !self.waiting.is_empty()) {
            let frame = encoder
                .encode(&self.waiting)
                .map_err(|source| StorageError::new("compress", &self.file.path, source))?;
            self.file.write(frame)?;
            self.waiting.clear();
        }
        Ok(StablePrefix { lines: self.lines, ..self.file.stable })
    }

    /// Makes the file durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync()
    }
}

/// Builds the frames of the merged commit log.
pub(super) struct GroupBuilder {
    group: CommitGroup,
    from: Vec<u64>,
    spent: Spent,
    frames: u64,
}

impl GroupBuilder {
    pub(super) fn new(generation: u32, spent: Spent) -> Self {
        let answers = AnswerLogPosition { generation, offset: 0 };
        Self { group: CommitGroup { answers, ..CommitGroup::default() }, from: Vec::new(), spent, frames: 0 }
    }

    pub(super) fn add(
        &mut self,
        item: u64,
        outcome: ItemOutcome,
        decision: Option<&GateRecord>,
        lines: &[u32],
    ) {
        self.group.add(item, outcome, decision.cloned().unwrap_or_default());
        self.group.lines.extend_from_slice(lines);
    }

    /// Returns whether the group is as large as one of a run may be.
    pub(super) fn is_full(&self, files: &[NewOutput]) -> bool {
        self.group.items.len() >= GROUP || files.iter().any(|file| file.waiting.len() >= GROUP_BYTES)
    }

    pub(super) fn close(&mut self, files: &mut [NewOutput], log: &mut NewFile) -> Result<(), StorageError> {
        // At least one frame is written, if only for what was spent and the position of the answers.
        if self.group.items.is_empty() && self.frames > 0 {
            return Ok(());
        }
        self.frames += 1;
        self.from.resize(files.len(), 0);
        self.group.files.clear();
        for (file, from) in files.iter_mut().zip(&mut self.from) {
            let stable = file.end_group()?;
            self.group.files.push((*from, stable));
            *from = stable.offset;
        }
        self.group.spent = self.spent;
        let mut frame = Vec::new();
        self.group.push(&mut frame);
        self.group.clear();
        log.write(&frame)
    }
}
