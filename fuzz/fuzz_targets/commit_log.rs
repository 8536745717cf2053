//! Any bytes in place of a commit log are read, ignored as torn, or refused; none make the reader panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synthmill::journal::items_in;

fuzz_target!(|bytes: &[u8]| {
    let _ = items_in(bytes);
});
