//! `synthmill report`: the figures, and the page in a browser.

mod data;
mod judging;
mod page;
