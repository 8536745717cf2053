//! The integration tests, one module for each property, in one binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod harness;
mod model_server;
mod protocol;
mod real_model;
mod running;
mod sampling;
