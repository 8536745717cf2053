//! Any text in place of a pipeline file gives a plan or a list of problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synthmill::config::{Overrides, Plan};

fuzz_target!(|text: &str| {
    let _ = Plan::load_text("fuzzed.yaml", text, &Overrides::default());
});
