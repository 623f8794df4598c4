//! The indices of a plan, which its tree does not show.

use std::path::Path;

use crate::model::id::Parallelism;
use crate::model::time::Micros;
use crate::plan::connector::{SourceConnector, TimeUnit};
use crate::plan::graph::*;
use crate::plan::load::load;
use crate::plan::location::Location;

use super::fake::FakeEnvironment;

fn plan(job: &str) -> Plan {
    let cores = Parallelism::new(2).unwrap();
    load(Path::new("jobs/job.toml"), job, &[], cores, &mut FakeEnvironment).unwrap_or_else(|errors| panic!("{errors}"))
}

const UNION: &str = r#"
name = "union"
[limits]
flush_interval = "5ms"
batch_bytes_max = "1MiB"
plugin = { memory_bytes_max = 65536, trusted = true }
[sources.a]
connector = "file"
path = "/data/a.jsonl"
format = "json"
schema = { page = "text", cents = "i64", user_id = "text", at = "timestamp" }
event_time = { column = "at" }
[sources.b]
connector = "file"
path = "b.csv"
format = "csv"
schema = { user_id = "text", cents = "i64?", at = "timestamp", more = "f64" }
event_time = { column = "at" }
watermark = { idle_timeout = "1m" }
[operators.per_user]
inputs = ["a", "b"]
key_by = ["user_id"]
window = { sliding = "1m", slide = "10s", offset = "2s" }
aggregate = { most = "max(cents)", n = "count()" }
[sinks.out]
inputs = ["per_user", "b"]
connector = "file"
path = "out"
format = "json"
"#;

#[test]
fn columns_are_found_where_each_input_has_them() {
    let plan = plan(UNION);
    let uids: Vec<&str> = plan.nodes.iter().map(|node| node.uid.as_str()).collect();
    assert_eq!(uids, ["a", "b", "per_user", "out"]);

    // `page` is dropped from `a`; the sink reads all of `b`.
    assert_eq!(plan.nodes[0].outputs[0].schema.to_string(), "cents: i64, user_id: text, at: timestamp");
    assert_eq!(plan.nodes[1].outputs[0].schema.names(), "user_id, cents, at, more");

    let window = &plan.nodes[2];
    assert_eq!(window.input_schema.to_string(), "cents: i64?, user_id: text, at: timestamp");
    assert_eq!(window.inputs[0].columns, [Some(0), Some(1), Some(2)]);
    assert!(window.inputs[0].is_identity(&plan.nodes[0].outputs[0].schema));
    assert_eq!(window.inputs[1].columns, [Some(1), Some(0), Some(2)]);
    // A key stands where the port has it.
    assert_eq!(window.inputs[0].exchange, Exchange::Hash { key: vec![1] });
    assert_eq!(window.inputs[1].exchange, Exchange::Hash { key: vec![0] });
    let NodeKind::Window(settings) = &window.kind else { panic!("{:?}", window.kind) };
    assert_eq!(settings.key, [1]);
    assert_eq!(
        settings.window,
        Window { size: Micros(60_000_000), slide: Micros(10_000_000), offset: Micros(2_000_000) }
    );
    let functions: Vec<NativeAggregate> = settings
        .aggregates
        .iter()
        .filter_map(|aggregate| match aggregate {
            AggregatePlan::Native { function, .. } => Some(*function),
            AggregatePlan::Plugin { .. } => None,
        })
        .collect();
    assert_eq!(functions, [NativeAggregate::Max { column: 0 }, NativeAggregate::Count { column: None }]);

    let sink = &plan.nodes[3];
    assert_eq!(sink.input_schema.names(), "user_id, window_start, window_end, most, n, cents, at, more");
    assert_eq!(sink.inputs[1].columns, [Some(0), None, None, None, None, Some(1), Some(2), Some(3)]);
    assert_eq!((sink.inputs[1].from, sink.inputs[1].port), (NodeIndex(1), 0));
}

#[test]
fn settings_have_their_units_and_paths_their_folder() {
    let plan = plan(UNION);
    assert_eq!(plan.limits.flush_interval, Micros(5_000));
    assert_eq!(plan.limits.batch_bytes_max, 1 << 20);
    assert_eq!(plan.limits.batch_rows_max, Limits::default().batch_rows_max);
    assert_eq!(plan.limits.plugin.memory_bytes_max, 65_536);
    assert!(plan.limits.plugin.trusted);
    assert_eq!(plan.dead_letters.path, Path::new("jobs/union.dead-letters.jsonl"));
    let NodeKind::Source(source) = &plan.nodes[0].kind else { panic!() };
    let SourceConnector::File(file) = &source.connector else { panic!() };
    assert_eq!(file.path, Location::Folder("/data/a.jsonl".into()));
    let NodeKind::Source(source) = &plan.nodes[1].kind else { panic!() };
    let SourceConnector::File(file) = &source.connector else { panic!() };
    assert_eq!(file.path, Location::Folder("jobs/b.csv".into()));
    let time = source.time.as_ref().unwrap();
    assert_eq!((time.column, time.unit), (2, TimeUnit::Timestamp));
    assert_eq!((time.out_of_orderness, time.idle_timeout), (Micros(0), Some(Micros(60_000_000))));
}

#[test]
fn an_operator_is_opened_on_what_is_left_after_pruning() {
    let plan = plan(
        r#"
        name = "pruned"
        dead_letter_limit = "5%"
        [sources.clicks]
        connector = "generator"
        events = "clicks"
        [operators.count]
        inputs = ["clicks"]
        plugin = "clicks.wasm"
        operator = "count-user"
        key_by = ["ad_id"]
        config = { a = 1, when = 2020-01-01, list = [true] }
        [sinks.out]
        inputs = ["count"]
        connector = "blackhole"
        "#,
    );
    let NodeKind::Process(process) = &plan.nodes[1].kind else { panic!() };
    assert_eq!(process.plugin.inputs[0].to_string(), "ad_id: text");
    assert_eq!(process.plugin.config, r#"{"a":1,"list":[true],"when":"2020-01-01"}"#);
    assert_eq!(process.key, Some(vec![0]));
    assert_eq!(plan.limits.dead_letter_fraction_max, 0.05);
}
