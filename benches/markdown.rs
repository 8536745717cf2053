//! How fast Markdown becomes records, and in how much memory: `cargo bench --bench markdown`.
//!
//! Generates its documents, the same ones each time, then times whole runs of the program on them and, on one core, the
//! library alone. Prints one line per figure and asserts nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use synthmill::markdown::sections::{SplitPoints, split};
use synthmill::markdown::{Outline, Syntax, facts, front_matter};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Documents, and sections in each.
const DOCUMENTS: u64 = 300;
const SECTIONS: u64 = 400;
/// The longest section, as in the `section` stage.
const MAX_CHARS: usize = 8_000;
/// Bytes of the document of tiny sections.
const TINY: usize = 59_000_000;
/// Measurements of each figure; the median is printed.
const TIMES: usize = 5;

fn main() {
    let dir = tempfile::TempDir::new().unwrap();
    let documents: Vec<String> = (0..DOCUMENTS).map(document).collect();
    let bytes: usize = documents.iter().map(String::len).sum();
    println!("{DOCUMENTS} documents of {SECTIONS} sections, {:.1} MB:", megabytes(bytes));
    library("sectioning alone", bytes, || documents.iter().map(|text| section(text, false)).sum());
    library("sectioning with facts", bytes, || documents.iter().map(|text| section(text, true)).sum());
    run(dir.path(), &documents, bytes);
    tiny(dir.path());
}

/// Prints the throughput of the library by the CPU time of this thread.
fn library(name: &str, bytes: usize, work: impl Fn() -> usize) {
    let mut rates: Vec<f64> = (0..TIMES)
        .map(|_| {
            let begun = cpu_seconds();
            black_box(work());
            megabytes(bytes) / (cpu_seconds() - begun)
        })
        .collect();
    println!("{name}: {:.1} MB/s on one core (median of {TIMES})", median(&mut rates));
}

/// Makes the sections of a document as the `section` stage does, and returns their number.
fn section(text: &str, with_facts: bool) -> usize {
    let text = front_matter::split(text).rest;
    let outline = Outline::of(text, Syntax::Markdown);
    let points = SplitPoints::new(text, &outline, MAX_CHARS);
    let mut count = 0;
    for section in split(text, &outline, "Document") {
        if !outline.is_readable(&section.body) {
            continue;
        }
        for part in points.parts(section.body) {
            count += 1;
            if with_facts {
                black_box(facts::of(text, &outline, &part));
            }
        }
    }
    count
}

/// The CPU time of this thread; the time since the first call where the system does not tell it.
fn cpu_seconds() -> f64 {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let begun = BEGUN.get_or_init(Instant::now);
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match told.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()) {
        Some(nanoseconds) => nanoseconds / 1e9,
        None => begun.elapsed().as_secs_f64(),
    }
}

/// A whole run, each section an item, committed and synced.
fn run(dir: &Path, documents: &[String], bytes: usize) {
    fs::create_dir(dir.join("docs")).unwrap();
    for (number, text) in documents.iter().enumerate() {
        fs::write(dir.join(format!("docs/{number:03}.md")), text).unwrap();
    }
    fs::write(dir.join("docs.yaml"), pipeline("docs/*.md")).unwrap();
    let mut rates: Vec<f64> = (0..TIMES)
        .map(|_| {
            let begun = Instant::now();
            let _ = program(dir, "docs.yaml");
            megabytes(bytes) / begun.elapsed().as_secs_f64()
        })
        .collect();
    println!(
        "ingest, section, sink, each section an item, committed: {:.1} MB/s, whole process",
        median(&mut rates)
    );
}

/// The peak memory of a run over one large document of tiny sections.
fn tiny(dir: &Path) {
    let mut text = String::with_capacity(TINY + 100);
    let mut number = 0;
    while text.len() < TINY {
        number += 1;
        let _ = write!(text, "## Step {number}\n\nTurn the key {} times.\n\n", number % 97);
    }
    fs::write(dir.join("tiny.md"), &text).unwrap();
    fs::write(dir.join("tiny.yaml"), pipeline("tiny.md")).unwrap();
    let begun = Instant::now();
    match program(dir, "tiny.yaml") {
        Some(peak) => println!(
            "one document of {number} tiny sections, {:.0} MB: {:.0} MB at its peak, {:.1} s",
            megabytes(text.len()),
            megabytes(peak),
            begun.elapsed().as_secs_f64()
        ),
        None => println!("peak memory not measured (needs GNU time)"),
    }
}

fn pipeline(path: &str) -> String {
    format!(
        "name: bench\nstages:\n  - ingest: {{paths: [\"{path}\"], limit_bytes: 100000000}}\n  - section: {{}}\n  \
         - sink: {{path: sections.jsonl, format: raw}}\n"
    )
}

