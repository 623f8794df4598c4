//! A real Apache Kafka broker on loopback: one node in KRaft mode, ready in three seconds, which never outlives the
//! process that started it. Or three that are one cluster.

mod install;
mod listeners;
mod node;
mod ready;
mod security;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use listeners::Listener;
use node::Node;

pub use install::{VERSION, install, is_installed};
pub use security::{PASSWORD, Security, USER};

/// How long a broker may take until it answers.
const READY: Duration = Duration::from_secs(60);

const JVM: [&str; 3] = ["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];

/// Small and quick to start: it serves a few topics for a short time.
const SMALL: [&str; 3] = ["-Xms64m", "-Xmx160m", "-XX:TieredStopAtLevel=1"];

/// Quick once it has run for a while.
const QUICK: [&str; 2] = ["-Xms512m", "-Xmx512m"];

/// Any valid id will do: nobody meets two clusters.
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// A running broker. It ends, and its data is removed, when this is dropped or the process ends in whatever way.
pub struct Broker {
    node: Node,
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

    /// The same for a bench: it takes more memory and time until it is at its best, and then less CPU time.
    pub fn start_quick(partitions: u16) -> Result<Self> {
        let mut broker = Self::prepare(Node::alone(free_addresses()?), None, partitions, None, &new_folder()?, &QUICK)?;
        broker.resume()?;
        Ok(broker)
    }

    /// The same for clients that are to come by a proxy: who asks at `behind`, where the proxy relays to, is told to find
    /// the broker at `proxy`. At `address` there is no proxy.
    pub fn start_behind(proxy: Option<SocketAddr>, partitions: u16) -> Result<Self> {
        Self::launch(Node::alone(free_addresses()?), proxy, partitions, None, &new_folder()?)
    }

    /// Three brokers that are one cluster: topics have three replicas unless they are asked to have others, and what is
    /// acknowledged is in two of them. Returns when each knows the others.
    pub fn start_three(partitions: u16) -> Result<[Self; 3]> {
        let nodes = Node::cluster(&free_addresses::<9>()?);
        let prepare = |node| Self::prepare(node, None, partitions, None, &new_folder()?, &SMALL);
        let mut brokers = thread::scope(|scope| {
            let threads: Vec<_> = nodes.into_iter().map(|node| scope.spawn(move || prepare(node))).collect();
            let joined =
                threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread has panicked"))?);
            joined.collect::<Result<Vec<Self>>>()
        })?;
        brokers.iter_mut().try_for_each(|broker| broker.order("start"))?;
        brokers.iter().try_for_each(Self::wait)?;
        brokers.try_into().map_err(|_| anyhow!("there are three"))
    }

    /// The same with places for clients who must say who they are, beside `address`, which asks nobody.
    pub fn start_secured(partitions: u16) -> Result<(Self, Security)> {
        let folder = new_folder()?;
        let [address, controller, behind, secured @ ..] = free_addresses::<6>()?;
        let security = Security::create(&folder, secured)?;
        let node = Node::alone([address, controller, behind]);
        let broker = Self::launch(node, None, partitions, Some(&security), &folder)?;
        Ok((broker, security))
    }

    fn launch(
        node: Node,
        proxy: Option<SocketAddr>,
        partitions: u16,
        security: Option<&Security>,
        folder: &Path,
    ) -> Result<Self> {
        let mut broker = Self::prepare(node, proxy, partitions, security, folder, &SMALL)?;
        broker.resume()?;
        Ok(broker)
    }

    /// Formatted, and not started.
    fn prepare(
        node: Node,
        proxy: Option<SocketAddr>,
        partitions: u16,
        security: Option<&Security>,
        folder: &Path,
        jvm: &[&str],
    ) -> Result<Self> {
        ensure!(
            is_installed(),
            "Apache Kafka {VERSION} is not installed: run `cargo xtask test` or `cargo xtask kafka`"
        );
        let mut listeners = vec![
            Listener::of("PLAINTEXT", node.address),
            Listener {
                name: "PROXY",
                protocol: "PLAINTEXT",
                address: node.behind,
                advertised: Some(proxy.unwrap_or(node.behind)),
            },
            Listener { name: "CONTROLLER", protocol: "PLAINTEXT", address: node.controller, advertised: None },
        ];
        listeners.extend(security.into_iter().flat_map(Security::listeners));
        let mut settings = server_settings(partitions, &folder.join("data"));
        settings += &node.settings();
        settings += &listeners::settings(&listeners);
        settings += &security.map(Security::settings).unwrap_or_default();
        let properties = folder.join("server.properties");
        fs::write(&properties, settings)?;
        let properties = properties.display().to_string();
        format(&properties, security.is_some())?;

        let mut supervisor = Command::new("sh");
        supervisor.args(["-c", include_str!("supervise.sh"), "supervise.sh"]).arg(folder);
        supervisor.arg("java").args(java(jvm)).args(["kafka.Kafka", &properties]);
        // In a group of its own: Ctrl-C is for us, and our end is what ends it.
        supervisor.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut supervisor = supervisor.spawn().context("cannot run sh")?;
        let orders = supervisor.stdin.take();
        let answers = BufReader::new(supervisor.stdout.take().context("the supervisor has a pipe")?);
        Ok(Self { node, folder: folder.to_owned(), supervisor, orders, answers })
    }

    /// What clients call `bootstrap.servers`.
    pub fn address(&self) -> String {
        self.node.address.to_string()
    }

    /// What clients are told that it is called.
    pub fn id(&self) -> i32 {
        self.node.id
    }

    /// Where a proxy relays to.
    pub fn behind(&self) -> SocketAddr {
        self.node.behind
    }

    /// `kill -9`. Its data and its address stay.
    pub fn kill(&mut self) -> Result<()> {
        self.order("kill")
    }

    /// Starts it again after `kill`, and returns when it takes requests.
    pub fn resume(&mut self) -> Result<()> {
        self.order("start")?;
        self.wait()
    }

    /// Until it takes requests, and knows the whole cluster.
    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + READY;
        if ready::wait(self.node.address, self.node.brokers(), deadline) {
            return Ok(());
        }
        let log = fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
        bail!("the Kafka broker at {} does not answer within {READY:?}; it says:\n{log}", self.node.address)
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

fn server_settings(partitions: u16, data: &Path) -> String {
    let data = data.display();
    format!(
        "process.roles=broker,controller\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={data}\n\
         log.retention.ms=-1\n\
         num.partitions={partitions}\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         broker.session.timeout.ms=2000\n\
         broker.heartbeat.interval.ms=500\n\
         log.cleaner.dedupe.buffer.size=4194304\n"
    )
}

fn java(jvm: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> = JVM.iter().chain(jvm).map(|&argument| argument.to_owned()).collect();
    arguments.extend(["-cp".to_owned(), format!("{}/*", install::folder().display())]);
    arguments
}

fn format(properties: &str, has_users: bool) -> Result<()> {
    let mut format = Command::new("java");
    format.args(java(&SMALL)).args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", properties]);
    if has_users {
        format.args(Security::format_arguments());
    }
    let output = format.output().context("cannot run java")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot format the storage of a Kafka broker: {said}");
    Ok(())
}
