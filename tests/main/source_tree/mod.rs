//! The rules of the source tree that no lint knows.

#[cfg(target_os = "linux")]
mod layers;
mod tidy;