/// Runs a pipeline and returns its peak memory in bytes, if GNU time is there to tell it.
fn program(dir: &Path, file: &str) -> Option<usize> {
    let _ = fs::remove_dir_all(dir.join("out"));
    let run = ["-q", "run", file, "--out", "out"];
    let timed = Command::new("/usr/bin/env")
        .args(["time", "-f", "%M", env!("CARGO_BIN_EXE_synthmill")])
        .args(run)
        .current_dir(dir)
        .output()
        .unwrap();
    if timed.status.success() {
        return String::from_utf8_lossy(&timed.stderr)
            .trim()
            .lines()
            .last()?
            .parse()
            .ok()
            .map(|kb: usize| kb * 1024);
    }
    let status = Command::new(env!("CARGO_BIN_EXE_synthmill")).args(run).current_dir(dir).status().unwrap();
    assert!(status.success());
    None
}

/// Document `number`: prose, lists, code, tables, links, quotes, headings of all kinds, front matter.
fn document(number: u64) -> String {
    let mut writer = Writer { text: String::new(), state: number + 1 };
    let title = writer.words(4);
    let _ =
        write!(writer.text, "---\ntitle: {title}\ntags: [guide, part-{number}]\nweight: {number}\n---\n\n");
    let _ = write!(writer.text, "# {title}\n\n");
    writer.paragraph();
    for section in 0..SECTIONS {
        writer.heading(section);
        for _ in 0..1 + writer.below(3) {
            writer.block();
        }
    }
    writer
        .text
        .push_str("\n[guide]: https://example.org/guide\n[api]: https://example.org/api \"The API\"\n");
    writer.text
}

/// Writes a document from a few words and a small generator of numbers.
struct Writer {
    text: String,
    state: u64,
}

impl Writer {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX.
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % bound
    }

    fn word(&mut self) -> &'static str {
        const WORDS: &[&str] = &[
            "the",
            "server",
            "of",
            "a",
            "request",
            "is",
            "and",
            "queue",
            "which",
            "client",
            "to",
            "buffer",
            "in",
            "configuration",
            "message",
            "waits",
            "for",
            "connection",
            "until",
            "cache",
            "holds",
            "every",
            "with",
            "an",
            "index",
            "reads",
            "its",
            "file",
            "from",
            "storage",
            "when",
            "memory",
            "grows",
            "that",
            "worker",
            "writes",
            "on",
            "disk",
            "café",
            "as",
            "soon",
            "by",
            "default",
            "naïve",
            "retry",
            "limit",
            "after",
        ];
        WORDS[self.below(WORDS.len())]
    }

    fn words(&mut self, count: usize) -> String {
        let mut words = String::new();
        for number in 0..count {
            let word = self.word();
            if number == 0 {
                words.push_str(&word[..1].to_ascii_uppercase());
                words.push_str(&word[1..]);
            } else {
                words.push(' ');
                words.push_str(word);
            }
        }
        words
    }

    fn heading(&mut self, section: u64) {
        let count = 2 + self.below(4);
        let title = self.words(count);
        let _ = match section % 20 {
            7 => write!(self.text, "\n{title}\n{}\n\n", "-".repeat(title.chars().count())),
            number if number % 5 == 0 => write!(self.text, "\n## {title}\n\n"),
            _ => write!(self.text, "\n### {title} `v{}`\n\n", section % 9),
        };
    }

    fn sentence(&mut self) {
        let count = 6 + self.below(12);
        let words = self.words(count);
        let end =
            ["", " with `let x = a.b();` in it", " (see [the guide][guide])", " by **far**", " — or less"];
        let end = end[self.below(end.len())];
        let stop = [".", ".", ".", "!", "?", ", e.g. at 3.5 MB."][self.below(6)];
        let _ = write!(self.text, "{words}{end}{stop}");
    }

    fn paragraph(&mut self) {
        for number in 0..2 + self.below(3) {
            if number > 0 {
                self.text.push(if number % 2 == 0 { '\n' } else { ' ' });
            }
            self.sentence();
        }
        self.text.push('\n');
    }

    fn block(&mut self) {
        match self.below(10) {
            0 => self.list(),
            1 => self.code(),
            2 => self.table(),
            3 => {
                self.text.push_str("> ");
                self.sentence();
                self.text.push('\n');
            }
            4 => {
                let words = self.words(5);
                let _ = writeln!(
                    self.text,
                    "{words} at [its page](https://example.org/a?b=c#d) or <https://example.org>."
                );
            }
            _ => self.paragraph(),
        }
        self.text.push('\n');
    }

    fn list(&mut self) {
        for number in 0..3 + self.below(3) {
            let marker = if number % 4 == 3 { "  - " } else { "- " };
            self.text.push_str(marker);
            self.sentence();
            self.text.push('\n');
        }
    }

    fn code(&mut self) {
        self.text.push_str("```rust\n");
        for number in 0..3 + self.below(4) {
            let name = self.word();
            let _ = writeln!(
                self.text,
                "    let value{number} = {{ open(\"{name}\")?[{number}] == $x }}; // {name}"
            );
        }
        self.text.push_str("```\n");
    }

    fn table(&mut self) {
        self.text.push_str("| Option | Default | Meaning |\n|---|---|---|\n");
        for number in 0..2 + self.below(3) {
            let words = self.words(5);
            let _ = writeln!(self.text, "| `option_{number}` | {} | {words} |", number * 10);
        }
    }
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
