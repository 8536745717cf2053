//! Users that nobody is, for programs that are started by root.
//!
//! A limit of processes counts those of a user and does not hold for root, so each program is a user of its own.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Users that no distribution hands out: between those of containers and those of systemd.
const WIDE: Range = Range { first: 1_900_000_000, count: 200_000_000 };
/// Users of a container that knows only the first 65536.
const NARROW: Range = Range { first: 50_000, count: 10_000 };

static NEXT: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Clone, Copy)]
struct Range {
    first: u32,
    count: u32,
}

/// The users to choose from, without those that are somebody.
struct UserChoice {
    range: Range,
    taken: BTreeSet<u32>,
}

/// Returns the next user, if we are root; others cannot become another user.
pub(super) fn next() -> Option<u32> {
    static CHOICE: OnceLock<UserChoice> = OnceLock::new();
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let choice = CHOICE.get_or_init(|| UserChoice {
        range: range(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default()),
        taken: users(&std::fs::read_to_string("/etc/passwd").unwrap_or_default()),
    });
    // Processes that run at the same time begin at different places.
    let start = std::process::id().wrapping_mul(7919);
    loop {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let user = choice.range.first + number % choice.range.count;
        if !choice.taken.contains(&user) {
            return Some(user);
        }
    }
}

/// The widest range that a map of users covers.
fn range(map: &str) -> Range {
    let covers = |line: &str, range: Range| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        let (first, _, count) = (numbers.next(), numbers.next(), numbers.next());
        let (first, count) = (first.unwrap_or(0), count.unwrap_or(0));
        first <= u64::from(range.first) && u64::from(range.first) + u64::from(range.count) <= first + count
    };
    match map.lines().any(|line| covers(line, WIDE)) {
        true => WIDE,
        false => NARROW,
    }
}

fn users(passwd: &str) -> BTreeSet<u32> {
    passwd.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_chosen_from_what_is_mapped() {
        assert_eq!(range("         0          0 4294967295\n").first, WIDE.first);
        assert_eq!(range("0 100000 65536").first, NARROW.first);
        assert_eq!(range("").first, NARROW.first);
        assert_eq!(users("root:x:0:0:root:/root:/bin/sh\nx\na:x:50001:1:::\n"), BTreeSet::from([0, 50001]));
    }
}
