//! Any text is survived, and an answer that is valid JSON as it stands comes back as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use synthmill::llm::answer_json::extract;

fuzz_target!(|text: &str| {
    let extracted = extract(text);
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
        assert_eq!(extracted.map(|found| found.value), Ok(value));
    }
});
