//! The events of `tests/peers/flink/src/bench/Gen.java`.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, StringArray};
use arrow_buffer::OffsetBuffer;

use crate::plan::connector::GeneratorSource;

use super::digits::hexadecimal;
use super::{Numbers, PHI, T0_MILLIS, disorder, hash, mix};

const KEY_BYTES: usize = 16;
const PAYLOAD_BYTES: usize = 100;

#[derive(Clone, Copy)]
enum KeyedColumn {
    Key,
    Timestamp,
    Value,
    Payload,
}

#[derive(Clone)]
pub struct Keyed {
    columns: Vec<KeyedColumn>,
    seed: u64,
    keys: u64,
    per_milli: u64,
    /// Events before this have the key of their own number.
    in_order: u64,
    out_of_orderness: u64,
    hashes: Vec<u64>,
}

impl Keyed {
    pub fn new(
        source: &GeneratorSource,
        keys: u64,
        per_milli: u64,
        fill: bool,
        names: &[&str],
    ) -> Result<Self, String> {
        let column = |name: &&str| match *name {
            "key" => KeyedColumn::Key,
            "timestamp" => KeyedColumn::Timestamp,
            "value" => KeyedColumn::Value,
            "payload" => KeyedColumn::Payload,
            other => unreachable!("`{other}` was looked up among the columns"),
        };
        if keys == 0 || keys >= 1 << 31 {
            return Err(format!("`keys` is {keys}, the generator makes 1 to 2147483647 of them"));
        }
        if per_milli == 0 {
            return Err("`per_milli` is 0: event time would not move".to_owned());
        }
        let out_of_orderness = (source.out_of_orderness.0.max(0) / 1000) as u64;
        if out_of_orderness >= u64::from(u32::MAX) {
            return Err(format!("`out_of_orderness` is {}, at most 49 days can be made", source.out_of_orderness));
        }
        let columns = names.iter().map(column).collect();
        let in_order = if fill { keys } else { 0 };
        Ok(Self { columns, seed: source.seed, keys, per_milli, in_order, out_of_orderness, hashes: Vec::new() })
    }

    pub fn make(&mut self, numbers: Numbers) -> Vec<ArrayRef> {
        self.hashes.clear();
        self.hashes.extend(numbers.iter().map(|i| hash(i, self.seed)));
        self.columns.iter().map(|column| self.column(*column, numbers)).collect()
    }

    fn column(&self, column: KeyedColumn, numbers: Numbers) -> ArrayRef {
        let rows = self.hashes.len();
        match column {
            KeyedColumn::Key => {
                let mut data = Vec::with_capacity(rows * KEY_BYTES);
                for (i, h) in numbers.iter().zip(&self.hashes) {
                    data.extend_from_slice(&hexadecimal(self.key(i, *h)));
                }
                let offsets = OffsetBuffer::from_repeated_length(KEY_BYTES, rows);
                Arc::new(StringArray::new(offsets, data.into(), None))
            }
            KeyedColumn::Timestamp => {
                let times = numbers.iter().zip(&self.hashes).map(|(i, h)| self.timestamp(i, *h));
                Arc::new(Int64Array::from_iter_values(times))
            }
            KeyedColumn::Value => {
                Arc::new(Int64Array::from_iter_values(self.hashes.iter().map(|h| ((h >> 16) & 1023) as i64)))
            }
            KeyedColumn::Payload => {
                let mut data = Vec::with_capacity(rows * PAYLOAD_BYTES);
                for h in &self.hashes {
                    data.extend_from_slice(&payload(*h));
                }
                let offsets = OffsetBuffer::from_repeated_length(PAYLOAD_BYTES, rows);
                Arc::new(BinaryArray::new(offsets, data.into(), None))
            }
        }
    }

    #[inline]
    fn key(&self, i: u64, h: u64) -> u64 {
        let number = if i < self.in_order { i } else { ((h >> 32) * self.keys) >> 32 };
        mix(number.wrapping_add(0x0123_4567))
    }

    #[inline]
    fn timestamp(&self, i: u64, h: u64) -> i64 {
        (T0_MILLIS.wrapping_add(i / self.per_milli).wrapping_sub(disorder(h, self.out_of_orderness))) as i64
    }
}

#[inline]
fn payload(h: u64) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    let mut x = h;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        x = x.wrapping_add(PHI);
        *word = (x ^ (x >> 29)).to_le_bytes();
    }
    rest.copy_from_slice(&(x as u32).to_le_bytes());
    payload
}
