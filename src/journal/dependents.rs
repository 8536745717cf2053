//! The items that have to be undone together with those that a repair removes: the ones that gates dropped in their
//! favour.
//!
//! A gate drops an item in favour of others that it kept. If one of those is made again it may end differently, so
//! whatever was dropped in its favour must be decided anew.

use roaring::RoaringTreemap;

use super::commits::{CommitGroup, ItemOutcome};
use super::decision::LostTo;

/// Items that are removed from a run.
#[derive(Debug, Default)]
pub(super) struct RemovedItems {
    /// Those whose numbers are known.
    pub(super) items: RoaringTreemap,
    /// Those of them that had ended ok.
    pub(super) ok: RoaringTreemap,
    /// Whether there are others, whose commits are unreadable.
    pub(super) has_unknown: bool,
}

impl RemovedItems {
    /// Adds the items of a commit.
    pub(super) fn add(&mut self, group: &CommitGroup) {
        for (item, outcome) in &group.items {
            self.items.insert(*item);
            if *outcome == ItemOutcome::Ok {
                self.ok.insert(*item);
            }
        }
    }
}

/// Returns the items of `groups`, all of them intact, that depend on the removed ones, directly or through each
/// other.
pub(super) fn find(groups: &[CommitGroup], mut gone: RemovedItems) -> RoaringTreemap {
    let mut standing: RoaringTreemap =
        groups.iter().flat_map(|group| group.items.iter().map(|(item, _)| *item)).collect();
    let mut found = RoaringTreemap::new();
    loop {
        let before = found.len();
        for group in groups {
            for (index, decision) in &group.decisions {
                let Some((item, outcome)) = group.items.get(*index) else { continue };
                if !standing.contains(*item) || !has_lost_its_reason(&decision.lost_to, &gone, &standing) {
                    continue;
                }
                standing.remove(*item);
                found.insert(*item);
                gone.items.insert(*item);
                if *outcome == ItemOutcome::Ok {
                    gone.ok.insert(*item);
                }
            }
        }
        // An item found in this pass may have been the reason of one before it.
        if found.len() == before {
            return found;
        }
    }
}

fn has_lost_its_reason(lost_to: &LostTo, gone: &RemovedItems, standing: &RoaringTreemap) -> bool {
    match lost_to {
        LostTo::Nobody => false,
        // An item that is not committed may be one of the unknown ones, or may have been in flight.
        LostTo::Items(items) => items
            .iter()
            .any(|item| gone.items.contains(*item) || gone.has_unknown && !standing.contains(*item)),
        LostTo::EveryKept => gone.has_unknown || !gone.ok.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decision::GateRecord;
    use super::*;

    fn group(items: &[(u64, ItemOutcome, LostTo)]) -> CommitGroup {
        let mut group = CommitGroup::default();
        for (item, outcome, lost_to) in items {
            group.add(*item, *outcome, GateRecord { lost_to: lost_to.clone(), ..GateRecord::default() });
        }
        group
    }

    fn lost(items: &[u64]) -> LostTo {
        LostTo::Items(items.to_vec())
    }

    /// Two commits: 4 lost to 1; 5, which was written all the same, to 4; 6 to 9, which is in flight; 7 to every
    /// kept item.
    fn groups() -> [CommitGroup; 2] {
        use ItemOutcome::{Dropped, Ok, Rejected};
        [
            group(&[(5, Ok, lost(&[4])), (1, Ok, LostTo::Nobody), (2, Rejected, LostTo::Nobody)]),
            group(&[
                (3, Ok, LostTo::Nobody),
                (4, Dropped, lost(&[3, 1])),
                (6, Dropped, lost(&[9])),
                (7, Dropped, LostTo::EveryKept),
            ]),
        ]
    }

    fn check(gone: &[u64], ok: &[u64], has_unknown: bool, expected: &[u64]) {
        let gone = RemovedItems { items: gone.iter().collect(), ok: ok.iter().collect(), has_unknown };
        let found: Vec<u64> = find(&groups(), gone).iter().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_item_is_undone_with_any_that_it_lost_to() {
        check(&[], &[], false, &[]);
        check(&[8], &[], false, &[]);
        check(&[9], &[], false, &[6]);
        check(&[8], &[8], false, &[7]);
        check(&[], &[], true, &[6, 7]);
    }

    #[test]
    fn dependents_of_dependents_are_undone_too() {
        let mut groups = groups();
        groups[0].items.remove(1);
        // 1 is removed, a reject: 4 depends on it, then 5, which precedes it and had ended ok, and therefore 7.
        let gone = RemovedItems { items: [1].into_iter().collect(), ..RemovedItems::default() };
        assert_eq!(find(&groups, gone).iter().collect::<Vec<_>>(), [4, 5, 7]);
    }
}
