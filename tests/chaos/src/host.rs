//! The program `wasmill` as a process that can be killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::network::Network;
use crate::place::{BOOKED, BUCKET, CHECKPOINTS, TURNOVERS};
use crate::{Event, Store};

/// How the job is started.
pub struct Setup {
    program: PathBuf,
    folder: PathBuf,
    settings: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// A process. It is killed when this is dropped.
pub struct Host {
    pub number: u32,
    pid: Pid,
    log: PathBuf,
    has_ended: bool,
}

impl Setup {
    /// In `folder`, where the job file is, on a network where everything has its place.
    pub fn new(program: &Path, folder: &Path, network: &Network, store: Store) -> Self {
        let nodes = ["sources.payments", "sinks.booked", "sinks.turnovers"];
        let mut settings: Vec<String> =
            nodes.iter().map(|node| format!("{node}.brokers={}", network.kafka.address())).collect();
        let mut environment = Vec::new();
        if store != Store::Folder {
            let places = [
                ("checkpoints.url", CHECKPOINTS),
                ("sinks.booked_files.path", BOOKED),
                ("sinks.turnover_files.path", TURNOVERS),
            ];
            settings.extend(places.map(|(setting, place)| format!("{setting}=s3://{BUCKET}/{place}")));
            environment.extend(wasmill_s3::environment(network.store.address()));
        }
        Self { program: program.to_owned(), folder: folder.to_owned(), settings, environment }
    }

    fn command(&self, verb: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args([verb, "job.toml", "--state-dir", "."]).args(arguments);
        command.envs(self.environment.iter().cloned());
        command.args(self.settings.iter().flat_map(|setting| ["--set", setting]));
        command
    }

    /// Runs a command to its end; what it says goes to the log `name`.
    pub fn call(&self, verb: &str, arguments: &[&str]) -> Result<Output> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.command(verb, &arguments).output().with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// Starts host number `number`, which tells when it ends. `fail_point` is what `WASMILL_FAIL_POINT` wants.
    pub fn start(
        &self,
        number: u32,
        parallelism: u16,
        fail_point: Option<String>,
        tell: &Sender<Event>,
    ) -> Result<Host> {
        let log = self.folder.join(format!("host-{number:03}.log"));
        let mut command = self.command("run", &["--parallelism".to_owned(), parallelism.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        command.envs(fail_point.map(|place| ("WASMILL_FAIL_POINT", place)));
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.program.display()))?;
        let (pid, tell) = (Pid::from_child(&child), tell.clone());
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let _ = tell.send(Event::Exited { host: number, status });
            }
        });
        Ok(Host { number, pid, log, has_ended: false })
    }
}

impl Host {
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("host {} is gone before {signal:?}", self.number))
    }

    pub fn ended(&mut self) {
        self.has_ended = true;
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last thing that it said.
    pub fn last_words(&self) -> String {
        let said = self.said();
        let error = said.find("error: ").map(|at| &said[at..]);
        error.unwrap_or_else(|| said.lines().last().unwrap_or("nothing")).trim().to_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !self.has_ended {
            let _ = self.signal(Signal::KILL);
        }
    }
}
