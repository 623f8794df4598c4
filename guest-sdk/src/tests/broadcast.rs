//! Operators with a broadcast input, driven natively, against a model.

use crate::prelude::*;
use crate::testing::Drive;
use std::collections::BTreeMap;

#[derive(Record)]
struct User {
    user: u32,
}

#[derive(Record)]
struct Asked {
    user: u32,
    key: u32,
}

/// Puts an entry in, or takes it away.
#[derive(Record, Clone)]
struct Rule {
    key: u32,
    value: Option<u64>,
    clear: bool,
    refuse: bool,
}

#[derive(Record, Debug, PartialEq)]
struct Found {
    value: Option<u64>,
    next: Option<u32>,
    count: u64,
    asked: u64,
}

struct Lookup {
    rules: BroadcastMap<u32, u64>,
    asked: Value<u64>,
    counts: bool,
    applied: Port<Applied>,
}

#[derive(Record, Debug, PartialEq)]
struct Applied {
    key: u32,
    was: Option<u64>,
}

#[derive(Deserialize, Default)]
struct Config {
    /// every event reads the whole map
    counts: bool,
}

impl Process for Lookup {
    type Key<'a> = User;
    type In<'a> = Asked;
    type Out<'a> = Found;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        let counts = cx.config::<Config>()?.counts;
        let (rules, applied) = (cx.broadcast_map("rules"), cx.side_output("applied"));
        Ok(Self { rules, asked: cx.value("asked"), counts, applied })
    }

    fn on_event(&self, event: Asked, cx: &mut Keyed<'_, Self>) -> Outcome {
        let asked = self.asked.update(cx, |asked| *asked += 1);
        let value = self.rules.get(cx, &event.key);
        assert_eq!(self.rules.contains(cx, &event.key), value.is_some());
        let (mut next, mut count) = (None, 0);
        if self.counts {
            next = self.rules.first(cx, event.key + 1..).map(|(key, _)| key);
            count = self.rules.iter(cx).count() as u64;
        }
        cx.emit(Found { value, next, count, asked });
        Ok(())
    }
}

impl Broadcast for Lookup {
    type BroadcastIn<'a> = Rule;

    fn on_broadcast(&self, rule: Rule, cx: &mut BroadcastContext<'_, Self>) -> Outcome {
        if rule.clear {
            self.rules.clear(cx);
        }
        let was = self.rules.get(cx, &rule.key);
        match rule.value {
            Some(value) => self.rules.insert(cx, rule.key, value),
            None => self.rules.remove(cx, &rule.key),
        }
        cx.emit_to(&self.applied, Applied { key: rule.key, was });
        if rule.refuse { Err("refused".into()) } else { Ok(()) }
    }
}

fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut random = seed;
    move |below| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    }
}

/// More entries than a page has, or few; rules of which some are refused, in batches of any size.
#[test]
fn broadcast_state_is_as_its_model_whatever_is_kept_of_it() {
    for (keys, counts) in [(20, true), (400, true), (20, false), (400, false)] {
        let mut lookup = Drive::<Lookup>::with_broadcast(&format!("{{ \"counts\": {counts} }}"));
        let (mut next, mut model) = (numbers(keys), BTreeMap::new());
        let (mut expected, mut applied, mut asked) = (Vec::new(), Vec::new(), [0; 3]);
        for _ in 0..150 {
            let mut rule = || Rule {
                key: next(keys) as u32,
                value: (next(4) > 0).then(|| next(1000)),
                clear: next(200) == 0,
                refuse: next(5) == 0,
            };
            let rules: Vec<Rule> = (0..12).map(|_| rule()).collect();
            for rule in rules.iter().filter(|rule| !rule.refuse) {
                if rule.clear {
                    model.clear();
                }
                applied.push(Applied { key: rule.key, was: model.get(&rule.key).copied() });
                match rule.value {
                    Some(value) => drop(model.insert(rule.key, value)),
                    None => drop(model.remove(&rule.key)),
                }
            }
            lookup.broadcast_batch(rules.into_iter().map(|rule| (Timestamp(0), rule)));
            for _ in 0..next(4) {
                let events: Vec<Asked> =
                    (0..1 + next(9)).map(|_| Asked { user: next(3) as u32, key: next(keys) as u32 }).collect();
                for Asked { user, key } in &events {
                    asked[*user as usize] += 1;
                    let behind = model.range(key + 1..).next().map(|(key, _)| *key);
                    expected.push(Found {
                        value: model.get(key).copied(),
                        next: behind.filter(|_| counts),
                        count: if counts { model.len() as u64 } else { 0 },
                        asked: asked[*user as usize],
                    });
                }
                lookup.batch(events.into_iter().map(|event| (Timestamp(0), event)));
            }
        }
        assert_eq!(lookup.outputs(), expected, "{keys} keys");
        assert_eq!(lookup.side_output::<Applied>("applied"), applied);
    }
}

#[test]
fn what_was_read_stays_until_a_rule_writes() {
    let mut lookup = Drive::<Lookup>::with_broadcast("{ \"counts\": true }");
    let rule = |key| Rule { key, value: Some(1), clear: false, refuse: false };
    let ask = |lookup: &mut Drive<Lookup>| {
        let before = lookup.state_reads();
        for key in 0..20 {
            lookup.event(Timestamp(0), Asked { user: key, key });
        }
        lookup.state_reads() - before
    };
    lookup.broadcast_batch((0..30).map(|key| (Timestamp(0), rule(key))));
    assert_eq!((ask(&mut lookup), ask(&mut lookup)), (1, 0));
    lookup.broadcast(Timestamp(0), Rule { refuse: true, ..rule(5) });
    assert_eq!(ask(&mut lookup), 0, "it was undone");
    lookup.broadcast(Timestamp(0), rule(31));
    assert_eq!((ask(&mut lookup), ask(&mut lookup)), (1, 0));
}

struct Alone;

impl Process for Alone {
    type Key<'a> = ();
    type In<'a> = Asked;
    type Out<'a> = Keep;
    type Timer = NoTimers;
    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        cx.broadcast_map::<u32, u64>("rules");
        Ok(Self)
    }
    fn on_event(&self, _: Asked, _: &mut Context<'_, Self>) -> Outcome {
        Ok(())
    }
}

#[test]
fn broadcast_state_needs_a_broadcast_input() {
    let error = Drive::<Alone>::try_new("").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("state `rules` is broadcast state, and the operator has no broadcast input"), "{error}");
}
