use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Int64Array, UInt64Array};
use proptest::prelude::*;

use super::*;
use crate::dataplane::function::{TimerName, TimerSetting};
use crate::model::batch::Offsets;
use crate::model::schema::{DataType, Field};
use crate::model::time::Micros;
use crate::model::value::Values;
use crate::plan::descriptor::{OutputPort, StateInfo, StateKind, TimeToLive, TimerInfo};
use crate::plan::graph::PluginLimits;
use crate::state::StateLayout;
use crate::state::broadcast::BroadcastState;
use crate::state::memory::MemoryState;

/// Counts rows by key, as a plugin would; refuses negative values, and fails whole calls that hold `POISON`.
struct Count {
    /// Rows of a call that it deals with at most.
    appetite: usize,
}

const POISON: i64 = 666;

impl ProcessFunction for Count {
    fn on_batch(&mut self, batch: &BatchCall<'_>, _: &mut Overlay) -> Result<Step, CallFailure> {
        let values = batch.columns[0].as_primitive::<Int64Type>().values();
        let consumed = batch.rows.min(self.appetite);
        if values[..consumed].contains(&POISON) {
            return Err(CallFailure::new("poison"));
        }
        let read =
            |group| batch.groups.states[0].get(group).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        let mut counts: Vec<u64> = (0..batch.groups.count).map(read).collect();
        let (mut origins, mut out, mut rejected, mut timers_set) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in 0..consumed {
            if values[row] < 0 {
                rejected.push((row as u32, "negative".to_owned()));
                continue;
            }
            let group = batch.groups.of_rows[row];
            counts[group as usize] += 1;
            origins.push(row as u32);
            out.push(counts[group as usize]);
            let name = TimerName { group, timer: 0 };
            timers_set.retain(|set: &TimerSetting| set.name != name);
            timers_set.push(TimerSetting { name, at: Timestamp(values[row]) });
        }
        let mut state = Values::new(Some(8));
        counts.iter().for_each(|count| state.push((*count > 0).then_some(&count.to_le_bytes()[..])));
        let rows = PortRows {
            port: 0,
            rows: out.len(),
            origins: Some(origins),
            times: None,
            columns: vec![Arc::new(UInt64Array::from(out))],
        };
        Ok(Step { consumed, outputs: vec![rows], states: vec![(0, state)], timers_set, rejected, ..Step::default() })
    }

    /// Emits the count at the timer's time to the second port, and forgets the key.
    fn on_timers(&mut self, due: &DueCall<'_>, _: &mut Overlay) -> Result<Step, CallFailure> {
        let count = |group: &u32| {
            due.groups.states[0].get(*group as usize).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()))
        };
        let counts: Vec<u64> = due.groups.of_rows.iter().map(count).collect();
        let mut state = Values::new(Some(8));
        (0..due.groups.count).for_each(|_| state.push(None));
        let rows = PortRows {
            port: 1,
            rows: counts.len(),
            origins: None,
            times: None,
            columns: vec![Arc::new(UInt64Array::from(counts))],
        };
        Ok(Step { consumed: due.timers.len(), outputs: vec![rows], states: vec![(0, state)], ..Step::default() })
    }
}

fn input() -> Schema {
    Schema::new([Field::new("key", DataType::I64), Field::new("value", DataType::I64)])
}

const OUTPUT_BYTES_MAX: usize = 1 << 20;

fn operator(appetite: usize) -> ProcessOperator {
    let count = Schema::new([Field::new("count", DataType::U64)]);
    let descriptor = Descriptor {
        reads: vec![vec![1]],
        reads_times: false,
        outputs: vec![
            OutputPort { name: "main".into(), columns: count.clone(), extends: true },
            OutputPort { name: "ended".into(), columns: count, extends: false },
        ],
        states: vec![StateInfo {
            name: "count".into(),
            kind: StateKind::Value,
            key: None,
            value: Field::new("count", DataType::U64),
            defaults: vec![0; 8],
            version: 0,
            time_to_live: None,
        }],
        timers: vec![TimerInfo { name: "end".into(), clock: Clock::EventTime }],
        counters: Vec::new(),
        histograms: Vec::new(),
    };
    let state = Box::new(MemoryState::new(16, vec![StateLayout::Value { width: Some(8), expires: false }]));
    let keyed = Keyed::new(vec![0], &input(), state, 128, &descriptor, PluginLimits::default());
    let function = Box::new(Count { appetite });
    ProcessOperator::new(Uid::from("count"), function, descriptor, &input(), Some(keyed), OUTPUT_BYTES_MAX)
}

