//! The error budget: counts rejected items by reason, and stops the run when there are too many.

use super::Ledger;
use crate::engine::event::RunEvent;
use crate::engine::record_end::Rejection;
use crate::journal::ItemOutcome;
use crate::record::RecordId;

/// Too many items were rejected.
#[derive(Debug, Clone)]
pub struct ErrorRateExceeded {
    /// Which limit was exceeded, in words.
    pub why: String,
    /// The most frequent reasons, with their counts.
    pub reasons: Vec<(String, u64)>,
}

impl Ledger {
    pub(super) fn count_rejection(&mut self, id: RecordId, rejection: Rejection) {
        *self.rejections.entry(rejection.class.clone()).or_default() += 1;
        let reason = format!("{}: {}: {}", rejection.stage, rejection.class, rejection.message);
        // Messages can differ in every record; beyond this number only known ones and the classes are counted.
        if self.rejection_reasons.len() < 1000 || self.rejection_reasons.contains_key(&reason) {
            *self.rejection_reasons.entry(reason).or_default() += 1;
        }
        self.publish(RunEvent::Rejected { id, rejection });
    }

    pub(super) fn check_error_budget(&mut self, outcome: ItemOutcome) {
        if outcome != ItemOutcome::Rejected {
            self.rejected_in_a_row = 0;
            return;
        }
        self.rejected_items += 1;
        self.rejected_in_a_row += 1;
        let budget = self.context.error_budget;
        let share = self.rejected_items as f64 / self.ended as f64;
        let why = if self.rejected_in_a_row >= budget.in_a_row {
            format!("{} items in a row were rejected", self.rejected_in_a_row)
        } else if self.ended >= budget.after && share > budget.share {
            format!("{} of {} items were rejected", self.rejected_items, self.ended)
        } else {
            return;
        };
        if self.report.error_rate_exceeded.is_none() {
            let mut reasons: Vec<(String, u64)> = self.rejection_reasons.clone().into_iter().collect();
            reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            reasons.truncate(3);
            self.report.error_rate_exceeded = Some(ErrorRateExceeded { why, reasons });
            self.context.stop.drain();
        }
    }
}
