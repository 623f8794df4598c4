use super::*;
use wasmill_sdk::testing::Drive;

#[derive(Record, Clone)]
struct Hit<'a> {
    client: &'a str,
}

fn at(minute: i64) -> Timestamp {
    Timestamp(0) + minutes(minute)
}

/// Sessions of (start, end, requests), in minutes.
fn ended(sessions: &Drive<Sessions>) -> Vec<(i64, i64, u64)> {
    let in_minutes = |time: Timestamp| time.0 / minutes(1).0;
    let ended = sessions.outputs().into_iter();
    ended.map(|session| (in_minutes(session.start), in_minutes(session.end), session.requests)).collect()
}

#[test]
fn a_request_in_between_joins_two_sessions() {
    let mut sessions = Drive::<Sessions>::over::<Hit<'_>>("");
    for minute in [50, 0, 25, 90] {
        sessions.event(at(minute), Hit { client: "a" });
    }
    sessions.watermark(at(79));
    assert_eq!(ended(&sessions), []);
    sessions.watermark(at(80));
    assert_eq!(ended(&sessions), [(0, 50, 3)]);
    sessions.event(at(10), Hit { client: "a" });
    assert_eq!(sessions.rejected(), ["too late: its session is over"]);
    sessions.watermark(Timestamp::MAX);
    assert_eq!(ended(&sessions), [(0, 50, 3), (90, 90, 1)]);
    assert_eq!(sessions.live_keys(), 0);
}

/// The same sessions as sorting all requests gives, for requests that come in any order within the watermark's bound.
#[test]
fn order_within_the_bound_does_not_matter() {
    let mut random = 7u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    for _ in 0..200 {
        let mut times: Vec<i64> = (0..40).map(|_| next(1500) as i64).collect();
        times.sort_unstable();
        let mut expected: Vec<(i64, i64, u64)> = Vec::new();
        for time in &times {
            match expected.last_mut() {
                Some(last) if time - last.1 <= 30 => *last = (last.0, *time, last.2 + 1),
                _ => expected.push((*time, *time, 1)),
            }
        }
        // Out of order by up to 100 minutes: more than the gap.
        let mut shuffled: Vec<(i64, i64)> = times.iter().map(|time| (time + next(100) as i64, *time)).collect();
        shuffled.sort_unstable();
        let mut sessions = Drive::<Sessions>::over::<Hit<'_>>("");
        let mut newest = 0;
        for (_, time) in shuffled {
            sessions.event(at(time), Hit { client: "a" });
            newest = newest.max(time);
            sessions.watermark(at(newest - 100) - micros(1));
        }
        sessions.watermark(Timestamp::MAX);
        assert_eq!(ended(&sessions), expected);
        assert_eq!(sessions.live_keys(), 0);
    }
}
