//! Any bytes in place of an answers' log are read, ignored as torn, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synthmill::journal::answers_in;

fuzz_target!(|bytes: &[u8]| {
    let _ = answers_in(bytes);
});
