//! `repeat` and `for_each`: what they mean, and what holds of them in flight, stopped and killed.

mod display;
mod fatal_errors;
pub(crate) mod in_flight;
mod killed;
mod questions;
mod semantics;
