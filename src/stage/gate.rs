//! What a stage is that must see more than one item: it says what is compared and decides, the engine brings the items
//! to it whole and in order.

use std::borrow::Cow;

use super::StageError;
use crate::record::Record;

/// A stage that must see more than one item: it decides about items whole, in the order of their numbers.
pub trait Gate: Send + Sync {
    /// What is compared of a record. ProducedField where the record is, so that the decision itself is quick.
    fn key(&self, record: &Record) -> Result<Vec<u8>, StageError>;

    /// One that decides and has seen nothing yet.
    fn decider(&self) -> Box<dyn GateDecider>;
}

/// Decides for a `Gate`.
pub trait GateDecider: Send {
    /// What becomes of an item's records, one verdict for each key; a record that `when` sends past the gate has none
    /// and goes on. Items come in the order of their numbers; one that
    /// is made again comes late, behind higher ones, and loses to what was kept of them.
    fn decide(&mut self, item: u64, keys: &[&[u8]]) -> Vec<GateDecision>;

    /// Takes in a record that an earlier start has kept.
    fn remember(&mut self, item: u64, key: &[u8]);
}

/// What a gate decides of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateDecision {
    /// It goes on.
    Keep,
    /// It is dropped.
    Drop {
        /// A short word such as `duplicate`.
        reason: Cow<'static, str>,
        /// The item that was kept in its place.
        in_favour_of: u64,
    },
}
