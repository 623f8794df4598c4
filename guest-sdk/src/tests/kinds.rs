//! The kinds of state, driven natively, against models.

use crate::prelude::*;
use crate::testing::Drive;
use std::collections::BTreeMap;

/// One step of a test: what the operator is to do with its states.
#[derive(Record, Clone, Debug)]
struct Step<'a> {
    user: &'a str,
    what: &'a str,
    key: i32,
    value: u64,
    refuse: bool,
}

#[derive(Record)]
struct User<'a> {
    user: &'a str,
}

#[derive(Record, Debug, PartialEq, Clone)]
struct Seen {
    user: String,
    map: Vec<Pair>,
    list: Vec<u64>,
    got: Option<u64>,
    largest: Option<u64>,
    sum: Option<u64>,
}

#[derive(Record, Debug, PartialEq, Clone)]
struct Pair {
    key: i32,
    value: u64,
}

struct Sum;
impl Aggregate for Sum {
    type In<'a> = Pair;
    type Acc = u64;
    type Out = Total;
    fn add(sum: &mut u64, pair: Pair) {
        *sum += pair.value;
    }
    fn merge(sum: &mut u64, other: u64) {
        *sum += other;
    }
    fn result(sum: &u64, _: &Window) -> Total {
        Total { sum: *sum }
    }
}

#[derive(Record)]
struct Total {
    sum: u64,
}

struct Kinds {
    map: Map<i32, u64>,
    list: List<u64>,
    largest: Reducing<u64>,
    sum: Aggregating<Sum>,
}

impl Process for Kinds {
    type Key<'a> = User<'a>;
    type In<'a> = Step<'a>;
    type Out<'a> = Seen;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self {
            map: cx.map("map"),
            largest: cx.reducing("largest", |a, b| a.max(b)),
            list: cx.list("list"),
            sum: cx.aggregating("sum"),
        })
    }

    fn on_event(&self, step: Step<'_>, cx: &mut Keyed<'_, Self>) -> Outcome {
        let Step { key, value, .. } = step;
        let mut got = None;
        match step.what {
            "insert" => self.map.insert(cx, key, value),
            "remove" => self.map.remove(cx, &key),
            "get" => got = self.map.get(cx, &key),
            "first" => got = self.map.first(cx, key..).map(|(_, value)| value),
            "range" => got = Some(self.map.range(cx, key..=key + 10).map(|(_, value)| value).sum()),
            "clear map" => self.map.clear(cx),
            "push" => self.list.push(cx, value),
            "replace" => self.list.replace(cx, [value, value + 1]),
            "clear list" => self.list.clear(cx),
            "add" => {
                self.largest.add(cx, value);
                self.sum.add(cx, Pair { key, value });
            }
            "look" => {
                let map = self.map.iter(cx).map(|(key, value)| Pair { key, value }).collect();
                let list = self.list.iter(cx).collect();
                let (largest, sum) = (self.largest.get(cx), self.sum.get(cx).map(|total| total.sum));
                cx.emit(Seen { user: step.user.to_owned(), map, list, got: None, largest, sum });
                return if step.refuse { Err("refused".into()) } else { Ok(()) };
            }
            other => return Err(format!("no step `{other}`").into()),
        }
        if matches!(step.what, "get" | "first" | "range") {
            let (map, list) = (Vec::new(), Vec::new());
            cx.emit(Seen { user: step.user.to_owned(), map, list, got, largest: None, sum: None });
        }
        if step.refuse { Err("refused".into()) } else { Ok(()) }
    }
}

#[derive(Default, Clone)]
struct Model {
    map: BTreeMap<i32, u64>,
    list: Vec<u64>,
    added: Vec<u64>,
}

impl Model {
    fn step(&mut self, step: &Step<'_>) -> Option<Seen> {
        let Step { key, value, .. } = *step;
        let empty =
            Seen { user: step.user.to_owned(), map: Vec::new(), list: Vec::new(), got: None, largest: None, sum: None };
        match step.what {
            "insert" => drop(self.map.insert(key, value)),
            "remove" => drop(self.map.remove(&key)),
            "get" => return Some(Seen { got: self.map.get(&key).copied(), ..empty }),
            "first" => return Some(Seen { got: self.map.range(key..).next().map(|(_, value)| *value), ..empty }),
            "range" => return Some(Seen { got: Some(self.map.range(key..=key + 10).map(|(_, v)| *v).sum()), ..empty }),
            "clear map" => self.map.clear(),
            "push" => self.list.push(value),
            "replace" => self.list = vec![value, value + 1],
            "clear list" => self.list.clear(),
            "add" => self.added.push(value),
            _ => {
                let map = self.map.iter().map(|(key, value)| Pair { key: *key, value: *value }).collect();
                let sum = (!self.added.is_empty()).then(|| self.added.iter().sum());
                let (list, largest) = (self.list.clone(), self.added.iter().max().copied());
                return Some(Seen { map, list, largest, sum, ..empty });
            }
        }
        None
    }
}

