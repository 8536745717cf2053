//! Any bytes in place of an answers' log are read, ignored as torn, or refused; so are frames with any payload.
#![no_main]

mod framed;

use libfuzzer_sys::fuzz_target;
use synthmill::journal::answers_in;

fuzz_target!(|payloads: Vec<&[u8]>| {
    let _ = answers_in(&payloads.concat());
    let _ = answers_in(&framed::log(b"SMANSWER", &payloads));
});
