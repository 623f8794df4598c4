//! Clicks as lines of JSON, for a source that does not decode: each becomes the id of its ad, at the click's own time.
use std::borrow::Cow;
use wasmill_sdk::prelude::*;

#[derive(Record, Debug, PartialEq)]
pub struct AdClick<'a> {
    pub ad_id: &'a str,
    pub time: Timestamp,
}

/// Text is borrowed from the line, except where it holds escapes.
#[derive(Deserialize)]
#[allow(dead_code, reason = "a line without one of these is no click")]
struct Click<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    timestamp: i64,
    #[serde(borrow)]
    page: Cow<'a, str>,
    #[serde(borrow)]
    ad_id: Cow<'a, str>,
    #[serde(borrow)]
    ip: Cow<'a, str>,
}

pub struct ParseClick;

impl Process for ParseClick {
    const SUMMARY: &'static str = "parses a click that is a line of JSON";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Line<'a>;
    type Out<'a> = AdClick<'a>;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, line: Line<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        let click: Click<'_> = serde_json::from_str(line.line)?;
        let time = Timestamp::from_millis(click.timestamp);
        cx.emit_at(time, AdClick { ad_id: &click.ad_id, time });
        Ok(())
    }
}

export!(process: ParseClick);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[test]
    fn a_line_becomes_a_click_at_its_own_time() {
        let line = r#"{"user_id":"u1","action":"view","timestamp":1700000000000,"page":"/shop/é\n","ad_id":"ad0001","ip":"10.1.2.3"}"#;
        let mut parse = Drive::<ParseClick>::new();
        parse.event(Timestamp(0), Line { line }).event(Timestamp(0), Line { line: "{}" });
        let time = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(parse.outputs(), [AdClick { ad_id: "ad0001", time }]);
        assert_eq!(parse.output_times(), [time]);
        assert!(parse.rejected()[0].contains("user_id"));
    }
}
