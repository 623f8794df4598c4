//! A window over events with a column of each kind, and plugins' aggregates in plain Rust.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::*;
use arrow_schema::DataType as A;

use crate::dataplane::dead_letter::{DeadEvent, DeadLetter};
use crate::dataplane::function::{AggregateFunction, CallFailure};
use crate::dataplane::operator::{Collector, Operator};
use crate::dataplane::window::WindowOperator;
use crate::model::batch::{Batch, Offsets, Provenance};
use crate::model::fault::Fault;
use crate::model::id::{PluginDigest, SplitName, Uid};
use crate::model::schema::{DataType, Field, Schema};
use crate::model::time::{Micros, Timestamp};
use crate::model::value::{Layout, Values};
use crate::plan::descriptor::{Descriptor, OutputPort, StateInfo, StateKind};
use crate::plan::graph::{AggregatePlan, NativeAggregate, PluginRef, Window, WindowPlan};

pub const KEY_BYTES_MAX: usize = 100;
pub const FAILS_ADD: i32 = 13;
/// If there is something to merge.
pub const FAILS_MERGE: i32 = 66;
pub const FAILS_FINISH: i32 = 77;

#[derive(Clone, Debug, Default)]
pub struct Event {
    pub time: i64,
    pub key: Option<i64>,
    pub name: String,
    pub number: Option<i32>,
    pub price: Option<i128>,
    pub ratio: Option<f64>,
    pub text: Option<String>,
    pub at: Option<i64>,
    pub big: Option<i64>,
}

/// In the order of `schema`.
#[derive(Clone, Copy)]
pub enum Column {
    Ratio,
    Key,
    Number,
    Price,
    Name,
    Text,
    At,
    Big,
}

const PRICE: DataType = DataType::Decimal { precision: 9, scale: 2 };
const PRICES: DataType = DataType::Decimal { precision: 38, scale: 2 };

pub fn schema() -> Schema {
    Schema::new([
        Field::nullable("ratio", DataType::F64),
        Field::nullable("key", DataType::I64),
        Field::nullable("number", DataType::I32),
        Field::nullable("price", PRICE),
        Field::new("name", DataType::Text),
        Field::nullable("text", DataType::Text),
        Field::nullable("at", DataType::Timestamp),
        Field::nullable("big", DataType::I64),
    ])
}

/// Every third row of the batch does not count.
pub fn batch(events: &[Event], gaps: bool) -> Batch {
    let mut rows: Vec<Event> = Vec::new();
    let mut selection = Vec::new();
    for event in events {
        if gaps && rows.len() % 3 == 1 {
            rows.push(Event { number: Some(FAILS_ADD), ..event.clone() });
        }
        selection.push(rows.len() as u32);
        rows.push(event.clone());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|event| event.ratio).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|event| event.key).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|event| event.number).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|event| event.price).collect::<Decimal128Array>().with_data_type(PRICE.to_arrow())),
        Arc::new(rows.iter().map(|event| Some(&event.name)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|event| event.text.as_ref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|event| event.at).collect::<TimestampMicrosecondArray>().with_timezone("+00:00")),
        Arc::new(rows.iter().map(|event| event.big).collect::<Int64Array>()),
    ];
    let records = RecordBatch::try_new(schema().arrow().clone(), columns).unwrap();
    let times = rows.iter().map(|event| event.time).collect();
    let provenance =
        Provenance { split: Some(SplitName::from("s")), offsets: Offsets::Sequence { first: 100, step: 1 } };
    let batch = Batch::new(records, times, provenance);
    if gaps { batch.select(selection) } else { batch }
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub size: i64,
    pub slide: i64,
    pub offset: i64,
    pub lateness: i64,
    pub keyed: bool,
    pub gaps: bool,
    pub natives: Vec<(String, NativeAggregate)>,
}

