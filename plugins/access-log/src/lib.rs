//! Parses lines of a web server's access log, in Apache's combined format:
//! `83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 203023 "https://referrer/" "Mozilla/5.0"`
use wasmill_sdk::prelude::*;

mod time;

#[derive(Record)]
pub struct Line<'a> {
    pub line: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Request<'a> {
    pub client: &'a str,
    pub method: &'a str,
    /// as the client asked for it, with its query
    pub path: &'a str,
    pub status: u16,
    pub bytes: u64,
    pub referrer: Option<&'a str>,
    pub agent: Option<&'a str>,
}

pub struct AccessLog;

impl Process for AccessLog {
    const SUMMARY: &'static str = "parses lines of an access log in Apache's combined format";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Line<'a>;
    type Out<'a> = Request<'a>;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, line: Line<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        let (time, request) = parse(line.line)?;
        cx.emit_at(time, request);
        Ok(())
    }
}

fn parse(line: &str) -> Result<(Timestamp, Request<'_>), Error> {
    let (client, rest) = line.split_once(' ').ok_or("no client")?;
    let (_, rest) = rest.split_once('[').ok_or("no time")?;
    let (time, rest) = rest.split_once("] ").ok_or("the time does not end")?;
    let (request, rest) = quoted(rest).ok_or("no request")?;
    let (method, target) = request.split_once(' ').ok_or("a request without a path")?;
    let path = target
        .rsplit_once(' ')
        .map_or(target, |(path, _protocol)| path);
    let (status, rest) = rest.trim_start().split_once(' ').ok_or("no status")?;
    let (bytes, rest) = rest.split_once(' ').ok_or("no size")?;
    let (referrer, rest) = quoted(rest).ok_or("no referrer")?;
    let (agent, _) = quoted(rest.trim_start()).ok_or("no user agent")?;
    let present = |text: &'_ str| text != "-";
    let request = Request {
        client,
        method,
        path,
        status: status.parse().map_err(|_| "a status that is no number")?,
        bytes: if present(bytes) {
            bytes.parse().map_err(|_| "a size that is no number")?
        } else {
            0
        },
        referrer: Some(referrer).filter(|text| present(text)),
        agent: Some(agent).filter(|text| present(text)),
    };
    Ok((time::parse(time).ok_or("a time that is none")?, request))
}

/// A text in quotes, and what follows it. Quotes within are escaped, and stay so.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}

export!(process: AccessLog);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[test]
    fn a_line_becomes_a_request_at_its_own_time() {
        let line = r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023 "-" "Mozilla \"5\"""#;
        let mut log = Drive::<AccessLog>::new();
        log.event(Timestamp(0), Line { line });
        let request = Request {
            client: "83.149.9.216",
            method: "GET",
            path: "/a?b=c",
            status: 200,
            bytes: 203_023,
            referrer: None,
            agent: Some(r#"Mozilla \"5\""#),
        };
        assert_eq!(log.outputs(), [request]);
        assert_eq!(log.output_times(), [Timestamp::from_seconds(1_431_857_103)]);
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
        assert_eq!(
            log.rejected(),
            ["no client", "no user agent", "a time that is none"]
        );
    }
}
