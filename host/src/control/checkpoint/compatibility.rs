//! Whether a job can go on from a checkpoint: what of its state is taken over, dropped or cannot be read.

use std::fmt;

use serde::Serialize;

use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::schema::Field;
use crate::plan::descriptor::StateKind;
use crate::plan::graph::{NodeKind, Plan};
use crate::state::evolution::{Declared, Evolution, evolution};
use crate::storage::manifest::{
    AggregateRecord, FieldRecord, InFlightRecord, Manifest, NodeRecord, Shape, StateRecord,
};

use super::positions::{self, POSITION};
use super::record::{intake, parse_plugin_accumulator, shape};

/// What becomes of a part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    #[serde(rename = "operator")]
    pub uid: Uid,
    /// Such as ``state `count` ``.
    #[serde(rename = "part")]
    pub what: String,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Compatible,
    /// Fields were added or removed: its values are made into today's by name and default.
    Transcoded,
    /// The plugin's `migrate` makes its values, which are of this version, today's.
    Migrated(u32),
    /// The job has something that the checkpoint does not know: it starts empty.
    New,
    /// The job has no place for it.
    Dropped,
    /// Why it cannot be read.
    Incompatible(String),
}

impl Finding {
    /// Whether a job does not start because of it.
    pub fn is_refused(&self, may_drop: bool) -> bool {
        match self.verdict {
            Verdict::Incompatible(_) => true,
            Verdict::Dropped => !may_drop,
            Verdict::Compatible | Verdict::Transcoded | Verdict::Migrated(_) | Verdict::New => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {} ", self.uid, self.what)?;
        match &self.verdict {
            Verdict::Compatible => f.write_str("goes on"),
            Verdict::Transcoded => f.write_str("goes on: fields that are new get their defaults, others may be gone"),
            Verdict::Migrated(version) => {
                write!(f, "goes on: `migrate` of the plugin converts it from version {version}")
            }
            Verdict::New => f.write_str("is new, and starts empty"),
            Verdict::Dropped => f.write_str("is dropped: the job has no place for it"),
            Verdict::Incompatible(why) => write!(f, "cannot be taken over: {why}"),
        }
    }
}

/// What taking `manifest` over means for each part of the job and of the checkpoint.
pub fn compare(plan: &Plan, manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in &plan.nodes {
        let now = shape(node);
        match manifest.node(&node.uid) {
            None => findings.extend(parts(&now).map(|what| finding(&node.uid, what, Verdict::New))),
            Some(then) => {
                match (&then.shape, &node.kind) {
                    (Shape::Source { input }, NodeKind::Source(source)) => {
                        let found = positions::compare(then, input.as_ref(), source).into_iter();
                        findings.extend(found.map(|(what, verdict)| finding(&node.uid, what, verdict)));
                    }
                    _ => compare_node(&node.uid, then, &now, &mut findings),
                }
                findings.extend(then.in_flight.iter().map(|in_flight| {
                    finding(&node.uid, describe_in_flight(in_flight), compare_in_flight(in_flight, &intake(node)))
                }));
            }
        }
    }
    for then in manifest.nodes.iter().filter(|then| plan.nodes.iter().all(|node| node.uid != then.uid)) {
        let in_flight = then.in_flight.iter().map(describe_in_flight);
        findings.extend(parts(&then.shape).chain(in_flight).map(|what| finding(&then.uid, what, Verdict::Dropped)));
    }
    if plan.max_parallelism != manifest.max_parallelism {
        let why = format!(
            "it is laid out in {} key groups (`max_parallelism`), and the job has {}",
            manifest.max_parallelism, plan.max_parallelism
        );
        let uid = Uid::from(manifest.job.as_str());
        findings.push(finding(&uid, "state".to_owned(), Verdict::Incompatible(why)));
    }
    findings
}

fn finding(uid: &Uid, what: String, verdict: Verdict) -> Finding {
    Finding { uid: uid.clone(), what, verdict }
}

/// What a node of this shape remembers.
fn parts(shape: &Shape) -> impl Iterator<Item = String> {
    let parts = match shape {
        Shape::Source { .. } => vec![POSITION.to_owned()],
        Shape::Sink => Vec::new(),
        Shape::Window { .. } => vec!["windows".to_owned()],
        Shape::Process { states, timers, .. } => {
            let states = states.iter().map(|state| format!("state `{}`", state.value.name));
            states.chain(timers.iter().map(|timer| format!("timer `{timer}`"))).collect()
        }
    };
    parts.into_iter()
}

fn compare_node(uid: &Uid, then: &NodeRecord, now: &Shape, findings: &mut Vec<Finding>) {
    let mut add = |what: String, verdict| findings.push(finding(uid, what, verdict));
    match (&then.shape, now) {
        (Shape::Sink, Shape::Sink) => {}
        (
            Shape::Process { key: then_key, states: then_states, timers: then_timers, .. },
            Shape::Process { key, states, timers, .. },
        ) => {
            let other_key = (then_key != key).then(|| {
                let why = format!("its key was ({}), and is ({})", columns(then_key), columns(key));
                Verdict::Incompatible(why)
            });
            for state in then_states {
                let now = states.iter().find(|now| now.value.name == state.value.name);
                let verdict = now.map_or(Verdict::Dropped, |now| compare_state(state, now));
                // Broadcast state is of no key.
                let other_key = other_key.clone().filter(|_| !matches!(state.kind(), Ok(StateKind::Broadcast)));
                add(format!("state `{}`", state.value.name), other_key.unwrap_or(verdict));
            }
            for state in states.iter().filter(|now| then_states.iter().all(|then| then.value.name != now.value.name)) {
                add(format!("state `{}`", state.value.name), Verdict::New);
            }
            for timer in then_timers {
                let verdict = if timers.contains(timer) { Verdict::Compatible } else { Verdict::Dropped };
                add(format!("timer `{timer}`"), other_key.clone().unwrap_or(verdict));
            }
        }
        (Shape::Window { .. }, Shape::Window { .. }) => compare_windows(&then.shape, now, add),
        (then, _) => {
            let why = "the node is of another kind now".to_owned();
            parts(then).for_each(|what| add(what, Verdict::Incompatible(why.clone())));
        }
    }
}

fn compare_windows(then: &Shape, now: &Shape, mut add: impl FnMut(String, Verdict)) {
    let (
        Shape::Window { key: then_key, window: then_window, aggregates: then_aggregates },
        Shape::Window { key, window, aggregates },
    ) = (then, now)
    else {
        return;
    };
    let (then_names, now_names) = (names(then_aggregates), names(aggregates));
    let why = match () {
        () if then_key != key => format!("its key was ({}), and is ({})", columns(then_key), columns(key)),
        () if then_window != window => {
            format!("its windows have another size, slide or offset: they were {then_window}, and are {window}")
        }
        () if then_names != now_names => format!("its aggregates were ({then_names}), and are ({now_names})"),
        () => {
            add("windows".to_owned(), Verdict::Compatible);
            for (then, now) in then_aggregates.iter().zip(aggregates) {
                let verdict = compare_aggregate(then, now);
                if verdict != Verdict::Compatible {
                    add(format!("aggregate `{}`", now.name), verdict);
                }
            }
            return;
        }
    };
    add("windows".to_owned(), Verdict::Incompatible(why));
}

fn names(aggregates: &[AggregateRecord]) -> String {
    let names: Vec<&str> = aggregates.iter().map(|aggregate| aggregate.name.as_str()).collect();
    names.join(", ")
}

fn describe_in_flight(in_flight: &InFlightRecord) -> String {
    format!("{} events in flight", in_flight.events)
}

fn compare_in_flight(in_flight: &InFlightRecord, now: &[FieldRecord]) -> Verdict {
    if in_flight.columns == now {
        return Verdict::Compatible;
    }
    let (then, now) = (columns(&in_flight.columns), columns(now));
    Verdict::Incompatible(format!("their columns were ({then}), and are ({now}); a savepoint has no events in flight"))
}

fn columns(key: &[FieldRecord]) -> String {
    let columns: Vec<String> = key.iter().map(|field| format!("{}: {}", field.name, field.data_type)).collect();
    columns.join(", ")
}

fn compare_state(then: &StateRecord, now: &StateRecord) -> Verdict {
    verdict(evolution_of(then, now), then.version)
}

fn compare_aggregate(then: &AggregateRecord, now: &AggregateRecord) -> Verdict {
    let version = parse_plugin_accumulator(then).map_or(0, |(_, version)| version);
    verdict(evolution_of_accumulators(then, now), version)
}

fn verdict(evolution: Result<Evolution, Fault>, then_version: u32) -> Verdict {
    match evolution {
        Ok(Evolution::Compatible) => Verdict::Compatible,
        Ok(Evolution::Transcode(_)) => Verdict::Transcoded,
        Ok(Evolution::Migrate) => Verdict::Migrated(then_version),
        Ok(Evolution::Incompatible(why)) => Verdict::Incompatible(why),
        Err(fault) => Verdict::Incompatible(fault.message),
    }
}

/// What becomes of the accumulators of an aggregate. As with states, it is their declaration that counts, and not how the
/// plugin calls the operator.
pub fn evolution_of_accumulators(then: &AggregateRecord, now: &AggregateRecord) -> Result<Evolution, Fault> {
    let (Some((then_value, then_version)), Some((value, version))) =
        (parse_plugin_accumulator(then), parse_plugin_accumulator(now))
    else {
        return Ok(match then.function == now.function {
            true => Evolution::Compatible,
            false => Evolution::Incompatible(format!("it was {}, and is {}", then.function, now.function)),
        });
    };
    let kind = "accumulator";
    let (then_defaults, defaults) =
        (parse_defaults(&then.defaults, &then.name)?, parse_defaults(&now.defaults, &now.name)?);
    let then = Declared { kind, key: None, value: &then_value, defaults: &then_defaults, version: then_version };
    Ok(evolution(&then, &Declared { kind, key: None, value: &value, defaults: &defaults, version }))
}

/// What becomes of the values of a state; an error if one of the records cannot be read.
pub fn evolution_of(then: &StateRecord, now: &StateRecord) -> Result<Evolution, Fault> {
    if then.expires_in != now.expires_in {
        let clock = |state: &StateRecord| state.expires_in.clone().unwrap_or_else(|| "no time".to_owned());
        let (then, now) = (clock(then), clock(now));
        let why = format!("it expired by {then}, and expires by {now}: give it another name");
        return Ok(Evolution::Incompatible(why));
    }
    let (then, now) = (Parsed::new(then)?, Parsed::new(now)?);
    Ok(evolution(&then.declared(), &now.declared()))
}

struct Parsed<'a> {
    record: &'a StateRecord,
    key: Option<Field>,
    value: Field,
    defaults: Vec<u8>,
}

