//! The prefix cache of an inference server, played: what of a prompt it need not read again.
//!
//! A prompt is cut into blocks, each known by the hash of all up to its end, as vLLM does it; the blocks read longest ago
//! make room for new ones. Used by the benchmark, and by the test that plays the same without a clock.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};

/// Bytes of a block: about 16 tokens.
const BLOCK: usize = 64;

/// The blocks that a replica still has.
pub(crate) struct BlockCache {
    most: usize,
    /// When each block was last read.
    read_at: HashMap<u64, u64>,
    /// The blocks by when they were last read.
    order: BTreeMap<u64, u64>,
    clock: u64,
}

impl BlockCache {
    /// A cache of so many bytes, empty.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { most: bytes / BLOCK, read_at: HashMap::new(), order: BTreeMap::new(), clock: 0 }
    }

    /// Reads a prompt; gives how many of its bytes, from the first on, were there already.
    pub(crate) fn read(&mut self, prompt: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        let (mut cached, mut misses) = (0, false);
        for block in prompt.as_bytes().chunks_exact(BLOCK) {
            hasher.write(block);
            let known = self.touch(hasher.finish());
            misses |= !known;
            cached += if misses { 0 } else { BLOCK };
        }
        cached
    }

    /// Notes that a block is read; gives whether it was there.
    fn touch(&mut self, block: u64) -> bool {
        self.clock += 1;
        let before = self.read_at.insert(block, self.clock);
        if let Some(at) = before {
            self.order.remove(&at);
        }
        self.order.insert(self.clock, block);
        while self.order.len() > self.most {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.read_at.remove(&oldest);
            }
        }
        before.is_some()
    }
}

/// The prompt of a question about a section, as the shipped `docs-to-qa` has it: what all share, the section, the task.
pub(crate) fn prompt(section: u64, question: u64) -> String {
    let system = "You write questions and answers about technical documents. ".repeat(15);
    let source =
        format!("Section {section} tells of the setting number {section} and what it is for. ").repeat(60);
    let task = format!("Write question {question} of a kind that is asked about such a section. ").repeat(6);
    format!("{system}{source}{task}")
}

/// Questions about one section.
pub(crate) const QUESTIONS: u64 = 8;
/// Bytes that a replica keeps: far less than all sections, far more than those that are asked about at a time.
pub(crate) const CACHE: usize = 256 << 10;
