//! Events to measure with: random, and the same in every run.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, StringArray, TimestampMicrosecondArray};
use wasmill::model::schema::{DataType, Field, Schema};

/// Events of one measurement, whatever the size of its batches: too many for a processor to learn by heart which way
/// each branch goes, and few enough to stay in its cache, as those of a job do that were made a moment ago.
pub const EVENTS: usize = 16384;

/// Columns, and what a driven operator is given of them.
pub struct Events {
    pub keys: Vec<String>,
    pub payloads: Vec<[u8; 100]>,
    pub times: Vec<i64>,
}

pub struct Clicks {
    pub users: Vec<String>,
    pub actions: Vec<&'static str>,
    pub pages: Vec<String>,
    pub ads: Vec<String>,
    pub ips: Vec<String>,
    pub times: Vec<i64>,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The time of event `i`: a millisecond apart.
fn time(i: usize) -> i64 {
    1_700_000_000_000_000 + 1_000 * i as i64
}

impl Events {
    /// 16 bytes of key, 100 of payload, 8 of time.
    pub fn new() -> Self {
        let mut random = Random(42);
        let payload = |random: &mut Random| {
            let mut payload = [0; 100];
            payload.chunks_mut(8).for_each(|part| part.copy_from_slice(&random.next().to_le_bytes()[..part.len()]));
            payload
        };
        Self {
            keys: (0..EVENTS).map(|_| format!("{:016x}", random.next())).collect(),
            payloads: (0..EVENTS).map(|_| payload(&mut random)).collect(),
            times: (0..EVENTS).map(time).collect(),
        }
    }

    pub fn schema() -> Schema {
        Schema::new([Field::new("key", DataType::Text), Field::new("payload", DataType::Bytes)])
    }

    pub fn columns(&self, from: usize, rows: usize) -> Vec<ArrayRef> {
        vec![
            Arc::new(StringArray::from_iter_values(&self.keys[from..][..rows])),
            Arc::new(BinaryArray::from_iter_values(&self.payloads[from..][..rows])),
        ]
    }
}

impl Clicks {
    /// As `tests/peers/flink/src/clicks/gen_clicks.rs` makes them.
    pub fn new() -> Self {
        let mut random = Random(42);
        let mut texts = |text: &dyn Fn(&mut Random) -> String| (0..EVENTS).map(|_| text(&mut random)).collect();
        Self {
            users: texts(&|r| format!("u{:07}", r.below(5_000_000))),
            pages: texts(&|r| format!("/shop/item-{:05}", r.below(100_000))),
            ads: texts(&|r| format!("ad{:04}", r.below(1000))),
            ips: texts(&|r| format!("10.{}.{}.{}", r.below(256), r.below(256), r.below(256))),
            actions: (0..EVENTS).map(|_| ["view", "click", "purchase", "scroll"][random.below(4) as usize]).collect(),
            times: (0..EVENTS).map(time).collect(),
        }
    }

    pub fn schema() -> Schema {
        Schema::new([
            Field::new("user_id", DataType::Text),
            Field::new("action", DataType::Text),
            Field::new("timestamp", DataType::Timestamp),
            Field::new("page", DataType::Text),
            Field::new("ad_id", DataType::Text),
            Field::new("ip", DataType::Text),
        ])
    }

    pub fn columns(&self, from: usize, rows: usize) -> Vec<ArrayRef> {
        let texts = |texts: &[String]| Arc::new(StringArray::from_iter_values(&texts[from..][..rows]));
        let times = TimestampMicrosecondArray::from_iter_values(self.times[from..][..rows].iter().copied());
        vec![
            texts(&self.users),
            Arc::new(StringArray::from_iter_values(&self.actions[from..][..rows])),
            Arc::new(times.with_data_type(DataType::Timestamp.to_arrow())),
            texts(&self.pages),
            texts(&self.ads),
            texts(&self.ips),
        ]
    }
}
