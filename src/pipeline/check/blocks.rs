//! The fields of records in a block and after it: what its stages see, and which of the fields they make exist at
//! the end.
//!
//! `config::check` opens and closes blocks and visits their stages; a block's `BlockConfig` declares its effect
//! on the fields through the functions here. A loop is visited twice: first to learn what it makes, since its
//! first stage sees that from the second pass on.

use super::CheckContext;
use crate::pipeline::field_type::{FieldType, ObjectFields};

/// A block whose stages are being checked.
#[derive(Debug, Clone)]
pub(super) struct OpenBlock {
    /// JSON pointer to its body.
    at: String,
    /// Its id, for messages.
    id: String,
    /// Whether some records bypass it.
    conditional: bool,
    /// The fields of incoming records.
    before: ObjectFields,
    /// The names that exist only inside it.
    within: Vec<String>,
}

impl CheckContext<'_> {
    /// Declares that records have the field `name` inside the block only; what the field contained before is
    /// restored after it.
    pub fn makes_in_block(&mut self, name: &str, kind: FieldType) {
        self.declared_fields += 1;
        self.absent_fields.remove(name);
        self.record.set(name, kind);
        if let Some(block) = self.blocks.last_mut() {
            block.within.push(name.to_owned());
        }
    }

    /// Declares that the block hides the field `name` of an outer block; `why` is the hint for those who use it.
    pub fn hides(&mut self, name: &str, why: &str) {
        self.record.remove(name);
        self.absent_fields.insert(name.to_owned(), why.to_owned());
    }

    /// The fields of records at this point, as one object type.
    #[must_use]
    pub fn fields(&self) -> FieldType {
        let known = self.record.fields().map(|(name, kind)| (name.to_owned(), kind.clone())).collect();
        FieldType::object_of(known, self.record.open)
    }

    /// Declares at the end of a block that records may leave it without what its stages make; `why` explains how.
    /// Fields from before may be as they were or as the stages left them.
    pub fn may_leave_unmade(&mut self, why: &str) {
        let Some(block) = self.blocks.last() else { return };
        let made = std::mem::take(&mut self.record);
        self.record.open = block.before.open;
        for (name, kind) in block.before.fields() {
            // A field that the stages remove no longer exists on every record.
            if let Some(after) = made.get(name) {
                self.record.set(name, kind.clone().or(after.clone()));
            }
        }
        for name in made.names().filter(|name| block.before.get(name).is_none()) {
            let hint = format!("`{}` may not make it, since {why}: set `{name}` before the block", block.id);
            self.absent_fields.insert(name.to_owned(), hint);
        }
    }

    /// Declares at the end of a block that records are as they came in; `instead` explains how to keep what its
    /// stages make.
    pub fn restores_fields(&mut self, instead: &str) {
        let Some(block) = self.blocks.last() else { return };
        let made = std::mem::replace(&mut self.record, block.before.clone());
        for name in made.names().filter(|name| block.before.get(name).is_none()) {
            let hint = format!("`{name}` is gone after `{}`: {instead}", block.id);
            self.absent_fields.insert(name.to_owned(), hint);
        }
    }

    /// Enters the block `id`, whose body is at the pointer `at`; `conditional` means that some records bypass it.
    pub(crate) fn open_block(&mut self, id: &str, at: &str, conditional: bool) {
        let before = self.record.clone();
        let (at, id) = (at.to_owned(), id.to_owned());
        self.blocks.push(OpenBlock { at, id, conditional, before, within: Vec::new() });
        // The number of records that reach a stage in a block is not known.
        self.all_items = false;
    }

    /// A context for a trial pass over the stages of a loop; `None` within one, where another would double the
    /// work at every level.
    pub(crate) fn trial(&self) -> Option<Self> {
        (!self.is_trial).then(|| Self { is_trial: true, ..self.clone() })
    }

    /// Merges the result of a trial pass: fields from before may also be as the stages leave them.
    pub(crate) fn merge_trial_pass(&mut self, trial: &Self) {
        let within = trial.blocks.last().map_or(&[][..], |block| &block.within);
        for (name, kind) in trial.record.fields().filter(|(name, _)| !within.iter().any(|own| own == name)) {
            match self.record.get(name).cloned() {
                Some(before) => self.record.set(name, before.or(kind.clone())),
                None => {
                    let hint = format!("there is none in the first pass yet: set `{name}` before the block");
                    self.absent_fields.insert(format!("previous.{name}"), hint.clone());
                    self.absent_fields.insert(name.to_owned(), hint);
                }
            }
        }
        let removed: Vec<String> = self.record.names().map(str::to_owned).collect();
        for name in removed.iter().filter(|name| trial.record.get(name).is_none()) {
            self.record.remove(name);
            self.absent_fields.insert(name.clone(), format!("`{name}` is removed in the first pass"));
        }
    }

    /// Returns from the stages of a block to its own options.
    pub(crate) fn end_block_stages(&mut self) {
        if let Some(block) = self.blocks.last() {
            self.stage.clone_from(&block.at);
            self.conditional = false;
        }
    }

    /// Leaves the block: fields that exist only inside it are removed, and records that bypassed it are
    /// unchanged.
    pub(crate) fn close_block(&mut self) {
        let Some(block) = self.blocks.pop() else { return };
        for name in &block.within {
            self.absent_fields.remove(name);
            match block.before.get(name) {
                Some(before) => self.record.set(name, before.clone()),
                None => {
                    self.record.remove(name);
                    let hint = format!("there is `{name}` only in the stages of `{}`", block.id);
                    self.absent_fields.insert(name.clone(), hint);
                }
            }
        }
        self.absent_fields.retain(|name, _| !name.starts_with("previous."));
        if block.conditional {
            for (name, before) in block.before.fields() {
                if let Some(after) = self.record.get(name).cloned() {
                    self.record.set(name, before.clone().or(after));
                }
            }
        }
    }

    /// The hint for a name that does not exist here although some stage makes it.
    pub(super) fn why_absent(&self, name: &str) -> Option<String> {
        let ends = name.match_indices('.').map(|(dot, _)| dot).chain([name.len()]);
        ends.filter_map(|end| self.absent_fields.get(&name[..end])).next_back().cloned()
    }
}
