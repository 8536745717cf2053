//! Guarantees of the engine for any run: accounting, order, backpressure, retries, gates, limits, memory.

pub(crate) mod gates;
mod gates_window;
mod limits;
mod memory;
pub(crate) mod running;
mod waiting;
