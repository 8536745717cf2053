//! Reading of Markdown and plain text: where sections begin, and what facts stand in them.
//!
//! `outline` (by `walk` or `plain`) goes once through a text and notes headings, blocks and atoms (the pieces that may be facts);
//! `images` notes what pictures it shows; `sections` cuts the text by them; `facts` chooses from the atoms. All of it is pure: the `section` stage
//! makes records of what is found here.

pub mod facts;
pub mod front_matter;
mod images;
mod line;
pub mod outline;
mod plain;
pub mod sections;
pub mod sentences;
mod walk;

pub use images::Shown;
pub use outline::{Outline, Syntax};
