//! A buffer that puts items into the order of their numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::Weight;

/// Buffers items that arrive in any order and releases them in the order of their numbers.
#[derive(Debug)]
pub(crate) struct ReorderBuffer<T> {
    /// Items that earlier starts have decided, which are passed over.
    done: Arc<RoaringTreemap>,
    next: u64,
    waiting: BTreeMap<u64, (T, Weight)>,
}

impl<T> ReorderBuffer<T> {
    /// A buffer for a run in which the items in `done` are committed.
    pub(crate) fn new(done: Arc<RoaringTreemap>) -> Self {
        Self { done, next: 0, waiting: BTreeMap::new() }
    }

    /// Adds an item.
    pub(crate) fn insert(&mut self, item: u64, held: T, weight: Weight) {
        self.waiting.insert(item, (held, weight));
    }

    /// Removes and returns the next item, if it has arrived.
    pub(crate) fn pop(&mut self) -> Option<(u64, T, Weight)> {
        while self.done.contains(self.next) {
            self.next += 1;
        }
        let item = self.next;
        let (held, weight) = self.waiting.remove(&item)?;
        self.next += 1;
        Some((item, held, weight))
    }

    /// Removes and returns all waiting items, in order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, T, Weight)> + use<T> {
        std::mem::take(&mut self.waiting).into_iter().map(|(item, (held, weight))| (item, held, weight))
    }

    /// Whether an item waits here.
    pub(crate) fn contains(&self, item: u64) -> bool {
        self.waiting.contains_key(&item)
    }

    /// The number of the item that the others wait for.
    pub(crate) fn awaited(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(order: &mut ReorderBuffer<char>) -> String {
        std::iter::from_fn(|| order.pop().map(|(_, held, _)| held)).collect()
    }

    #[test]
    fn items_are_popped_in_order_whatever_arrives_first() {
        let mut order = ReorderBuffer::new(Arc::new([1, 2, 5].into_iter().collect()));
        order.insert(3, 'd', Weight::default());
        order.insert(6, 'g', Weight::default());
        assert_eq!(popped(&mut order), "");
        assert!(order.contains(6) && order.awaited() == 0);
        order.insert(0, 'a', Weight::default());
        assert_eq!(popped(&mut order), "ad", "1 and 2 are done");
        order.insert(4, 'e', Weight::default());
        assert_eq!(popped(&mut order), "eg", "5 is done");
        order.insert(9, 'j', Weight::default());
        assert_eq!(order.drain().map(|(item, _, _)| item).collect::<Vec<_>>(), [9]);
    }
}
