//! Rules of the source tree that no lint checks.

#[cfg(target_os = "linux")]
mod layers;
mod tidy;
