//! Any bytes in place of a commit log are read, ignored as torn, or refused; none make the reader panic.
//! So are frames with any payload: the checksum would keep nearly all of them from the reader otherwise.
#![no_main]

mod framed;

use libfuzzer_sys::fuzz_target;
use synthmill::journal::count_items;

fuzz_target!(|payloads: Vec<&[u8]>| {
    let _ = count_items(&payloads.concat());
    let _ = count_items(&framed::log(b"SMCOMMIT", &payloads));
});
