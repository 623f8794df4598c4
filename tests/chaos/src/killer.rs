//! Carries out a schedule: starts hosts, ends them, wakes those that sleep, and sees that nothing ends otherwise.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::slice;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use wasmill_broker::Broker;

use crate::Event;
use crate::feed::{self, Gate};
use crate::host::{Host, Setup};
use crate::network::Network;
use crate::oracle::Expected;
use crate::proxy::Proxy;
use crate::report::Report;
use crate::schedule::{End, Life, Mishap};

/// As long as nothing at all may happen.
const PATIENCE: Duration = Duration::from_secs(300);
/// Where a host is to die at its work, there is more of it when nothing has come out for this long.
const IDLE: Duration = Duration::from_secs(1);
/// A host may give up while something around it is broken; so often in one life.
const GIVES_UP_MAX: u32 = 5;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;

/// Between looks at what a host says.
const LOOK: Duration = Duration::from_millis(50);
/// What a host says that has claimed the job: rows can be read, so there is a checkpoint.
const RUNS: &str = "going on from checkpoint";
/// What a host says that finds another in its place.
const SUPERSEDED: &str = "another host has taken over the job";
const HAD_FINISHED: &str = "the job had finished";
/// What `stop` says while a job starts again: whoever was woken last may have ended its transaction.
const STARTS_AGAIN: &str = "about to start again";

pub struct Killer<'a> {
    setup: Setup,
    broker: &'a mut Broker,
    network: &'a Network,
    gate: &'a Gate,
    tell: Sender<Event>,
    events: Receiver<Event>,
    /// That can be read.
    rows: u64,
    /// Payments that may be sent.
    released: u64,
    /// Rows that come out in a life, about.
    share: u64,
    hosts: u32,
    sleeping: Option<Host>,
    report: Report,
}

/// What was waited for.
enum Waited {
    Reached,
    Ended(ExitStatus),
}

enum Heard {
    Rows,
    /// This host has.
    Ended(u32, ExitStatus),
    Nothing,
}

impl<'a> Killer<'a> {
    pub fn new(
        setup: Setup,
        broker: &'a mut Broker,
        network: &'a Network,
        gate: &'a Gate,
        (tell, events): (Sender<Event>, Receiver<Event>),
    ) -> Self {
        let report = Report::default();
        Self {
            setup,
            broker,
            network,
            gate,
            tell,
            events,
            rows: 0,
            released: 0,
            share: 0,
            hosts: 0,
            sleeping: None,
            report,
        }
    }

    pub fn tell(&self) -> Sender<Event> {
        self.tell.clone()
    }

    /// One life after the other, and then one in peace, to the end of the job.
    pub fn kill(mut self, lives: &[Life], expected: &Expected) -> Result<Report> {
        let all = expected.booked_rows();
        // No life takes more than two shares: there is something left for the last one.
        self.share = all / (2 * lives.len() as u64 + 4);
        for (number, life) in (1..).zip(lives) {
            // A host is at work while it waits for its end.
            self.release(self.rows + 2 * self.share);
            self.live(life, self.rows + self.share).with_context(|| format!("life {number}: {life:?}"))?;
        }
        self.release(u64::MAX);
        self.live_on(all).context("the last life")?;
        let never: Vec<_> = self.network.kafka.armed();
        ensure!(never.is_empty(), "no request met these faults: {never:?}");
        Ok(self.report)
    }

    fn release(&mut self, payments: u64) {
        self.released = self.released.max(payments);
        self.gate.release(u32::try_from(self.released).unwrap_or(u32::MAX));
    }

    fn live(&mut self, life: &Life, target: u64) -> Result<()> {
        for mishap in &life.mishaps {
            if let Mishap::Request(fault) = mishap {
                self.network.kafka.arm(*fault);
                self.report.hit(fault.to_string());
            }
        }
        let mut host = self.start(life)?;
        let mut gave_up = 0;
        // Each of them happens once, however often the host gives up over it.
        let mut mishaps = life.mishaps.iter();
        loop {
            match self.be(life, &mut mishaps, target, &mut host)? {
                Waited::Reached => break,
                Waited::Ended(status) => {
                    let what = excuse(life, &host, status).filter(|_| gave_up < GIVES_UP_MAX);
                    let Some(what) = what else {
                        bail!("host {} has ended ({status}): {}", host.number, host.last_words());
                    };
                    gave_up += 1;
                    self.report.hit(what);
                    host = self.start(life)?;
                }
            }
        }
        match &life.end {
            End::FailPoint { name, .. } => self.report.hit(format!("killed at {name}")),
            End::Killed => {
                self.wake(&host)?;
                self.end(host)?;
                self.report.hit("killed at a count of rows");
            }
            End::Sleeps => {
                self.wake(&host)?;
                host.signal(Signal::STOP)?;
                self.sleeping = Some(host);
                self.report.hit("put to sleep beside a successor");
            }
        }
        Ok(())
    }