impl Setup {
    pub fn new(size: i64, slide: i64) -> Self {
        let on = |column: Column| column as usize;
        let natives = vec![
            ("rows", NativeAggregate::Count { column: None }),
            ("numbers", NativeAggregate::Count { column: Some(on(Column::Number)) }),
            ("sum", NativeAggregate::Sum { column: on(Column::Number) }),
            ("paid", NativeAggregate::Sum { column: on(Column::Price) }),
            ("ratios", NativeAggregate::Sum { column: on(Column::Ratio) }),
            ("mean_price", NativeAggregate::Avg { column: on(Column::Price) }),
            ("mean_ratio", NativeAggregate::Avg { column: on(Column::Ratio) }),
            ("least", NativeAggregate::Min { column: on(Column::Number) }),
            ("dearest", NativeAggregate::Max { column: on(Column::Price) }),
            ("lowest", NativeAggregate::Min { column: on(Column::Ratio) }),
            ("first_text", NativeAggregate::Min { column: on(Column::Text) }),
            ("last_at", NativeAggregate::Max { column: on(Column::At) }),
        ];
        let natives = natives.into_iter().map(|(name, function)| (name.to_owned(), function)).collect();
        Self { size, slide, offset: 0, lateness: 0, keyed: true, gaps: false, natives }
    }

    /// The native aggregates, then `list` and `total`.
    pub fn operator(&self) -> WindowOperator {
        let input = schema();
        let key = if self.keyed { vec![Column::Key as usize, Column::Name as usize] } else { Vec::new() };
        let native = |(name, function): &(String, NativeAggregate)| AggregatePlan::Native {
            name: name.clone(),
            function: *function,
        };
        let mut aggregates: Vec<AggregatePlan> = self.natives.iter().map(native).collect();
        aggregates.insert(0, plugin("list", DataType::Text, DataType::Bytes, false));
        aggregates.push(plugin("total", DataType::I64, DataType::U64, true));
        let plan = WindowPlan {
            window: Window { size: Micros(self.size), slide: Micros(self.slide), offset: Micros(self.offset) },
            allowed_lateness: Micros(self.lateness),
            aggregates,
            key,
        };
        let output = self.output(&plan, &input);
        let functions: Vec<Box<dyn AggregateFunction>> = vec![Box::new(List), Box::new(Total)];
        WindowOperator::new(Uid::from("w"), &plan, KEY_BYTES_MAX, &input, output, 128, functions)
    }

    fn output(&self, plan: &WindowPlan, input: &Schema) -> Schema {
        let mut fields: Vec<Field> = plan.key.iter().map(|key| input.fields()[*key].clone()).collect();
        fields.push(Field::new("window_start", DataType::Timestamp));
        fields.push(Field::new("window_end", DataType::Timestamp));
        for aggregate in &plan.aggregates {
            fields.push(match aggregate {
                AggregatePlan::Plugin { descriptor, .. } => descriptor.outputs[0].columns.fields()[0].clone(),
                AggregatePlan::Native { name, function } => {
                    let of = |column: usize| input.fields()[column].data_type.clone();
                    let data_type = match *function {
                        NativeAggregate::Count { .. } => DataType::U64,
                        NativeAggregate::Avg { .. } => DataType::F64,
                        NativeAggregate::Min { column } | NativeAggregate::Max { column } => of(column),
                        NativeAggregate::Sum { column } => match of(column) {
                            DataType::Decimal { .. } => PRICES,
                            DataType::F64 => DataType::F64,
                            _ => DataType::I64,
                        },
                    };
                    Field::nullable(name, data_type)
                }
            });
        }
        Schema::new(fields)
    }
}

fn plugin(name: &str, output: DataType, accumulator: DataType, reads_times: bool) -> AggregatePlan {
    let state = StateInfo {
        name: "accumulator".to_owned(),
        kind: StateKind::Aggregating,
        value: Field::new("accumulator", accumulator),
        defaults: Vec::new(),
        version: 1,
    };
    let port = OutputPort { name: "main".to_owned(), columns: Schema::new([Field::new(name, output)]), extends: false };
    AggregatePlan::Plugin {
        name: name.to_owned(),
        plugin: PluginRef {
            path: "p.wasm".into(),
            digest: PluginDigest::from("sha256:0"),
            operator: name.to_owned(),
            config: String::new(),
            inputs: vec![schema()],
        },
        descriptor: Descriptor {
            reads: vec![vec![Column::Number as usize]],
            reads_times,
            outputs: vec![port],
            states: vec![state],
            timers: Vec::new(),
            counters: Vec::new(),
            histograms: Vec::new(),
        },
    }
}

