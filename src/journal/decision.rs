//! The decision of ordered gates on an item, as stored in its commit.
//!
//! A gate sees more than one item, so the fate of an item may depend on others. The commit frame names the items in
//! whose favour it was dropped, so that `repair` undoes it together with them (`dependents`), and holds the bytes
//! from which the next start rebuilds the gate; these are opaque here.
//!
//! ```text
//! decision = flags:u8 (length:int byte*)? (count:int item:int*)?
//! flags    = 1 keys follow, 2 the items follow that it lost to, 4 it lost to every item that was kept
//! int      = seven bits per byte, lowest first, the eighth set if more follow
//! ```

const KEYS: u8 = 1;
const ITEMS: u8 = 2;
const EVERY_KEPT: u8 = 4;

/// What ordered gates decided on an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateRecord {
    /// What the gates need of this item to rebuild their state; may be empty.
    pub keys: Vec<u8>,
    /// In whose favour the item, or one of its records, was dropped.
    pub lost_to: LostTo,
}

/// In whose favour an item was dropped. If one of those is made again, this item must be too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LostTo {
    /// Nobody: the item depends on no other.
    #[default]
    Nobody,
    /// These items.
    Items(Vec<u64>),
    /// Every item that was kept: there was no more room.
    EveryKept,
}

impl GateRecord {
    /// Whether there is nothing to store.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.lost_to.is_somebody()
    }

    /// Appends the decision to the bytes of a commit; an empty one takes one byte.
    pub(super) fn push(&self, bytes: &mut Vec<u8>) {
        let keys = if self.keys.is_empty() { 0 } else { KEYS };
        let lost = match &self.lost_to {
            LostTo::Items(items) if !items.is_empty() => ITEMS,
            LostTo::EveryKept => EVERY_KEPT,
            LostTo::Items(_) | LostTo::Nobody => 0,
        };
        bytes.push(keys | lost);
        if keys != 0 {
            push_int(bytes, self.keys.len() as u64);
            bytes.extend_from_slice(&self.keys);
        }
        if let (ITEMS, LostTo::Items(items)) = (lost, &self.lost_to) {
            push_int(bytes, items.len() as u64);
            items.iter().for_each(|item| push_int(bytes, *item));
        }
    }

    /// Decodes a decision from the front of `bytes` and advances them; `None` if there is none.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (what, rest) = bytes.split_first()?;
        *bytes = rest;
        let mut decision = Self::default();
        if what & KEYS != 0 {
            let length = usize::try_from(read_int(bytes)?).ok()?;
            let (keys, rest) = bytes.split_at_checked(length)?;
            decision.keys = keys.to_vec();
            *bytes = rest;
        }
        decision.lost_to = match what & !KEYS {
            0 => LostTo::Nobody,
            EVERY_KEPT => LostTo::EveryKept,
            ITEMS => {
                let count = read_int(bytes)?;
                let items: Option<Vec<u64>> = (0..count).map(|_| read_int(bytes)).collect();
                LostTo::Items(items?)
            }
            _ => return None,
        };
        Some(decision)
    }
}

impl LostTo {
    /// Whether it names any item.
    pub(super) fn is_somebody(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Items(items) => !items.is_empty(),
            Self::EveryKept => true,
        }
    }
}

fn push_int(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 1 << 7 {
        bytes.push(number as u8 | 1 << 7);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_int(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & !(1 << 7));
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 1 << 7 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Generates any decision; empty ones half of the time.
    pub(in crate::journal) fn any_decision() -> impl Strategy<Value = GateRecord> {
        let lost_to = prop_oneof![
            Just(LostTo::Nobody),
            prop::collection::vec(any::<u64>(), 1..4).prop_map(LostTo::Items),
            Just(LostTo::EveryKept),
        ];
        let some = (prop::collection::vec(any::<u8>(), 0..300), lost_to)
            .prop_map(|(keys, lost_to)| GateRecord { keys, lost_to });
        prop_oneof![Just(GateRecord::default()), some]
    }

    #[test]
    fn an_empty_decision_takes_one_byte() {
        for lost_to in [LostTo::Nobody, LostTo::Items(Vec::new())] {
            let decision = GateRecord { lost_to, ..GateRecord::default() };
            assert!(decision.is_empty());
            let mut bytes = Vec::new();
            decision.push(&mut bytes);
            assert_eq!(bytes, [0]);
        }
    }

    #[test]
    fn invalid_decisions_are_not_decoded() {
        for bad in [
            &[][..],
            &[8],
            &[6, 1, 1],
            &[1, 5, 1],
            &[2, 2, 1],
            &[2, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
        ] {
            assert_eq!(GateRecord::read(&mut &bad[..]), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn decisions_round_trip(decision in any_decision(), behind: Vec<u8>) {
            let mut bytes = Vec::new();
            decision.push(&mut bytes);
            bytes.extend(&behind);
            let mut rest = &bytes[..];
            prop_assert_eq!(GateRecord::read(&mut rest), Some(decision));
            prop_assert_eq!(rest, &behind);
        }
    }
}