fn batch(rows: &[(i64, i64)], first: u64) -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
    ];
    let records = RecordBatch::try_new(input().arrow().clone(), columns).unwrap();
    let provenance = Provenance { split: None, offsets: Offsets::Sequence { first, step: 1 } };
    Batch::new(records, rows.iter().map(|row| row.1).collect(), provenance)
}

/// (key, value, count) of the main output's rows.
fn main_rows(out: &Collector) -> Vec<(i64, i64, u64)> {
    let batches = out.outputs.iter().filter(|(port, _)| *port == 0).map(|(_, batch)| batch.clone().compact());
    let rows = batches.flat_map(|batch| {
        let (key, value) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        let count = batch.column(2).as_primitive::<UInt64Type>();
        (0..batch.rows()).map(|i| (key.value(i), value.value(i), count.value(i))).collect::<Vec<_>>()
    });
    rows.collect()
}

proptest! {
    /// However rows are cut into batches and calls, and whatever fails beside them, each good row is counted once, in
    /// order, and each bad one is a dead letter with its offset.
    #[test]
    fn bad_rows_die_alone(
        rows in prop::collection::vec((0i64..5, prop_oneof![8 => 0i64..100, 1 => Just(-1), 1 => Just(POISON)]), 1..60),
        cut in 1usize..20,
        appetite in 1usize..10,
    ) {
        let mut operator = operator(appetite);
        let mut out = Collector::new(Timestamp(0));
        for (number, part) in rows.chunks(cut).enumerate() {
            operator.on_batch(batch(part, (number * cut) as u64), &mut out).unwrap();
        }
        let mut counts = std::collections::BTreeMap::<i64, u64>::new();
        let (mut expected, mut dead) = (Vec::new(), Vec::new());
        for (offset, (key, value)) in rows.iter().enumerate() {
            match *value {
                -1 => dead.push((offset as u64, "negative")),
                POISON => dead.push((offset as u64, "poison")),
                value => {
                    let count = counts.entry(*key).or_default();
                    *count += 1;
                    expected.push((*key, value, *count));
                }
            }
        }
        prop_assert_eq!(main_rows(&out), expected);
        let mut letters: Vec<_> = out.dead_letters.iter().map(|l| (l.offset.unwrap(), l.reason.as_str())).collect();
        letters.sort_unstable();
        prop_assert_eq!(letters, dead);
    }
}

#[test]
fn a_key_beyond_the_limit_dies_alone() {
    let mut operator = operator(100);
    operator.keyed.as_mut().unwrap().limit_keys(8);
    let mut out = Collector::new(Timestamp(0));
    operator.on_batch(batch(&[(1, 5), (2, 6)], 40), &mut out).unwrap();
    assert_eq!(main_rows(&out), []);
    let letters: Vec<_> = out.dead_letters.iter().map(|letter| (letter.offset, letter.reason.as_str())).collect();
    let reason = "its key has 9 bytes; key_bytes_max is 8";
    assert_eq!(letters, [(Some(40), reason), (Some(41), reason)]);
}

