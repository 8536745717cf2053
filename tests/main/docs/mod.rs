//! The pages for users: their commands run, their links resolve, what is generated is fresh.

pub(crate) mod commands;
mod generated;
mod links;
pub(crate) mod pages;
