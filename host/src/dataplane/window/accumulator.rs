//! Accumulators in checkpoints as JSON, for people: what `snapshot` wrote, without the operator.

use crate::model::json::Json;
use crate::model::schema::{DataType, Field};
use crate::model::value;

use super::cells::{Compensated, ExactSum, OVERFLOWED, Sum};
use super::durable::Durable;
use super::reading::Reading;

/// What an aggregate remembers of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accumulator {
    Count,
    /// Of values of this type, for their sum or average.
    Sum(DataType),
    /// The smallest or largest of values of this type.
    Best(DataType),
    /// A plugin's own.
    Plugin(Field),
}

impl Accumulator {
    /// Appends an accumulator that is taken off the front of `bytes`; `None` = there is none.
    pub fn read_json(&self, bytes: &mut &[u8], out: &mut Json) -> Option<()> {
        match self {
            Self::Count => out.raw(u64::read(bytes)?),
            Self::Sum(data_type) => read_sum(data_type, bytes, out)?,
            Self::Best(data_type) => read_best(data_type, bytes, out)?,
            Self::Plugin(accumulator) => read_plugin(accumulator, bytes, out)?,
        }
        Some(())
    }
}

fn read_sum(data_type: &DataType, bytes: &mut &[u8], out: &mut Json) -> Option<()> {
    out.raw('{');
    out.name("sum", true);
    let count = match Reading::of(data_type) {
        Reading::Float => {
            let sum = Sum::<Compensated>::read(bytes)?;
            out.float(sum.sum.value());
            sum.count
        }
        _ => {
            let sum = ExactSum::read(bytes)?;
            let scale = if let DataType::Decimal { scale, .. } = data_type { *scale } else { 0 };
            match sum.sum {
                OVERFLOWED => out.text("overflowed"),
                exact => out.decimal(exact, scale),
            }
            sum.count
        }
    };
    out.name("count", false);
    out.raw(count);
    out.raw('}');
    Some(())
}

fn read_best(data_type: &DataType, bytes: &mut &[u8], out: &mut Json) -> Option<()> {
    match Reading::of(data_type) {
        Reading::Signed => match (Option::<i64>::read(bytes)?, data_type) {
            (None, _) => out.raw("null"),
            (Some(at), DataType::Timestamp) => out.timestamp(at),
            (Some(days), DataType::Date) => out.date(days.try_into().ok()?),
            (Some(value), _) => out.raw(value),
        },
        Reading::Unsigned => match (Option::<u64>::read(bytes)?, data_type) {
            (None, _) => out.raw("null"),
            (Some(value), DataType::Boolean) => out.raw(value != 0),
            (Some(value), _) => out.raw(value),
        },
        Reading::Float => match Option::<f64>::read(bytes)? {
            None => out.raw("null"),
            Some(value) => out.float(value),
        },
        Reading::Decimal => match (Option::<i128>::read(bytes)?, data_type) {
            (None, _) => out.raw("null"),
            (Some(units), DataType::Decimal { scale, .. }) => out.decimal(units, *scale),
            (Some(units), _) => out.raw(units),
        },
        Reading::Bytes => match (Option::<Box<[u8]>>::read(bytes)?, data_type) {
            (None, _) => out.raw("null"),
            (Some(text), DataType::Text) => out.text(std::str::from_utf8(&text).ok()?),
            (Some(value), _) => out.bytes(&value),
        },
    }
    Some(())
}

/// The form of `PluginCells::write`.
fn read_plugin(accumulator: &Field, bytes: &mut &[u8], out: &mut Json) -> Option<()> {
    let (tag, rest) = bytes.split_first()?;
    *bytes = rest;
    let content = Box::<[u8]>::read(bytes)?;
    match tag {
        0 => out.raw("null"),
        1 => {
            let mut content = &content[..];
            value::json::read(&mut content, accumulator, out)?;
            content.is_empty().then_some(())?;
        }
        2 => {
            out.raw("{\"failure\":");
            out.text(&String::from_utf8_lossy(&content));
            out.raw('}');
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::plugin_cells::PluginCells;
    use super::*;

    fn json(accumulator: &Accumulator, bytes: &[u8]) -> Option<String> {
        let (mut rest, mut out) = (bytes, Json::default());
        accumulator.read_json(&mut rest, &mut out)?;
        rest.is_empty().then_some(out.0)
    }

    fn written(value: &impl Durable) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        bytes
    }

    #[test]
    fn native_ones_are_what_cells_write() {
        assert_eq!(json(&Accumulator::Count, &written(&7u64)).unwrap(), "7");
        let mut cents = ExactSum::default();
        cents.add_decimal(1250);
        let decimal = DataType::Decimal { precision: 10, scale: 2 };
        assert_eq!(json(&Accumulator::Sum(decimal), &written(&cents)).unwrap(), r#"{"sum":12.50,"count":1}"#);
        let mut floats = Sum::<Compensated>::default();
        floats.add_float(1.5);
        assert_eq!(json(&Accumulator::Sum(DataType::F32), &written(&floats)).unwrap(), r#"{"sum":1.5,"count":1}"#);
        let best = |data_type, bytes: &[u8]| json(&Accumulator::Best(data_type), bytes);
        assert_eq!(best(DataType::Date, &written(&Some(16_572i64))).unwrap(), "\"2015-05-17\"");
        assert_eq!(best(DataType::Boolean, &written(&Some(1u64))).unwrap(), "true");
        assert_eq!(best(DataType::Text, &written(&Some(Box::<[u8]>::from(*b"ab")))).unwrap(), "\"ab\"");
        assert_eq!(best(DataType::I64, &written(&None::<i64>)).unwrap(), "null");
        assert_eq!(best(DataType::I64, &[1, 2]), None);
    }

    #[test]
    fn plugins_ones_are_fresh_or_encoded_or_why_they_failed() {
        let mut cells = PluginCells::new(Some(8));
        cells.resize(3);
        cells.set(1, Some(&5u64.to_le_bytes()));
        cells.set_failure(2, "it trapped".into());
        let accumulator = Accumulator::Plugin(Field::new("acc", DataType::U64));
        for (row, expected) in ["null", "5", r#"{"failure":"it trapped"}"#].into_iter().enumerate() {
            let mut bytes = Vec::new();
            cells.write(row as u32, &mut bytes);
            assert_eq!(json(&accumulator, &bytes).unwrap(), expected);
        }
    }
}
