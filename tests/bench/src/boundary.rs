//! What the boundary of the sandbox costs: a batch goes through an operator as the data plane sends it, with what
//! comes back checked, and through the same source compiled natively.

use std::hint::black_box;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use arrow_array::ArrayRef;
use serde_json::{Value, json};
use wasmill::dataplane::function::{BatchCall, Groups, ProcessFunction, Step};
use wasmill::dataplane::overlay::Overlay;
use wasmill::model::id::Uid;
use wasmill::model::schema::Schema;
use wasmill::model::time::Timestamp;
use wasmill::plan::descriptor::OperatorKind;
use wasmill::plan::graph::{PluginLimits, PluginRef};
use wasmill::sandbox::component::Plugin;
use wasmill::sandbox::instance::open_descriptor;
use wasmill::sandbox::process::WasmProcess;
use wasmill_sdk::Process;
use wasmill_sdk::testing::{Drive, Repeat};

use crate::clock::{Side, medians};
use crate::events::{Clicks, EVENTS, Events};
use crate::operators::{clicks, filter_payload, map, measured};

#[derive(Clone, Copy, Debug)]
pub struct Case {
    operator: Operator,
    rows: usize,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    /// Reads and writes every column, and the time.
    Map,
    /// Reads a column, and returns row numbers.
    Filter,
    /// Reads three columns of six, and writes one: two texts and a number make a number.
    Clicks,
    /// The main job's, which looks at every byte of the texts that it reads.
    Check,
}

impl FromStr for Case {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (operator, rows) = name.split_once('.').context("a case is an operator, a point and a number of rows")?;
        let operator = match operator {
            "map" => Operator::Map,
            "filter" => Operator::Filter,
            "clicks" => Operator::Clicks,
            "check" => Operator::Check,
            other => bail!("no operator `{other}`, only map, filter, clicks and check"),
        };
        let rows = rows.parse().context("the number of rows")?;
        ensure!(rows > 0 && EVENTS.is_multiple_of(rows), "{EVENTS} events do not make batches of {rows}");
        Ok(Self { operator, rows })
    }
}

impl Case {
    /// Medians, in nanoseconds an event.
    pub fn measure(self, plugins: &Path, samples: usize) -> Result<Value> {
        match self.operator {
            Operator::Map => {
                let events = Events::new();
                let rows = |i: usize| map::Event { key: &events.keys[i], payload: &events.payloads[i] };
                let native = self.native::<map::MapEvent, _>(&events.times, rows);
                let batches = self.batches(&events.times, |from| events.columns(from, self.rows));
                self.compare(native, (plugins, "map", "map-event"), &Events::schema(), &batches, samples)
            }
            Operator::Filter => {
                let events = Events::new();
                let rows = |i: usize| filter_payload::Event { payload: &events.payloads[i] };
                let native = self.native::<filter_payload::FilterPayload, _>(&events.times, rows);
                let batches = self.batches(&events.times, |from| events.columns(from, self.rows));
                let plugin = (plugins, "filter-payload", "filter-payload");
                self.compare(native, plugin, &Events::schema(), &batches, samples)
            }
            Operator::Clicks => {
                let events = Clicks::new();
                let rows = |i: usize| measured::Click {
                    ad_id: &events.ads[i],
                    ip: &events.ips[i],
                    timestamp: wasmill_sdk::Timestamp(events.times[i]),
                };
                let native = self.native::<measured::WeighClick, _>(&events.times, rows);
                let batches = self.batches(&events.times, |from| events.columns(from, self.rows));
                self.compare(native, (plugins, "measured", "weigh-click"), &Clicks::schema(), &batches, samples)
            }
            Operator::Check => {
                let events = Clicks::new();
                let rows =
                    |i: usize| clicks::Click { action: events.actions[i], ad_id: &events.ads[i], ip: &events.ips[i] };
                let native = self.native::<clicks::CheckClick, _>(&events.times, rows);
                let batches = self.batches(&events.times, |from| events.columns(from, self.rows));
                self.compare(native, (plugins, "clicks", "check-click"), &Clicks::schema(), &batches, samples)
            }
        }
    }

    fn native<'r, P: Process, R: wasmill_sdk::Record<'r>>(self, times: &[i64], row: impl Fn(usize) -> R) -> Repeat<P> {
        let mut drive = Drive::<P>::new();
        for from in (0..EVENTS).step_by(self.rows) {
            drive.batch((from..from + self.rows).map(|i| (wasmill_sdk::Timestamp(times[i]), row(i))));
        }
        drive.repeat()
    }

