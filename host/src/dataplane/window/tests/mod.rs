//! Windows against plain code over all events, and what happens to what cannot be counted.

mod fixture;
mod oracle;
mod properties;
mod spilling;

use std::collections::BTreeMap;

use crate::plan::graph::NativeAggregate;

use crate::dataplane::dead_letter::DeadEvent;
use crate::dataplane::operator::{Collector, FIRED_ROWS_MAX, Operator};
use crate::dataplane::window::plugin::CALL_ROWS_MAX;
use crate::model::time::Timestamp;
use fixture::*;

fn numbers(events: &[(i64, i32)]) -> Vec<Event> {
    events.iter().map(|(time, value)| Event { time: *time, number: Some(*value), ..Event::default() }).collect()
}

fn run(setup: &Setup, steps: &[Step]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut operator = setup.operator();
    for step in steps {
        outcome.step(&mut operator, step).unwrap();
    }
    outcome
}

#[test]
fn windows_fire_once_the_watermark_has_passed_them() {
    let setup = Setup::new(10, 10);
    let events = numbers(&[(3, 1), (9, 2), (10, 4), (-1, 8)]);
    let outcome = run(&setup, &[Step::Batch(events), Step::Watermark(8), Step::Watermark(9), Step::End]);
    let fired: Vec<(i64, i64)> = outcome.fired.iter().map(|fired| (fired.start, fired.watermark)).collect();
    assert_eq!(fired, [(-10, 8), (0, 9), (10, i64::MAX)]);
}

#[test]
fn without_a_key_there_is_one_group() {
    let setup = Setup { keyed: false, ..Setup::new(10, 5) };
    let outcome = run(&setup, &[Step::Batch(numbers(&[(3, 1), (9, 2), (10, 4)])), Step::End]);
    let lists: Vec<(i64, &str)> = outcome.fired.iter().map(|fired| (fired.start, fired.list())).collect();
    assert_eq!(lists, [(-5, "1"), (0, "1,2"), (5, "2,4"), (10, "4")]);
}

#[test]
fn a_late_row_within_the_allowed_lateness_fires_its_window_again_once_a_batch() {
    let setup = Setup { lateness: 5, ..Setup::new(10, 10) };
    let late = Step::Batch(numbers(&[(4, 2), (5, 3)]));
    let too_late = Step::Batch(numbers(&[(6, 4), (11, 9)]));
    let outcome = run(
        &setup,
        &[Step::Batch(numbers(&[(3, 1)])), Step::Watermark(13), late, Step::Watermark(14), too_late, Step::End],
    );
    let lists: Vec<(i64, &str)> = outcome.fired.iter().map(|fired| (fired.start, fired.list())).collect();
    assert_eq!(lists, [(0, "1"), (0, "1,2,3"), (10, "9")]);
    assert_eq!((outcome.late, outcome.late_rows), (vec![4], 1));
}

#[test]
fn a_row_that_fails_alone_counts_nowhere_and_names_its_place() {
    let setup = Setup::new(10, 10);
    let mut events = numbers(&[(3, 1), (4, FAILS_ADD), (5, 2)]);
    events[1].key = Some(7);
    let outcome = run(&setup, &[Step::Batch(events), Step::End]);
    let [letter] = &outcome.dead_letters[..] else { panic!("{:?}", outcome.dead_letters) };
    assert_eq!((letter.offset, letter.reason.as_str()), (Some(101), "bad value"));
    let keys: Vec<&str> = outcome.fired.iter().map(|fired| fired.key.as_str()).collect();
    assert_eq!(keys, ["null,"], "the key that only the bad row had does not fire");
}

#[test]
fn a_row_whose_key_is_too_long_is_a_dead_letter() {
    let mut events = numbers(&[(3, 1), (4, 2), (5, 4)]);
    events[1].name = "x".repeat(KEY_BYTES_MAX);
    let outcome = run(&Setup { gaps: true, ..Setup::new(10, 10) }, &[Step::Batch(events), Step::End]);
    let lists: Vec<&str> = outcome.fired.iter().map(Fired::list).collect();
    assert_eq!(lists, ["1,4"]);
    let [letter] = &outcome.dead_letters[..] else { panic!("{:?}", outcome.dead_letters) };
    assert_eq!(letter.reason, "its key has 103 bytes; key_bytes_max is 100");
    let DeadEvent::Row(row) = &letter.event else { panic!("it is a row") };
    assert_eq!((row.times()[0], letter.offset.is_some()), (4, true));
}

#[test]
fn a_group_that_cannot_be_finished_is_a_dead_letter_with_key_and_window() {
    let mut events = numbers(&[(3, 1), (4, FAILS_FINISH)]);
    events[1].key = Some(7);
    let outcome = run(&Setup::new(10, 10), &[Step::Batch(events), Step::End]);
    assert_eq!(outcome.fired.len(), 1);
    let [letter] = &outcome.dead_letters[..] else { panic!("{:?}", outcome.dead_letters) };
    assert!(letter.reason.starts_with("window [1970-01-01T00:00:00Z, 1970-01-01T00:00:00.000010Z): `list`: "));
    let DeadEvent::Row(row) = &letter.event else { panic!("it is a row") };
    assert_eq!(row.records().schema().field(2).name(), "window_start");
    assert_eq!(row.rows(), 1);
}

