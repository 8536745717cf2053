//! Programs that stages run: their outcomes, their limits, and what a kill does to them.

mod exec;
mod killed;
mod run_tests;
