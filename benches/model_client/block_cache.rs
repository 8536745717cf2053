//! Simulates the prefix cache of an inference server.
//!
//! As in vLLM, a prompt is split into blocks, each identified by the hash of the prompt up to its end, and the least recently
//! used blocks are evicted. Used by the benchmark, and by a test that simulates the same without a clock.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};

/// The size of a block in bytes: about 16 tokens.
const BLOCK: usize = 64;

/// The cached blocks of a replica.
pub(crate) struct BlockCache {
    most: usize,
    /// The last use of each block.
    read_at: HashMap<u64, u64>,
    /// The blocks by last use.
    order: BTreeMap<u64, u64>,
    clock: u64,
}

impl BlockCache {
    /// Makes an empty cache of this size in bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { most: bytes / BLOCK, read_at: HashMap::new(), order: BTreeMap::new(), clock: 0 }
    }

    /// Processes a prompt; returns the length in bytes of its cached prefix.
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

    /// Marks a block as used; returns whether it was cached.
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

/// Returns the prompt for a section, laid out as in the shipped `docs-to-qa`: the shared part, the section, the task.
pub(crate) fn prompt(section: u64, question: u64) -> String {
    let system = "You write questions and answers about technical documents. ".repeat(15);
    let source =
        format!("Section {section} tells of the setting number {section} and what it is for. ").repeat(60);
    let task = format!("Write question {question} of a kind that is asked about such a section. ").repeat(6);
    format!("{system}{source}{task}")
}

/// Questions per section.
pub(crate) const QUESTIONS: u64 = 8;
/// The cache size in bytes: far less than all sections, far more than those in progress at a time.
pub(crate) const CACHE: usize = 256 << 10;
