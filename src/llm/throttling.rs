//! Attributes failures to load: whether an endpoint or the account throttles, and whether sending more causes more
//! failures.
//!
//! `remote` reports every failed attempt. A throttled request concerns either the endpoint that refused it or the
//! account, whose quota all endpoints share; that decides whether other requests wait too. The refused request itself
//! waits in any case, in `retry`.

use std::time::Duration;

use super::classify::{Failure, Verdict};
use super::endpoints::{AttemptOutcome, EndpointLease};
use super::quota::QuotaPermit;
use super::retry::MAX_PAUSE;

/// The longest wait that is recorded: a server may ask for any time at all, but the run stops long before this.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Reports a failure to the endpoint and the quota pool, and sets whether it depends on load. Waits that no server
/// asked for grow from `base`.
pub(super) fn note_failure(failure: &mut Failure, lease: EndpointLease, permit: QuotaPermit, base: Duration) {
    failure.retry_after = failure.retry_after.map(|asked| asked.min(LONGEST_WAIT));
    // The server may have done the work, so the reservation counts as used.
    let served = failure.took().is_some();
    if failure.verdict == Verdict::Throttled && throttler(failure, &lease) == Throttler::Pool {
        let counts_concurrency = counts_concurrency(failure);
        lease.finish(AttemptOutcome::Throttled { counts_concurrency });
        failure.depends_on_load = permit.refused(failure.retry_after, base, &failure.class);
        return;
    }
    let is_bad = failure.blames_endpoint() || (failure.suspects_endpoint() && lease.has_others());
    let asked = failure.retry_after;
    if failure.verdict == Verdict::Throttled && asked > Some(MAX_PAUSE) && lease.has_others() {
        // It is suspended for as long, and the request goes to another endpoint.
        (failure.verdict, failure.retry_after) = (Verdict::Retry, None);
        failure.depends_on_load = lease.finish(AttemptOutcome::Refused(asked));
        permit.refund();
        return;
    }
    failure.depends_on_load = lease.finish(match failure.verdict {
        Verdict::Throttled => AttemptOutcome::Refused(asked),
        Verdict::Retry if is_bad => AttemptOutcome::Failed,
        Verdict::Retry | Verdict::Fatal | Verdict::RejectRecord => AttemptOutcome::Answered,
    });
    if !served {
        permit.refund();
    }
}

/// Who throttles the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Throttler {
    /// The endpoint: others may accept it.
    Endpoint,
    /// The account: the whole pool slows down.
    Pool,
}

/// Returns who throttles the request that holds `lease`.
///
/// A refusal that names a quota comes from the account. Otherwise it comes from the endpoint if another one responds,
/// or if the concurrency limit is being discovered and no time is named, since such servers count concurrent requests.
fn throttler(failure: &Failure, lease: &EndpointLease) -> Throttler {
    let is_of_places = counts_concurrency(failure) && lease.can_decrease();
    match is_of_places || (!failure.names_quota && lease.others_respond()) {
        true => Throttler::Endpoint,
        false => Throttler::Pool,
    }
}

/// Whether a refusal may be due to the number of concurrent requests.
fn counts_concurrency(failure: &Failure) -> bool {
    failure.retry_after.is_none() && !failure.names_quota
}
