//! The error budget: rejected items are counted by reason, and too many of them stop the run.

use super::Ledger;
use crate::engine::event::RunEvent;
use crate::engine::record_end::Rejection;
use crate::journal::ItemOutcome;
use crate::record::RecordId;

/// Too many items were rejected.
#[derive(Debug, Clone)]
pub struct ErrorRateExceeded {
    /// What was over, in words.
    pub why: String,
    /// The most frequent reasons, with their counts.
    pub reasons: Vec<(String, u64)>,
}

impl Ledger {
    pub(super) fn count_rejection(&mut self, id: RecordId, rejection: Rejection) {
        *self.rejections.entry(rejection.class.clone()).or_default() += 1;
        let reason = format!("{}: {}: {}", rejection.stage, rejection.class, rejection.message);
        // Messages can differ in every record; past some number of them the classes must do.
        if self.reasons.len() < 1000 || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
        self.tell(RunEvent::Rejected { id, rejection });
    }

    pub(super) fn check_error_budget(&mut self, outcome: ItemOutcome) {
        if outcome != ItemOutcome::Rejected {
            self.in_a_row = 0;
            return;
        }
        self.rejected_items += 1;
        self.in_a_row += 1;
        let budget = self.context.budget;
        let share = self.rejected_items as f64 / self.ended as f64;
        let why = if self.in_a_row >= budget.in_a_row {
            format!("{} items in a row were rejected", self.in_a_row)
        } else if self.ended >= budget.after && share > budget.share {
            format!("{} of {} items were rejected", self.rejected_items, self.ended)
        } else {
            return;
        };
        if self.report.error_rate_exceeded.is_none() {
            let mut reasons: Vec<(String, u64)> = self.reasons.clone().into_iter().collect();
            reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            reasons.truncate(3);
            self.report.error_rate_exceeded = Some(ErrorRateExceeded { why, reasons });
            self.context.stop.drain();
        }
    }
}