fn byte_lists(values: &Values) -> Vec<Vec<u8>> {
    (0..values.len()).map(|row| values.get(row).unwrap_or_default().to_vec()).collect()
}

fn to_values(lists: &[Vec<u8>]) -> Values {
    let mut values = Values::new(None);
    lists.iter().for_each(|list| values.push(Some(list)));
    values
}

/// Of the accumulators of a call.
const CALL_BYTES_MAX: usize = 512 << 10;

/// All numbers in the order in which they came, four bytes each; some numbers make it fail.
pub struct List;

fn holds(list: &[u8], number: i32) -> bool {
    list.chunks(4).any(|bytes| bytes == number.to_le_bytes())
}

impl AggregateFunction for List {
    fn add(
        &mut self,
        acc: &Values,
        groups: &[u32],
        times: &[i64],
        columns: &[ArrayRef],
    ) -> Result<Values, CallFailure> {
        assert!(times.is_empty() && matches!(acc.layout, Layout::Variable { .. }));
        assert!(acc.data_bytes() <= CALL_BYTES_MAX || acc.len() == 1);
        let mut lists = byte_lists(acc);
        let numbers = columns[0].as_primitive::<Int32Type>();
        assert_eq!(numbers.len(), groups.len());
        for (number, group) in numbers.iter().zip(groups) {
            if number == Some(FAILS_ADD) {
                return Err(CallFailure::new("bad value"));
            }
            lists[*group as usize].extend(number.iter().flat_map(|number| number.to_le_bytes()));
        }
        Ok(to_values(&lists))
    }

    fn merge(&mut self, acc: &Values, results: &[u32], size: usize) -> Result<Values, CallFailure> {
        let mut lists = vec![Vec::new(); size];
        for (list, result) in byte_lists(acc).iter().zip(results) {
            if holds(list, FAILS_MERGE) {
                return Err(CallFailure::new("bad merge"));
            }
            lists[*result as usize].extend_from_slice(list);
        }
        Ok(to_values(&lists))
    }

    fn finish(&mut self, acc: &Values, starts: &[i64], ends: &[i64]) -> Result<Vec<ArrayRef>, CallFailure> {
        assert!(acc.len() == starts.len() && starts.len() == ends.len());
        assert!(acc.data_bytes() <= CALL_BYTES_MAX || acc.len() == 1);
        let text = |list: &Vec<u8>| {
            if holds(list, FAILS_FINISH) {
                return Err(CallFailure::new("bad result"));
            }
            let numbers = list.chunks(4).map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()).to_string());
            Ok(Some(numbers.collect::<Vec<_>>().join(",")))
        };
        let texts: Result<StringArray, CallFailure> = byte_lists(acc).iter().map(text).collect();
        Ok(vec![Arc::new(texts?)])
    }
}

/// The sum of numbers and times: its accumulators have one width.
pub struct Total;

fn sums(values: &Values) -> Vec<i64> {
    let sum = |row| values.get(row).map_or(0, |bytes| i64::from_le_bytes(bytes.try_into().unwrap()));
    (0..values.len()).map(sum).collect()
}

fn sums_to_values(sums: &[i64]) -> Values {
    let mut values = Values::new(Some(8));
    sums.iter().for_each(|sum| values.push(Some(&sum.to_le_bytes())));
    values
}

impl AggregateFunction for Total {
    fn add(
        &mut self,
        acc: &Values,
        groups: &[u32],
        times: &[i64],
        columns: &[ArrayRef],
    ) -> Result<Values, CallFailure> {
        let mut sums = sums(acc);
        for ((number, group), time) in columns[0].as_primitive::<Int32Type>().iter().zip(groups).zip(times) {
            sums[*group as usize] += i64::from(number.unwrap_or(0)) + time;
        }
        Ok(sums_to_values(&sums))
    }