#[test]
fn timers_fire_in_order_of_time_and_key_and_forget() {
    let mut operator = operator(100);
    let mut out = Collector::new(Timestamp(0));
    operator.on_batch(batch(&[(3, 50), (1, 50), (2, 20), (3, 40), (4, 90)], 0), &mut out).unwrap();
    out.outputs.clear();
    operator.on_watermark(Timestamp(50), &mut out).unwrap();
    let ended: Vec<(i64, u64)> = out
        .outputs
        .iter()
        .flat_map(|(port, batch)| {
            assert_eq!(*port, 1);
            let counts = batch.column(0).as_primitive::<UInt64Type>().values().to_vec();
            batch.times().iter().copied().zip(counts).collect::<Vec<_>>()
        })
        .collect();
    // Key 3's timer was moved to 40 by its second event.
    assert_eq!(ended, [(20, 1), (40, 2), (50, 1)]);
    assert_eq!(operator.keyed.as_mut().unwrap().live_keys(), 1);
}

/// Gives each key the value of its last row; reads nothing.
struct Remember;

impl ProcessFunction for Remember {
    fn on_batch(&mut self, batch: &BatchCall<'_>, state: &mut Overlay) -> Result<Step, CallFailure> {
        let rows = batch.columns[0].as_primitive::<Int64Type>().values();
        let seen: Vec<u64> = (0..batch.rows)
            .map(|row| u64::from(batch.groups.states[0].get(batch.groups.of_rows[row] as usize).is_some()))
            .collect();
        let mut last = vec![0; batch.groups.count];
        rows.iter().zip(batch.groups.of_rows).for_each(|(value, group)| last[*group as usize] = *value);
        let mut values = Values::new(Some(8));
        last.iter().for_each(|value| values.push(Some(&value.to_le_bytes())));
        let groups: Vec<u32> = (0..batch.groups.count as u32).collect();
        state.touch(0, &groups).map_err(CallFailure::new)?;
        let output = PortRows {
            port: 0,
            rows: batch.rows,
            origins: None,
            times: None,
            columns: vec![Arc::new(UInt64Array::from(seen))],
        };
        Ok(Step { consumed: batch.rows, outputs: vec![output], states: vec![(0, values)], ..Step::default() })
    }

    fn on_timers(&mut self, _: &DueCall<'_>, _: &mut Overlay) -> Result<Step, CallFailure> {
        Err(CallFailure::new("it has no timers"))
    }
}

#[test]
fn values_expire_with_the_watermark_and_leave_no_key() {
    let mut operator = operator(100);
    let time_to_live = TimeToLive { length: Micros(10), clock: Clock::EventTime, refreshed_by_reads: false };
    operator.function = Box::new(Remember);
    operator.descriptor.states[0].time_to_live = Some(time_to_live);
    let state = Box::new(MemoryState::new(16, vec![StateLayout::Value { width: Some(16), expires: true }]));
    let limits = PluginLimits::default();
    operator.keyed = Some(Keyed::new(vec![0], &input(), state, 16, &operator.descriptor, limits));
    let mut out = Collector::new(Timestamp(0));
    let keys = 3_000;
    // The values are the times: keys are written at 1, again at 5, and half of them at 9 to what they were.
    for time in [1, 5] {
        operator.on_batch(batch(&(0..keys).map(|key| (key, time)).collect::<Vec<_>>(), 0), &mut out).unwrap();
    }
    let written = (0..keys / 2).map(|key| (key, 5)).collect::<Vec<_>>();
    let records = batch(&written, 0).records().clone();
    let again = Batch::new(records, vec![9; written.len()].into(), Provenance::default());
    operator.on_batch(again, &mut out).unwrap();
    operator.on_watermark(Timestamp(15), &mut out).unwrap();
    out.outputs.clear();
    operator.on_batch(batch(&[(0, 16), (keys - 1, 16)], 0), &mut out).unwrap();
    assert_eq!(main_rows(&out), [(0, 16, 1), (keys - 1, 16, 0)]);
    // No input comes, and watermarks alone free what has expired, a part at a time.
    for _ in 0..20 {
        operator.on_watermark(Timestamp(19), &mut out).unwrap();
    }
    assert_eq!(operator.keyed.as_mut().unwrap().live_keys(), 2);
    operator.on_watermark(Timestamp(26), &mut out).unwrap();
    for _ in 0..20 {
        operator.on_watermark(Timestamp(27), &mut out).unwrap();
    }
    assert_eq!(operator.keyed.as_mut().unwrap().live_keys(), 0);
}

