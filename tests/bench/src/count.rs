//! A keyed count whose operator is plain Rust, in the same data plane that sandboxed ones run in.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, UInt64Array};
use wasmill::control::environment::HostEnvironment;
use wasmill::control::job::{Job, Options};
use wasmill::control::progress::totals;
use wasmill::dataplane::function::{BatchCall, CallFailure, DueCall, PortRows, ProcessFunction, Step};
use wasmill::model::id::Parallelism;
use wasmill::model::value::{Layout, Values};
use wasmill::plan::load::load;

pub fn run(job: &Path, set: &[String]) -> Result<()> {
    let text = std::fs::read_to_string(job).with_context(|| format!("cannot read {}", job.display()))?;
    let plan = load(job, &text, set, Parallelism::ONE, &mut HostEnvironment)?;
    let mut job = Job::start(Arc::new(plan), &Options { make: |_, _, _| Ok(Box::new(Count)), ..Options::default() })?;
    tokio::runtime::Builder::new_current_thread().build()?.block_on(job.end())?;
    let totals = totals(&job);
    let lost = totals.late_records + totals.dead_letters;
    ensure!(lost == 0 && totals.rows_out == totals.events_in, "a row for each event, and none lost: {totals:?}");
    Ok(())
}

/// What `plugins/count` does.
struct Count;

struct Event<'a> {
    timestamp: i64,
    value: i64,
    payload: &'a [u8],
}

impl ProcessFunction for Count {
    fn on_batch(&mut self, batch: &BatchCall<'_>) -> Result<Step, CallFailure> {
        let timestamps = batch.columns[0].as_primitive::<Int64Type>().values();
        let values = batch.columns[1].as_primitive::<Int64Type>().values();
        let payloads = batch.columns[2].as_binary::<i32>();
        let groups = &batch.groups;
        let keys = groups.keys[0].as_string::<i32>();
        let mut counts: Vec<u64> = (0..groups.count).map(|group| decode(groups.states[0].get(group))).collect();
        let mut out_keys = StringBuilder::with_capacity(batch.rows, 16 * batch.rows);
        let mut out_counts = Vec::with_capacity(batch.rows);
        let mut marks = Vec::with_capacity(batch.rows);
        for row in 0..batch.rows {
            let event = Event { timestamp: timestamps[row], value: values[row], payload: payloads.value(row) };
            let group = groups.of_rows[row] as usize;
            counts[group] += 1;
            out_keys.append_value(keys.value(group));
            out_counts.push(counts[group]);
            let first = event.payload.first().map_or(0, |first| i64::from(*first));
            marks.push(event.timestamp ^ event.value ^ first);
        }
        let output = PortRows {
            port: 0,
            rows: batch.rows,
            origins: None,
            times: None,
            columns: vec![
                Arc::new(out_keys.finish()),
                Arc::new(UInt64Array::from(out_counts)),
                Arc::new(Int64Array::from(marks)),
            ],
        };
        let data = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
        let counts = Values { present: vec![true; groups.count], layout: Layout::Fixed { width: 8, data } };
        Ok(Step { consumed: batch.rows, outputs: vec![output], states: vec![(0, counts)], ..Step::default() })
    }

    fn on_timers(&mut self, _: &DueCall<'_>) -> Result<Step, CallFailure> {
        Err(CallFailure::new("it has no timers"))
    }
}

fn decode(count: Option<&[u8]>) -> u64 {
    count.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
}
