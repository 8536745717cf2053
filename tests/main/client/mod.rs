//! The model client against the test server: the protocol, replies, faults, streaming, what is spent.

mod budgets;
pub(crate) mod images;
mod mock;
mod protocol;
mod replies;
mod run_outcomes;
pub(crate) mod secrets;
mod servers;
mod shared_prefixes;
mod streaming;
mod streaming_runs;
mod tls;
mod transient_faults;
mod vllm;
