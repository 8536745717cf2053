//! Any bytes are read as events, with the same result however they are split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synthmill::llm::{StreamDialect, read_stream};

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, bytes) = input;
    for of in [StreamDialect::Chat, StreamDialect::Completions, StreamDialect::Anthropic] {
        let at_once = read_stream(of, [&*bytes]);
        assert_eq!(read_stream(of, bytes.chunks(usize::from(size).max(1))), at_once);
    }
});
