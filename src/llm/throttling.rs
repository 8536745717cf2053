//! What a failure says of load: to whom a refusal belongs, and whether more such failures are to be had by sending more.
//!
//! `remote` tells every failed attempt. A refusal for want of room is of the endpoint that sent it or of the account,
//! whose quota all endpoints share; the one or the other decides whether other requests wait too. The refused request
//! itself waits in any case, in `retry`.

use std::time::Duration;

use super::classify::{Failure, Verdict};
use super::endpoints::{AttemptOutcome, EndpointLease};
use super::quota::QuotaPermit;
use super::retry::MAX_PAUSE;

/// A server may ask for any time at all; long before this the run has stopped.
const LONGEST_ASKED: Duration = Duration::from_hours(24);

/// Tells the endpoint and the pool of a failure, and the failure whether it answers to load. Pauses that no server
/// asked for grow from `base`.
pub(super) fn note_failure(failure: &mut Failure, place: EndpointLease, turn: QuotaPermit, base: Duration) {
    failure.retry_after = failure.retry_after.map(|asked| asked.min(LONGEST_ASKED));
    // After these the server may have done the work: what was reserved counts as used.
    let served = failure.took().is_some();
    if failure.verdict == Verdict::Throttled && owner(failure, &place) == Owner::Pool {
        let counts_places = counts_places(failure);
        place.end(AttemptOutcome::Throttled { counts_places });
        failure.answers_to_load = turn.refused(failure.retry_after, base, &failure.class);
        return;
    }
    let is_bad = failure.blames_endpoint() || (failure.suspects_endpoint() && place.has_others());
    let asked = failure.retry_after;
    if failure.verdict == Verdict::Throttled && asked > Some(MAX_PAUSE) && place.has_others() {
        // It is left alone for as long, and the request goes to another.
        (failure.verdict, failure.retry_after) = (Verdict::Retry, None);
        failure.answers_to_load = place.end(AttemptOutcome::Refused(asked));
        turn.refund();
        return;
    }
    failure.answers_to_load = place.end(match failure.verdict {
        Verdict::Throttled => AttemptOutcome::Refused(asked),
        Verdict::Retry if is_bad => AttemptOutcome::Bad,
        Verdict::Retry | Verdict::Fatal | Verdict::RejectRecord => AttemptOutcome::Good,
    });
    if !served {
        turn.refund();
    }
}

/// Who has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The endpoint: others may have some.
    Endpoint,
    /// The account: the pool slows down.
    Pool,
}

/// Who has no room, by a refusal of the request that holds `place`.
///
/// A refusal that names a quota is of the account. Otherwise it is of the endpoint where another one answers, and where
/// the number of requests at a time is being found and no time is named, since such servers count requests
/// under way.
fn owner(failure: &Failure, place: &EndpointLease) -> Owner {
    let is_of_places = counts_places(failure) && place.can_shrink();
    match is_of_places || (!failure.names_quota && place.others_answer()) {
        true => Owner::Endpoint,
        false => Owner::Pool,
    }
}

/// Whether a refusal may be of how many came at a time.
fn counts_places(failure: &Failure) -> bool {
    failure.retry_after.is_none() && !failure.names_quota
}