#[test]
fn timers_due_together_are_given_out_piece_by_piece() {
    let mut operator = operator(1_000);
    let rows: Vec<(i64, i64)> = (0..100_000).map(|key| (key, key % 7)).collect();
    operator.on_batch(batch(&rows, 0), &mut Collector::new(Timestamp(0))).unwrap();
    let mut times = Vec::new();
    let mut calls = 0;
    while calls == 0 || operator.has_more() {
        let mut out = Collector::new(Timestamp(0));
        operator.on_watermark(Timestamp(50), &mut out).unwrap();
        assert!(out.rows() <= FIRED_ROWS_MAX + DUE_ROWS_MAX, "{} rows", out.rows());
        times.extend(out.outputs.iter().flat_map(|(_, batch)| batch.times().to_vec()));
        calls += 1;
    }
    assert!(calls > 1 && times.len() == 100_000 && times.is_sorted());
}

/// Keeps what its second input says and emits it to the port `ended`; to `main`, which extends the first, if that is told.
struct Rules;

const TO_MAIN: i64 = 100;
const KEYED_STATE: i64 = 200;

impl ProcessFunction for Rules {
    fn on_batch(&mut self, batch: &BatchCall<'_>, state: &mut Overlay) -> Result<Step, CallFailure> {
        assert_eq!((batch.input, batch.groups.count, batch.groups.states.len()), (1, 0, 0));
        let rules = batch.columns[0].as_primitive::<Int64Type>().values();
        for rule in rules {
            let key: ArrayRef = Arc::new(Int64Array::from(vec![*rule]));
            let mut value = Values::new(Some(8));
            value.push(Some(&rule.to_le_bytes()));
            state.put(1, &[0], &key, &value).map_err(CallFailure::new)?;
        }
        if rules.contains(&POISON) {
            return Err(CallFailure::new("poison"));
        }
        let states = if rules.contains(&KEYED_STATE) { vec![(0, Values::new(Some(8)))] } else { Vec::new() };
        let rows = PortRows {
            port: usize::from(!rules.contains(&TO_MAIN)),
            rows: batch.rows,
            origins: None,
            times: None,
            columns: vec![Arc::new(UInt64Array::from_iter_values(rules.iter().map(|rule| *rule as u64)))],
        };
        Ok(Step { consumed: batch.rows, outputs: vec![rows], states, ..Step::default() })
    }

    fn on_timers(&mut self, _: &DueCall<'_>, _: &mut Overlay) -> Result<Step, CallFailure> {
        unreachable!("no timer was set")
    }
}

fn with_rules() -> ProcessOperator {
    let mut operator = operator(usize::MAX);
    operator.function = Box::new(Rules);
    operator.descriptor.reads.push(vec![1]);
    let count = operator.descriptor.states[0].clone();
    let key = Some(Field::new("rule", DataType::I64));
    operator.descriptor.states.push(StateInfo { name: "rules".into(), kind: StateKind::Broadcast, key, ..count });
    let layouts: Vec<_> = operator.descriptor.states.iter().map(crate::dataplane::keyed::layout).collect();
    let limits = PluginLimits::default();
    let backend = Box::new(MemoryState::new(16, layouts.clone()));
    let keyed = Keyed::new(vec![0], &input(), backend, 16, &operator.descriptor, limits);
    operator.keyed = Some(keyed.with_broadcast(BroadcastState::new(layouts, 1 << 20, true)));
    operator
}

