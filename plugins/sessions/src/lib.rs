//! Sessions of clients: requests of which each comes at most 30 minutes after the one before, in event time.
//!
//! Events may come out of order, so a client can have several open sessions, which a request in between joins. A
//! session is over when the watermark has passed its last request by the gap: no request can join it any more.
use wasmill_sdk::prelude::*;

const GAP: Duration = minutes(30);

#[derive(Record)]
pub struct Request {
    pub bytes: u64,
}

#[derive(Record)]
pub struct Client<'a> {
    pub client: &'a str,
}

#[derive(Record, Clone, Default, Debug, PartialEq)]
pub struct Session {
    pub start: Timestamp,
    pub end: Timestamp,
    pub requests: u64,
    pub bytes: u64,
}

#[derive(Record, Debug, PartialEq)]
pub struct Ended<'a> {
    pub client: &'a str,
    pub start: Timestamp,
    pub end: Timestamp,
    pub requests: u64,
    pub bytes: u64,
}

#[derive(Timers)]
pub enum Wake {
    SessionOver,
}

pub struct Sessions {
    open: Value<Vec<Session>>,
    late: Counter,
}

impl Process for Sessions {
    const SUMMARY: &'static str = "sessions of clients, which end after 30 quiet minutes";
    type Key<'a> = Client<'a>;
    type In<'a> = Request;
    type Out<'a> = Ended<'a>;
    type Timer = Wake;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self {
            open: cx.value("open"),
            late: cx.counter("late"),
        })
    }

    fn on_event(&self, request: Request, cx: &mut Keyed<'_, Self>) -> Outcome {
        let mut open = self.open.get_or_default(cx);
        let mut session = Session {
            start: cx.time(),
            end: cx.time(),
            requests: 1,
            bytes: request.bytes,
        };
        open.retain(|other| {
            let apart = other.start > session.end + GAP || session.start > other.end + GAP;
            if !apart {
                session.start = session.start.min(other.start);
                session.end = session.end.max(other.end);
                session.requests += other.requests;
                session.bytes += other.bytes;
            }
            apart
        });
        // Only a late request can make a session that is over already; it would be emitted a second time.
        if session.end + GAP <= cx.watermark() {
            cx.count(self.late, 1);
            return Ok(());
        }
        open.push(session);
        self.keep(open, cx);
        Ok(())
    }

    fn on_timer(&self, Wake::SessionOver: Wake, cx: &mut Keyed<'_, Self>) -> Outcome {
        let over = |session: &mut Session| session.end + GAP <= cx.time();
        let mut open = self.open.get_or_default(cx);
        let ended: Vec<_> = open.extract_if(.., over).collect();
        for Session {
            start,
            end,
            requests,
            bytes,
        } in ended
        {
            cx.emit(Ended {
                client: cx.key().client,
                start,
                end,
                requests,
                bytes,
            });
        }
        self.keep(open, cx);
        Ok(())
    }
}

impl Sessions {
    /// Keeps the open sessions, and wakes when the first of them may be over.
    fn keep(&self, open: Vec<Session>, cx: &mut Keyed<'_, Self>) {
        let Some(first) = open.iter().map(|session| session.end).min() else {
            return self.open.clear(cx);
        };
        cx.wake_at(first + GAP, Wake::SessionOver);
        self.open.set(cx, open);
    }
}

export!(process: Sessions);

#[cfg(test)]
mod tests;
