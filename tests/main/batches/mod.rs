//! `mode: batch`: runs against a provider with a batch API, undisturbed, failing and killed.

mod failures;
mod killed;
pub(crate) mod runs;
