//! The message for a run that is complete and made nothing, for each way in which that can happen.
//!
//! Used at the end of a run and when a finished one is started again; `cli` maps it to an exit code.

use std::path::Path;

/// The totals of a complete run.
#[derive(Debug, Clone, Default)]
pub struct RunCounts {
    /// Items that ended ok.
    pub ok: u64,
    /// Items that were dropped.
    pub dropped: u64,
    /// Items that were rejected.
    pub rejected: u64,
    /// Files and rows that could not be read.
    pub unread: u64,
    /// Dropped records by reason, as far as known.
    pub drops: Vec<(String, u64)>,
    /// The `--limit` of the run, if it had one.
    pub limit: Option<u64>,
}

impl RunCounts {
    /// Whether items were asked for and none was made.
    #[must_use]
    pub fn made_nothing(&self) -> bool {
        self.ok == 0 && self.limit != Some(0)
    }

    /// Returns why nothing was made, and what can be done; `root` is the run directory.
    #[must_use]
    pub fn nothing_made_message(&self, root: &Path) -> String {
        let root = root.display();
        let mut text = format!("nothing was made: {}", self.reason());
        if self.rejected > 0 {
            text.push_str(&format!(
                "; {root}/rejected.jsonl has the reasons, and `synthmill retry-rejected {root}` makes the rejected \
                 items again"
            ));
            return text;
        }
        if self.drops.iter().any(|(reason, _)| reason == "unrouted") {
            text.push_str("; a record is `unrouted` where the `when` of every sink passes it by");
        }
        text.push_str("; once that is mended, the same command with `--fresh` begins anew");
        text
    }

    fn reason(&self) -> String {
        let items = self.dropped + self.rejected;
        let unread = match self.unread {
            0 => String::new(),
            1 => ", and one file or row could not be read".to_owned(),
            unread => format!(", and {unread} files or rows could not be read"),
        };
        let reasons = match &*self.drops {
            [] => String::new(),
            [(reason, _)] => format!(": {reason}"),
            several => {
                let several: Vec<String> =
                    several.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
                format!(": {}", several.join(", "))
            }
        };
        match (self.dropped, self.rejected) {
            (0, 0) if self.unread > 0 => "nothing of the source could be read".to_owned(),
            (0, 0) => "the source gave no items".to_owned(),
            (dropped, 0) => format!("all {dropped} dropped{reasons}{unread}"),
            (0, rejected) => format!("all {rejected} rejected{unread}"),
            (dropped, rejected) => {
                format!(
                    "none of {items} ended ok, {rejected} rejected and {dropped} dropped{reasons}{unread}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_make_nothing_has_its_message() {
        let check = |dropped, rejected, unread, drops: &[(&str, u64)], expected: &str| {
            let drops = drops.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
            let counts = RunCounts { dropped, rejected, unread, drops, ..RunCounts::default() };
            assert!(counts.made_nothing());
            assert_eq!(counts.reason(), expected);
        };
        check(0, 0, 0, &[], "the source gave no items");
        check(0, 0, 3, &[], "nothing of the source could be read");
        check(173, 0, 0, &[("unrouted", 173)], "all 173 dropped: unrouted");
        check(173, 0, 0, &[], "all 173 dropped");
        check(
            173,
            0,
            1,
            &[("unrouted", 173)],
            "all 173 dropped: unrouted, and one file or row could not be read",
        );
        check(5, 0, 0, &[("low_score", 3), ("unrouted", 2)], "all 5 dropped: 3 low_score, 2 unrouted");
        check(0, 5, 2, &[], "all 5 rejected, and 2 files or rows could not be read");
        check(2, 3, 0, &[("unrouted", 2)], "none of 5 ended ok, 3 rejected and 2 dropped: unrouted");
    }

    #[test]
    fn making_nothing_is_no_failure_if_nothing_was_asked_for() {
        assert!(!RunCounts { limit: Some(0), ..RunCounts::default() }.made_nothing());
        assert!(!RunCounts { ok: 1, dropped: 9, ..RunCounts::default() }.made_nothing());
    }
}
