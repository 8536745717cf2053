//! Any text as a pipeline file yields a plan or a list of problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synthmill::config::{Overrides, Plan};

fuzz_target!(|text: &str| {
    let _ = Plan::load_text("fuzzed.yaml", text, &Overrides::default());
});
