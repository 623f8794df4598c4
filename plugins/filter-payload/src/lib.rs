//! A filter: it returns the numbers of the rows that pass, and no column.
use wasmill_sdk::prelude::*;

#[derive(Record, Debug, PartialEq)]
pub struct Event<'a> {
    pub payload: &'a [u8],
}

pub struct FilterPayload;

impl Process for FilterPayload {
    const SUMMARY: &'static str = "keeps events whose payload begins with an even byte";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Event<'a>;
    type Out<'a> = Keep;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, event: Event<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        if event.payload.first().is_some_and(|byte| byte % 2 == 0) {
            cx.emit(Keep);
        }
        Ok(())
    }
}

export!(process: FilterPayload);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[test]
    fn even_payloads_pass() {
        let mut filter = Drive::<FilterPayload>::new();
        filter.batch(
            (0..5)
                .map(|byte| (Timestamp(0), [byte]))
                .collect::<Vec<_>>()
                .iter()
                .map(|(time, payload)| (*time, Event { payload })),
        );
        filter.event(Timestamp(0), Event { payload: &[] });
        let kept: Vec<_> = filter.kept().iter().map(|event| event.payload[0]).collect();
        assert_eq!(kept, [0, 2, 4]);
    }
}
