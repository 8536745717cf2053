//! The client and whole runs against a real model server; ignored unless asked for.

pub(crate) mod client;
mod runs;
