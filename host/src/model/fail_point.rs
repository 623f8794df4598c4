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
pub const TRANSACTION_FAIL_POINTS: [&str; 9] = [
    "claim.after_fence_a",
    "claim.after_fence_b",
    "claim.after_read",
    "claim.logged",
    "claim.commit_sent",
    "record.produced",
    "record.acked",
    "decided.before_log",
    "decided.before_renew",
];

fn is_known(name: &str) -> bool {
    FAIL_POINTS.contains(&name) || TRANSACTION_FAIL_POINTS.contains(&name)
}

/// What happens there.
enum Mishap {
    /// The process dies.
    Abort,
    /// Only the thread dies, which fails the job, and the process may start it again.
    Panic,
    /// The process sleeps until it is told to go on, as after `kill -STOP`.
    Stop,
}

struct Armed {
    name: String,
    /// It happens when the process comes by for this time.
    hits: AtomicU64,
    mishap: Mishap,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Lets the process die when it comes to the place in `text`, `<name>:<n>`, for the n-th time; with `:panic` behind it,
/// the thread only; with `:stop`, it stands still. Once in a process.
pub fn arm(text: &str) -> Result<(), String> {
    let mut parts = text.split(':');
    let name = parts.next().filter(|name| is_known(name));
    let hits = parts.next().and_then(|hits| hits.parse().ok()).filter(|hits| *hits > 0);
    let mishap = match (parts.next(), parts.next()) {
        (None, _) => Some(Mishap::Abort),
        (Some("panic"), None) => Some(Mishap::Panic),
        (Some("stop"), None) => Some(Mishap::Stop),
        _ => None,
    };
    let (Some(name), Some(hits), Some(mishap)) = (name, hits, mishap) else {
        return Err(format!(
            "`{text}` is no fail point: it is `<name>:<n>`, perhaps with `:panic` or `:stop` behind it, and a name of \
             {FAIL_POINTS:?} or {TRANSACTION_FAIL_POINTS:?}"
        ));
    };
    let armed = Armed { name: name.to_owned(), hits: AtomicU64::new(hits), mishap };
    ARMED.set(armed).map_err(|_| "a fail point is armed already".to_owned())
}

/// The process is at this place.
pub fn reach(name: &'static str) {
    debug_assert!(is_known(name));
    if let Some(armed) = ARMED.get()
        && armed.name == name
        && armed.hits.fetch_sub(1, Relaxed) == 1
    {
        match armed.mishap {
            Mishap::Abort => std::process::abort(),
            Mishap::Panic => panic!("the fail point `{name}` was reached"),
            Mishap::Stop => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)
                    .expect("a process may stop itself");
            }
        }
    }
}
