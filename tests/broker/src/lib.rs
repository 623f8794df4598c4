//! A real Apache Kafka broker on loopback: one node in KRaft mode, ready in three seconds, which never outlives the
//! process that started it.

mod install;
mod listeners;
mod ready;
mod security;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use listeners::Listener;

pub use install::{VERSION, install, is_installed};
pub use security::{PASSWORD, Security, USER};

/// How long a broker may take until it answers.
const READY: Duration = Duration::from_secs(60);

/// Small and quick to start: it serves a few topics for a short time.
const JVM: [&str; 6] = [
    "-Xms64m",
    "-Xmx160m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// Any valid id will do: nobody meets two clusters.
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// A running broker. It ends, and its data is removed, when this is dropped or the process ends in whatever way.
pub struct Broker {
    address: SocketAddr,
    /// For a proxy.
    behind: SocketAddr,
    folder: PathBuf,
    supervisor: Child,
    /// `None` once it is dropped: the supervisor's sign to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Broker {
    /// Formats a new cluster and starts it on free ports of 127.0.0.1. Topics that a client asks to be created get
    /// `partitions` partitions. Returns when the broker takes requests.
    pub fn start(partitions: u16) -> Result<Self> {
        Self::start_behind(None, partitions)
    }

    /// The same for clients that are to come by a proxy: who asks at `behind`, where the proxy relays to, is told to find
    /// the broker at `proxy`. At `address` there is no proxy.
    pub fn start_behind(proxy: Option<SocketAddr>, partitions: u16) -> Result<Self> {
        Self::launch(free_addresses()?, proxy, partitions, &new_folder()?, None)
    }

    /// The same with places for clients who must say who they are, beside `address`, which asks nobody.
    pub fn start_secured(partitions: u16) -> Result<(Self, Security)> {
        let folder = new_folder()?;
        let [address, controller, behind, secured @ ..] = free_addresses::<6>()?;
        let security = Security::create(&folder, secured)?;
        let broker = Self::launch([address, controller, behind], None, partitions, &folder, Some(&security))?;
        Ok((broker, security))
    }

    fn launch(
        [address, controller, behind]: [SocketAddr; 3],
        proxy: Option<SocketAddr>,
        partitions: u16,
        folder: &Path,
        security: Option<&Security>,
    ) -> Result<Self> {
        ensure!(
            is_installed(),
            "Apache Kafka {VERSION} is not installed: run `cargo xtask test` or `cargo xtask kafka`"
        );
        let mut listeners = vec![
            Listener::of("PLAINTEXT", address),
            Listener {
                name: "PROXY",
                protocol: "PLAINTEXT",
                address: behind,
                advertised: Some(proxy.unwrap_or(behind)),
            },
            Listener { name: "CONTROLLER", protocol: "PLAINTEXT", address: controller, advertised: None },
        ];
        listeners.extend(security.into_iter().flat_map(Security::listeners));
        let mut settings = server_settings(partitions, controller, &folder.join("data"));
        settings += &listeners::settings(&listeners);
        settings += &security.map(Security::settings).unwrap_or_default();
        let properties = folder.join("server.properties");
        fs::write(&properties, settings)?;
        let properties = properties.display().to_string();
        format(&properties, security.is_some())?;

        let mut supervisor = Command::new("sh");
        supervisor.args(["-c", include_str!("supervise.sh"), "supervise.sh"]).arg(folder);
        supervisor.arg("java").args(java()).args(["kafka.Kafka", &properties]);
        // In a group of its own: Ctrl-C is for us, and our end is what ends it.
        supervisor.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut supervisor = supervisor.spawn().context("cannot run sh")?;
        let orders = supervisor.stdin.take();
        let answers = BufReader::new(supervisor.stdout.take().context("the supervisor has a pipe")?);
        let mut broker = Self { address, behind, folder: folder.to_owned(), supervisor, orders, answers };
        broker.resume()?;
        Ok(broker)
    }

    /// What clients call `bootstrap.servers`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Where a proxy relays to.
    pub fn behind(&self) -> SocketAddr {
        self.behind
    }

    /// `kill -9`. Its data and its address stay.
    pub fn kill(&mut self) -> Result<()> {
        self.order("kill")
    }

    /// Starts it again after `kill`, and returns when it takes requests.
    pub fn resume(&mut self) -> Result<()> {
        self.order("start")?;
        let deadline = Instant::now() + READY;
        if ready::wait(self.address, deadline) {
            return Ok(());
        }
        let log = fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
        bail!("the Kafka broker at {} does not answer within {READY:?}; it says:\n{log}", self.address)
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the supervisor was dismissed")?;
        writeln!(orders, "{order}").context("the broker's supervisor is gone")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(answer.trim() == order, "the broker's supervisor answers `{answer}` to `{order}`");
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.supervisor.wait();
    }
}

/// All are bound at once, so that they differ.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let free = |_| TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1");
    let bound = (0..N).map(free).collect::<Result<Vec<TcpListener>>>()?;
    let addresses = bound.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    addresses.try_into().map_err(|_| anyhow!("there are {N} addresses"))
}

fn new_folder() -> Result<PathBuf> {
    static BROKERS: AtomicU32 = AtomicU32::new(0);
    let name = format!("wasmill-kafka-{}-{}", std::process::id(), BROKERS.fetch_add(1, Relaxed));
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

fn server_settings(partitions: u16, controller: SocketAddr, data: &Path) -> String {
    let data = data.display();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{controller}\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={data}\n\
         log.retention.ms=-1\n\
         num.partitions={partitions}\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         broker.session.timeout.ms=2000\n\
         broker.heartbeat.interval.ms=500\n\
         log.cleaner.dedupe.buffer.size=4194304\n"
    )
}

fn java() -> Vec<String> {
    let mut arguments: Vec<String> = JVM.iter().map(|&argument| argument.to_owned()).collect();
    arguments.extend(["-cp".to_owned(), format!("{}/*", install::folder().display())]);
    arguments
}

fn format(properties: &str, has_users: bool) -> Result<()> {
    let mut format = Command::new("java");
    format.args(java()).args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", properties]);
    if has_users {
        format.args(Security::format_arguments());
    }
    let output = format.output().context("cannot run java")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot format the storage of a Kafka broker: {said}");
    Ok(())
}
