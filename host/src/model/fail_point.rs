//! Places at which a test lets the process die, as if by `kill -9`: between two effects that are not one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The places of any job with checkpoints, in the order in which a checkpoint comes by. Tests know them by name.
pub const FAIL_POINTS: [&str; 14] = [
    "claim.before",
    "claim.after",
    "followers.replay",
    "restore.middle",
    "barrier.first_slot",
    "barrier.last_slot",
    "upload.middle",
    "manifest.before",
    "manifest.put_unknown",
    "manifest.after",
    "decided.before_follow",
    "decided.mid_follow",
    "decided.before_ack",
    "gc.middle",
];

/// Those of a job whose sinks write in transactions: it has the others too.
pub const TRANSACTION_FAIL_POINTS: [&str; 8] = [
    "claim.after_fence_a",
    "claim.after_fence_b",
    "claim.after_read",
    "claim.commit_sent",
    "record.produced",
    "record.acked",
    "decided.before_log",
    "decided.before_renew",
];

fn is_known(name: &str) -> bool {
    FAIL_POINTS.contains(&name) || TRANSACTION_FAIL_POINTS.contains(&name)
}

struct Armed {
    name: String,
    /// It happens when the process comes by for this time.
    hits: AtomicU64,
    /// Only the thread dies, which fails the job, and the process may start it again.
    panics: bool,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Lets the process die when it comes to the place in `text`, `<name>:<n>`, for the n-th time; with `:panic` behind it,
/// the thread only. Once in a process.
pub fn arm(text: &str) -> Result<(), String> {
    let (place, panics) = text.strip_suffix(":panic").map_or((text, false), |place| (place, true));
    let armed = place.split_once(':').and_then(|(name, hits)| Some((name.to_owned(), hits.parse().ok()?)));
    let Some((name, hits)) = armed.filter(|(name, hits)| *hits > 0 && is_known(name)) else {
        return Err(format!(
            "`{text}` is no fail point: it is `<name>:<n>`, and a name of {FAIL_POINTS:?} or {TRANSACTION_FAIL_POINTS:?}"
        ));
    };
    let armed = Armed { name, hits: AtomicU64::new(hits), panics };
    ARMED.set(armed).map_err(|_| "a fail point is armed already".to_owned())
}

/// The process is at this place.
pub fn reach(name: &'static str) {
    debug_assert!(is_known(name));
    if let Some(armed) = ARMED.get()
        && armed.name == name
        && armed.hits.fetch_sub(1, Relaxed) == 1
    {
        assert!(!armed.panics, "the fail point `{name}` was reached");
        std::process::abort();
    }
}
