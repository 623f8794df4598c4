//! Made-up events, the same ones every time: event `i` depends on the seed and on `i` alone, not on how many splits
//! make the events or how fast.

mod clicks;
mod digits;
mod keyed;
mod split;
pub mod write;

#[cfg(test)]
mod tests;

use arrow_array::ArrayRef;

use crate::dataplane::split::{SplitEnumerator, SplitReader, SplitState};
use crate::model::fault::Fault;
use crate::model::id::{Parallelism, Slot};
use crate::model::schema::{DataType, Field, Schema};
use crate::model::time::Micros;
use crate::plan::connector::{GeneratedEvents, GeneratorSource};

use clicks::Clicks;
use keyed::Keyed;
use split::GeneratedSplit;

/// 2^64 divided by the golden ratio.
const PHI: u64 = 0x9E37_79B9_7F4A_7C15;
/// The event time of the first event, in milliseconds.
const T0_MILLIS: u64 = 1_700_000_000_000;

/// The finaliser of splitmix64.
#[inline]
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What everything about event `i` comes from.
#[inline]
fn hash(i: u64, seed: u64) -> u64 {
    mix(i.wrapping_add(1).wrapping_mul(PHI).wrapping_add(seed))
}

/// 0 to `out_of_orderness` (milliseconds), by the lower half of the hash.
#[inline]
fn disorder(hash: u64, out_of_orderness: u64) -> u64 {
    (hash & 0xffff_ffff).wrapping_mul(out_of_orderness + 1) >> 32
}

/// Events whose numbers are `first`, `first + step`, and so on.
#[derive(Clone, Copy)]
struct Numbers {
    first: u64,
    step: u64,
    count: usize,
}

impl Numbers {
    fn iter(self) -> impl ExactSizeIterator<Item = u64> {
        (0..self.count).map(move |j| self.first + j as u64 * self.step)
    }
}

/// Makes columns of events.
#[derive(Clone)]
enum Maker {
    Clicks(Clicks),
    Keyed(Keyed),
}

impl Maker {
    fn new(source: &GeneratorSource, schema: &Schema) -> Result<Self, Fault> {
        let made = columns(&source.events);
        for field in schema.fields() {
            match made.field(&field.name) {
                Some(made) if made.data_type == field.data_type => {}
                Some(made) => {
                    return Err(Fault::invalid(format!("the generator makes `{made}`, but the schema says `{field}`")));
                }
                None => {
                    let name = &field.name;
                    return Err(Fault::invalid(format!("the generator makes no column `{name}`: it makes {made:?}")));
                }
            }
        }
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
        match source.events {
            GeneratedEvents::Clicks { span } => Clicks::new(source, span, &names).map(Self::Clicks),
            GeneratedEvents::Keyed { keys, per_milli, fill } => {
                Keyed::new(source, keys, per_milli, fill, &names).map(Self::Keyed)
            }
        }
        .map_err(Fault::invalid)
    }

    fn make(&mut self, numbers: Numbers) -> Vec<ArrayRef> {
        match self {
            Self::Clicks(clicks) => clicks.make(numbers),
            Self::Keyed(keyed) => keyed.make(numbers),
        }
    }

    /// About what an event takes in a batch.
    fn event_bytes(&self) -> usize {
        match self {
            Self::Clicks(_) => 100,
            Self::Keyed(_) => 140,
        }
    }
}

/// All columns that a generator can make.
pub fn columns(events: &GeneratedEvents) -> Schema {
    let text = |name| Field::new(name, DataType::Text);
    let number = |name| Field::new(name, DataType::I64);
    match events {
        GeneratedEvents::Clicks { .. } => {
            Schema::new([text("user_id"), text("action"), number("timestamp"), text("page"), text("ad_id"), text("ip")])
        }
        GeneratedEvents::Keyed { .. } => {
            Schema::new([text("key"), number("timestamp"), number("value"), Field::new("payload", DataType::Bytes)])
        }
    }
}

/// The splits of one slot: split k goes to slot k modulo the number of slots.
pub fn open(
    source: &GeneratorSource,
    schema: &Schema,
    slot: Slot,
    slots: Parallelism,
) -> Result<Box<dyn SplitEnumerator>, Fault> {
    let maker = Maker::new(source, schema)?;
    let ours = (0..source.splits.max(1)).skip(usize::from(slot.0)).step_by(usize::from(slots.get()));
    let splits = ours.map(|k| GeneratedSplit::new(source, schema, maker.clone(), k)).collect();
    Ok(Box::new(Splits { splits }))
}

struct Splits {
    splits: Vec<GeneratedSplit>,
}

impl SplitEnumerator for Splits {
    fn restore(&mut self, splits: &[SplitState]) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        let mut left: Vec<Box<dyn SplitReader>> = Vec::new();
        for mut split in std::mem::take(&mut self.splits) {
            match splits.iter().find(|state| state.name == *split.name()) {
                None => self.splits.push(split),
                Some(SplitState { position: None, .. }) => {}
                Some(SplitState { position: Some(position), .. }) => {
                    split.go_on_at(position)?;
                    left.push(Box::new(split));
                }
            }
        }
        Ok(left)
    }

    fn discover(&mut self) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        Ok(self.splits.drain(..).map(|split| Box::new(split) as _).collect())
    }

    fn discover_interval(&self) -> Option<Micros> {
        None
    }
}
