//! A plan for people: as a tree from the sources down, and as Graphviz.

mod dot;
mod tree;

use super::connector::{
    Delivery, FileFormat, Format, GeneratedEvents, KafkaStart, KafkaTopic, MessageFormat, SinkConnector, SinkFormat,
    SourceConnector, TimePlan, TimeUnit,
};
use super::graph::{AggregatePlan, Exchange, Input, NativeAggregate, Node, NodeKind, PluginRef, WindowPlan};
use crate::model::schema::Schema;

pub use dot::dot;
pub use tree::tree;

/// `source clicks  x2`.
fn title(node: &Node) -> String {
    let kind = match &node.kind {
        NodeKind::Source(_) => "source",
        NodeKind::Process(_) | NodeKind::Window(_) => "operator",
        NodeKind::Sink(_) => "sink",
    };
    format!("{kind} {}  x{}", node.uid, node.parallelism.get())
}

/// What a node does, a line for each fact.
fn details(node: &Node) -> Vec<String> {
    let input = &node.input_schema;
    let mut lines = Vec::new();
    match &node.kind {
        NodeKind::Source(source) => {
            lines.push(connector(&source.connector));
            lines.extend(source.time.as_ref().map(|time| event_time(time, &source.schema)));
        }
        NodeKind::Process(process) => {
            lines.push(plugin(&process.plugin));
            lines.extend(process.key.as_ref().map(|key| format!("key {}", columns(key, input))));
            let states: Vec<&str> = process.descriptor.states.iter().map(|state| state.name.as_str()).collect();
            lines.extend((!states.is_empty()).then(|| format!("state {}", states.join(", "))));
            let timers: Vec<&str> = process.descriptor.timers.iter().map(|timer| timer.name.as_str()).collect();
            lines.extend((!timers.is_empty()).then(|| format!("timers {}", timers.join(", "))));
            if let (Some(time), Some(main)) = (&process.time, node.outputs.first()) {
                lines.push(event_time(time, &main.schema));
            }
        }
        NodeKind::Window(plan) => window(plan, input, &mut lines),
        NodeKind::Sink(sink) => {
            lines.push(sink_connector(sink));
            lines.push(format!("writes {input}"));
        }
    }
    lines.extend(node.outputs.iter().map(|output| format!("{}: {}", output.name, output.schema)));
    lines
}

fn window(plan: &WindowPlan, input: &Schema, lines: &mut Vec<String>) {
    let kind = if plan.window.slide == plan.window.size {
        format!("tumbling {}", plan.window.size)
    } else {
        format!("sliding {} every {}", plan.window.size, plan.window.slide)
    };
    lines.push(format!("window {kind}, offset {}, allowed lateness {}", plan.window.offset, plan.allowed_lateness));
    if !plan.key.is_empty() {
        lines.push(format!("key {}", columns(&plan.key, input)));
    }
    for aggregate in &plan.aggregates {
        lines.push(match aggregate {
            AggregatePlan::Native { name, function } => format!("{name} = {}", call(*function, input)),
            AggregatePlan::Plugin { name, plugin: reference, .. } => format!("{name} = {}", plugin(reference)),
        });
    }
}

fn call(function: NativeAggregate, input: &Schema) -> String {
    let (name, column) = match function {
        NativeAggregate::Count { column } => ("count", column),
        NativeAggregate::Sum { column } => ("sum", Some(column)),
        NativeAggregate::Min { column } => ("min", Some(column)),
        NativeAggregate::Max { column } => ("max", Some(column)),
        NativeAggregate::Avg { column } => ("avg", Some(column)),
    };
    format!("{name}({})", column.map_or("", |column| input.fields()[column].name.as_str()))
}

fn plugin(plugin: &PluginRef) -> String {
    let file = plugin.path.file_name().unwrap_or_default().to_string_lossy();
    let digest: String = plugin.digest.as_str().chars().take("sha256:".len() + 12).collect();
    let config = if plugin.config == "{}" { String::new() } else { format!(" with {}", plugin.config) };
    format!("{} of {file} ({digest}){config}", plugin.operator)
}

