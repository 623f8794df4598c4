//! Row by row operators: what a refused row leaves behind, timers, limits, generic rows.

use crate::prelude::*;
use crate::testing::Drive;

#[derive(Record, Clone, Copy)]
struct Step {
    key: u32,
    value: i64,
}

#[derive(Record)]
struct Key {
    key: u32,
}

#[derive(Record, Debug, PartialEq)]
struct Seen {
    key: u32,
    total: i64,
}

#[derive(Record, Debug, PartialEq)]
struct Note<'a> {
    note: &'a str,
}

#[derive(Timers, Debug, PartialEq)]
enum Wake {
    Soon,
    Later,
    #[timer(processing_time)]
    Clock,
}

/// Does everything that can be undone, then refuses negative values.
struct Undone {
    total: Value<i64>,
    names: Value<String>,
    notes: Port<Note<'static>>,
    rows: Counter,
}

impl Process for Undone {
    type Key<'a> = Key;
    type In<'a> = Step;
    type Out<'a> = Seen;
    type Timer = Wake;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self {
            total: cx.value("total"),
            names: cx
                .state("names")
                .version(3)
                .expires_after(hours(1), Clock::EventTime)
                .value(),
            notes: cx.side_output("notes"),
            rows: cx.counter("rows"),
        })
    }

    fn on_event(&self, step: Step, cx: &mut Keyed<'_, Self>) -> Outcome {
        cx.count(self.rows, 1);
        let total = self.total.update(cx, |total| *total += step.value);
        let note = format!("{}:{total}", step.key);
        self.names.set(cx, note.clone());
        self.names.update(cx, |names| names.push('!'));
        cx.emit_to(&self.notes, Note { note: &note });
        cx.emit(Seen {
            key: step.key,
            total,
        });
        cx.emit_at(
            Timestamp(total),
            Seen {
                key: step.key,
                total,
            },
        );
        match step.value {
            100 => self.names.clear(cx),
            101 => self.total.clear(cx),
            _ => cx.wake_at(Timestamp(total), Wake::Soon),
        }
        if step.value < 0 {
            self.total.clear(cx);
            self.names.clear(cx);
            cx.cancel(Wake::Soon);
            return Err(format!("{} is negative", step.value).into());
        }
        Ok(())
    }

    fn on_timer(&self, timer: Wake, cx: &mut Keyed<'_, Self>) -> Outcome {
        assert_eq!(timer, Wake::Soon);
        let note = self.names.get(cx).ok_or("no name")?;
        cx.emit_to(&self.notes, Note { note: &note });
        self.total.clear(cx);
        self.names.clear(cx);
        Ok(())
    }
}

fn steps(values: &[(u32, i64)]) -> Vec<(Timestamp, Step)> {
    values
        .iter()
        .map(|(key, value)| {
            (
                Timestamp(1000),
                Step {
                    key: *key,
                    value: *value,
                },
            )
        })
        .collect()
}

/// The same rows without those that are refused give the same, in one batch and one by one.
#[test]
fn a_refused_row_leaves_nothing_behind() {
    let values = [
        (1, 5),
        (2, -1),
        (1, -3),
        (2, 7),
        (1, 100),
        (1, -2),
        (1, 4),
        (2, 101),
        (2, -9),
        (2, 1),
        (3, -5),
    ];
    let good: Vec<_> = values
        .into_iter()
        .filter(|(_, value)| *value >= 0)
        .collect();
    let mut expected = Drive::<Undone>::over::<Step>("");
    expected.batch(steps(&good));
    let mut batch = Drive::<Undone>::over::<Step>("");
    batch.batch(steps(&values));
    let mut single = Drive::<Undone>::over::<Step>("");
    steps(&values).into_iter().for_each(|(time, step)| {
        single.event(time, step);
    });
    for round in 0..2 {
        for drive in [&mut batch, &mut single] {
            assert_eq!(drive.rejected().len(), 5);
            assert_eq!(drive.rejected()[0], "-1 is negative");
            assert_eq!(drive.counter("rows"), 11);
            assert_eq!(drive.outputs(), expected.outputs());
            assert_eq!(drive.output_times(), expected.output_times());
            let notes = expected.side_output::<Note<'_>>("notes");
            assert_eq!(drive.side_output::<Note<'_>>("notes"), notes);
            assert_eq!(drive.live_keys(), expected.live_keys());
            assert_eq!(drive.live_keys(), if round == 0 { 2 } else { 0 });
        }
        for drive in [&mut batch, &mut single, &mut expected] {
            drive.watermark(Timestamp(1000));
        }
    }
}

/// Timers move, cancel each other, and set each other.
struct Chain;

impl Process for Chain {
    type Key<'a> = Key;
    type In<'a> = Step;
    type Out<'a> = Seen;
    type Timer = Wake;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, step: Step, cx: &mut Keyed<'_, Self>) -> Outcome {
        cx.wake_at(Timestamp(step.value), Wake::Soon);
        cx.wake_at(Timestamp(step.value + 10), Wake::Later);
        cx.wake_at(cx.processing_time() + micros(5), Wake::Clock);
        Ok(())
    }

    fn on_timer(&self, timer: Wake, cx: &mut Keyed<'_, Self>) -> Outcome {
        let key = cx.key().key;
        match timer {
            Wake::Soon if key == 1 => cx.cancel(Wake::Later),
            Wake::Soon => cx.wake_at(cx.time() + micros(20), Wake::Later),
            Wake::Later => cx.log(Level::Info, "later"),
            Wake::Clock => cx.count_nothing(),
        }
        cx.emit(Seen {
            key,
            total: cx.time().0,
        });
        Ok(())
    }
}

