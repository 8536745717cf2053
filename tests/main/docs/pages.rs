//! Parses README.md and the pages in `docs/`: blocks of code, inline code, headings and links.

use std::collections::HashMap;
use std::path::Path;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// One Markdown file of the repository.
pub(crate) struct Page {
    /// Its path from the repository's root.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
    /// The file that it is the content of: the sentence before it ends with the name and a colon.
    pub(crate) file: Option<String>,
}

/// README.md and every page in `docs/`, those of the recipes too.
pub(crate) fn pages() -> Vec<Page> {
    let mut names = Vec::new();
    for folder in ["docs", "docs/recipes"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = std::fs::read_dir(path).unwrap();
        names.extend(
            entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy())),
        );
    }
    names.retain(|name| name.ends_with(".md"));
    names.push("README.md".to_owned());
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        Self { name: name.to_owned(), text: std::fs::read_to_string(path).unwrap() }
    }

    fn events(&self) -> Parser<'_> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    /// The blocks, from the top.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        // The code that was read last, and whether nothing but a colon came after it.
        let mut file: Option<String> = None;
        for event in self.events() {
            match (event, &mut open) {
                (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))), _) => {
                    open = Some(Block {
                        language: language.to_string(),
                        text: String::new(),
                        file: file.take(),
                    });
                }
                (Event::End(TagEnd::CodeBlock), block) => blocks.extend(block.take()),
                (Event::Text(text), Some(block)) => block.text.push_str(&text),
                (Event::Code(code), None) => file = Some(code.to_string()),
                (Event::Text(text), None) if &*text == ":" => {}
                (Event::End(TagEnd::Paragraph), None) => {}
                _ => file = None,
            }
        }
        blocks
    }

    /// The code in sentences and tables.
    pub(crate) fn code(&self) -> Vec<String> {
        let code = |event| match event {
            Event::Code(code) => Some(code.to_string()),
            _ => None,
        };
        self.events().filter_map(code).collect()
    }

    /// Where the links lead.
    pub(crate) fn links(&self) -> Vec<String> {
        let link = |event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.to_string())
            }
            _ => None,
        };
        self.events().filter_map(link).collect()
    }

    /// The anchors of the headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut heading: Option<String> = None;
        for event in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let count = seen.entry(anchor.clone()).or_default();
                    anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
                    *count += 1;
                }
                _ => {}
            }
        }
        anchors
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn a_page_is_split_into_its_parts() {
    let text = "# A `b`, C!\n\n## Twice\n\nPut this into `x.yaml`:\n\n```yaml\na: 1\n```\n\nSee `y` there:\n\n```sh\nrun\n```\n\n\
                | a |\n|---|\n| [link](z.md#twice-1) |\n\n## Twice\n";
    let page = Page { name: "page.md".to_owned(), text: text.to_owned() };
    let blocks: Vec<_> =
        page.blocks().into_iter().map(|block| (block.language, block.text, block.file)).collect();
    let block = |language: &str, text: &str, file: Option<&str>| {
        (language.to_owned(), text.to_owned(), file.map(str::to_owned))
    };
    assert_eq!(blocks, [block("yaml", "a: 1\n", Some("x.yaml")), block("sh", "run\n", None)]);
    assert_eq!(page.anchors(), ["a-b-c", "twice", "twice-1"]);
    assert_eq!(page.links(), ["z.md#twice-1"]);
    assert_eq!(page.code(), ["b", "x.yaml", "y"]);
}
