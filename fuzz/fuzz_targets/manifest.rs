//! Any bytes as a manifest are read or refused, and a manifest that was read is written back unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synthmill::journal::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    let Ok(again) = serde_json::to_vec(&manifest) else { return };
    assert_eq!(serde_json::from_slice::<Manifest>(&again).ok(), Some(manifest));
});
