//! Parsing of Markdown and plain text: sections, and the facts in them.
//!
//! `front_matter` is removed first. `outline` (built by `outline_builder` or `plain`) makes one pass over the
//! text and records headings, blocks and atoms (the pieces that may be facts); syntax that CommonMark does not
//! have is rewritten by `dialects` before, HTML is parsed by `html`. `images` collects the images; `sections`
//! splits the text; `facts` selects among the atoms. All of it is pure: the `section` stage makes records from
//! the results. `pieces` does that for a part of a large text at a time.

mod dialects;
pub mod facts;
pub mod front_matter;
mod html;
mod images;
mod inline_text;
pub mod outline;
mod outline_builder;
pub mod pieces;
mod plain;
pub mod sections;
mod sentence_bounds;
pub mod sentences;

pub use images::ShownImage;
pub use outline::{Outline, Syntax};
