//! From the text of an answer to the fields of a record.

mod checks;
mod classify;
mod fallback;
mod reading;
mod reasoning;