#[test]
fn a_sum_that_does_not_fit_is_a_fault_that_names_the_window() {
    let setup = Setup {
        natives: vec![("big".into(), NativeAggregate::Sum { column: Column::Big as usize })],
        ..Setup::new(10, 10)
    };
    let big = |time| Event { time, big: Some(i64::MAX), ..Event::default() };
    let mut operator = setup.operator();
    let mut outcome = Outcome::default();
    outcome.step(&mut operator, &Step::Batch(vec![big(1), big(2)])).unwrap();
    let fault = outcome.step(&mut operator, &Step::End).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "`w`: `big` of the window [1970-01-01T00:00:00Z, 1970-01-01T00:00:00.000010Z) does not fit i64"
    );
}

#[test]
fn panes_go_with_their_last_window() {
    let mut operator = Setup { lateness: 3, ..Setup::new(10, 5) }.operator();
    let mut outcome = Outcome::default();
    let events: Vec<(i64, i32)> = (0..50).map(|time| (time, 1)).collect();
    outcome.step(&mut operator, &Step::Batch(numbers(&events))).unwrap();
    let mut panes = BTreeMap::new();
    for watermark in [11, 12, 16, 17, 61, 62] {
        outcome.step(&mut operator, &Step::Watermark(watermark)).unwrap();
        panes.insert(watermark, operator.live_panes());
    }
    // The window [0, 10) is gone at 9 + 3, and with it the pane [0, 5).
    assert_eq!(panes.into_iter().collect::<Vec<_>>(), [(11, 10), (12, 9), (16, 9), (17, 8), (61, 0), (62, 0)]);
}

#[test]
fn groups_with_large_accumulators_are_added_and_finished_call_by_call() {
    let setup = Setup::new(10, 10);
    let events: Vec<Event> =
        (0..60_000).map(|i| Event { key: Some(i % 3), number: Some(1), ..Event::default() }).collect();
    let mut steps: Vec<Step> = (0..5).map(|_| Step::Batch(events.clone())).collect();
    steps.push(Step::End);
    let outcome = run(&setup, &steps);
    let numbers: Vec<usize> = outcome.fired.iter().map(|fired| fired.list().split(',').count()).collect();
    assert_eq!(numbers, [100_000; 3]);
    assert_eq!(outcome.batches, [1, 1, 1]);
}

#[test]
fn results_are_cut_into_batches() {
    let setup = Setup::new(10, 5);
    let events: Vec<Event> =
        (0..5_000).map(|key| Event { time: key % 10, key: Some(key), number: Some(1), ..Event::default() }).collect();
    let mut operator = setup.operator();
    let mut outcome = Outcome::default();
    outcome.step(&mut operator, &Step::Batch(events)).unwrap();
    outcome.step(&mut operator, &Step::End).unwrap();
    assert_eq!(outcome.batches, [4_096, 4_096, 1_808]);
    assert!(outcome.fired.is_sorted_by_key(|fired| fired.end));
    assert_eq!(outcome.fired[0].time, outcome.fired[0].end - 1);
}

#[test]
fn many_windows_that_are_due_together_are_given_out_piece_by_piece() {
    const WINDOWS: i64 = 2_000;
    const KEYS: i64 = 50;
    for setup in [Setup::new(10, 10), Setup::new(20, 10)] {
        let mut operator = setup.operator();
        let row = |i: i64| Event { time: i / KEYS * 10, key: Some(i % KEYS), number: Some(1), ..Event::default() };
        let events: Vec<Event> = (0..WINDOWS * KEYS).map(row).collect();
        for events in events.chunks(10_000) {
            operator.on_batch(batch(events, false), &mut Collector::new(Timestamp(0))).unwrap();
        }
        let (mut ends, mut calls) = (Vec::new(), 0);
        while calls == 0 || operator.has_more() {
            let mut out = Collector::new(Timestamp(0));
            operator.on_watermark(Timestamp(WINDOWS * 10), &mut out).unwrap();
            // The last window fills a batch, perhaps, and what waits for a full one comes at the end.
            assert!(out.rows() <= FIRED_ROWS_MAX + 2 * CALL_ROWS_MAX, "{} rows of one call", out.rows());
            ends.extend(out.outputs.iter().flat_map(|(_, batch)| batch.times().to_vec()));
            calls += 1;
        }
        assert_eq!(ends.len() as i64, WINDOWS * KEYS);
        assert!(calls > 2 && ends.is_sorted());
        // Nothing is given out twice.
        let mut outcome = Outcome::default();
        outcome.step(&mut operator, &Step::Watermark(WINDOWS * 10)).unwrap();
        assert!(outcome.fired.is_empty());
    }
}
