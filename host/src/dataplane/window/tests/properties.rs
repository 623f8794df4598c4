use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fixture::*;
use super::oracle::{Oracle, Results};

pub fn event() -> impl Strategy<Value = Event> {
    let number = prop_oneof![8 => -9i32..9, 1 => Just(FAILS_MERGE), 1 => Just(FAILS_FINISH), 1 => Just(FAILS_ADD)];
    let optional = |range: std::ops::Range<i64>| prop::option::of(range);
    (
        -60i64..60,
        (optional(-2..3), "[a\0]{0,1}"),
        prop::option::of(number),
        optional(-500..500),
        optional(-8..8),
        prop::option::of("[a-cä]{0,2}"),
        optional(-9..9),
    )
        .prop_map(|(time, (key, name), number, price, ratio, text, at)| Event {
            time,
            key,
            name,
            number,
            price: price.map(i128::from),
            // Halves: their sums are exact in any order. There is one zero, so the negative one must not come.
            ratio: ratio.map(|ratio| ratio as f64 / 2.0),
            text,
            at,
            big: None,
        })
}

pub fn setup() -> impl Strategy<Value = Setup> {
    let sizes = prop_oneof![
        (1i64..30).prop_map(|size| (size, size)),
        (1i64..12, 1i64..7).prop_map(|(slide, times)| (slide * times, slide)),
        (1i64..30, 1i64..20),
    ];
    (sizes, -40i64..40, prop_oneof![Just(0), 0i64..30], prop::bool::weighted(0.9), any::<bool>()).prop_map(
        |((size, slide), offset, lateness, keyed, gaps)| Setup {
            offset,
            lateness,
            keyed,
            gaps,
            ..Setup::new(size, slide)
        },
    )
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        prop::collection::vec(event(), 0..25).prop_map(Step::Batch),
        (-70i64..70).prop_map(Step::Watermark),
    ];
    prop::collection::vec(step, 0..14)
}

/// What stands there in the end, row or dead letter.
fn last_results(outcome: &Outcome) -> Results {
    let mut results = Results::new();
    for fired in &outcome.fired {
        results.insert((fired.start, fired.key.clone()), Some(fired.results.clone()));
    }
    for dead in outcome.dead_letters.iter().filter_map(dead_window) {
        // Once a group fails, more rows do not help it.
        results.insert((dead.start, dead.key), None);
    }
    results
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn windows_are_those_of_plain_code(setup in setup(), steps in steps()) {
        let (mut operator, mut outcome, mut oracle) = (setup.operator(), Outcome::default(), Oracle::default());
        let mut watermark = i64::MIN;
        for step in steps.iter().chain([&Step::End]) {
            match step {
                Step::Batch(events) => events.iter().for_each(|event| oracle.add(&setup, event, watermark)),
                Step::Watermark(at) => watermark = watermark.max(*at),
                Step::End => watermark = i64::MAX,
            }
            let before = outcome.fired.len();
            outcome.step_with(&mut operator, step, setup.gaps).unwrap();
            let fired = &outcome.fired[before..];
            let groups: BTreeSet<(i64, &str)> = fired.iter().map(|fired| (fired.start, fired.key.as_str())).collect();
            prop_assert_eq!(groups.len(), fired.len(), "a group fires once a step");
            for fired in fired {
                prop_assert!(fired.end - fired.start == setup.size && fired.time == fired.end - 1);
                prop_assert!(fired.time <= watermark, "before its time");
            }
        }
        prop_assert_eq!(last_results(&outcome), oracle.results(&setup));
        prop_assert_eq!(&outcome.late, &oracle.late);
        prop_assert_eq!(outcome.late_rows, oracle.late_rows);
        let dead = outcome.dead_letters.iter().filter(|letter| letter.offset.is_some()).count();
        prop_assert_eq!(dead, oracle.dead);
        if setup.lateness == 0 {
            prop_assert_eq!(last_results(&outcome).values().flatten().count(), outcome.fired.len(), "none fires again");
        }
        prop_assert_eq!(operator.live_panes(), 0);
    }

    #[test]
    fn neither_the_cuts_of_batches_nor_the_watermarks_show(
        setup in setup(), events in prop::collection::vec(event(), 1..80), cuts in prop::collection::vec(0usize..80, 0..9)
    ) {
        let run = |cuts: &[usize]| {
            let (mut operator, mut outcome) = (setup.operator(), Outcome::default());
            let mut start = 0;
            for end in cuts.iter().copied().filter(|cut| *cut < events.len()).chain([events.len()]) {
                outcome.step(&mut operator, &Step::Batch(events[start..end].to_vec())).unwrap();
                let earliest = events[end..].iter().map(|event| event.time).min();
                outcome.step(&mut operator, &earliest.map_or(Step::End, |time| Step::Watermark(time - 1))).unwrap();
                start = end;
            }
            outcome.fired.into_iter().map(|fired| Fired { watermark: 0, ..fired }).collect::<Vec<_>>()
        };
        let cuts: Vec<usize> = cuts.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let fired = run(&cuts);
        prop_assert_eq!(&fired, &run(&[]));
        let mut by_key: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        fired.iter().for_each(|fired| by_key.entry(&fired.key).or_default().push(fired.end));
        prop_assert!(fired.is_sorted_by_key(|fired| fired.end) && by_key.values().all(|ends| ends.is_sorted()));
    }
}
