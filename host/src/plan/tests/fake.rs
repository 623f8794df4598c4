//! A world with a few plugins and no files.

use std::path::Path;

use crate::model::id::PluginDigest;
use crate::model::schema::{DataType, Field, Schema};
use crate::model::type_name::parse_field;
use crate::plan::connector::SourceConnector;
use crate::plan::descriptor::*;
use crate::plan::environment::Environment;

pub struct FakeEnvironment;

fn schema(columns: &str) -> Schema {
    let field = |column: &str| {
        let (name, data_type) = column.split_once(": ").unwrap();
        parse_field(name, data_type).unwrap()
    };
    Schema::new(columns.split(", ").filter(|column| !column.is_empty()).map(field))
}

struct Fake {
    name: &'static str,
    kind: OperatorKind,
    needs: &'static str,
    generic: bool,
    /// What its broadcast input needs.
    broadcast: Option<&'static str>,
    /// `None` = not keyed.
    key: Option<&'static str>,
    /// Name, columns, extends.
    outputs: &'static [(&'static str, &'static str, bool)],
    state: Option<StateKind>,
    timer: Option<Clock>,
}

const PLAIN: Fake = Fake {
    name: "",
    kind: OperatorKind::Process,
    needs: "",
    generic: false,
    broadcast: None,
    key: None,
    outputs: &[("out", "n: i64", false)],
    state: None,
    timer: None,
};

/// `clicks.wasm`.
const CLICKS: [Fake; 10] = [
    Fake {
        name: "check-click",
        needs: "action: text, ad_id: text, ip: text",
        outputs: &[("out", "action: text", true), ("rejected", "ad_id: text, ip: text, reason: text", false)],
        ..PLAIN
    },
    Fake {
        name: "paid-click",
        needs: "user_id: text, cents: i64?",
        outputs: &[("out", "cents: i64", true), ("rejected", "reason: text", false)],
        ..PLAIN
    },
    Fake {
        name: "count-user",
        key: Some("user: text"),
        outputs: &[("out", "user: text, n: i64", false)],
        state: Some(StateKind::Value),
        ..PLAIN
    },
    Fake { name: "session", key: Some(""), timer: Some(Clock::EventTime), ..PLAIN },
    Fake { name: "total", state: Some(StateKind::Value), ..PLAIN },
    Fake { name: "mask", generic: true, outputs: &[("out", "", true)], ..PLAIN },
    Fake {
        name: "parse",
        needs: "line: text",
        outputs: &[("out", "user_id: text, cents: i64, at: i64", false)],
        ..PLAIN
    },
    Fake { name: "twins", outputs: &[("out", "n: i64, n: text", false)], ..PLAIN },
    Fake { name: "quality", kind: OperatorKind::Aggregate, needs: "cents: i64", ..PLAIN },
    Fake {
        name: "spread",
        kind: OperatorKind::Aggregate,
        needs: "cents: i64",
        outputs: &[("out", "low: i64?, high: i64?", false)],
        ..PLAIN
    },
];

/// `one.wasm`: only one process operator, which wants two types of what `clicks.wasm` has.
const ONE: [Fake; 1] = [Fake { name: "only", needs: "user_id: i64", outputs: &[("out", "", true)], ..PLAIN }];

/// `clicks-raw.wasm`.
const CLICKS_RAW: [Fake; 1] = [Fake {
    name: "parse-click",
    needs: "line: text",
    outputs: &[("out", "ad_id: text, time: timestamp", false)],
    ..PLAIN
}];

/// `count.wasm`.
const COUNT: [Fake; 1] = [Fake {
    name: "count",
    needs: "timestamp: i64, value: i64, payload: bytes",
    key: Some("key: text"),
    outputs: &[("out", "key: text, count: u64, value: i64", false)],
    state: Some(StateKind::Value),
    ..PLAIN
}];

/// `measured.wasm`.
const MEASURED: [Fake; 2] = [
    Fake { name: "map-keyed", needs: "value: i64", key: Some("key: text"), ..PLAIN },
    Fake { name: "keep-last", needs: "payload: bytes", key: Some("key: text"), ..PLAIN },
];

/// `ledger.wasm`.
const LEDGER: [Fake; 1] = [Fake {
    name: "ledger",
    needs: "number: u32, cents: i64",
    key: Some("account: text"),
    outputs: &[("out", "account: text, cents: i64", false)],
    state: Some(StateKind::Value),
    ..PLAIN
}];

/// `held.wasm`: state of slots.
const HELD: [Fake; 2] = [
    Fake { name: "hold", state: Some(StateKind::OperatorSplit), ..PLAIN },
    Fake { name: "hold-user", key: Some("user: text"), state: Some(StateKind::OperatorUnion), ..PLAIN },
];

