//! Any text is survived, and an answer that is valid JSON as it stands comes back as it is, but for backslashes that
//! may have been lost: then the texts that JSON makes of it are told apart by white space and backslashes alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use synthmill::llm::answer_json::{Fit, extract, extract_fitting};

fuzz_target!(|text: &str| {
    let extracted = extract(text);
    let _ = extract_fitting(text, |_| Fit::Wrong, |_| String::new());
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
        let found = extracted.unwrap().value;
        if text.contains('\\') {
            assert_eq!(plain(&found.to_string()), plain(&value.to_string()));
        } else {
            assert_eq!(found, value);
        }
    }
});

/// A text of JSON without its backslashes.
fn plain(json: &str) -> String {
    json.replace('\\', "")
}
