//! No text makes the extraction panic, and an answer that is valid JSON is returned unchanged, except for backslashes that
//! may have been lost: the texts then differ in white space and backslashes only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use synthmill::llm::answer_json::{SchemaMatch, extract, extract_fitting};

fuzz_target!(|text: &str| {
    let extracted = extract(text);
    let _ = extract_fitting(text, |_| SchemaMatch::Invalid, |_| String::new());
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
        let found = extracted.unwrap().value;
        if text.contains('\\') {
            assert_eq!(plain(&found.to_string()), plain(&value.to_string()));
        } else {
            assert_eq!(found, value);
        }
    }
});

/// Returns a JSON text without its backslashes.
fn plain(json: &str) -> String {
    json.replace('\\', "")
}