    fn merge(&mut self, acc: &Values, results: &[u32], size: usize) -> Result<Values, CallFailure> {
        let mut merged = vec![0; size];
        sums(acc).iter().zip(results).for_each(|(sum, result)| merged[*result as usize] += sum);
        Ok(sums_to_values(&merged))
    }

    fn finish(&mut self, acc: &Values, _: &[i64], _: &[i64]) -> Result<Vec<ArrayRef>, CallFailure> {
        Ok(vec![Arc::new(Int64Array::from(sums(acc)))])
    }
}

#[derive(Clone, Debug)]
pub enum Step {
    Batch(Vec<Event>),
    Watermark(i64),
    End,
}

/// A row of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Fired {
    pub key: String,
    pub start: i64,
    pub end: i64,
    pub time: i64,
    /// When.
    pub watermark: i64,
    pub results: Vec<String>,
}

impl Fired {
    pub fn list(&self) -> &str {
        &self.results[0]
    }
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub fired: Vec<Fired>,
    /// The numbers of late rows.
    pub late: Vec<i32>,
    pub late_rows: u64,
    pub dead_letters: Vec<DeadLetter>,
    pub batches: Vec<usize>,
    watermark: i64,
}

impl Outcome {
    pub fn step(&mut self, operator: &mut WindowOperator, step: &Step) -> Result<(), Fault> {
        self.step_with(operator, step, false)
    }

    pub fn step_with(&mut self, operator: &mut WindowOperator, step: &Step, gaps: bool) -> Result<(), Fault> {
        let mut out = Collector::new(Timestamp(0));
        match step {
            Step::Batch(events) => operator.on_batch(batch(events, gaps), &mut out)?,
            Step::Watermark(at) => {
                self.watermark = *at;
                fire(operator, Timestamp(*at), &mut out)?;
            }
            Step::End => {
                self.watermark = i64::MAX;
                fire(operator, Timestamp::MAX, &mut out)?;
                operator.on_end(&mut out)?;
            }
        }
        for (port, batch) in out.outputs {
            let batch = batch.compact();
            match port {
                0 => {
                    self.batches.push(batch.rows());
                    self.fired.extend((0..batch.rows()).map(|row| fired(&batch, row, self.watermark)));
                }
                _ => self.late.extend(batch.column(2).as_primitive::<Int32Type>().iter().flatten()),
            }
        }
        self.late_rows += out.late_rows;
        self.dead_letters.extend(out.dead_letters);
        Ok(())
    }
}

fn fire(operator: &mut WindowOperator, watermark: Timestamp, out: &mut Collector) -> Result<(), Fault> {
    operator.on_watermark(watermark, out)?;
    while operator.has_more() {
        let mut more = Collector::new(out.now);
        operator.on_watermark(watermark, &mut more)?;
        out.outputs.append(&mut more.outputs);
        out.dead_letters.append(&mut more.dead_letters);
    }
    Ok(())
}

/// The row of a window that a batch holds, or the key and window of a dead letter.
pub fn fired(batch: &Batch, row: usize, watermark: i64) -> Fired {
    let bounds = batch.records().schema().index_of("window_start").unwrap();
    let texts: Vec<String> = batch.records().columns().iter().map(|column| show(column, row)).collect();
    let bound = |i: usize| batch.column(i).as_primitive::<TimestampMicrosecondType>().value(row);
    Fired {
        key: texts[..bounds].join(","),
        start: bound(bounds),
        end: bound(bounds + 1),
        time: batch.times()[row],
        watermark,
        results: texts[bounds + 2..].to_vec(),
    }
}

pub fn dead_window(letter: &DeadLetter) -> Option<Fired> {
    match &letter.event {
        DeadEvent::Row(batch) if letter.offset.is_none() => Some(fired(batch, 0, 0)),
        _ => None,
    }
}

fn show(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    match column.data_type() {
        A::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        A::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        A::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        A::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        A::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        A::Decimal128(..) => column.as_primitive::<Decimal128Type>().value(row).to_string(),
        A::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        other => panic!("{other} is not in these tests"),
    }
}