    fn start(&mut self, life: &Life) -> Result<Host> {
        let fail_point = match &life.end {
            End::FailPoint { name, hits } => Some(format!("{name}:{hits}")),
            End::Killed | End::Sleeps => None,
        };
        self.hosts += 1;
        self.report.starts += 1;
        self.setup.start(self.hosts, life.parallelism, fail_point, &self.tell)
    }

    /// A life up to its end, or to another end, with the mishaps that are still to come.
    fn be(
        &mut self,
        life: &Life,
        mishaps: &mut slice::Iter<'_, Mishap>,
        target: u64,
        host: &mut Host,
    ) -> Result<Waited> {
        if let End::FailPoint { .. } = &life.end {
            let status = self.wait_for_end(host)?;
            let is_there = status.signal() == Some(SIGABRT);
            return Ok(if is_there { Waited::Reached } else { Waited::Ended(status) });
        }
        // In the middle of what is left until the end.
        if let ended @ Waited::Ended(_) = self.wait(host, self.rows.midpoint(target))? {
            return Ok(ended);
        }
        for mishap in mishaps {
            self.happen(mishap)?;
        }
        match self.wait(host, target)? {
            Waited::Reached if life.end == End::Sleeps => self.wait_for_claim(host),
            waited => Ok(waited),
        }
    }

    /// Waits until the host runs the job: the rows may be those of the one before. Who has not claimed it, wakes as a
    /// newcomer and takes the job over.
    fn wait_for_claim(&mut self, host: &mut Host) -> Result<Waited> {
        let since = Instant::now();
        while !host.said().contains(RUNS) {
            ensure!(since.elapsed() < PATIENCE, "host {} does not claim the job: {}", host.number, host.last_words());
            if let Heard::Ended(number, status) = self.hear(LOOK)? {
                ensure!(number == host.number, "host {number} has ended in its sleep ({status})");
                host.ended();
                return Ok(Waited::Ended(status));
            }
        }
        Ok(Waited::Reached)
    }

    fn happen(&mut self, mishap: &Mishap) -> Result<()> {
        match mishap {
            Mishap::BrokerRestart(away) => {
                self.broker.kill()?;
                thread::sleep(*away);
                self.broker.resume()?;
                self.report.hit("broker restarted");
            }
            Mishap::CutFromKafka(away) => {
                cut(&self.network.kafka, *away);
                self.report.hit("cut from Kafka");
            }
            Mishap::CutFromStore(away) => {
                cut(&self.network.store, *away);
                self.report.hit("cut from the store");
            }
            Mishap::Request(_) => {}
        }
        Ok(())
    }

    /// Waits until so many rows can be read, or the host ends.
    fn wait(&mut self, host: &mut Host, rows: u64) -> Result<Waited> {
        while self.rows < rows {
            let heard =
                self.hear(PATIENCE).with_context(|| format!("host {} says: {}", host.number, host.last_words()));
            match heard? {
                Heard::Rows => {}
                Heard::Ended(number, status) if number == host.number => {
                    host.ended();
                    return Ok(Waited::Ended(status));
                }
                Heard::Ended(number, status) => bail!("host {number} has ended in its sleep ({status})"),
                Heard::Nothing => bail!(
                    "nothing happens for {PATIENCE:?}, with {} rows to be read; {} payments may be sent, the topics hold {:?}; \
                     host {} says: {}",
                    self.rows,
                    self.released,
                    feed::held(&self.broker.address()),
                    host.number,
                    host.last_words()
                ),
            }
        }
        Ok(Waited::Reached)
    }

