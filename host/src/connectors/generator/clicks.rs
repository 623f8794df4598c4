//! The clicks of `tests/peers/flink/src/clicks/gen_clicks.rs`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_buffer::OffsetBuffer;

use crate::model::time::Micros;
use crate::plan::connector::GeneratorSource;

use super::digits::{BYTES, decimal};
use super::{Numbers, T0_MILLIS, disorder, hash, mix};

/// The pace of event time when there is no last event: `span` for so many.
const PACE_COUNT: u64 = 16_000_000;

#[derive(Clone, Copy)]
enum ClickColumn {
    UserId,
    Action,
    Timestamp,
    Page,
    AdId,
    Ip,
}

#[derive(Clone)]
pub struct Clicks {
    columns: Vec<ClickColumn>,
    seed: u64,
    /// `span_millis` pass in `count` events.
    span_millis: u64,
    count: u64,
    out_of_orderness: u64,
    hashes: Vec<u64>,
}

impl Clicks {
    pub fn new(source: &GeneratorSource, span: Micros, names: &[&str]) -> Result<Self, String> {
        let column = |name: &&str| match *name {
            "user_id" => ClickColumn::UserId,
            "action" => ClickColumn::Action,
            "timestamp" => ClickColumn::Timestamp,
            "page" => ClickColumn::Page,
            "ad_id" => ClickColumn::AdId,
            "ip" => ClickColumn::Ip,
            other => unreachable!("`{other}` was looked up among the columns"),
        };
        let (count, span_millis) = (source.count.unwrap_or(PACE_COUNT).max(1), (span.0.max(0) / 1000) as u64);
        if count.checked_mul(span_millis).is_none() {
            return Err(format!("{count} events in {span} are too many to be spread evenly: choose a smaller `span`"));
        }
        let out_of_orderness = (source.out_of_orderness.0.max(0) / 1000) as u64;
        if out_of_orderness >= u64::from(u32::MAX) {
            return Err(format!("`out_of_orderness` is {}, at most 49 days can be made", source.out_of_orderness));
        }
        let columns = names.iter().map(column).collect();
        Ok(Self { columns, seed: source.seed, span_millis, count, out_of_orderness, hashes: Vec::new() })
    }

    pub fn make(&mut self, numbers: Numbers) -> Vec<ArrayRef> {
        self.hashes.clear();
        self.hashes.extend(numbers.iter().map(|i| hash(i, self.seed)));
        self.columns.iter().map(|column| self.column(*column, numbers)).collect()
    }

    fn column(&self, column: ClickColumn, numbers: Numbers) -> ArrayRef {
        match column {
            ClickColumn::UserId => self.fixed(|h| {
                let digits: [u8; 7] = decimal((((mix(h) >> 40) * 5_000_000) >> 24) as u32);
                let mut text = [b'u'; 8];
                text[1..].copy_from_slice(&digits);
                text
            }),
            ClickColumn::Action => self.actions(),
            ClickColumn::Timestamp => {
                let times = numbers.iter().zip(&self.hashes).map(|(i, h)| self.timestamp(i, *h));
                Arc::new(Int64Array::from_iter_values(times))
            }
            ClickColumn::Page => self.fixed(|h| {
                let digits: [u8; 5] = decimal(((mix(h) >> 8) % 100_000) as u32);
                let mut text = *b"/shop/item-00000";
                text[11..].copy_from_slice(&digits);
                text
            }),
            ClickColumn::AdId => self.fixed(|h| {
                let digits: [u8; 4] = decimal((((h >> 32) * 1000) >> 32) as u32);
                let mut text = *b"ad0000";
                text[2..].copy_from_slice(&digits);
                text
            }),
            ClickColumn::Ip => self.ips(),
        }
    }

    #[inline]
    fn timestamp(&self, i: u64, h: u64) -> i64 {
        // Without a last event, `i` goes beyond `count`; the product of the rest fits.
        let passed = if i < self.count { i * self.span_millis / self.count } else { self.beyond(i) };
        (T0_MILLIS.wrapping_add(passed).wrapping_sub(disorder(h, self.out_of_orderness))) as i64
    }

    fn beyond(&self, i: u64) -> u64 {
        (i / self.count).wrapping_mul(self.span_millis).wrapping_add(i % self.count * self.span_millis / self.count)
    }

    /// Texts of one length.
    fn fixed<const N: usize>(&self, text: impl Fn(u64) -> [u8; N]) -> ArrayRef {
        let mut data = vec![0; self.hashes.len() * N];
        for (out, h) in data.as_chunks_mut::<N>().0.iter_mut().zip(&self.hashes) {
            *out = text(*h);
        }
        Arc::new(StringArray::new(OffsetBuffer::from_repeated_length(N, self.hashes.len()), data.into(), None))
    }

    fn actions(&self) -> ArrayRef {
        const ACTIONS: [&str; 4] = ["view", "click", "purchase", "scroll"];
        self.texts(8, |h, out| {
            let action = ACTIONS[(mix(h) & 3) as usize];
            out[..action.len()].copy_from_slice(action.as_bytes());
            action.len()
        })
    }

    fn ips(&self) -> ArrayRef {
        self.texts(16, |h, out| {
            let g = mix(h);
            out[..2].copy_from_slice(b"10");
            let mut end = 2;
            for byte in [g >> 16, g >> 24, g >> 32] {
                let (digits, count) = &BYTES[(byte & 255) as usize];
                out[end] = b'.';
                out[end + 1..end + 4].copy_from_slice(digits);
                end += 1 + usize::from(*count);
            }
            end
        })
    }

    /// Texts of up to `longest` bytes, which `text` writes and whose length it returns.
    fn texts(&self, longest: usize, text: impl Fn(u64, &mut [u8]) -> usize) -> ArrayRef {
        let mut data = vec![0; self.hashes.len() * longest];
        let mut offsets = Vec::with_capacity(self.hashes.len() + 1);
        offsets.push(0i32);
        let mut end = 0;
        for h in &self.hashes {
            end += text(*h, &mut data[end..end + longest]);
            offsets.push(end as i32);
        }
        data.truncate(end);
        Arc::new(StringArray::new(OffsetBuffer::new(offsets.into()), data.into(), None))
    }
}
