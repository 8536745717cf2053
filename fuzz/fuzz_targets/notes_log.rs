//! Any bytes as a log of notes are read, ignored as torn, or refused; so are notes with any content about batches.
#![no_main]

mod framed;

use libfuzzer_sys::fuzz_target;
use synthmill::journal::read_notes;
use synthmill::llm::{batch_ids, carry_batches};

fuzz_target!(|payloads: Vec<&[u8]>| {
    let _ = read_notes(&payloads.concat());
    let notes = read_notes(&framed::log(b"SMBATCHS", &payloads)).unwrap_or_default();
    let carried = carry_batches(&notes, &|item, _| item % 2 == 0);
    let _ = batch_ids(&carried);
});