    /// Waits until the host ends by itself, and lets it have its work meanwhile.
    fn wait_for_end(&mut self, host: &mut Host) -> Result<ExitStatus> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            match self.hear(IDLE)? {
                Heard::Rows => {}
                Heard::Ended(number, status) => {
                    ensure!(number == host.number, "host {number} has ended in its sleep ({status})");
                    host.ended();
                    return Ok(status);
                }
                Heard::Nothing => self.release(self.released + self.share / 4),
            }
        }
        bail!("host {} does not die within {PATIENCE:?}: {}", host.number, host.last_words())
    }

    fn hear(&mut self, patience: Duration) -> Result<Heard> {
        match self.events.recv_timeout(patience) {
            Ok(Event::Rows(rows)) => {
                self.rows = rows;
                Ok(Heard::Rows)
            }
            Ok(Event::Exited { host, status }) => Ok(Heard::Ended(host, status)),
            Ok(Event::Failed(error)) => Err(error),
            Err(_) => Ok(Heard::Nothing),
        }
    }

    /// Whoever sleeps goes on, and must find that its time is over. `host`, its successor, must not mind.
    fn wake(&mut self, host: &Host) -> Result<()> {
        let Some(mut sleeper) = self.sleeping.take() else { return Ok(()) };
        sleeper.signal(Signal::CONT)?;
        let (number, status) = loop {
            match self.hear(PATIENCE)? {
                Heard::Rows => {}
                Heard::Ended(number, status) => break (number, status),
                Heard::Nothing => bail!("host {} was woken and does not end", sleeper.number),
            }
        };
        ensure!(
            number == sleeper.number,
            "host {number} has ended ({status}), because host {} was woken: {}",
            sleeper.number,
            host.last_words()
        );
        sleeper.ended();
        ensure!(
            !status.success() && sleeper.said().contains(SUPERSEDED),
            "host {number} has ended ({status}), and does not say that it was superseded: {}",
            sleeper.last_words()
        );
        Ok(())
    }

    fn end(&mut self, mut host: Host) -> Result<()> {
        host.signal(Signal::KILL)?;
        match self.wait(&mut host, u64::MAX)? {
            Waited::Ended(status) if status.signal() == Some(SIGKILL) => Ok(()),
            _ => bail!("host {} has ended before it was killed: {}", host.number, host.last_words()),
        }
    }

    fn drain(&mut self) -> Result<()> {
        let since = Instant::now();
        loop {
            let stopped = self.setup.call("stop", &["--drain"])?;
            let said = String::from_utf8_lossy(&stopped.stderr);
            if stopped.status.success() {
                return Ok(());
            }
            ensure!(said.contains(STARTS_AGAIN) && since.elapsed() < PATIENCE, "it cannot be stopped: {said}");
            thread::sleep(LOOK);
        }
    }

    /// A host that nothing happens to: it reads all, is drained, and has finished for whoever starts it again.
    fn live_on(&mut self, all: u64) -> Result<()> {
        let mut host = self.start(&Life { parallelism: 2, mishaps: Vec::new(), end: End::Killed })?;
        // Whoever wakes may end a transaction of the live one, which then starts again, but not while it stops.
        for rows in [self.rows.midpoint(all), all] {
            if let Waited::Ended(status) = self.wait(&mut host, rows)? {
                bail!("host {} has ended ({status}): {}", host.number, host.last_words());
            }
            self.wake(&host)?;
        }
        self.drain()?;
        match self.wait(&mut host, u64::MAX)? {
            Waited::Ended(status) if status.success() => {}
            _ => bail!("host {} was drained and has failed: {}", host.number, host.last_words()),
        }
        let again = self.setup.call("run", &[])?;
        let said = String::from_utf8_lossy(&again.stderr);
        ensure!(again.status.success() && said.contains(HAD_FINISHED), "it has not finished: {said}");
        Ok(())
    }
}

/// Why a host may have ended before its time, and is started again as any process would be.
fn excuse(life: &Life, host: &Host, status: ExitStatus) -> Option<&'static str> {
    // librdkafka 2.12 reads beyond an array when a broker that comes back says that a partition has no leader: its issue
    // 5280. It cannot be prevented from outside.
    if status.signal() == Some(SIGSEGV) && host.said().contains("METADATAUPDATE") {
        return Some("a host crashed in librdkafka (its issue 5280)");
    }
    (status.code().is_some() && !life.mishaps.is_empty()).then_some("a host gave up and was started again")
}

fn cut(proxy: &Proxy, away: Duration) {
    proxy.cut();
    thread::sleep(away);
    proxy.mend();
}
