//! What happens to the hosts of a run, and around them, as the seed says.

use std::time::Duration;

use anyhow::{Result, ensure};
use wasmill::model::fail_point::{FAIL_POINTS, TRANSACTION_FAIL_POINTS};

use crate::Store;
use crate::proxy::{Action, Api, Fault};

/// Starts of the broker besides the first.
pub const BROKER_RESTARTS: usize = 3;
/// The first, one that sleeps, and some around which something happens.
const LASTING: usize = 2 + BROKER_RESTARTS;
/// With so many, one is at each named place.
pub const KILLS_MIN: usize = FAIL_POINTS.len() + TRANSACTION_FAIL_POINTS.len() + LASTING;
/// In a run of this many lives the broker is away for a minute once.
const LONG_RUN: usize = 40;
const A_MINUTE: Duration = Duration::from_secs(60);

/// Other slots for the next host: the job is rescaled.
const PARALLELISM: [u16; 3] = [1, 2, 4];
/// Where hosts come by once, at their start. All others are passed by each checkpoint.
const OF_STARTS: [&str; 3] = ["claim.", "followers.", "restore."];
const HITS_MAX: u32 = 3;

/// One host, from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub parallelism: u16,
    pub mishaps: Vec<Mishap>,
    pub end: End,
}

/// How a host ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`, when so many rows have come out.
    Killed,
    /// It dies at a named place, when it comes by for the n-th time.
    FailPoint { name: &'static str, hits: u32 },
    /// It is stopped, and goes on beside a successor that has been at work for a life.
    Sleeps,
}

/// What happens around a host, in the middle of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The broker is killed, and comes back after this.
    BrokerRestart(Duration),
    /// No connection between host and brokers for so long.
    CutFromKafka(Duration),
    /// No connection between host and object store for so long.
    CutFromStore(Duration),
    /// To one request of the host's.
    Request(Fault),
}

/// What a network does to requests; each of them in each run.
fn request_faults(random: &mut fastrand::Rng) -> Vec<Fault> {
    let mut delay = || Action::Delay(Duration::from_millis(random.u64(50..1_000)));
    let actions = [
        (Api::Metadata, Action::DropResponse),
        (Api::InitProducerId, Action::DropRequest),
        (Api::InitProducerId, Action::DropResponse),
        (Api::InitProducerId, delay()),
        (Api::Fetch, Action::DropRequest),
        (Api::Fetch, Action::DropResponse),
        (Api::Fetch, delay()),
        (Api::Produce, Action::DropRequest),
        (Api::Produce, Action::DropResponse),
        (Api::Produce, delay()),
        (Api::AddPartitionsToTxn, Action::DropRequest),
        (Api::AddPartitionsToTxn, Action::DropResponse),
        (Api::EndTxn, Action::DropRequest),
        (Api::EndTxn, Action::DropResponse),
        (Api::EndTxn, Action::ArriveAfter(Api::AddPartitionsToTxn)),
    ];
    let fault = |(api, action)| {
        // Those of a transaction come a few times for each checkpoint.
        let is_of_transactions = matches!(api, Api::InitProducerId | Api::AddPartitionsToTxn | Api::EndTxn);
        let skip = random.u32(..if is_of_transactions { 4 } else { 20 });
        Fault { api, skip, action }
    };
    actions.into_iter().map(fault).collect()
}

/// The lives that end before the last one: so many kills, each mishap, and each named place at least once where
/// `KILLS_MIN` allows it; otherwise some of them.
pub fn lives(seed: u64, kills: usize, store: Store) -> Result<Vec<Life>> {
    ensure!(kills >= LASTING, "{kills} kills are too few for what is to happen: at least {LASTING}");
    let mut random = fastrand::Rng::with_seed(seed);
    let ends = ends(&mut random, kills);
    let parallelism = |random: &mut fastrand::Rng| PARALLELISM[random.usize(..PARALLELISM.len())];
    let life = |end| Life { parallelism: parallelism(&mut random), mishaps: Vec::new(), end };
    let mut lives: Vec<Life> = ends.into_iter().map(life).collect();
    for mishap in mishaps(&mut random, kills, store) {
        // A host that dies at a named place may not live to see it.
        let mut lasting: Vec<&mut Life> =
            lives.iter_mut().filter(|life| !matches!(life.end, End::FailPoint { .. })).collect();
        let chosen = random.usize(..lasting.len());
        lasting[chosen].mishaps.push(mishap);
    }
    Ok(lives)
}

/// The named places of a job whose sinks write in transactions.
fn places() -> Vec<&'static str> {
    FAIL_POINTS.into_iter().chain(TRANSACTION_FAIL_POINTS).collect()
}

fn ends(random: &mut fastrand::Rng, kills: usize) -> Vec<End> {
    let fail_point = |random: &mut fastrand::Rng, name: &'static str| {
        let is_of_start = OF_STARTS.iter().any(|prefix| name.starts_with(prefix));
        End::FailPoint { name, hits: if is_of_start { 1 } else { random.u32(1..=HITS_MAX) } }
    };
    let mut places = places();
    random.shuffle(&mut places);
    let mut ends: Vec<End> = places.iter().take(kills - LASTING).map(|name| fail_point(random, name)).collect();
    ends.push(End::Sleeps);
    ends.extend((0..BROKER_RESTARTS).map(|_| End::Killed));
    while ends.len() < kills - 1 {
        ends.push(match random.u32(..10) {
            0..5 => End::Killed,
            5..8 => {
                let name = places[random.usize(..places.len())];
                fail_point(random, name)
            }
            _ => End::Sleeps,
        });
    }
    random.shuffle(&mut ends);
    // Before the first checkpoint there is nothing to restore, and nothing to publish.
    ends.insert(0, End::Killed);
    ends
}

fn mishaps(random: &mut fastrand::Rng, kills: usize, store: Store) -> Vec<Mishap> {
    let mut short = || Duration::from_millis(random.u64(100..1_500));
    let mut mishaps = vec![Mishap::CutFromKafka(short()), Mishap::CutFromKafka(short())];
    mishaps.extend((0..BROKER_RESTARTS).map(|_| Mishap::BrokerRestart(short())));
    if store != Store::Folder {
        mishaps.extend([Mishap::CutFromStore(short()), Mishap::CutFromStore(short())]);
    }
    if kills >= LONG_RUN {
        mishaps.push(Mishap::CutFromKafka(A_MINUTE));
    }
    mishaps.extend(request_faults(random).into_iter().map(Mishap::Request));
    mishaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_its_lives_and_every_place_has_a_kill() {
        let lives = |seed| lives(seed, 50, Store::S3).unwrap();
        assert_eq!(lives(1), lives(1));
        assert_ne!(lives(1), lives(2));
        for seed in 0..20 {
            let lives = lives(seed);
            assert_eq!((lives.len(), &lives[0].end), (50, &End::Killed));
            for place in places() {
                let is_it = |life: &Life| matches!(&life.end, End::FailPoint { name, .. } if *name == place);
                assert!(lives.iter().any(is_it), "{place}");
            }
            assert!(lives.iter().any(|life| life.end == End::Sleeps));
            let mishaps: Vec<&Mishap> = lives.iter().flat_map(|life| &life.mishaps).collect();
            let restarts = mishaps.iter().filter(|mishap| matches!(mishap, Mishap::BrokerRestart(_))).count();
            assert_eq!((restarts, mishaps.len()), (BROKER_RESTARTS, 23));
        }
        assert!(super::lives(1, 4, Store::Folder).unwrap_err().to_string().contains("too few"));
    }
}
