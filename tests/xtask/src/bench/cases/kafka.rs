//! From topic to topic on a real broker, which is new for each run and on this machine: the CPU time is that of the host, or of
//! Flink, alone.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wasmill_broker::Broker;

use crate::bench::case::{Better, Case, Figure, Sample, Subject};
use crate::bench::flink;
use crate::bench::job::Job;
use crate::bench::live::Live;
use crate::bench::measure;
use crate::bench::stand::Stand;
use crate::setup;

const EVENTS: u64 = 5_000_000;
const PARTITIONS: u16 = 4;

/// Events a second, and for how long: where latency is measured, nothing is short of anything.
const RATE: u64 = 20_000;
const SECONDS: u64 = 20;
/// As long before, untimed: a JVM has compiled by then what there is to compile.
const WARM_SECONDS: u64 = 20;
const LATENCY: &[Figure] = &[
    Figure { name: ".p50", unit: "ms", better: Better::Less },
    Figure { name: ".p99", unit: "ms", better: Better::Less },
];

/// What the jobs of this name do is in `tests/jobs`.
const JOBS: [(&str, &str, &str); 2] = [
    ("pass", "kafka-pass.toml", "JSON events from topic to topic"),
    ("count", "kafka-count.toml", "a keyed count of JSON events from topic to topic"),
];
const DELIVERIES: [(&str, &str); 2] = [("alo", "at-least-once"), ("eos", "exactly-once")];

#[derive(Clone, Copy)]
struct TopicToTopic {
    name: &'static str,
    file: &'static str,
    delivery: &'static str,
}

pub fn cases(events: Option<u64>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, file, about) in JOBS {
        for (short, delivery) in DELIVERIES {
            let job = TopicToTopic { name, file, delivery };
            let events_read = events.unwrap_or(EVENTS);
            let about = format!("{about}, {delivery}, a checkpoint every second");
            let case = Case::per_core(format!("kafka.{name}.{short}"), &about, job.throughput(events_read));
            cases.push(case.against("flink", job.throughput_of_flink(events_read)));
            let timed = events.unwrap_or(RATE * SECONDS);
            let about = format!("{about}: from creation to output at {RATE} events a second");
            let case = Case::measured(format!("kafka.{name}.{short}.latency"), about, LATENCY, job.latency(timed));
            cases.push(case.against("flink", job.latency_of_flink(timed)));
        }
    }
    cases
}

impl TopicToTopic {
    fn job(&self, stand: &Stand, broker: &Broker, bounded: bool) -> Job {
        let job = Job::of(self.file)
            .set("sources.events.brokers", broker.address())
            .set("sources.events.bounded", bounded)
            .set("sinks.out.brokers", broker.address())
            .set("checkpoints.url", stand.checkpoints().display())
            .set("parallelism", 2);
        // Sinks are at-least-once unless they say something else.
        if self.delivery == "at-least-once" { job } else { job.set("sinks.out.delivery", self.delivery) }
    }

    fn throughput(self, events: u64) -> Subject {
        Box::new(move |stand| {
            let broker = start_broker(stand)?;
            fill(stand, &broker, events)?;
            let (run, status) = self.job(stand, &broker, true).run(stand)?;
            status.expect("events", events, "out", events)?;
            self.check(stand, &broker, events)?;
            Ok(run.per_core_second(events))
        })
    }

    fn flink(&self, broker: &Broker) -> flink::TopicToTopic {
        flink::TopicToTopic { case: format!("kafka-{}", self.name), delivery: self.delivery, brokers: broker.address() }
    }

    fn throughput_of_flink(self, events: u64) -> Subject {
        Box::new(move |stand| {
            let broker = start_broker(stand)?;
            create(stand, &broker, flink::WARM_TOPIC)?;
            fill(stand, &broker, events)?;
            let sample = self.flink(&broker).bounded(stand, events)?;
            self.check(stand, &broker, events)?;
            Ok(sample)
        })
    }

    /// Whether what can be read of the output is what it should be.
    fn check(&self, stand: &Stand, broker: &Broker, events: u64) -> Result<()> {
        let output = topics(stand, broker, &["weigh", "out"])?;
        ensure!(output["messages"] == events, "{} of {events} messages are in the output", output["messages"]);
        if self.name == "count" {
            ensure!(output["counted"] == events, "{events} events count as {}", output["counted"]);
            return Ok(());
        }
        let input = topics(stand, broker, &["weigh", "events"])?;
        ensure!(input["hash"] == output["hash"], "the messages of the output are not those of the input");
        Ok(())
    }

    fn latency(self, events: u64) -> Subject {
        Box::new(move |stand| {
            let broker = start_broker(stand)?;
            stand.forget_checkpoints()?;
            let job = self.job(stand, &broker, false);
            let mut live = Live::start(stand, &job)?;
            live.wait_until("it was running", |_| Ok(true))?;
            let figures = late(stand, &broker, events)?;
            let (status, rss_mb) = live.stop()?;
            status.expect_no_losses()?;
            Ok(Sample { figures, rss_mb })
        })
    }

    fn latency_of_flink(self, events: u64) -> Subject {
        Box::new(move |stand| {
            let broker = start_broker(stand)?;
            let (figures, rss_mb) = self.flink(&broker).endless(stand, || late(stand, &broker, events))?;
            Ok(Sample { figures, rss_mb })
        })
    }
}

/// What a client sees that sends events to a job and reads what comes of them.
fn late(stand: &Stand, broker: &Broker, events: u64) -> Result<Vec<Option<f64>>> {
    let (rate, timed, warm) = (RATE.to_string(), events.to_string(), (RATE * WARM_SECONDS).to_string());
    let command = ["latency", "--to", "events", "--from", "out", "--rate", &rate, "--events", &timed, "--warm", &warm];
    let late = topics(stand, broker, &command)?;
    Ok(vec![late["p50_ms"].as_f64(), late["p99_ms"].as_f64()])
}

fn start_broker(stand: &Stand) -> Result<Broker> {
    setup::ensure_kafka()?;
    let broker = Broker::start_quick(PARTITIONS)?;
    for topic in ["events", "out"] {
        create(stand, &broker, topic)?;
    }
    Ok(broker)
}

fn create(stand: &Stand, broker: &Broker, topic: &str) -> Result<()> {
    topics(stand, broker, &["create", topic, "--partitions", &PARTITIONS.to_string()]).map(drop)
}

fn fill(stand: &Stand, broker: &Broker, events: u64) -> Result<()> {
    let job =
        Job::of("keyed-to-kafka.toml").set("sources.made.count", events).set("sinks.events.brokers", broker.address());
    job.run(stand)?.1.expect("made", events, "events", events)
}

/// What a client that is not ours says.
fn topics(stand: &Stand, broker: &Broker, what: &[&str]) -> Result<Value> {
    let mut command = stand.topics(&broker.address());
    let said = measure::run(command.args(what))?.stdout;
    serde_json::from_str(said.trim()).context("what wasmill-bench says of topics")
}
