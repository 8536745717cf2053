//! Any bytes as an answer log are read, ignored as torn, or refused; so are frames with any payload.
#![no_main]

mod framed;

use libfuzzer_sys::fuzz_target;
use synthmill::journal::count_answers;

fuzz_target!(|payloads: Vec<&[u8]>| {
    let _ = count_answers(&payloads.concat());
    let _ = count_answers(&framed::log(b"SMANSWER", &payloads));
});