#[test]
fn a_row_of_the_broadcast_input_that_fails_leaves_no_trace() {
    let mut operator = with_rules();
    let mut out = Collector::new(Timestamp(0));
    let rows: Vec<(i64, i64)> = [1, 2, POISON, 3, KEYED_STATE, 4].map(|rule| (0, rule)).to_vec();
    operator.on_broadcast(batch(&rows, 10), &mut out).unwrap();
    let letters: Vec<_> = out.dead_letters.iter().map(|letter| (letter.offset, letter.reason.as_str())).collect();
    let of_keys = "it changed the state or the timers of keys in a call that has none";
    assert_eq!(letters, [(Some(12), "poison"), (Some(14), of_keys)]);
    let emitted: Vec<u64> = out
        .outputs
        .iter()
        .flat_map(|(port, batch)| {
            assert_eq!(*port, 1);
            batch.column(0).as_primitive::<UInt64Type>().values().to_vec()
        })
        .collect();
    assert_eq!(emitted, [1, 2, 3, 4]);
    // A state number, a key and a value of each.
    assert_eq!(operator.keyed.as_mut().unwrap().start_broadcast().broadcast().unwrap().bytes(), 4 * (2 + 9 + 8));
}

#[test]
fn a_row_of_the_broadcast_input_has_no_columns_of_the_first() {
    let mut operator = with_rules();
    let mut out = Collector::new(Timestamp(0));
    operator.on_broadcast(batch(&[(0, 1), (0, TO_MAIN)], 0), &mut out).unwrap();
    let [letter] = &out.dead_letters[..] else { panic!("{:?}", out.dead_letters) };
    let reason = "output port `main`: a row of the broadcast input cannot emit to a port that inherits columns: those are of \
                  the other input";
    assert_eq!((letter.offset, letter.reason.as_str()), (Some(1), reason));
    // The state that the call wrote went with it.
    assert_eq!(operator.keyed.as_mut().unwrap().start_broadcast().broadcast().unwrap().bytes(), 2 + 9 + 8);
}

/// Remembers of each call how many rows it had, as a guest may in its memory; its answers are as it is told.
struct Told {
    answers: Vec<Step>,
    remembered: Arc<AtomicUsize>,
}

impl ProcessFunction for Told {
    fn on_batch(&mut self, batch: &BatchCall<'_>, _: &mut Overlay) -> Result<Step, CallFailure> {
        self.remembered.fetch_add(batch.rows, Relaxed);
        Ok(self.answers.remove(0))
    }

    fn on_timers(&mut self, due: &DueCall<'_>, _: &mut Overlay) -> Result<Step, CallFailure> {
        self.remembered.fetch_add(due.timers.len(), Relaxed);
        Ok(self.answers.remove(0))
    }

    fn forget(&mut self) {
        self.remembered.store(0, Relaxed);
    }
}

/// Rows of the first output, one for each of the origins.
fn repeated(origins: Vec<u32>) -> Vec<PortRows> {
    let columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(vec![1; origins.len()]))];
    vec![PortRows { port: 0, rows: origins.len(), origins: Some(origins), times: None, columns }]
}

fn told(answers: Vec<Step>) -> (ProcessOperator, Arc<AtomicUsize>) {
    let mut operator = operator(usize::MAX);
    let remembered = Arc::new(AtomicUsize::new(0));
    operator.function = Box::new(Told { answers, remembered: Arc::clone(&remembered) });
    (operator, remembered)
}

fn setting(group: u32, at: i64) -> TimerSetting {
    TimerSetting { name: TimerName { group, timer: 0 }, at: Timestamp(at) }
}

#[test]
fn a_timer_that_emits_inherited_columns_fails_alone_and_changes_nothing() {
    let state = |count: u64| {
        let mut values = Values::new(Some(8));
        values.push(Some(&count.to_le_bytes()));
        vec![(0, values)]
    };
    let set = Step { consumed: 1, states: state(7), timers_set: vec![setting(0, 5)], ..Step::default() };
    let emits = || Step { consumed: 1, states: state(8), outputs: repeated(vec![0]), ..Step::default() };
    let (mut operator, remembered) = told(vec![set, emits(), emits()]);
    let mut out = Collector::new(Timestamp(0));
    operator.on_batch(batch(&[(1, 2)], 0), &mut out).unwrap();
    assert_eq!(remembered.load(Relaxed), 1);
    operator.on_watermark(Timestamp(5), &mut out).unwrap();
    assert!(out.outputs.is_empty() && !operator.has_more());
    let [letter] = &out.dead_letters[..] else { panic!("{:?}", out.dead_letters) };
    assert!(letter.reason.contains("output port `main`: a timer cannot emit"), "{}", letter.reason);
    assert_eq!(remembered.load(Relaxed), 0, "what the refused calls left is forgotten");
    operator.function = Box::new(Count { appetite: 1 });
    operator.on_batch(batch(&[(1, 9)], 1), &mut out).unwrap();
    assert_eq!(main_rows(&out), [(1, 9, 8)], "the count was still 7");
}

