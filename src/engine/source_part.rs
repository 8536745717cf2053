//! Runs the source part of a pipeline, one unit after the other, on its own thread, since it reads files.
//!
//! The records of a unit are produced lazily and sent to admission in batches through a small channel, so that those
//! of a large document never all exist at once. If a stage fails or panics, its unit ends, not the run.

use std::cell::OnceCell;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::event::FatalError;
use crate::record::Record;
use crate::stage::{LeftOut, Source, SourceFailure, SourceTransform, SourceUnit, StageError, UnitRecords};

/// The capacity of the channel between the source's thread and admission, in batches.
const BATCHES: usize = 2;
/// The maximum number of records in a batch.
const BATCH: usize = 64;

/// The source part of a pipeline: a source, and the steps that turn its units into items.
pub(crate) struct SourcePart {
    pub(crate) source_id: Arc<str>,
    pub(crate) source: Box<dyn Source>,
    pub(crate) steps: Vec<(Arc<str>, Box<dyn SourceTransform>)>,
}

/// A message of the source's thread: records of one unit.
pub(crate) struct SourceBatch {
    pub(crate) records: Vec<Record>,
    /// `None` if more records of the unit follow; an error if the rest or all of it could not be read.
    pub(crate) end: Option<Result<(), SourceFailure>>,
}

impl SourcePart {
    /// Returns the next unit, or why it failed; `None` at the end. Blocks. A panic of a stage is a failure of the unit.
    fn next(&mut self) -> Option<Result<OpenUnit<'_>, SourceFailure>> {
        let unit = match contain(|| self.source.next()) {
            Ok(next) => next?,
            Err(panic) => Err(SourceFailure::new(&*self.source_id, panic.message)),
        };
        Some(unit.map(|unit| OpenUnit::new(unit, &self.steps)))
    }

    /// Returns the next unit that can be read, with all its items, and adds the failures before it to `failures`.
    /// Blocks.
    pub(super) fn next_readable(&mut self, failures: &mut Vec<String>) -> Option<SourceUnit> {
        loop {
            match self.next()?.and_then(OpenUnit::collect) {
                Ok(unit) => return Some(unit),
                Err(failure) => failures.push(failure.to_string()),
            }
        }
    }

    /// The number of units, if known beforehand.
    pub(crate) fn units(&self) -> Option<u64> {
        self.source.units()
    }

    /// What the source leaves out of the folders it searches.
    pub(crate) fn left_out(&self) -> Option<LeftOut> {
        self.source.left_out()
    }

    /// The number of items, if known beforehand.
    pub(crate) fn items(&self) -> Option<u64> {
        if self.steps.is_empty() { self.source.records() } else { None }
    }

    /// Skips items that are done, if the source can do so without producing them. Returns the numbers of items and
    /// units skipped. `units` holds the number of items of each of the first units, as counted by an earlier start.
    pub(crate) fn skip_done(&mut self, done: &RoaringTreemap, units: &[u32]) -> (u64, usize) {
        let done = leading(done);
        if self.steps.is_empty() {
            let skipped = self.source.skip(done);
            if skipped > 0 {
                return (skipped, 0);
            }
        }
        let (mut items, mut wanted) = (0, 0);
        for count in units {
            if items + u64::from(*count) > done {
                break;
            }
            items += u64::from(*count);
            wanted += 1;
        }
        let skipped = usize::try_from(self.source.skip_units(wanted)).unwrap_or(0).min(units.len());
        (units[..skipped].iter().map(|count| u64::from(*count)).sum(), skipped)
    }

    /// Starts the source's thread. It ends with the source, or when the receiver is dropped.
    pub(crate) fn start(mut self) -> std::io::Result<async_channel::Receiver<SourceBatch>> {
        let (sender, receiver) = async_channel::bounded(BATCHES);
        std::thread::Builder::new().name("synthmill-source".into()).spawn(move || {
            while let Some(unit) = self.next() {
                let mut unit = unit.map_err(Some);
                loop {
                    let batch = match &mut unit {
                        Ok(unit) => unit.batch(),
                        Err(failure) => SourceBatch { records: Vec::new(), end: failure.take().map(Err) },
                    };
                    let is_last = batch.end.is_some();
                    if sender.send_blocking(batch).is_err() {
                        return;
                    }
                    if is_last {
                        break;
                    }
                }
            }
        })?;
        Ok(receiver)
    }
}

/// A unit whose items are produced lazily.
struct OpenUnit<'a> {
    name: String,
    records: UnitRecords<'a>,
    /// The id of the step that failed.
    failed_in: Rc<OnceCell<Arc<str>>>,
}

impl<'a> OpenUnit<'a> {
    fn new(unit: SourceUnit, steps: &'a [(Arc<str>, Box<dyn SourceTransform>)]) -> Self {
        let failed_in = Rc::new(OnceCell::new());
        let mut records: UnitRecords<'a> = Box::new(unit.records.into_iter().map(Ok));
        for (id, step) in steps {
            let failed_in = Rc::clone(&failed_in);
            let mut made =
                contain(|| step.transform(records)).unwrap_or_else(|panic| Box::new(iter::once(Err(panic))));
            records = Box::new(iter::from_fn(move || {
                let record = contain(|| made.next()).unwrap_or_else(|panic| Some(Err(panic)));
                if let Some(Err(_)) = record {
                    // The step after it passes the error on.
                    failed_in.get_or_init(|| Arc::clone(id));
                }
                record
            }));
        }
        Self { name: unit.name, records, failed_in }
    }

    /// The next record, or why it and the rest of the unit cannot be produced.
    fn next(&mut self) -> Option<Result<Record, SourceFailure>> {
        let record = self.records.next()?;
        Some(record.map_err(|error| {
            let id = self.failed_in.get().map_or("", |id| id);
            SourceFailure::new(std::mem::take(&mut self.name), format!("`{id}`: {error}"))
        }))
    }

    /// The next records.
    fn batch(&mut self) -> SourceBatch {
        let mut records = Vec::new();
        while records.len() < BATCH {
            match self.next() {
                Some(Ok(record)) => records.push(record),
                Some(Err(failure)) => return SourceBatch { records, end: Some(Err(failure)) },
                None => return SourceBatch { records, end: Some(Ok(())) },
            }
        }
        SourceBatch { records, end: None }
    }

    /// The unit with all its items.
    fn collect(mut self) -> Result<SourceUnit, SourceFailure> {
        let records = iter::from_fn(|| self.next()).collect::<Result<_, _>>()?;
        Ok(SourceUnit { name: self.name, records })
    }
}

/// Runs a stage's code; a panic becomes an error.
fn contain<T>(run: impl FnOnce() -> T) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|panic| StageError::new("panic", format!("the stage panicked: {}", panic_message(&*panic))))
}

/// The fatal error of a source whose thread cannot be started.
pub(crate) fn thread_failed(error: &std::io::Error) -> FatalError {
    FatalError {
        stage: "source".into(),
        class: "thread".into(),
        message: format!("cannot start the source's thread: {error}"),
    }
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "no message".to_owned())
}

/// The number of items from 0 on that are done without a gap.
fn leading(done: &RoaringTreemap) -> u64 {
    let (mut low, mut high) = (0, done.len());
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if done.rank(middle - 1) == middle {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_items_are_counted_up_to_the_first_gap() {
        for (done, expected) in [
            (vec![], 0),
            (vec![0], 1),
            (vec![1, 2], 0),
            (vec![0, 1, 2, 5], 3),
            ((0..100_000).chain(100_001..100_050).collect(), 100_000),
        ] {
            assert_eq!(leading(&done.into_iter().collect()), expected);
        }
    }
}
