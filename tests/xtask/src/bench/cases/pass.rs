//! A map of one column and a keyed exchange.

use crate::bench::case::Case;
use crate::bench::flink;
use crate::bench::job::Job;

const EVENTS: u64 = 100_000_000;

pub fn cases(events: Option<u64>) -> Vec<Case> {
    let events = events.unwrap_or(EVENTS);
    let case = |parallelism: u32, about| {
        let job = Job::of("pass-key.toml").set("sources.events.count", events).set("parallelism", parallelism);
        let ours = Box::new(move |stand: &_| {
            let (run, status) = job.run(stand)?;
            status.expect("events", events, "nowhere", events)?;
            Ok(run.per_core_second(events))
        });
        Case::per_core(format!("pass.key.p{parallelism}"), about, ours)
            .against("flink", flink::generator(format!("case=pass exch=3 par={parallelism}")))
    };
    vec![case(1, "a map of one column and a keyed exchange, one slot"), case(2, "the same with two slots")]
}