/// `rules.wasm`.
const RULES: [Fake; 2] = [
    Fake {
        name: "rules",
        needs: "user_id: text",
        broadcast: Some("shop: text, limit: i64?"),
        outputs: &[("out", "", true), ("blocked", "user_id: text", false)],
        state: Some(StateKind::Broadcast),
        ..PLAIN
    },
    Fake {
        name: "rules-user",
        needs: "cents: i64?",
        key: Some("user: text"),
        broadcast: Some("shop: text"),
        timer: Some(Clock::EventTime),
        ..PLAIN
    },
];

fn operators(plugin: &Path) -> Result<&'static [Fake], String> {
    match plugin.file_name().and_then(|name| name.to_str()) {
        Some("clicks.wasm") => Ok(&CLICKS),
        Some("clicks-raw.wasm") => Ok(&CLICKS_RAW),
        Some("count.wasm") => Ok(&COUNT),
        Some("held.wasm") => Ok(&HELD),
        Some("ledger.wasm") => Ok(&LEDGER),
        Some("measured.wasm") => Ok(&MEASURED),
        Some("one.wasm") => Ok(&ONE),
        Some("rules.wasm") => Ok(&RULES),
        Some("text.wasm") => Err(format!("`{}` is not a WebAssembly component", plugin.display())),
        _ => Err(format!("`{}` does not exist", plugin.display())),
    }
}

impl Environment for FakeEnvironment {
    fn describe(&mut self, plugin: &Path) -> Result<(PluginDigest, Vec<OperatorInfo>), String> {
        let info = |fake: &Fake| OperatorInfo {
            name: fake.name.to_owned(),
            kind: fake.kind,
            summary: String::new(),
            inputs: [("in", fake.needs, fake.generic)]
                .into_iter()
                .chain(fake.broadcast.map(|needs| ("broadcast", needs, false)))
                .map(|(name, needs, generic)| InputNeed { name: name.to_owned(), columns: schema(needs), generic })
                .collect(),
            keyed: fake.key.is_some(),
            key: schema(fake.key.unwrap_or_default()),
            config_schema: None,
        };
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        Ok((PluginDigest::from(digest.as_str()), operators(plugin)?.iter().map(info).collect()))
    }

    fn open(&mut self, plugin: &Path, operator: &str, config: &str, inputs: &[Schema]) -> Result<Descriptor, String> {
        let fake = operators(plugin)?.iter().find(|fake| fake.name == operator).unwrap();
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        if config.get("min_cents").is_some_and(|cents| !cents.is_i64()) {
            return Err(format!("`min_cents` must be an integer, not {}", config["min_cents"]));
        }
        let (input, broadcast) = match (inputs, fake.broadcast) {
            ([input], None) => (input, None),
            ([input, broadcast], Some(needs)) => (input, Some((broadcast, needs))),
            _ => return Err("other inputs".to_owned()),
        };
        let column = config.get("column").and_then(|column| column.as_str());
        if let Some(column) = column.filter(|column| input.field(column).is_none()) {
            return Err(format!("the input has no column `{column}`"));
        }
        let indices = |needs: &str, input: &Schema| -> Vec<usize> {
            schema(needs).fields().iter().map(|field| input.index_of(&field.name).unwrap()).collect()
        };
        let mut reads = vec![indices(fake.needs, input)];
        reads[0].extend(column.and_then(|column| input.index_of(column)));
        reads.extend(broadcast.map(|(input, needs)| indices(needs, input)));
        let state = |kind| StateInfo {
            name: "count".to_owned(),
            kind,
            key: None,
            value: Field::new("n", DataType::I64),
            defaults: vec![0; 8],
            version: 1,
            time_to_live: None,
        };
        Ok(Descriptor {
            reads,
            reads_times: false,
            outputs: fake
                .outputs
                .iter()
                .map(|(name, columns, extends)| OutputPort {
                    name: (*name).to_owned(),
                    columns: schema(columns),
                    extends: *extends,
                })
                .collect(),
            states: fake.state.map(state).into_iter().collect(),
            timers: fake.timer.map(|clock| TimerInfo { name: "end".to_owned(), clock }).into_iter().collect(),
            counters: Vec::new(),
            histograms: Vec::new(),
        })
    }

    /// A file has eight, but `one.jsonl` one.
    fn splits(&mut self, source: &SourceConnector) -> Result<usize, String> {
        match source {
            SourceConnector::File(file) if file.path.to_string().ends_with("/one.jsonl") => Ok(1),
            SourceConnector::File(file) if file.path.to_string().ends_with("/missing.jsonl") => {
                Err(format!("`{}` does not exist", file.path))
            }
            SourceConnector::File(_) => Ok(8),
            SourceConnector::Generator(generator) => Ok(usize::from(generator.splits)),
            SourceConnector::Kafka(source) => Ok(3 * source.topics.len()),
            SourceConnector::Stdin { .. } => Ok(1),
        }
    }
}
