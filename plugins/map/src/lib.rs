//! Two maps: of the whole event, which shows what the boundary costs, and of one column.
use wasmill_sdk::prelude::*;

#[derive(Record, Debug, PartialEq)]
pub struct Event<'a> {
    pub key: &'a str,
    pub payload: &'a [u8],
}

/// Reads and writes every column and the time.
pub struct MapEvent;

impl Process for MapEvent {
    const SUMMARY: &'static str = "moves each event by a microsecond, and adds 1 to the first byte of its payload";
    type Key<'a> = ();
    type In<'a> = Event<'a>;
    type Out<'a> = Event<'a>;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, event: Event<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        let mut payload: [u8; 100] = event.payload.try_into()?;
        payload[0] = payload[0].wrapping_add(1);
        cx.emit_at(cx.time() + micros(1), Event { key: event.key, payload: &payload });
        Ok(())
    }
}

#[derive(Record, Debug, PartialEq)]
pub struct Number {
    pub value: i64,
}

/// Writes one column, and lets the others pass by.
pub struct MapValue;

impl Process for MapValue {
    const SUMMARY: &'static str = "adds 1 to the value";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Number;
    type Out<'a> = Extend<Number>;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, event: Number, cx: &mut Context<'_, Self>) -> Outcome {
        cx.emit(Extend(Number { value: event.value.wrapping_add(1) }));
        Ok(())
    }
}

export!(process: MapEvent, MapValue);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[test]
    fn an_event_moves_with_its_time() {
        let mut map = Drive::<MapEvent>::new();
        map.event(Timestamp(5), Event { key: "k", payload: &[7; 100] });
        map.event(Timestamp(6), Event { key: "k", payload: &[7; 3] });
        assert_eq!((map.outputs()[0].payload[0], map.outputs()[0].payload[99]), (8, 7));
        assert_eq!(map.output_times(), [Timestamp(6)]);
        assert_eq!(map.rejected().len(), 1);
    }

    #[test]
    fn a_value_grows() {
        let mut map = Drive::<MapValue>::new();
        map.batch([(Timestamp(0), Number { value: 41 })]);
        assert_eq!(map.outputs(), [Extend(Number { value: 42 })]);
    }
}
