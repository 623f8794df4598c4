//! Parses lines of a web server's access log, in Apache's combined format:
//! `83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 203023 "https://referrer/" "Mozilla/5.0"`
use chrono::DateTime;
use wasmill_sdk::prelude::*;

#[derive(Record, Debug, PartialEq)]
pub struct Request<'a> {
    pub time: Timestamp,
    pub client: &'a str,
    pub method: &'a str,
    /// up to the query
    pub path: &'a str,
    pub status: u16,
    /// of the status, such as `2xx`
    pub class: &'a str,
    pub bytes: u64,
    pub referrer: Option<&'a str>,
    pub agent: Option<&'a str>,
}

const CLASSES: [&str; 6] = ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"];

pub struct AccessLog {
    sizes: Histogram,
}

impl Process for AccessLog {
    const SUMMARY: &'static str = "parses lines of an access log in Apache's combined format";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Line<'a>;
    type Out<'a> = Request<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { sizes: cx.histogram("bytes") })
    }

    fn on_event(&self, line: Line<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        let (client, rest) = line.line.split_once(' ').ok_or("no client")?;
        let (_, rest) = rest.split_once('[').ok_or("no time")?;
        let (time, rest) = rest.split_once(']').ok_or("the time does not end")?;
        let (request, rest) = quoted(rest).ok_or("no request")?;
        let (method, target) = request.split_once(' ').ok_or("a request without a path")?;
        let (status, rest) = rest.trim_start().split_once(' ').ok_or("no status")?;
        let (bytes, rest) = rest.split_once(' ').ok_or("no size")?;
        let (referrer, rest) = quoted(rest).ok_or("no referrer")?;
        let (agent, _) = quoted(rest).ok_or("no user agent")?;
        let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").map_err(|_| "a time that is none")?;
        let time = Timestamp(time.timestamp_micros());
        let status: u16 = status.parse().map_err(|_| "a status that is no number")?;
        let path = target.split(['?', ' ']).next().unwrap_or(target);
        let class = CLASSES.get(usize::from(status / 100)).ok_or("a status that is none")?;
        let bytes: u64 = known(bytes).map_or(Ok(0), str::parse).map_err(|_| "a size that is no number")?;
        let (referrer, agent) = (known(referrer), known(agent));
        cx.observe(self.sizes, bytes as f64);
        cx.emit_at(time, Request { time, client, method, path, status, class, bytes, referrer, agent });
        Ok(())
    }
}

/// A text in quotes, and what follows it. Quotes within are escaped, and stay so.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start().strip_prefix('"')?;
    let is_escaped = |at: usize| text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    let (end, _) = text.match_indices('"').find(|(at, _)| !is_escaped(*at))?;
    Some((&text[..end], &text[end + 1..]))
}

fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| *text != "-")
}

export!(process: AccessLog);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[test]
    fn a_line_becomes_a_request_at_its_own_time() {
        let line =
            r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023 "-" "Mozilla \"5\"""#;
        let mut log = Drive::<AccessLog>::new();
        log.event(Timestamp(0), Line { line });
        let time = Timestamp::from_seconds(1_431_857_103);
        let request = Request {
            time,
            client: "83.149.9.216",
            method: "GET",
            path: "/a",
            status: 200,
            class: "2xx",
            bytes: 203_023,
            referrer: None,
            agent: Some(r#"Mozilla \"5\""#),
        };
        assert_eq!(log.outputs(), [request]);
        assert_eq!(log.output_times(), [time]);
        assert_eq!(log.histogram("bytes"), [203_023.0]);
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        let mut log = Drive::<AccessLog>::new();
        for line in [
            "",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"Mozilla",
            "a - - [x] \"GET /\" 200 - \"-\" \"-\"",
        ] {
            log.event(Timestamp(0), Line { line });
        }
        assert_eq!(log.rejected(), ["no client", "no user agent", "a time that is none"]);
    }
}
