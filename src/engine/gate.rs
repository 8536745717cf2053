//! Gates: decisions about more than one item, made in the order of the items' numbers.
//!
//! A gate takes an item as a whole: it waits until all of the item's records have arrived or ended, and until all
//! earlier items are decided. So its decisions do not depend on the order of arrival, and are the same at any
//! concurrency and after any stop. A stage whose `Processor` is a `Gate` is placed between two chains, `accept` one
//! after the last stage. The ledger drives them (`ledger/gates`), and `GateWindow` limits what waits at them.

mod reorder_buffer;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

pub(super) use self::reorder_buffer::ReorderBuffer;
pub use self::window::WindowFigures;
pub(super) use self::window::{AdmissionLimit, GateWindow, Weight};
use super::event::InFlightRecord;
use crate::journal::GateKeys;
use crate::stage::GateDecider;

/// A gate between two chains.
pub(super) struct GateStage {
    /// The stage's id.
    pub(super) path: Arc<str>,
    pub(super) decider: Box<dyn GateDecider>,
    pub(super) order: ReorderBuffer<Vec<InFlightRecord>>,
    /// Records that were let through and are to be sent into the next chain.
    pub(super) releasing: VecDeque<(InFlightRecord, Weight)>,
    /// The input of the next chain; `None` once nothing more can be sent.
    pub(super) out: Option<mpsc::Sender<InFlightRecord>>,
    /// Whether the chain before it has ended.
    pub(super) is_closed: bool,
}

/// Restores the gates' state from the keys of the records that earlier starts kept.
pub(super) fn rebuild(gates: &mut [GateStage], keys: GateKeys) {
    for (item, keys) in keys {
        each_key(&keys, |gate, key| {
            if let Some(gate) = gates.get_mut(gate) {
                gate.decider.remember(item, key);
            }
        });
    }
}

/// Appends a key to those of an item's records, as a commit stores them: gate, length and bytes of each.
pub(super) fn push_key(keys: &mut Vec<u8>, gate: usize, key: &[u8]) {
    keys.push(u8::try_from(gate).unwrap_or(u8::MAX));
    keys.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    keys.extend_from_slice(key);
}

/// Calls `see` with each of an item's keys and its gate; stops where the bytes are not valid.
pub(super) fn each_key(mut keys: &[u8], mut see: impl FnMut(usize, &[u8])) {
    while let Some((gate, rest)) = keys.split_first()
        && let Some((length, rest)) = rest.split_first_chunk::<4>()
        && let Some((key, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)
    {
        see(usize::from(*gate), key);
        keys = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_until_the_bytes_are_invalid() {
        let mut keys = Vec::new();
        push_key(&mut keys, 0, b"one");
        push_key(&mut keys, 2, b"");
        let mut seen = Vec::new();
        each_key(&keys, |gate, key| seen.push((gate, key.to_vec())));
        assert_eq!(seen, [(0, b"one".to_vec()), (2, Vec::new())]);
        seen.clear();
        each_key(&keys[..6], |gate, key| seen.push((gate, key.to_vec())));
        assert!(seen.is_empty());
    }
}