#[test]
fn rows_that_repeat_more_of_the_input_than_an_answer_may_be_are_refused() {
    let many = OUTPUT_BYTES_MAX / 16 + 1;
    let answer = |rows| Step { consumed: 1, outputs: repeated(vec![0; rows]), ..Step::default() };
    let (mut operator, remembered) = told(vec![answer(many), answer(many), answer(many - 1)]);
    let mut out = Collector::new(Timestamp(0));
    operator.on_batch(batch(&[(1, 2)], 0), &mut out).unwrap();
    let [letter] = &out.dead_letters[..] else { panic!("{:?}", out.dead_letters) };
    assert!(letter.reason.contains("output_bytes_max is 1048576"), "{}", letter.reason);
    assert_eq!((remembered.load(Relaxed), out.rows()), (0, 0));
    operator.on_batch(batch(&[(1, 2)], 1), &mut out).unwrap();
    assert_eq!(out.rows(), many - 1);
}

/// More rows than a thread has stack for calls within calls.
#[test]
fn one_row_a_call_does_not_nest() {
    let mut operator = operator(1);
    let mut out = Collector::new(Timestamp(0));
    let rows: Vec<(i64, i64)> = (0..8_000).map(|row| (row % 3, POISON + 1 + row)).collect();
    operator.on_batch(batch(&rows, 0), &mut out).unwrap();
    let expected: Vec<(i64, i64, u64)> =
        rows.iter().zip(0u64..).map(|((key, value), row)| (*key, *value, row / 3 + 1)).collect();
    assert!(main_rows(&out) == expected);
}

/// An operator with timers of these names on the machine's clock, and at most so many of them for a key.
fn on_the_clock(function: impl ProcessFunction + 'static, timers: usize, limit: usize) -> ProcessOperator {
    let mut operator = operator(usize::MAX);
    operator.function = Box::new(function);
    let timer = |number: usize| TimerInfo { name: format!("t{number}"), clock: Clock::ProcessingTime };
    operator.descriptor.timers = (0..timers).map(timer).collect();
    let state = Box::new(MemoryState::new(16, vec![StateLayout::Value { width: Some(8), expires: false }]));
    let limits = PluginLimits { timers_per_key_max: limit, ..PluginLimits::default() };
    operator.keyed = Some(Keyed::new(vec![0], &input(), state, 16, &operator.descriptor, limits));
    operator
}

#[test]
fn timers_that_a_pause_made_due_are_given_out_piece_by_piece() {
    let mut operator = on_the_clock(Count { appetite: usize::MAX }, 1, 1_000);
    let keys: Vec<(i64, i64)> = (0..100_000).map(|key| (key, key % 7)).collect();
    for (number, rows) in keys.chunks(8_000).enumerate() {
        operator.on_batch(batch(rows, 8_000 * number as u64), &mut Collector::new(Timestamp(0))).unwrap();
    }
    let now = Timestamp(1_000);
    let (mut times, mut calls) = (Vec::new(), 0);
    while operator.wake_at().is_some_and(|at| at <= now) {
        let mut out = Collector::new(now);
        operator.on_time(now, &mut out).unwrap();
        assert!(out.rows() <= FIRED_ROWS_MAX + DUE_ROWS_MAX, "{} rows", out.rows());
        times.extend(out.outputs.iter().flat_map(|(_, batch)| batch.times().to_vec()));
        calls += 1;
        // A watermark between has nothing to give out again.
        operator.on_watermark(Timestamp(calls), &mut Collector::new(now)).unwrap();
        assert!(!operator.has_more());
    }
    assert!(calls > 1 && times.len() == 100_000 && times.is_sorted());
}

