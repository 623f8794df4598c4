//! The chaos test: a job from topics to topics and files, whose host is killed and put to sleep, and whose brokers, store
//! and network fail, all as a seed says. What comes out is what plain code makes of the same payments: nothing lost,
//! nothing twice, each account's rows in their order.

mod checkpoints;
mod feed;
mod files;
mod host;
mod input;
mod killer;
mod network;
mod oracle;
mod outputs;
mod place;
mod proxy;
mod report;
mod schedule;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context, Result};
use clap::ValueEnum;
use wasmill_broker::Broker;
use wasmill_s3::{Server, minio, moto};

use feed::Gate;
use host::Setup;
use killer::Killer;
use network::Network;
use oracle::Expected;
use outputs::Follower;
use place::{BOOKED, BUCKET, CHECKPOINTS, Place, TURNOVERS};

pub use report::Report;
pub use schedule::KILLS_MIN;

const JOB: &str = include_str!("../../jobs/chaos.toml");
/// Of each topic that the job writes.
const PARTITIONS: i32 = 4;

/// Where the job keeps its checkpoints and its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// A folder of this machine
    Folder,
    /// A server that speaks S3, in memory
    S3,
    /// MinIO, on disk
    Minio,
}

pub struct Options {
    pub seed: u64,
    /// How often the host dies or is put to sleep.
    pub kills: usize,
    /// Payments in all.
    pub events: u32,
    /// Payments that are sent in a second, at most.
    pub events_per_second: u32,
    pub store: Store,
    /// The program `wasmill`.
    pub program: PathBuf,
    /// The folder of `ledger.wasm`.
    pub plugins: PathBuf,
}

impl Options {
    /// What a person types to have the same again.
    pub fn command(&self) -> String {
        let Self { seed, kills, events, events_per_second, store, .. } = self;
        let store = store.to_possible_value().map_or(String::new(), |store| format!(" --store {}", store.get_name()));
        format!("cargo xtask chaos --seed {seed} --kills {kills} --events {events} --rate {events_per_second}{store}")
    }
}

/// What the killer is told while it waits.
enum Event {
    /// So many rows can be read in the topic of booked payments.
    Rows(u64),
    Exited {
        host: u32,
        status: std::process::ExitStatus,
    },
    /// One that goes beside has ended too early.
    Failed(anyhow::Error),
}

/// Runs the job in `folder`, which must be empty, and checks what comes out. The folder is left for who looks for what
/// went wrong: the job and its checkpoints, the output files, what each host said.
pub fn run(options: &Options, folder: &Path) -> Result<Report> {
    let started = Instant::now();
    let lives = schedule::lives(options.seed, options.kills, options.store)?;
    let payments = input::payments(options.seed, options.events);
    let expected = Expected::of(&payments);
    fs::write(folder.join("job.toml"), JOB)?;
    std::os::unix::fs::symlink(&options.plugins, folder.join("plugins"))?;

    let mut network = Network::bind()?;
    let mut broker = Broker::start_behind(Some(network.kafka.address()), 1)?;
    let server = match options.store {
        Store::Folder => None,
        Store::S3 => Some(in_memory()?),
        Store::Minio => Some(minio::start(&folder.join("minio"), &[BUCKET])?),
    };
    network.open(broker.behind(), server.as_ref().map(Server::address));
    let place = match &server {
        None => Place::Folder(folder.to_owned()),
        Some(server) => Place::bucket(server.address())?,
    };
    let brokers = broker.address();
    feed::create_topics(&brokers, &[("booked", PARTITIONS), ("turnovers", PARTITIONS)])?;
    let follow = |topic, tally| Follower::open(&brokers, topic, PARTITIONS, tally);
    let mut booked = follow("booked", expected.booked())?;
    let mut turnovers = follow("turnovers", expected.turnovers())?;

    let (tell, events) = channel();
    let (gate, is_over) = (Gate::default(), AtomicBool::new(false));
    let setup = Setup::new(&options.program, folder, &network, options.store);
    let killer = Killer::new(setup, &mut broker, &network, &gate, (tell.clone(), events));
    let mut report = thread::scope(|scope| {
        let (gate, is_over, brokers, payments) = (&gate, &is_over, &brokers, &payments);
        let (booked, turnovers) = (&mut booked, &mut turnovers);
        let beside = Beside { tell: killer.tell() };
        scope.spawn(move || beside.run("sending", || feed::send(payments, brokers, options.events_per_second, gate)));
        let beside = Beside { tell: killer.tell() };
        let rows = |rows| drop(tell.send(Event::Rows(rows)));
        scope.spawn(move || beside.run("topic `booked`", || booked.follow(is_over, rows)));
        let beside = Beside { tell: killer.tell() };
        scope.spawn(move || beside.run("topic `turnovers`", || turnovers.follow(is_over, |_| ())));
        let killed = killer.kill(&lives, &expected);
        is_over.store(true, Relaxed);
        gate.close();
        killed
    })?;
    booked.finish().context("topic `booked`")?;
    turnovers.finish().context("topic `turnovers`")?;
    files::check(&place.under(BOOKED), expected.booked()).context("files of `booked`")?;
    files::check(&place.under(TURNOVERS), expected.turnovers()).context("files of `turnovers`")?;
    let letters = fs::read_to_string(folder.join("chaos.dead-letters.jsonl")).unwrap_or_default();
    expected.check_dead_letters(&letters)?;
    report.checkpoints = checkpoints::check(&place.under(CHECKPOINTS).under("chaos"))?;
    report.count(&expected, started.elapsed());
    Ok(report)
}

fn in_memory() -> Result<Server> {
    let server = moto::start()?;
    server.create_bucket(BUCKET)?;
    Ok(server)
}

/// What goes on beside the killer, which must know when it ends too early.
struct Beside {
    tell: Sender<Event>,
}

impl Beside {
    fn run(&self, what: &'static str, act: impl FnOnce() -> Result<()>) {
        if let Err(error) = act() {
            let _ = self.tell.send(Event::Failed(error.context(what)));
        }
    }
}
