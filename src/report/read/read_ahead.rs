//! Reads an input on its own thread, so that records are parsed while earlier ones are measured.
//!
//! Items arrive in their order, in batches through a bounded channel.

use std::sync::mpsc::sync_channel;
use std::thread;

use super::{Input, ItemRecords, ReadError};

/// The maximum number of items in a batch.
const ITEMS: usize = 256;
/// The size of a batch's texts, in bytes, from which it has fewer items.
const BYTES: usize = 1 << 20;
/// The maximum number of batches that wait to be measured.
const WAITING: usize = 2;

/// Passes each item of the input to `measure`; returns the input, which has then been read to its end.
pub(in crate::report) fn for_each_item(
    mut input: Input,
    mut measure: impl FnMut(ItemRecords),
) -> Result<Input, ReadError> {
    let (sender, batches) = sync_channel(WAITING);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            loop {
                let batch = next_batch(&mut input)?;
                if batch.is_empty() || sender.send(batch).is_err() {
                    return Ok(input);
                }
            }
        });
        batches.into_iter().flatten().for_each(&mut measure);
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Returns the next items; none at the end of the input.
fn next_batch(input: &mut Input) -> Result<Vec<ItemRecords>, ReadError> {
    let mut batch = Vec::with_capacity(ITEMS);
    let mut bytes = 0;
    while batch.len() < ITEMS && bytes < BYTES {
        let Some(item) = input.next()? else { break };
        let turns = item.records.iter().flat_map(|record| &record.turns);
        bytes += turns.map(|turn| turn.text.len()).sum::<usize>();
        batch.push(item);
    }
    Ok(batch)
}