/// Which timers a call sets for its first key, and which it cancels.
fn sets(set: &[u32], cancelled: &[u32]) -> Step {
    let name = |timer: &u32| TimerName { group: 0, timer: *timer };
    Step {
        consumed: 1,
        timers_set: set.iter().map(|timer| TimerSetting { name: name(timer), at: Timestamp(5) }).collect(),
        timers_cancelled: cancelled.iter().map(name).collect(),
        ..Step::default()
    }
}

#[test]
fn a_key_has_no_more_timers_than_it_may() {
    let too_many = || sets(&[0, 1, 2], &[]);
    let fourth = || sets(&[3], &[]);
    let answers = vec![
        too_many(),
        too_many(),
        sets(&[0, 1], &[]),
        // Moved, all of them; one is exchanged for another.
        sets(&[0, 1], &[]),
        sets(&[2, 1], &[0]),
        fourth(),
        fourth(),
        sets(&[], &[2, 3]),
        sets(&[3], &[]),
    ];
    let calls = answers.len() - 2;
    let function = Told { answers, remembered: Arc::default() };
    let mut operator = on_the_clock(function, 4, 2);
    let mut out = Collector::new(Timestamp(0));
    for call in 0..calls {
        operator.on_batch(batch(&[(1, 2)], call as u64), &mut out).unwrap();
    }
    let letters: Vec<_> = out.dead_letters.iter().map(|letter| (letter.offset, letter.reason.as_str())).collect();
    let reason = "a key has 3 timers; timers_per_key_max is 2";
    assert_eq!(letters, [(Some(0), reason), (Some(4), reason)]);
    assert_eq!(operator.keyed.as_ref().unwrap().timers(Clock::ProcessingTime), 2);
}

#[test]
fn values_expire_on_the_machines_clock_without_an_event() {
    let time_to_live =
        TimeToLive { length: Micros(1_000_000), clock: Clock::ProcessingTime, refreshed_by_reads: false };
    let mut operator = operator(100);
    operator.function = Box::new(Remember);
    operator.descriptor.states[0].time_to_live = Some(time_to_live);
    let state = Box::new(MemoryState::new(16, vec![StateLayout::Value { width: Some(16), expires: true }]));
    operator.keyed = Some(Keyed::new(vec![0], &input(), state, 16, &operator.descriptor, PluginLimits::default()));
    let at = |operator: &mut ProcessOperator, now: i64, rows: &[(i64, i64)]| {
        let mut out = Collector::new(Timestamp(now));
        operator.on_batch(batch(rows, 0), &mut out).unwrap();
        main_rows(&out).into_iter().map(|(.., seen)| seen).collect::<Vec<_>>()
    };
    // Woken as a task wakes it: from when on it had how many keys.
    let run_until = |operator: &mut ProcessOperator, end: i64| {
        let mut live = Vec::new();
        while let Some(now) = operator.wake_at().filter(|now| *now <= Timestamp(end)) {
            operator.on_time(now, &mut Collector::new(now)).unwrap();
            live.push((now.0, operator.keyed.as_mut().unwrap().live_keys()));
        }
        live.dedup_by_key(|(_, keys)| *keys);
        live
    };
    // Event times and watermarks mean nothing to it.
    assert_eq!(at(&mut operator, 0, &[(1, 5_000_000), (2, 0)]), [0, 0]);
    operator.on_watermark(Timestamp(9_000_000), &mut Collector::new(Timestamp(0))).unwrap();
    assert_eq!(run_until(&mut operator, 900_000), [(0, 2)]);
    assert_eq!(at(&mut operator, 900_000, &[(1, 0)]), [1]);
    // Key 2 was written at 0, and key 1 again at 900 ms. It is looked every 100 ms.
    assert_eq!(run_until(&mut operator, 2_500_000), [(1_000_000, 1), (1_900_000, 0)]);
    assert_eq!(at(&mut operator, 2_500_000, &[(1, 0)]), [0]);
    assert_eq!(operator.wake_at(), Some(Timestamp(2_600_000)));
}