    fn batches<'e>(self, times: &'e [i64], columns: impl Fn(usize) -> Vec<ArrayRef>) -> Vec<Batch<'e>> {
        let starts = (0..EVENTS).step_by(self.rows);
        starts.map(|from| Batch { times: &times[from..][..self.rows], columns: columns(from) }).collect()
    }

    fn compare<P: Process>(
        self,
        mut native: Repeat<P>,
        (folder, plugin, operator): (&Path, &str, &str),
        schema: &Schema,
        batches: &[Batch<'_>],
        samples: usize,
    ) -> Result<Value> {
        let component = folder.join(plugin).with_extension("wasm");
        let open = |trusted| Sandboxed::open(&component, operator, schema, batches, trusted);
        let (mut wasm, mut trusted) = (open(false)?, open(true)?);
        let natively: usize = batches.iter().map(|_| native.call()).sum();
        let sandboxed = batches.iter().map(|_| wasm.call().map(|step| rows_out(&step))).sum::<Result<usize>>()?;
        ensure!(natively == sandboxed, "{natively} rows came out natively, {sandboxed} out of the sandbox");
        let call = |sandboxed: &mut Sandboxed<'_, '_>| {
            black_box(sandboxed.call().expect("a call that has been made before"));
        };
        let sides = [
            Side::new(|| {
                black_box(native.call());
            }),
            Side::new(|| call(&mut wasm)),
            Side::new(|| call(&mut trusted)),
        ];
        let [native, wasm, trusted] = medians(sides, samples).map(|call| call / self.rows as f64);
        Ok(json!({ "rows": self.rows, "native": native, "wasm": wasm, "trusted": trusted }))
    }
}

struct Batch<'e> {
    times: &'e [i64],
    columns: Vec<ArrayRef>,
}

/// An operator in its sandbox, and the batches that it is given one after the other.
struct Sandboxed<'b, 'e> {
    operator: WasmProcess,
    /// Those columns of each that the operator reads.
    batches: Vec<(&'b Batch<'e>, Vec<ArrayRef>)>,
    reads_times: bool,
    next: usize,
}

impl<'b, 'e> Sandboxed<'b, 'e> {
    fn open(component: &Path, operator: &str, input: &Schema, batches: &'b [Batch<'e>], trusted: bool) -> Result<Self> {
        let limits = PluginLimits { trusted, ..PluginLimits::default() };
        let plugin = Plugin::load(component, trusted).map_err(Error::msg)?;
        let reference = PluginRef {
            path: component.to_owned(),
            digest: plugin.digest.clone(),
            operator: operator.to_owned(),
            config: String::new(),
            inputs: vec![input.clone()],
        };
        let uid = Uid::from(operator);
        let descriptor = open_descriptor(&plugin, OperatorKind::Process, &uid, &reference, limits);
        let descriptor = descriptor.map_err(Error::msg)?;
        let operator = WasmProcess::new(&uid, &reference, &descriptor, limits).map_err(Error::msg)?;
        let read = |batch: &Batch<'_>| descriptor.reads[0].iter().map(|i| batch.columns[*i].clone()).collect();
        let batches = batches.iter().map(|batch| (batch, read(batch))).collect();
        Ok(Self { operator, batches, reads_times: descriptor.reads_times, next: 0 })
    }

    fn call(&mut self) -> Result<Step> {
        let (batch, columns) = &self.batches[self.next];
        self.next = (self.next + 1) % self.batches.len();
        let batch_call = BatchCall {
            input: 0,
            rows: batch.times.len(),
            times: if self.reads_times { batch.times } else { &[] },
            columns,
            groups: Groups::default(),
            watermark: Timestamp::MIN,
            processing_time: Timestamp(0),
        };
        let step = self.operator.on_batch(&batch_call, &mut Overlay::default());
        let step = step.map_err(|failure| Error::msg(failure.reason))?;
        ensure!(step.consumed == batch.times.len() && step.rejected.is_empty(), "it refused rows: {:?}", step.rejected);
        Ok(step)
    }
}

fn rows_out(step: &Step) -> usize {
    step.outputs.iter().map(|output| output.rows).sum()
}