const WHATS: [&str; 12] =
    ["insert", "insert", "insert", "remove", "get", "first", "range", "push", "push", "add", "look", "insert"];

/// Random steps of a few users in batches of any size: rows see what earlier rows did, and of a refused row nothing.
#[test]
fn states_are_as_their_models_and_refused_rows_leave_nothing() {
    let mut random = 5u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    for round in 0..60 {
        let keys = if round % 2 == 0 { 20 } else { 400 };
        let mut kinds = Drive::<Kinds>::new();
        let mut models: BTreeMap<&str, Model> = BTreeMap::new();
        let mut expected = Vec::new();
        for _ in 0..12 {
            let mut batch = Vec::new();
            for _ in 0..=next(60) {
                let what = match next(40) {
                    0 => "clear map",
                    1 => "clear list",
                    2 => "replace",
                    _ => WHATS[next(WHATS.len() as u64) as usize],
                };
                let user = ["a", "b", "c"][next(3) as usize];
                let (key, value) = (next(keys) as i32 - 7, next(1000));
                let step = Step { user, what, key, value, refuse: next(8) == 0 };
                let model = models.entry(user).or_default();
                let before = model.clone();
                let seen = model.step(&step);
                if step.refuse {
                    *model = before;
                } else {
                    expected.extend(seen);
                }
                batch.push((Timestamp(0), step));
            }
            kinds.batch(batch);
        }
        assert_eq!(kinds.outputs(), expected, "round {round}");
        let live = |model: &&Model| !(model.map.is_empty() && model.list.is_empty() && model.added.is_empty());
        assert_eq!(kinds.live_keys(), models.values().filter(live).count());
    }
}

/// Maps and lists longer than a page are turned page by page.
#[test]
fn more_than_a_page_is_read_whole() {
    let mut kinds = Drive::<Kinds>::new();
    let step = |what, key, value| (Timestamp(0), Step { user: "a", what, key, value, refuse: false });
    kinds.batch((0..1000).rev().map(|key| step("insert", key, key as u64)));
    kinds.batch((0..1000).map(|value| step("push", 0, value)));
    kinds.batch([step("look", 0, 0), step("first", 500, 0), step("insert", 1000, 7), step("get", 1000, 0)]);
    let outputs = kinds.outputs();
    assert!(outputs[0].map.iter().map(|pair| pair.key).eq(0..1000));
    assert!(outputs[0].list.iter().copied().eq(0..1000));
    assert_eq!((outputs[1].got, outputs[2].got), (Some(500), Some(7)));
}

#[derive(Record)]
struct Write<'a> {
    user: &'a str,
    value: u64,
}

#[derive(Record, Debug, PartialEq)]
struct Alive {
    value: Option<u64>,
    list: Vec<u64>,
    map: Vec<u64>,
}

/// Writes what is not 0, and says what is there.
struct Expiring {
    value: Value<u64>,
    list: List<u64>,
    map: Map<u64, u64>,
}

impl Process for Expiring {
    type Key<'a> = User<'a>;
    type In<'a> = Write<'a>;
    type Out<'a> = Alive;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self {
            value: cx.state("value").expires_after(micros(10), Clock::EventTime).value(),
            list: cx.state("list").expires_after(micros(10), Clock::EventTime).list(),
            map: cx.state("map").expires_after(micros(10), Clock::EventTime).refreshed_by_reads().map(),
        })
    }

    fn on_event(&self, write: Write<'_>, cx: &mut Keyed<'_, Self>) -> Outcome {
        if write.value > 0 {
            self.value.set(cx, 1);
            self.list.push(cx, write.value);
            self.map.insert(cx, write.value, write.value);
        }
        let (value, list) = (self.value.get(cx), self.list.iter(cx).collect());
        let map = self.map.iter(cx).map(|(key, _)| key).collect();
        cx.emit(Alive { value, list, map });
        Ok(())
    }
}

#[test]
fn what_expires_is_seen_no_more_and_leaks_nothing() {
    let mut expiring = Drive::<Expiring>::over::<Write<'_>>("");
    let write = |value| Write { user: "a", value };
    let alive = |value, list: &[u64], map: &[u64]| Alive { value, list: list.to_vec(), map: map.to_vec() };
    expiring.event(Timestamp(0), write(1)).event(Timestamp(5), write(2)).watermark(Timestamp(9));
    expiring.event(Timestamp(6), write(0));
    // Written again to what it was, the value is as old as its last write; the map's entries were read at 6.
    expiring.watermark(Timestamp(14)).event(Timestamp(7), write(0));
    expiring.watermark(Timestamp(15)).event(Timestamp(7), write(0));
    assert_eq!(
        expiring.outputs(),
        [
            alive(Some(1), &[1], &[1]),
            alive(Some(1), &[1, 2], &[1, 2]),
            alive(Some(1), &[1, 2], &[1, 2]),
            alive(Some(1), &[2], &[1, 2]),
            alive(None, &[], &[1, 2]),
        ]
    );
    assert_eq!(expiring.live_keys(), 1);
    expiring.watermark(Timestamp(17));
    assert_eq!(expiring.live_keys(), 0);
}
