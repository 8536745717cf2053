//! No document makes the parser panic: front matter, outline, sections and facts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synthmill::markdown::sections::{self, SplitPoints};
use synthmill::markdown::{Outline, Syntax, facts, front_matter};

fuzz_target!(|text: &str| {
    let text = front_matter::split(text).rest;
    for syntax in [Syntax::Markdown, Syntax::Plain] {
        let outline = Outline::of(text, syntax);
        let borders = SplitPoints::new(text, &outline, 100);
        let mut rebuilt = String::new();
        for section in sections::split(text, &outline, "title") {
            rebuilt.push_str(&text[section.whole.start..section.body.start]);
            for part in borders.parts(section.body.clone()) {
                let _ = (facts::of(text, &outline, &part), outline.readable(text, &part));
                rebuilt.push_str(&text[part]);
            }
        }
        assert_eq!(rebuilt, text);
    }
});
