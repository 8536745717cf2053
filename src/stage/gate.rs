//! Gates: stages that must see more than one item. A gate extracts what is compared and decides; the engine
//! brings items to it whole and in order.

use std::borrow::Cow;

use super::StageError;
use crate::record::Record;

/// A stage that must see more than one item: it decides about whole items, in the order of their numbers.
pub trait Gate: Send + Sync {
    /// The key by which a record is compared. Computed where the record is, so that the decision itself is quick.
    fn key(&self, record: &Record) -> Result<Vec<u8>, StageError>;

    /// Returns a decider that has not seen any item yet.
    fn decider(&self) -> Box<dyn GateDecider>;
}

/// The deciding part of a `Gate`, with its state.
pub trait GateDecider: Send {
    /// Decides about the records of one item: one decision per key; a record that `when` sends past the gate has
    /// no key and passes. Items come in the order of their numbers; an item that is made again comes late, after
    /// higher ones, and loses to those that were kept.
    fn decide(&mut self, item: u64, keys: &[&[u8]]) -> Vec<GateDecision>;

    /// Restores a record that an earlier start kept.
    fn remember(&mut self, item: u64, key: &[u8]);
}

/// What a gate decides about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateDecision {
    /// The record passes.
    Keep,
    /// The record is dropped.
    Drop {
        /// A short word such as `duplicate`.
        reason: Cow<'static, str>,
        /// The item that was kept instead.
        in_favour_of: u64,
    },
}
