//! Aggregates of windows.

use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::bindings::wasmill::operator::descriptors::{
    Descriptor, Inheritance, OutputPort, StateKind,
};
use crate::error::Error;
use crate::process::{Input, describe_state};
use crate::record::{Builder, Record, bits};
use crate::schema::Schema;
use crate::time::{Timestamp, Window};
use crate::value::Data;

/// What a window makes of its rows: three pure functions. Windows, triggers and lateness are the host's.
///
/// ```
/// use wasmill_sdk::prelude::*;
///
/// #[derive(Record)]
/// struct Request { millis: u32 }
/// #[derive(Record, Default)]
/// struct Tally { count: u64, total: u64 }
/// #[derive(Record, Debug, PartialEq)]
/// struct Mean { millis: f64 }
///
/// struct MeanLatency;
/// impl Aggregate for MeanLatency {
///     type In<'a> = Request;
///     type Acc = Tally;
///     type Out = Mean;
///
///     fn add(tally: &mut Tally, request: Request) {
///         tally.count += 1;
///         tally.total += u64::from(request.millis);
///     }
///     fn merge(tally: &mut Tally, other: Tally) {
///         tally.count += other.count;
///         tally.total += other.total;
///     }
///     fn result(tally: &Tally, _: &Window) -> Mean {
///         Mean { millis: tally.total as f64 / tally.count as f64 }
///     }
/// }
/// export!(aggregate: MeanLatency);
///
/// use wasmill_sdk::testing::DriveAggregate;
/// let mut morning = DriveAggregate::<MeanLatency>::new();
/// morning.add([Request { millis: 10 }, Request { millis: 20 }]);
/// let mut evening = DriveAggregate::<MeanLatency>::new();
/// evening.add([Request { millis: 60 }]);
/// morning.merge(evening);
/// assert_eq!(morning.result(Timestamp(0), Timestamp(1)), Mean { millis: 30.0 });
/// ```
pub trait Aggregate: Sized + 'static {
    /// One line for people, which `wasmill inspect` shows.
    const SUMMARY: &'static str = "";
    /// The version of the accumulator's type, for [`migrate`](Self::migrate). Adding and removing fields needs none.
    const VERSION: u32 = 0;

    /// The columns that it reads.
    type In<'a>: Record<'a>;
    /// What is known of a window's rows so far. The default is that of no rows.
    type Acc: Data + Default;
    /// The columns that a window gets.
    type Out: for<'a> Record<'a>;

    /// Adds a row.
    fn add(acc: &mut Self::Acc, row: Self::In<'_>);
    /// Adds the rows of another accumulator. Must give the same as adding them one by one, in any order.
    fn merge(acc: &mut Self::Acc, other: Self::Acc);
    /// The window's result.
    fn result(acc: &Self::Acc, window: &Window) -> Self::Out;

    /// Makes today's accumulator from one that an older version wrote. Only asked for changes that names and defaults
    /// of fields do not cover.
    fn migrate(from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        let _ = value;
        Err(format!("the accumulator has no migration from version {from_version}").into())
    }
}

/// What the host is told of an aggregate.
pub(crate) fn open<A: Aggregate>(inputs: &[Schema]) -> Result<Descriptor, Error> {
    let [input] = inputs else {
        return Err(format!("it has one input, and is given {}", inputs.len()).into());
    };
    let mut need = Schema::default();
    A::In::need(&mut need);
    let mut reads = Vec::new();
    for need in need.columns() {
        let column = input.find(need)?;
        if column.nullable() && !need.nullable() {
            let name = need.name();
            return Err(format!("column `{name}` may be null: read it as an `Option`").into());
        }
        reads.push(column.number);
    }
    let mut columns = Schema::default();
    <A::Out as Record>::describe_fields(&mut columns);
    let columns = columns.to_wire();
    Ok(Descriptor {
        reads: vec![reads],
        reads_times: false,
        outputs: vec![OutputPort {
            name: "main".to_owned(),
            columns,
            inheritance: Inheritance::New,
        }],
        states: vec![describe_state::<A::Acc>(
            "accumulator",
            StateKind::Aggregating,
            A::VERSION,
            None,
        )],
        timers: Vec::new(),
        counters: Vec::new(),
        histograms: Vec::new(),
    })
}