fn parse_defaults(defaults: &str, name: &str) -> Result<Vec<u8>, Fault> {
    hex::decode(defaults).map_err(|error| {
        Fault::invalid(format!("the defaults of `{name}` in the manifest are not hexadecimal: {error}"))
    })
}

impl<'a> Parsed<'a> {
    fn new(record: &'a StateRecord) -> Result<Self, Fault> {
        let defaults = parse_defaults(&record.defaults, &record.value.name)?;
        Ok(Self { record, key: record.key()?, value: record.value.parse()?, defaults })
    }

    fn declared(&self) -> Declared<'_> {
        Declared {
            kind: &self.record.state_kind,
            key: self.key.as_ref(),
            value: &self.value,
            defaults: &self.defaults,
            version: self.record.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(key: &str, kind: &str) -> Shape {
        let state = |name: &str, kind: &str| StateRecord {
            value: FieldRecord { name: name.to_owned(), data_type: "i64".to_owned() },
            state_kind: kind.to_owned(),
            key_type: Some("text".to_owned()),
            expires_in: None,
            version: 0,
            defaults: "00".repeat(8),
        };
        Shape::Process {
            plugin: "sha256:0".to_owned(),
            operator: "guard".to_owned(),
            key: vec![FieldRecord { name: key.to_owned(), data_type: "text".to_owned() }],
            states: vec![state("rules", kind), state("seen", "map")],
            timers: Vec::new(),
        }
    }

    fn verdicts(then: Shape, now: &Shape) -> Vec<Verdict> {
        let node = NodeRecord {
            uid: Uid::from("guard"),
            shape: then,
            watermark: None,
            ahead: Vec::new(),
            latest: None,
            splits: Vec::new(),
            in_flight: None,
            slots: Vec::new(),
            committables: Vec::new(),
        };
        let mut findings = Vec::new();
        compare_node(&node.uid, &node, now, &mut findings);
        findings.into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn broadcast_state_is_of_no_key_and_does_not_become_that_of_one() {
        let (broadcast, map) = (process("user", "broadcast"), process("user", "map"));
        assert_eq!(verdicts(broadcast.clone(), &broadcast), [Verdict::Compatible, Verdict::Compatible]);
        for (then, now) in [(&broadcast, &map), (&map, &broadcast)] {
            let found = verdicts(then.clone(), now);
            assert!(matches!(&found[0], Verdict::Incompatible(why) if why.contains("of kind")), "{found:?}");
        }
        let found = verdicts(broadcast, &process("shop", "broadcast"));
        assert!(matches!(&found[..], [Verdict::Compatible, Verdict::Incompatible(_)]), "{found:?}");
    }
}
