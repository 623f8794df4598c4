//! Sessions of clients: requests of which each comes at most 30 minutes after the one before, in event time.
//!
//! Events may come out of order, so a client can have several open sessions, which a request in between joins. A
//! session is over when the watermark has passed its last request by the gap: no request can join it any more.
use wasmill_sdk::prelude::*;

const GAP: Duration = minutes(30);

#[derive(Record)]
pub struct Client<'a> {
    pub client: &'a str,
}

#[derive(Record, Clone, Default, Debug, PartialEq)]
pub struct Session {
    pub client: String,
    pub start: Timestamp,
    pub end: Timestamp,
    pub requests: u64,
}

#[derive(Timers)]
pub struct SessionOver;

/// The open sessions of each client.
pub struct Sessions(Value<Vec<Session>>);

impl Process for Sessions {
    const SUMMARY: &'static str = "sessions of clients, which end after 30 quiet minutes";
    type Key<'a> = Client<'a>;
    type In<'a> = ();
    type Out<'a> = Session;
    type Timer = SessionOver;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self(cx.value("open")))
    }

    fn on_event(&self, _: (), cx: &mut Keyed<'_, Self>) -> Outcome {
        let time = cx.time();
        let mut open = self.0.get_or_default(cx);
        let mut session = Session { client: cx.key().client.to_owned(), start: time, end: time, requests: 1 };
        // No two of them are near each other, so what a request joins is near the request itself.
        for other in open.extract_if(.., |other| other.start <= time + GAP && time <= other.end + GAP) {
            session.start = session.start.min(other.start);
            session.end = session.end.max(other.end);
            session.requests += other.requests;
        }
        // It would be emitted a second time.
        if session.end + GAP <= cx.watermark() {
            return Err("too late: its session is over".into());
        }
        open.push(session);
        keep(&self.0, open, cx)
    }

    fn on_timer(&self, _: SessionOver, cx: &mut Keyed<'_, Self>) -> Outcome {
        let now = cx.time();
        let mut open = self.0.get_or_default(cx);
        for session in open.extract_if(.., |session| session.end + GAP <= now) {
            cx.emit(session);
        }
        keep(&self.0, open, cx)
    }
}

/// Keeps a client's open sessions, and wakes when the first of them may be over.
fn keep(state: &Value<Vec<Session>>, open: Vec<Session>, cx: &mut Keyed<'_, Sessions>) -> Outcome {
    if let Some(first) = open.iter().map(|session| session.end).min() {
        cx.wake_at(first + GAP, SessionOver);
        state.set(cx, open);
    } else {
        state.clear(cx);
    }
    Ok(())
}

export!(process: Sessions);

#[cfg(test)]
mod tests;