/// Adds rows to the accumulators of their groups.
pub(crate) fn add<A: Aggregate>(
    accumulators: &Column,
    row_groups: &[u32],
    columns: &[Column],
) -> Column {
    // Each group has a row, so the highest number tells how many there are.
    let groups = row_groups.iter().max().map_or(0, |last| *last as usize + 1);
    let mut accumulators: Vec<A::Acc> = decode(accumulators, groups)
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect();
    add_rows::<A>(&mut accumulators, row_groups, columns);
    encode(accumulators.into_iter().map(Some))
}

fn add_rows<'b, A: Aggregate>(
    accumulators: &mut [A::Acc],
    row_groups: &[u32],
    columns: &'b [Column],
) {
    let reader = <A::In<'b> as Input<'b>>::reader(columns);
    for (row, group) in row_groups.iter().enumerate() {
        A::add(
            &mut accumulators[*group as usize],
            <A::In<'b> as Input<'b>>::read(&reader, row),
        );
    }
}

/// Merges accumulators into so many results.
pub(crate) fn merge<A: Aggregate>(accumulators: &Column, results: &[u32], size: u32) -> Column {
    let mut merged: Vec<Option<A::Acc>> = (0..size).map(|_| None).collect();
    for (accumulator, result) in decode::<A::Acc>(accumulators, results.len())
        .into_iter()
        .zip(results)
    {
        let merged = &mut merged[*result as usize];
        match (&mut *merged, accumulator) {
            (_, None) => {}
            (Some(merged), Some(other)) => A::merge(merged, other),
            (None, other) => *merged = other,
        }
    }
    encode(merged.into_iter())
}

/// The results of windows.
pub(crate) fn finish<A: Aggregate>(
    accumulators: &Column,
    starts: &[i64],
    ends: &[i64],
) -> Vec<Column> {
    let mut builder = <A::Out as Record>::Builder::default();
    builder.reserve(starts.len());
    for (row, accumulator) in decode::<A::Acc>(accumulators, starts.len())
        .into_iter()
        .enumerate()
    {
        let window = Window {
            start: Timestamp(starts[row]),
            end: Timestamp(ends[row]),
        };
        A::result(&accumulator.unwrap_or_default(), &window).write_record(&mut builder);
    }
    let mut columns = Vec::new();
    builder.finish(&mut columns);
    columns
}

/// The accumulators of a column of so many rows.
pub(crate) fn decode<T: Data>(column: &Column, rows: usize) -> Vec<Option<T>> {
    let valid = |at: usize| {
        column
            .validity
            .as_ref()
            .is_none_or(|validity| bits::get(validity, at))
    };
    match (&column.values, T::WIDTH) {
        (Values::Fixed(data), Some(width)) => data
            .chunks_exact(width)
            .enumerate()
            .map(|(at, mut value)| valid(at).then(|| T::decode(&mut value)))
            .collect(),
        (Values::Variable(Variable { offsets, data }), None) => offsets
            .windows(2)
            .enumerate()
            .map(|(at, ends)| {
                valid(at).then(|| T::decode(&mut &data[ends[0] as usize..ends[1] as usize]))
            })
            .collect(),
        (Values::Nulls, _) => (0..rows).map(|_| None).collect(),
        _ => panic!("the host passed accumulators in another layout than their type's"),
    }
}

/// The column of accumulators.
pub(crate) fn encode<T: Data>(accumulators: impl ExactSizeIterator<Item = Option<T>>) -> Column {
    let rows = accumulators.len();
    let mut data = Vec::with_capacity(rows * T::WIDTH.unwrap_or(16));
    let mut offsets = Vec::with_capacity(if T::WIDTH.is_some() { 0 } else { rows + 1 });
    let mut validity = None;
    for (at, accumulator) in accumulators.enumerate() {
        if T::WIDTH.is_none() {
            offsets.push(data.len() as i32);
        }
        match accumulator {
            Some(accumulator) => accumulator.encode(&mut data),
            None => {
                bits::put(validity.get_or_insert_with(|| bits::ones(rows)), at, false);
                data.resize(data.len() + T::WIDTH.unwrap_or(0), 0);
            }
        }
    }
    let values = match T::WIDTH {
        Some(_) => Values::Fixed(data),
        None => {
            offsets.push(data.len() as i32);
            Values::Variable(Variable { offsets, data })
        }
    };
    Column { validity, values }
}
