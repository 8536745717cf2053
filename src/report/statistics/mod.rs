//! The statistics of a report: each file is one measure, on numbers and texts, tested against published values.
//!
//! Knows nothing of records, runs or pages; `report::gather` passes data in and names the results.

pub(super) mod compression;
pub(super) mod duplicates;
pub(super) mod english;
pub(super) mod intervals;
pub(super) mod kappa;
pub(super) mod lengths;
pub(super) mod log_odds;
pub(super) mod minhash;
pub(super) mod ngrams;
pub(super) mod projection;
pub(super) mod recovered_gap;
pub(super) mod self_bleu;
pub(super) mod shares;
pub(super) mod text_lengths;
pub(super) mod vectors;
pub(super) mod vendi;
pub(super) mod word_counts;
