//! Reading of Markdown and plain text: where sections begin, and what facts stand in them.
//!
//! `front_matter` is taken off first. `outline` (by `walk` or `plain`) goes once through the text and notes headings, blocks and
//! atoms (the pieces that may be facts); what CommonMark does not know is rewritten by `dialects` before, HTML is read by
//! `html`. `images` notes what pictures are shown; `sections` cuts the text; `facts` chooses from the atoms. All of it is
//! pure: the `section` stage makes records of what is found here.

mod dialects;
pub mod facts;
pub mod front_matter;
mod html;
mod images;
mod line;
pub mod outline;
mod plain;
pub mod sections;
pub mod sentences;
mod walk;

pub use images::Shown;
pub use outline::{Outline, Syntax};
