//! Carries out a schedule: starts hosts, ends them, wakes those that sleep, and sees that nothing ends otherwise.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use wasmill_broker::Broker;

use crate::Event;
use crate::feed::Gate;
use crate::host::{Host, Setup};
use crate::oracle::Expected;
use crate::proxy::Proxy;
use crate::report::Report;
use crate::schedule::{End, Life, Mishap};

/// As long as nothing at all may happen.
const PATIENCE: Duration = Duration::from_secs(150);
/// A host may give up while something around it is broken; so often in one life.
const GIVES_UP_MAX: u32 = 5;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// What a host says that finds another in its place.
const SUPERSEDED: &str = "another host has taken over the job";
const HAD_FINISHED: &str = "the job had finished";

pub struct Killer<'a> {
    setup: Setup,
    broker: &'a mut Broker,
    proxy: &'a Proxy,
    gate: &'a Gate,
    tell: Sender<Event>,
    events: Receiver<Event>,
    /// That can be read.
    rows: u64,
    hosts: u32,
    sleeping: Option<Host>,
    report: Report,
}

/// What was waited for.
enum Waited {
    Reached,
    Ended(ExitStatus),
}

impl<'a> Killer<'a> {
    pub fn new(
        setup: Setup,
        broker: &'a mut Broker,
        proxy: &'a Proxy,
        gate: &'a Gate,
        (tell, events): (Sender<Event>, Receiver<Event>),
    ) -> Self {
        let report = Report::default();
        Self { setup, broker, proxy, gate, tell, events, rows: 0, hosts: 0, sleeping: None, report }
    }

    pub fn tell(&self) -> Sender<Event> {
        self.tell.clone()
    }

    /// One life after the other, and then one in peace, to the end of the job.
    pub fn kill(mut self, lives: &[Life], expected: &Expected) -> Result<Report> {
        let all = expected.booked_rows();
        let share = all / (lives.len() as u64 + 1);
        for (number, life) in (1..).zip(lives) {
            // Enough for a host to be at work while it waits for its end.
            self.gate.release(u32::try_from(share * (number + 3)).unwrap_or(u32::MAX));
            self.live(life, share * number).with_context(|| format!("life {number}: {life:?}"))?;
        }
        self.gate.release(u32::MAX);
        let never: Vec<_> = self.proxy.armed();
        ensure!(never.is_empty(), "no request met these faults: {never:?}");
        self.live_on(all).context("the last life")?;
        Ok(self.report)
    }

    fn live(&mut self, life: &Life, target: u64) -> Result<()> {
        for mishap in &life.mishaps {
            if let Mishap::Request(fault) = mishap {
                self.proxy.arm(*fault);
                self.report.hit(fault.to_string());
            }
        }
        let mut host = self.start(life)?;
        let mut gave_up = 0;
        loop {
            match self.be(life, target, &mut host)? {
                Waited::Reached => break,
                Waited::Ended(status) => {
                    let may = !life.mishaps.is_empty() && status.code().is_some() && gave_up < GIVES_UP_MAX;
                    ensure!(may, "host {} has ended ({status}): {}", host.number, host.last_words());
                    gave_up += 1;
                    self.report.hit("a host gave up and was started again");
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
                host.signal("STOP")?;
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

    /// A life up to its end, or to another end.
    fn be(&mut self, life: &Life, target: u64, host: &mut Host) -> Result<Waited> {
        if let End::FailPoint { name, .. } = &life.end {
            return match self.wait(host, u64::MAX)? {
                Waited::Ended(status) if status.signal() == Some(SIGABRT) => Ok(Waited::Reached),
                Waited::Ended(status) => Ok(Waited::Ended(status)),
                Waited::Reached => bail!("all rows have come, and `{name}` was not reached"),
            };
        }
        // In the middle of what is left until the end.
        if let ended @ Waited::Ended(_) = self.wait(host, self.rows.midpoint(target))? {
            return Ok(ended);
        }
        for mishap in &life.mishaps {
            self.happen(mishap)?;
        }
        self.wait(host, target)
    }

    fn happen(&mut self, mishap: &Mishap) -> Result<()> {
        match mishap {
            Mishap::BrokerRestart(away) => {
                self.broker.kill()?;
                thread::sleep(*away);
                self.broker.resume()?;
                self.report.hit("broker restarted");
            }
            Mishap::Cut(away) => {
                self.proxy.cut();
                thread::sleep(*away);
                self.proxy.mend();
                self.report.hit("cut from Kafka");
            }
            Mishap::Request(_) => {}
        }
        Ok(())
    }

    /// Waits until so many rows can be read, or the host ends.
    fn wait(&mut self, host: &mut Host, rows: u64) -> Result<Waited> {
        while self.rows < rows {
            match self.next().with_context(|| format!("host {} says: {}", host.number, host.last_words()))? {
                Some((number, status)) if number == host.number => {
                    host.ended();
                    return Ok(Waited::Ended(status));
                }
                Some((number, status)) => bail!("host {number} has ended in its sleep ({status})"),
                None => {}
            }
        }
        Ok(Waited::Reached)
    }

    /// The next event; returns the host that has ended, if that is what happened.
    fn next(&mut self) -> Result<Option<(u32, ExitStatus)>> {
        match self.events.recv_timeout(PATIENCE) {
            Ok(Event::Rows(rows)) => self.rows = rows,
            Ok(Event::Exited { host, status }) => return Ok(Some((host, status))),
            Ok(Event::Failed(error)) => return Err(error),
            Err(_) => bail!("nothing happens for {PATIENCE:?}, with {} rows to be read", self.rows),
        }
        Ok(None)
    }

    /// Whoever sleeps goes on, and must find that its time is over. `host`, its successor, must not mind.
    fn wake(&mut self, host: &Host) -> Result<()> {
        let Some(mut sleeper) = self.sleeping.take() else { return Ok(()) };
        sleeper.signal("CONT")?;
        let (number, status) = loop {
            if let Some(ended) = self.next().with_context(|| format!("{} was woken", sleeper.last_words()))? {
                break ended;
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
        host.signal("KILL")?;
        match self.wait(&mut host, u64::MAX)? {
            Waited::Ended(status) if status.signal() == Some(SIGKILL) => Ok(()),
            _ => bail!("host {} has ended before it was killed: {}", host.number, host.last_words()),
        }
    }

    /// A host that nothing happens to: it reads all, is drained, and has finished for whoever starts it again.
    fn live_on(&mut self, all: u64) -> Result<()> {
        let mut host = self.start(&Life { parallelism: 2, mishaps: Vec::new(), end: End::Killed })?;
        if let Waited::Ended(status) = self.wait(&mut host, all)? {
            bail!("host {} has ended ({status}): {}", host.number, host.last_words());
        }
        self.wake(&host)?;
        let stopped = self.setup.call("stop", &["--drain"])?;
        ensure!(stopped.status.success(), "it cannot be stopped: {}", String::from_utf8_lossy(&stopped.stderr));
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
