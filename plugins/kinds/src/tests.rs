use super::*;
use wasmill_sdk::testing::Drive;

#[derive(Record)]
struct Input<'a> {
    key: &'a str,
    value: i64,
}

fn events(values: impl IntoIterator<Item = i64>) -> impl Iterator<Item = (Timestamp, Input<'static>)> {
    values.into_iter().map(|value| (Timestamp(0), Input { key: "a", value }))
}

#[test]
fn folds() {
    let mut fold = Drive::<Fold>::over::<Input<'_>>("");
    fold.batch(events([4, 8, -100, 0]));
    let folded = |largest, mean| Extend(Folded { largest, mean });
    assert_eq!(fold.outputs(), [folded(4, 4.0), folded(8, 6.0), folded(8, 4.0)]);
    assert_eq!(fold.rejected(), ["it is negative"]);
}

#[test]
fn a_full_basket_is_emptied() {
    let mut baskets = Drive::<Baskets>::over::<Input<'_>>("");
    baskets.batch(events((0..100).chain([5, -1, 5])));
    let outputs = baskets.outputs();
    assert_eq!(outputs[99], Extend(Basket { known: 100, times: 1, smallest: 0, largest: 99 }));
    assert_eq!(outputs[101], Extend(Basket { known: 1, times: 2, smallest: 5, largest: 5 }));
}

#[test]
fn fifty_at_a_time() {
    let mut recent = Drive::<Recent>::over::<Input<'_>>("");
    recent.batch(events(0..30)).batch(events([-1])).batch(events(30..100));
    assert!(recent.outputs()[1].0.latest.iter().copied().eq(50..100));
    assert_eq!(recent.live_keys(), 0);
}

#[test]
fn what_was_seen_is_forgotten() {
    let mut seen = Drive::<FirstSeen>::over::<Input<'_>>("");
    seen.batch(events([1, 2, 1])).watermark(Timestamp(0) + hours(1) - micros(1)).batch(events([2]));
    assert_eq!(seen.outputs().len(), 2);
    seen.watermark(Timestamp(0) + hours(1));
    assert_eq!(seen.live_keys(), 0);
}

#[test]
fn ten_at_a_time() {
    let mut hold = Drive::<Hold>::over::<Input<'_>>("");
    hold.batch(events(0..7)).batch(events([-1])).batch(events(7..15));
    assert!(hold.outputs().into_iter().map(|released| released.value).eq(0..10));
}

#[test]
fn each_value_once() {
    let mut once = Drive::<Once>::over::<Input<'_>>("");
    once.batch(events([1, 2, 1])).batch(events([2, 3]));
    assert_eq!(once.outputs().len(), 3);
}

#[test]
fn limits_hold_from_their_time_on() {
    let mut judge = Drive::<Judge>::over_with_broadcast::<Input<'_>>("");
    judge.event(Timestamp(5), Input { key: "a", value: 1 }).event(Timestamp(25), Input { key: "a", value: 2 });
    let limit = |value| Limit { value };
    // Later than the events, and not in order; what is refused leaves what there was.
    judge.broadcast_batch([(Timestamp(20), limit(9)), (Timestamp(10), limit(8)), (Timestamp(20), limit(7))]);
    judge.broadcast_batch([(Timestamp(15), limit(-1)), (Timestamp(30), limit(6))]);
    judge.event(Timestamp(17), Input { key: "b", value: 3 }).watermark(Timestamp(25));
    let judged = |key, value, at, limit| Judged { key, value, at: Timestamp(at), limit };
    let expected = [judged("a", 1, 5, None), judged("a", 2, 25, Some(9)), judged("b", 3, 17, Some(8))];
    assert_eq!(judge.outputs(), expected);
    assert_eq!(judge.rejected(), ["it is negative"]);
    assert_eq!(judge.live_keys(), 0);
}