fn connector(connector: &SourceConnector) -> String {
    match connector {
        SourceConnector::File(file) => {
            let follow = if file.follow { ", followed" } else { "" };
            format!("file {}, {}{follow}", file.path, format(&file.format))
        }
        SourceConnector::Kafka(kafka) => {
            let start = match kafka.start {
                KafkaStart::Earliest => "earliest".to_owned(),
                KafkaStart::Latest => "latest".to_owned(),
                KafkaStart::Committed => "committed".to_owned(),
                KafkaStart::Timestamp(at) => at.to_string(),
            };
            let bounded = if kafka.bounded { ", bounded" } else { "" };
            let (topics, brokers) = (kafka.topics.join(", "), &kafka.cluster.brokers);
            format!("kafka {topics} at {brokers}, {}, from {start}{bounded}", format(&kafka.format))
        }
        SourceConnector::Stdin { format: of } => format!("stdin, {}", format(of)),
        SourceConnector::Generator(generator) => {
            let events = match &generator.events {
                GeneratedEvents::Clicks { span } => format!("clicks over {span}"),
                GeneratedEvents::Keyed { keys, per_milli, fill } => {
                    let first = if *fill { ", each once at first" } else { "" };
                    format!("keyed, {keys} keys{first}, {per_milli} events a ms")
                }
            };
            let count = generator.count.map_or("without end".to_owned(), |count| format!("{count} events"));
            let rate = generator.rate.map_or(String::new(), |rate| format!(", {rate} a second"));
            format!("generator {events}, {count}{rate}, seed {}, {} splits", generator.seed, generator.splits)
        }
    }
}

fn format(format: &Format) -> &'static str {
    match format {
        Format::Json => "json",
        Format::Csv(_) => "csv",
        Format::Raw => "raw",
        Format::Parquet => "parquet",
    }
}

fn sink_connector(connector: &SinkConnector) -> String {
    let format = |format: &SinkFormat| match format {
        SinkFormat::Json => "json",
        SinkFormat::Csv => "csv",
    };
    match connector {
        SinkConnector::Kafka(kafka) => {
            let topic = match &kafka.topic {
                KafkaTopic::Named(name) => name.clone(),
                KafkaTopic::Column(column) => format!("topics of column {column}"),
            };
            let value = match &kafka.format {
                MessageFormat::Rows(of) => format(of),
                MessageFormat::Raw => "raw",
            };
            let key = if kafka.key.is_empty() { String::new() } else { format!(", key {}", kafka.key.join(", ")) };
            let delivery = match kafka.delivery {
                Delivery::AtLeastOnce => "",
                Delivery::ExactlyOnce => ", exactly once",
            };
            format!("kafka {topic} at {}, {value}{key}{delivery}", kafka.cluster.brokers)
        }
        SinkConnector::File(file) => {
            let format = match &file.format {
                FileFormat::Rows(rows) => format(rows),
                FileFormat::Parquet(_) => "parquet",
            };
            format!("file {}, {format}", file.path)
        }
        SinkConnector::Stdout { format: of } => format!("stdout, {}", format(of)),
        SinkConnector::Blackhole => "blackhole".to_owned(),
    }
}

fn event_time(time: &TimePlan, schema: &Schema) -> String {
    let unit = match time.unit {
        TimeUnit::Seconds => "in s",
        TimeUnit::Millis => "in ms",
        TimeUnit::Micros => "in us",
        TimeUnit::Nanos => "in ns",
        TimeUnit::Timestamp => "as timestamp",
        TimeUnit::Rfc3339 => "as RFC 3339",
    };
    let idle = time.idle_timeout.map_or(String::new(), |idle| format!(", idle after {idle}"));
    let column = &schema.fields()[time.column].name;
    format!("event time {column} {unit}, up to {} out of order{idle}", time.out_of_orderness)
}

fn columns(indices: &[usize], schema: &Schema) -> String {
    let names: Vec<&str> = indices.iter().map(|i| schema.fields()[*i].name.as_str()).collect();
    names.join(", ")
}

fn exchange(input: &Input, port: &Schema) -> String {
    match &input.exchange {
        Exchange::Forward => "forward".to_owned(),
        Exchange::Hash { key } => format!("hash({})", columns(key, port)),
        Exchange::Rebalance => "rebalance".to_owned(),
        Exchange::Broadcast if input.is_broadcast_input => "broadcast, as its second input".to_owned(),
        Exchange::Broadcast => "broadcast".to_owned(),
    }
}
