//! Any bytes as a commit log are read, ignored as torn, or refused, without a panic. So are valid frames with any payload,
//! since the checksum would reject nearly all others first.
#![no_main]

mod framed;

use libfuzzer_sys::fuzz_target;
use synthmill::journal::count_items;

fuzz_target!(|payloads: Vec<&[u8]>| {
    let _ = count_items(&payloads.concat());
    let _ = count_items(&framed::log(b"SMCOMMIT", &payloads));
});
