//! Counts and sums in windows of event time, with a checkpoint every ten seconds.

use crate::bench::case::Case;
use crate::bench::flink;
use crate::bench::job::Job;

use super::{Backend, MEMORY, ROCKSDB, short};

/// For each slot.
const EVENTS: u64 = 100_000_000;

pub fn cases(events: Option<u64>) -> Vec<Case> {
    let mut cases = Vec::new();
    for keys in [1_000, 100_000] {
        for backend in [MEMORY, ROCKSDB] {
            for parallelism in [1, 2] {
                cases.push(case(keys, backend, parallelism, events.unwrap_or(EVENTS * parallelism)));
            }
        }
    }
    cases
}

fn case(keys: u64, backend: Backend, parallelism: u64, events: u64) -> Case {
    let job = Job::of("tumble.toml")
        .set("state.backend", backend.name)
        .set("sources.events.keys", keys)
        .set("sources.events.count", events)
        .set("parallelism", parallelism);
    let ours = Box::new(move |stand: &_| {
        let (run, status) = job.run(stand)?;
        status.expect("events", events, "nowhere", rows(events, keys))?;
        Ok(run.per_core_second(events))
    });
    let slots = if parallelism == 1 { "one slot" } else { "two slots" };
    let about = format!("sums in windows of 10 s, {keys} keys, {}, {slots}", backend.name);
    let options = format!("case=tumble backend={} ckpt=10000 keys={keys} par={parallelism}", backend.flink);
    Case::per_core(format!("tumble.{}.{}.p{parallelism}", short(keys), backend.name), about, ours)
        .against("flink", flink::generator(options))
}

/// Windows that have an event, of all keys: the generator's events are made again, by the formula of
/// `tests/peers/flink/src/bench/Gen.java`.
fn rows(events: u64, keys: u64) -> u64 {
    const PHI: u64 = 0x9E37_79B9_7F4A_7C15;
    const WINDOW_MILLIS: u64 = 10_000;
    let mix = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    // The first window ends where event time begins: events are up to five seconds late.
    let windows = 2 + events / (WINDOW_MILLIS * 1_000);
    let mut seen = vec![false; usize::try_from(windows * keys).unwrap_or(usize::MAX)];
    for i in 0..events {
        let hash = mix((i + 1).wrapping_mul(PHI).wrapping_add(42));
        let key = ((hash >> 32) * keys) >> 32;
        let late = ((hash & 0xffff_ffff) * 5_001) >> 32;
        let window = (i / 1_000 + WINDOW_MILLIS - late) / WINDOW_MILLIS;
        seen[usize::try_from(window * keys + key).unwrap_or(usize::MAX)] = true;
    }
    seen.iter().filter(|seen| **seen).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_that_flink_has() {
        // As `tests/peers/flink/expected.txt` says.
        assert_eq!(rows(25_000_000, 1_000), 4_000);
        // Counted by a script.
        assert_eq!(rows(200_000, 1_000), 1_988);
    }
}