impl Context<'_, Chain> {
    fn count_nothing(&mut self) {}
}

#[test]
fn timers_of_one_call_see_each_other() {
    let mut chain = Drive::<Chain>::over::<Step>("");
    chain.batch(steps(&[(1, 1), (2, 3), (1, 2)]));
    chain.watermark(Timestamp(50));
    let seen = |key, total| Seen { key, total };
    assert_eq!(chain.outputs(), [seen(1, 2), seen(2, 3), seen(2, 23)]);
    assert_eq!(
        chain.output_times(),
        [Timestamp(2), Timestamp(3), Timestamp(23)]
    );
    assert_eq!(chain.log().len(), 1);
    assert_eq!(chain.live_keys(), 2);
    chain.processing_time(Timestamp(5));
    assert_eq!(chain.live_keys(), 0);
}

/// Makes a megabyte of each row.
struct Flood;

impl Process for Flood {
    type Key<'a> = ();
    type In<'a> = Step;
    type Out<'a> = Note<'a>;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, step: Step, cx: &mut Context<'_, Self>) -> Outcome {
        cx.emit(Note {
            note: &step.value.to_string().repeat(1 << 20),
        });
        Ok(())
    }
}

#[test]
fn a_call_stops_at_its_output_limit() {
    let mut flood = Drive::<Flood>::new();
    flood.batch(steps(&[
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (0, 5),
        (0, 6),
    ]));
    let firsts: Vec<_> = flood
        .outputs()
        .iter()
        .map(|note| note.note.as_bytes()[0])
        .collect();
    assert_eq!(firsts, *b"0123456");
    assert_eq!(flood.calls(), 2);
}

/// Adds two columns that its configuration names.
struct Add {
    left: Column<i64>,
    right: Column<Option<i64>>,
}

#[derive(Deserialize)]
struct Sum {
    left: String,
    right: String,
}

impl Process for Add {
    type Key<'a> = ();
    type In<'a> = Row<'a>;
    type Out<'a> = Extend<Total>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        let config: Sum = cx.config()?;
        Ok(Self {
            left: cx.column(&config.left)?,
            right: cx.column(&config.right)?,
        })
    }

    fn on_event(&self, row: Row<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        let sum = row.get(&self.left) + row.get(&self.right).unwrap_or_default();
        cx.emit(Extend(Total { sum }));
        Ok(())
    }
}

#[derive(Record, Debug, PartialEq)]
struct Total {
    sum: i64,
}

#[derive(Record)]
struct Sale<'a> {
    shop: &'a str,
    net: i64,
    tax: Option<i64>,
}

#[test]
fn a_generic_operator_picks_its_columns() {
    let mut add = Drive::<Add>::over::<Sale<'_>>(r#"{ "left": "net", "right": "tax" }"#);
    let sale = |net, tax| {
        (
            Timestamp(0),
            Sale {
                shop: "s",
                net,
                tax,
            },
        )
    };
    add.batch([sale(1, Some(2)), sale(3, None)]);
    assert_eq!(
        add.outputs(),
        [Extend(Total { sum: 3 }), Extend(Total { sum: 3 })]
    );

    let opened = |config| {
        Drive::<Add>::open(config, crate::Schema::of::<Sale<'_>>())
            .err()
            .map(|error| error.to_string())
    };
    let missing = opened(r#"{ "left": "gross", "right": "tax" }"#);
    assert_eq!(
        missing.as_deref(),
        Some("no column `gross`, only `shop`, `net`, `tax`")
    );
    let text = opened(r#"{ "left": "shop", "right": "tax" }"#);
    assert_eq!(
        text.as_deref(),
        Some("column `shop` is text, but the operator reads s64")
    );
    assert!(opened("{}").is_some_and(|error| error.starts_with("config: missing field `left`")));
}

/// A column that may be null where the operator needs a value.
#[test]
fn a_null_refuses_its_row_alone() {
    let mut add = Drive::<Add>::over::<Sale<'_>>(r#"{ "left": "tax", "right": "net" }"#);
    let sale = |net, tax| {
        (
            Timestamp(0),
            Sale {
                shop: "s",
                net,
                tax,
            },
        )
    };
    add.batch([sale(1, Some(2)), sale(3, None), sale(4, Some(1))]);
    assert_eq!(add.rejected(), ["column `tax` is null"]);
    assert_eq!(
        add.outputs(),
        [Extend(Total { sum: 3 }), Extend(Total { sum: 5 })]
    );
}

/// State without a key.
struct Homeless;

impl Process for Homeless {
    type Key<'a> = ();
    type In<'a> = Step;
    type Out<'a> = Keep;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        let _: Value<u64> = cx.value("lost");
        Ok(Self)
    }

    fn on_event(&self, _: Step, _: &mut Context<'_, Self>) -> Outcome {
        Ok(())
    }
}

#[test]
fn state_needs_a_key() {
    let refused = Drive::<Homeless>::try_new("")
        .err()
        .map(|error| error.to_string());
    assert_eq!(
        refused.as_deref(),
        Some("state `lost` needs a key: `type Key` is `()`")
    );
}
